"""The data transform and the inverse transform in compiled loops: all that is done to a cell, at once."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence

import torch

from ..loops import LINE, Function, Integer, Numbers, compiled
from .layer import Layer, Transforms
from .transform import INVERSES, P, Q

Tensor = torch.Tensor
Addresses = list[list[Integer]]

CELLS = 48  # that are transformed together where threads share a strip

# Addresses; the picture's size and its padding; the strip's first row of cells, its cells; whether kernels are flipped.
_PICTURE = ("source", "result", "bias", "relu", "zeros", "unread", "height", "width", "channels", "padding")
ARGUMENTS = (*_PICTURE, "top", "across", "count", "first", "end", "flipped")


def can(dtype: torch.dtype, incoming: int, outgoing: int) -> bool:
    whole_lines = all(channels * dtype.itemsize % LINE == 0 for channels in (incoming, outgoing))
    return whole_lines and all(make(dtype) is not None for make in (_data, *_INVERSES.values()))


def transforms(layer: Layer, rows: range, data: Tensor, products: Tensor) -> Transforms:
    """For some of a strip's rows of cells: from the picture to the transformed data, and from the products to the
    outputs."""
    picture, y, epilogue, across = layer.picture, layer.y, layer.epilogue, layer.cells[1]
    bias = epilogue.bias
    assert bias is None or (bias.dtype == y.dtype and bias.shape == y.shape[2:] and bias.is_contiguous())
    relu_output = None if epilogue.relu_output is None else epilogue.relu_output[0].permute(1, 2, 0)
    assert relu_output is None or (relu_output.dtype == y.dtype and relu_output.is_contiguous())
    ending = "relu" if epilogue.relu else "none" if relu_output is None else "relu backward"
    data_loop, inverse_loop = _data(y.dtype), _INVERSES[ending](y.dtype)
    assert data_loop is not None and inverse_loop is not None
    zeros, unread = _lines(y.dtype, max(picture.shape[2], y.shape[2]))
    ends = (zeros if bias is None else bias, y if relu_output is None else relu_output, zeros, unread)

    def cells(part: range) -> tuple[int, ...]:
        first, end = ((row - rows.start) * across for row in (part.start, part.stop))
        return rows.start, across, len(rows) * across, first, end, layer.flipped

    def transform_data(part: range) -> None:
        addresses = (tensor.data_ptr() for tensor in (picture, data, *ends))
        data_loop(*addresses, *picture.shape, layer.padding, *cells(part))

    def inverse_transform(part: range) -> None:
        addresses = (tensor.data_ptr() for tensor in (products, y, *ends))
        inverse_loop(*addresses, *y.shape, 0, *cells(part))

    return transform_data, inverse_transform


@functools.cache
def _lines(dtype: torch.dtype, channels: int) -> tuple[Tensor, Tensor]:
    """What is read outside of a picture, and what takes the outputs there, which nobody reads."""
    return torch.zeros(channels, dtype=dtype), torch.empty(channels, dtype=dtype)


def transform_data(d: Sequence[Numbers]) -> list[Numbers]:
    """Bᵀ d of six neighbours."""
    zero = d[0] - 2.5 * d[2] + d[4]
    infinity = d[1] - 2.5 * d[3] + d[5]
    even_p, odd_p = d[4] - 2.0 * d[2], P * (d[3] - 2.0 * d[1])
    even_q, odd_q = d[4] - 0.5 * d[2], Q * (d[3] - 0.5 * d[1])
    return [zero, even_p + odd_p, even_p - odd_p, even_q + odd_q, even_q - odd_q, infinity]


def inverse_transform(m: Sequence[Numbers]) -> list[Numbers]:
    """Aᵀ m: four outputs from six products, their sums weighted with 1, x, x² and x³."""
    zero, infinity = m[0], m[5]
    p_sum, p_difference = m[1] + m[2], m[1] - m[2]
    q_sum, q_difference = m[3] + m[4], m[3] - m[4]
    return [
        zero - p_sum + 0.5 * q_sum,
        P * (q_difference - p_difference),
        q_sum - 0.5 * p_sum,
        infinity + Q * (q_difference - 0.25 * p_difference),
    ]


@contextlib.contextmanager
def _cells(
    f: Function, side: int, pictures: Sequence[tuple[str, str]], transformed: Integer
) -> Iterator[tuple[list[Addresses], Addresses, Integer]]:
    """Loops over some of a strip's cells, and over their channels a line at a time. Gives for each picture the
    addresses of a cell's pixels, side × side of them; those of its transformed numbers (those down the columns first);
    and how many bytes to go on from there. With every picture stands what is read or written outside of it."""
    pixel = f["channels"] * f.dtype.itemsize
    matrix = f["count"] * pixel
    order = [(f["flipped"] < 1).choose(f.number(k), f.number(inverse)) for k, inverse in enumerate(INVERSES)]
    offsets = [[(order[j] * 6 + order[i]) * matrix for j in range(6)] for i in range(6)]
    with f.loop(f["first"], f["end"]) as cell:
        first_row = (cell // f["across"] + f["top"]) * 4 - f["padding"]
        first_column = cell % f["across"] * 4 - f["padding"]
        rows, columns = ([first + k for k in range(side)] for first in (first_row, first_column))
        inside = [[(row < f["height"]) & (column < f["width"]) for column in columns] for row in rows]
        places = [[(row * f["width"] + column) * pixel for column in columns] for row in rows]
        pixels = [
            [[inside[i][j].choose(f[picture] + places[i][j], f[nothing]) for j in range(side)] for i in range(side)]
            for picture, nothing in pictures
        ]
        numbers = [[transformed + offset + cell * pixel for offset in line] for line in offsets]
        with f.loop(0, pixel, LINE) as byte:
            yield pixels, numbers, byte


@compiled
def _data(dtype: torch.dtype) -> Function:
    f = Function(dtype, ARGUMENTS)
    with _cells(f, 6, [("source", "zeros")], f["result"]) as ((pixels,), numbers, byte):
        # Down each column, and then along the rows.
        columns = [transform_data([f.load(pixels[i][j] + byte) for i in range(6)]) for j in range(6)]
        for i in range(6):
            for j, value in enumerate(transform_data([column[i] for column in columns])):
                f.store(value, numbers[i][j] + byte)
    return f


def _inverse(dtype: torch.dtype, ending: str) -> Function:
    """With what comes after the sums (plain.Epilogue): a ReLU, the way back through the one below, or nothing."""
    f = Function(dtype, ARGUMENTS)
    pictures = [("result", "unread"), ("relu", "zeros")]
    with _cells(f, 4, pictures[: 2 if ending == "relu backward" else 1], f["source"]) as (pixels, products, byte):
        bias = f.load(f["bias"] + byte)
        columns = [inverse_transform([f.load(products[i][j] + byte) for i in range(6)]) for j in range(6)]
        for i in range(4):
            for j, value in enumerate(inverse_transform([column[i] for column in columns])):
                result = value + bias
                if ending == "relu":
                    result = result.above_0()
                if ending == "relu backward":
                    result = result.where_above_0(f.load(pixels[1][i][j] + byte))
                f.store(result, pixels[0][i][j] + byte)
    return f


_INVERSES = {
    ending: compiled(functools.partial(_inverse, ending=ending)) for ending in ("none", "relu", "relu backward")
}
