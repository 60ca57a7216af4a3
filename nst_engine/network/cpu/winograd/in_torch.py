"""The data transform and the inverse transform by torch's operations, which any processor has."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import torch

from .layer import Layer, Transforms
from .transform import P, Q

Tensor = torch.Tensor

CELLS = 256  # that are transformed together where threads share a strip

ZERO, AT_P, AT_Q, INFINITY = 0, slice(1, 3), slice(3, 5), 5


def transforms(layer: Layer, rows: range, data: Tensor, products: Tensor) -> Transforms:
    """For some of a strip's rows of cells: from the picture to the transformed data, and from the products to the
    outputs."""
    picture, y, padding, memory = layer.picture, layer.y, layer.padding, layer.workspace.part
    (_, width, incoming), outgoing = picture.shape, y.shape[2]
    across = layer.cells[1]
    data, products = (x.view(6, 6, len(rows), across, -1) for x in (data, products))

    def transform_data(part: range) -> None:
        down = len(part)
        # Every fourth column lies together, so that a cell's neighbours are long runs of numbers in every case.
        read_shape = (4 * down + 2, 4, across + 1, incoming)  # rows that these cells read,
        lines_shape = (6, down, 4, across + 1, incoming)  # transformed
        read, lines, spare = memory.divide(
            y, math.prod(read_shape), math.prod(lines_shape), 6 * down * (across + 1) * incoming
        )
        read, lines = read.view(read_shape), lines.view(lines_shape)
        for k in range(4):
            _, inside = _columns(k, padding, width)
            read[:, k, : inside.start] = 0
            read[:, k, inside.stop :] = 0
        _read(picture, 4 * part.start - padding, padding, read)
        _transform_data([read[k : k + 4 * down - 3 : 4] for k in range(6)], lines, spare, layer.flipped)
        columns = [lines[:, :, k % 4, k // 4 : k // 4 + across] for k in range(6)]
        _transform_data(columns, _of(data, part, rows), spare, layer.flipped)

    def inverse_transform(part: range) -> None:
        outputs_shape = (4, 6, len(part), across, outgoing)  # columns of the outputs,
        result_shape = (4, 4, len(part), across, outgoing)  # and their rows
        outputs, result, spare = memory.divide(
            y, math.prod(outputs_shape), math.prod(result_shape), math.prod(result_shape)
        )
        outputs, result = outputs.view(outputs_shape), result.view(result_shape)
        _inverse_transform(_of(products, part, rows).unbind(0), outputs, spare, layer.flipped)
        _inverse_transform(outputs.unbind(1), result, spare, layer.flipped)
        _write(result, layer.epilogue.bias, y[4 * part.start : 4 * part.stop], spare)
        layer.epilogue.in_place(y.permute(2, 0, 1)[None], slice(4 * part.start, min(4 * part.stop, len(y))))

    return transform_data, inverse_transform


def _of(transformed: Tensor, part: range, rows: range) -> Tensor:
    return transformed[:, :, part.start - rows.start : part.stop - rows.start]


def _columns(k: int, padding: int, width: int) -> tuple[slice, slice]:
    """Of the columns k, k + 4, k + 8 … of a padded picture, those that the picture has, and which of them they are."""
    first = (k - padding) % 4
    start = 1 if k < padding else 0
    return slice(first, None, 4), slice(start, start + max(0, -(-(width - first) // 4)))


def _read(picture: Tensor, first: int, padding: int, read: Tensor) -> None:
    """Rows of the picture from `first` on, and zeros above and below it; those left and right are there already."""
    above, below = max(0, -first), max(0, first + len(read) - len(picture))
    rows = slice(above, len(read) - below)
    read[:above] = 0
    read[len(read) - below :] = 0
    for k in range(4):
        given, inside = _columns(k, padding, picture.shape[1])
        read[rows, k, inside] = picture[first + rows.start : first + rows.stop, given]


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


def _transform_data(d: Sequence[Tensor], out: Tensor, spare: Tensor, flipped: bool) -> None:
    """Bᵀ d of six neighbours; for a flipped kernel, in the order of the points' inverses."""
    zero, p, q, infinity = (INFINITY, AT_Q, AT_P, ZERO) if flipped else (ZERO, AT_P, AT_Q, INFINITY)
    torch.sub(d[4], d[2], alpha=2.5, out=out[zero]).add_(d[0])
    torch.sub(d[5], d[3], alpha=2.5, out=out[infinity]).add_(d[1])
    odd = _shaped(spare, out[zero].shape)
    for points, x in ((p, P), (q, Q)):
        plus, even = out[points]
        torch.sub(d[3], d[1], alpha=1 / x**2, out=odd)
        torch.sub(d[4], d[2], alpha=1 / x**2, out=even)
        _add(even, x, odd, out=plus)
        _add(even, -x, odd, out=even)


def _inverse_transform(m: Sequence[Tensor], y: Tensor, spare: Tensor, flipped: bool) -> None:
    """Aᵀ m: four outputs from six products, their sums weighted with 1, x, x² and x³. Overwrites m."""
    zero, p, q, infinity = (INFINITY, AT_Q, AT_P, ZERO) if flipped else (ZERO, AT_P, AT_Q, INFINITY)
    (p_plus, p_minus), (q_plus, q_minus) = m[p], m[q]
    p_sum = torch.add(p_plus, p_minus, out=_shaped(spare, p_plus.shape))
    p_difference = torch.sub(p_plus, p_minus, out=p_minus)
    q_sum = torch.add(q_plus, q_minus, out=p_plus)
    q_difference = torch.sub(q_plus, q_minus, out=q_minus)
    torch.sub(m[zero], p_sum, out=y[0]).add_(q_sum, alpha=0.5)
    torch.sub(q_sum, p_sum, alpha=0.5, out=y[2])
    torch.sub(q_difference, p_difference, out=y[1]).mul_(P)
    _add(m[infinity], Q, q_difference.sub_(p_difference, alpha=0.25), out=y[3])


def _add(a: Tensor, factor: float, b: Tensor, out: Tensor) -> None:
    """a + factor·b, where torch would round the factor to bf16, and every picture fade a little."""
    torch.addcmul(a, b, _one(b.dtype), value=factor, out=out)


@functools.cache
def _one(dtype: torch.dtype) -> Tensor:
    with torch.inference_mode(False):
        return torch.ones((), dtype=dtype)


def _shaped(memory: Tensor, shape: Sequence[int]) -> Tensor:
    return memory[: math.prod(shape)].view(shape)
