"""The data transform and the inverse transform by torch's operations, which any processor has.

Of calls there are as few as can be: for each, a thread holds Python's lock for a moment, and others wait for it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

import torch

from .layer import Layer, Transforms
from .transform import P, Q

Tensor = torch.Tensor

CELLS = 256  # that are transformed together where threads share a strip

ZERO, AT_P, AT_Q, INFINITY = 0, slice(1, 3), slice(3, 5), 5


def transforms(layer: Layer, rows: range, data: Tensor, products: Tensor) -> Transforms:
    """For some of a strip's rows of cells: from the picture to the transformed data, and from the products to the
    outputs."""
    y, memory, flipped = layer.y, layer.workspace.part, layer.flipped
    across, incoming, outgoing = layer.cells[1], layer.picture.shape[2], y.shape[2]
    long = 4 * (across + 1) * incoming
    read_rows = _reader(layer.picture, layer.padding, across)
    data, products = (x.view(6, 6, len(rows), -1) for x in (data, products))

    def transform_data(part: range) -> None:
        down = len(part)
        read, lines, spare = memory.divide(y, (4 * down + 2) * long, 6 * down * long, 3 * down * long)
        read, lines = read.view(-1, long), lines.view(6, down, long)  # rows that these cells read, and transformed
        read_rows(4 * part.start, read.view(-1, 4, across + 1, incoming))
        neighbours = read.unfold(0, 6, 4).permute(2, 0, 1)
        _transform_data((neighbours[0], neighbours[1:5], neighbours[5]), lines, spare, flipped)
        _transform_data(_columns(lines, across, incoming), _of(data, part, rows), spare, flipped)

    def inverse_transform(part: range) -> None:
        down, wide = len(part), across * outgoing
        outputs, result, spare = memory.divide(y, 24 * down * wide, 16 * down * wide, 16 * down * wide)
        outputs, result = outputs.view(4, 6, down, wide), result.view(4, 4, down, wide)  # columns, and their rows
        _inverse_transform(_of(products, part, rows), outputs, spare, flipped)
        _inverse_transform(outputs.transpose(0, 1), result, spare, flipped)
        cells = result.view(4, 4, down, across, outgoing)
        _write(cells, layer.epilogue.bias, y[4 * part.start : 4 * part.stop], spare)
        layer.epilogue.in_place(y.permute(2, 0, 1)[None], slice(4 * part.start, min(4 * part.stop, len(y))))

    return transform_data, inverse_transform


def _of(transformed: Tensor, part: range, rows: range) -> Tensor:
    return transformed[:, :, part.start - rows.start : part.stop - rows.start]


# --- reading and writing ------------------------------------------------------------------------------------------
#
# Every fourth column lies together, so that a cell's neighbours are long runs of numbers in every case. Cell j looks at
# the columns 4j to 4j + 5 of the padded picture. Of these, 4j + 1 to 4j + 4 are at place j of the phases 0 to 3, each
# across + 1 places long; so 4j + 5 is at place j + 1 of the first, and 4j at place j - 1 of the last, which for j = 0
# is the end of the phase before, where nothing else is.


def _reader(picture: Tensor, padding: int, across: int) -> Callable[[int, Tensor], None]:
    """A function that copies rows of the padded picture, from this one on, to rows × 4 × (across + 1) × channels."""
    height, width, _ = picture.shape
    whole = picture.unflatten(1, (across, 4)).transpose(1, 2) if padding == 1 and width == 4 * across else None
    phases = [_phase(phase, padding, width, across) for phase in range(4)]
    inside = min(stop for _, _, stop in phases)

    def read_rows(first: int, into: Tensor) -> None:
        above = max(0, padding - first)
        start = first - padding + above
        count = min(len(into) - above, height - start)
        if above:
            into[:above] = 0
        if above + count < len(into):
            into[above + count :] = 0
        into[:, :, inside:] = 0
        if padding > 1:
            into[:, 0, 0] = 0
        into = into[above : above + count]
        if whole is not None:
            into[:, :, :across] = whole[start : start + count]
            return
        flat = into.flatten(1, 2)
        for phase, (column, place, stop) in enumerate(phases):
            if stop > place:
                places = slice(phase * (across + 1) + place, phase * (across + 1) + stop)
                flat[:, places] = picture[start : start + count, column : column + 4 * (stop - place) : 4]

    return read_rows


def _phase(phase: int, padding: int, width: int, across: int) -> tuple[int, int, int]:
    """The first of its columns that the picture has, that one's place, and the place after the last one's."""
    place = -1 if phase == 3 and padding == 0 else 1 if phase == 0 and padding == 2 else 0
    column = 4 * place + phase + 1 - padding
    most = across + 1 if phase == 0 else across
    return column, place, min(most, place + max(0, -(-(width - column) // 4)))


def _columns(lines: Tensor, across: int, channels: int) -> tuple[Tensor, Tensor, Tensor]:
    """Of each cell, the first neighbour, the four in the middle, and the last."""
    wide, phase = across * channels, (across + 1) * channels
    middle = lines.unflatten(2, (4, phase))[..., :wide].permute(2, 0, 1, 3)
    return lines.narrow(2, 3 * phase - channels, wide), middle, lines.narrow(2, channels, wide)


def _write(result: Tensor, bias: Tensor | None, y: Tensor, spare: Tensor) -> None:
    """The outputs of a strip of cells, column beside column again; the last cells may reach beyond the picture."""
    _, _, rows, across, channels = result.shape
    cells = result.permute(2, 0, 3, 1, 4)
    fits = y.shape[:2] == (4 * rows, 4 * across)
    into = y.unflatten(1, (across, 4)).unflatten(0, (rows, 4)) if fits else _shaped(spare, cells.shape)
    if bias is None:
        into.copy_(cells)
    else:
        torch.add(cells, bias, out=into)
    if not fits:
        y.copy_(into.view(4 * rows, 4 * across, channels)[: y.shape[0], : y.shape[1]])


# --- the transforms -----------------------------------------------------------------------------------------------


def _transform_data(d: tuple[Tensor, Tensor, Tensor], out: Tensor, spare: Tensor, flipped: bool) -> None:
    """Bᵀ d of six neighbours: the first, the four in the middle together, and the last; for a flipped kernel, in the
    order of the points' inverses."""
    zero, p, q, infinity = (INFINITY, AT_Q, AT_P, ZERO) if flipped else (ZERO, AT_P, AT_Q, INFINITY)
    first, middle, last = d
    d1, d2, d3, d4 = middle.unbind(0)
    torch.sub(d4, d2, alpha=2.5, out=out[zero]).add_(first)
    torch.sub(last, d3, alpha=2.5, out=out[infinity]).add_(d1)
    before, after, both = middle[:2], middle[2:], _shaped(spare, middle[:2].shape)
    odd, even = both.unbind(0)
    for points, x in ((p, P), (q, Q)):
        torch.sub(after, before, alpha=1 / x**2, out=both)
        _add(even, x, odd, out[points], _plus_and_minus(even.dtype, even.ndim))


def _inverse_transform(m: Tensor, y: Tensor, spare: Tensor, flipped: bool) -> None:
    """Aᵀ m: four outputs from six products, their sums weighted with 1, x, x² and x³. Overwrites m."""
    zero, infinity = (INFINITY, ZERO) if flipped else (ZERO, INFINITY)
    plus, minus = m[1:5:2], m[2:5:2]  # at p and at q; of a flipped kernel, at q and at p
    sums = torch.add(plus, minus, out=_shaped(spare, plus.shape)).unbind(0)
    differences = torch.sub(plus, minus, out=minus).unbind(0)
    (p_sum, q_sum), (p_difference, q_difference) = (x[::-1] if flipped else x for x in (sums, differences))
    torch.sub(m[zero], p_sum, out=y[0]).add_(q_sum, alpha=0.5)
    torch.sub(q_sum, p_sum, alpha=0.5, out=y[2])
    torch.sub(q_difference, p_difference, out=y[1]).mul_(P)
    _add(m[infinity], Q, q_difference.sub_(p_difference, alpha=0.25), y[3], _one(m.dtype))


def _add(a: Tensor, factor: float, b: Tensor, out: Tensor, signs: Tensor) -> None:
    """a ± factor·b, where torch would round the factor to bf16, and every picture fade a little."""
    torch.addcmul(a, b, signs, value=factor, out=out)


@functools.cache
def _one(dtype: torch.dtype) -> Tensor:
    with torch.inference_mode(False):
        return torch.ones((), dtype=dtype)


@functools.cache
def _plus_and_minus(dtype: torch.dtype, dimensions: int) -> Tensor:
    with torch.inference_mode(False):
        return torch.tensor([1.0, -1.0], dtype=dtype).view(2, *[1] * dimensions)


def _shaped(memory: Tensor, shape: Sequence[int]) -> Tensor:
    return memory[: math.prod(shape)].view(shape)
