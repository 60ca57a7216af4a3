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
_PICTURE = ("source", "result", "bias", "nothing", "height", "width", "channels", "padding")
ARGUMENTS = (*_PICTURE, "top", "across", "count", "first", "end", "flipped")


def can(dtype: torch.dtype, incoming: int, outgoing: int) -> bool:
    whole_lines = all(channels * dtype.itemsize % LINE == 0 for channels in (incoming, outgoing))
    return whole_lines and all(make(dtype) is not None for make in (_data, _inverse, _inverse_relu))


def transforms(layer: Layer, rows: range, data: Tensor, products: Tensor) -> Transforms:
    """For some of a strip's rows of cells: from the picture to the transformed data, and from the products to the
    outputs."""
    picture, y, epilogue, across = layer.picture, layer.y, layer.epilogue, layer.cells[1]
    bias = epilogue.bias
    assert bias is None or (bias.dtype == y.dtype and bias.shape == y.shape[2:] and bias.is_contiguous())
    data_loop, inverse_loop = _data(y.dtype), (_inverse_relu if epilogue.relu else _inverse)(y.dtype)
    assert data_loop is not None and inverse_loop is not None
    zeros, unread = _lines(y.dtype, max(picture.shape[2], y.shape[2]))

    def cells(part: range) -> tuple[int, ...]:
        first, end = ((row - rows.start) * across for row in (part.start, part.stop))
        return rows.start, across, len(rows) * across, first, end, layer.flipped

    def transform_data(part: range) -> None:
        addresses = picture.data_ptr(), data.data_ptr(), 0, zeros.data_ptr()
        data_loop(*addresses, *picture.shape, layer.padding, *cells(part))

    def inverse_transform(part: range) -> None:
        addresses = products.data_ptr(), y.data_ptr(), (zeros if bias is None else bias).data_ptr(), unread.data_ptr()
        inverse_loop(*addresses, *y.shape, 0, *cells(part))
        if not epilogue.relu:
            layer.finish_rows(part)

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
    f: Function, side: int, picture: Integer, transformed: Integer
) -> Iterator[tuple[Addresses, Addresses, Integer]]:
    """Loops over some of a strip's cells, and over their channels a line at a time. Gives the addresses of a cell's
    pixels, side × side of them, and of its transformed numbers (those down the columns first), and how many bytes to go
    on from there."""
    pixel = f["channels"] * f.dtype.itemsize
    matrix = f["count"] * pixel
    order = [(f["flipped"] < 1).choose(f.number(k), f.number(inverse)) for k, inverse in enumerate(INVERSES)]
    offsets = [[(order[j] * 6 + order[i]) * matrix for j in range(6)] for i in range(6)]
    with f.loop(f["first"], f["end"]) as cell:
        first_row = (cell // f["across"] + f["top"]) * 4 - f["padding"]
        first_column = cell % f["across"] * 4 - f["padding"]
        rows, columns = ([first + k for k in range(side)] for first in (first_row, first_column))
        # Outside of the picture zeros are read, and what is written there is not read again.
        pixels = [
            [
                ((row < f["height"]) & (column < f["width"])).choose(
                    picture + (row * f["width"] + column) * pixel, f["nothing"]
                )
                for column in columns
            ]
            for row in rows
        ]
        numbers = [[transformed + offset + cell * pixel for offset in line] for line in offsets]
        with f.loop(0, pixel, LINE) as byte:
            yield pixels, numbers, byte


@compiled
def _data(dtype: torch.dtype) -> Function:
    f = Function(dtype, ARGUMENTS)
    with _cells(f, 6, f["source"], f["result"]) as (pixels, numbers, byte):
        # Down each column, and then along the rows.
        columns = [transform_data([f.load(pixels[i][j] + byte) for i in range(6)]) for j in range(6)]
        for i in range(6):
            for j, value in enumerate(transform_data([column[i] for column in columns])):
                f.store(value, numbers[i][j] + byte)
    return f


def _inverse_loop(dtype: torch.dtype, relu: bool) -> Function:
    f = Function(dtype, ARGUMENTS)
    with _cells(f, 4, f["result"], f["source"]) as (pixels, products, byte):
        bias = f.load(f["bias"] + byte)
        columns = [inverse_transform([f.load(products[i][j] + byte) for i in range(6)]) for j in range(6)]
        for i in range(4):
            for j, value in enumerate(inverse_transform([column[i] for column in columns])):
                biased = value + bias
                f.store(biased.above_0() if relu else biased, pixels[i][j] + byte)
    return f


_inverse = compiled(functools.partial(_inverse_loop, relu=False))
_inverse_relu = compiled(functools.partial(_inverse_loop, relu=True))
