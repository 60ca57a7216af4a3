"""To the points and back in compiled loops: all that is done to a cell, at once."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence

import torch

from ..loops import LINE, Function, Integer, Numbers, compiled
from ..strips import Finish
from .layer import Layer
from .transform import INVERSES, P, Q

Tensor = torch.Tensor
Places = list[list[Integer]]

CELLS = 48  # that are taken to the points, or brought back, together, where threads share out a strip

# Addresses; the picture's size and how far it is padded; the strip's first row of cells, its cells; and the way.
_PICTURE = ("source", "result", "bias", "nothing", "height", "width", "channels", "padding")
ARGUMENTS = (*_PICTURE, "top", "across", "count", "first", "end", "turned")


def can(dtype: torch.dtype, incoming: int, outgoing: int) -> bool:
    whole_lines = all(channels * dtype.itemsize % LINE == 0 for channels in (incoming, outgoing))
    return whole_lines and all(make(dtype) is not None for make in (_to_points, _from_points, _from_points_by_relu))


def steps(
    layer: Layer, rows: range, values: Tensor, products: Tensor
) -> tuple[Callable[[range], None], Callable[[range], None]]:
    """For some of a strip's rows of cells: from the picture to their values at the points, and from the products of
    these to the outputs."""
    picture, y, finish, across = layer.picture, layer.y, layer.finish, layer.cells[1]
    bias = finish.bias
    assert bias is None or (bias.dtype == y.dtype and bias.shape == y.shape[2:] and bias.is_contiguous())
    to_points = _to_points(y.dtype)
    from_points = (_from_points_by_relu if finish.relu else _from_points)(y.dtype)
    assert to_points is not None and from_points is not None
    zeros, trash = _lines(y.dtype, max(picture.shape[2], y.shape[2]))

    def place(part: range) -> tuple[int, ...]:
        first, end = ((row - rows.start) * across for row in (part.start, part.stop))
        return rows.start, across, len(rows) * across, first, end, layer.turned

    def take_there(part: range) -> None:
        to_points(
            picture.data_ptr(), values.data_ptr(), 0, zeros.data_ptr(), *picture.shape, layer.padding, *place(part)
        )

    def bring_back(part: range) -> None:
        memory = products.data_ptr(), y.data_ptr(), (zeros if bias is None else bias).data_ptr(), trash.data_ptr()
        from_points(*memory, *y.shape, 0, *place(part))
        Finish(gave=finish.gave).within(y.permute(2, 0, 1)[None], slice(4 * part.start, min(4 * part.stop, len(y))))

    return take_there, bring_back


@functools.cache
def _lines(dtype: torch.dtype, channels: int) -> tuple[Tensor, Tensor]:
    """What is read outside of a picture, and where goes what nobody reads."""
    return torch.zeros(channels, dtype=dtype), torch.empty(channels, dtype=dtype)


def points(d: Sequence[Numbers]) -> list[Numbers]:
    """Six neighbours in a line, at the six points."""
    zero = d[0] - 2.5 * d[2] + d[4]
    infinity = d[1] - 2.5 * d[3] + d[5]
    even_p, odd_p = d[4] - 2.0 * d[2], P * (d[3] - 2.0 * d[1])
    even_q, odd_q = d[4] - 0.5 * d[2], Q * (d[3] - 0.5 * d[1])
    return [zero, even_p + odd_p, even_p - odd_p, even_q + odd_q, even_q - odd_q, infinity]


def outputs(m: Sequence[Numbers]) -> list[Numbers]:
    """Four outputs in a line, from the products at the six points: their sums weighted with 1, x, x² and x³."""
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
def _cells(f: Function, side: int, picture: Integer, at_points: Integer) -> Iterator[tuple[Places, Places, Integer]]:
    """Loops over some of a strip's cells, and a line of channels at a time: where a cell's pixels lie, side × side of
    them, where its numbers at the points lie (those down the columns first), and how many bytes from there."""
    pixel = f["channels"] * f.dtype.itemsize
    point = f["count"] * pixel
    order = [(f["turned"] < 1).choose(f.number(k), f.number(inverse)) for k, inverse in enumerate(INVERSES)]
    points_ = [[(order[j] * 6 + order[i]) * point for j in range(6)] for i in range(6)]
    with f.loop(f["first"], f["end"]) as cell:
        first_row = (cell // f["across"] + f["top"]) * 4 - f["padding"]
        first_column = cell % f["across"] * 4 - f["padding"]
        rows, columns = ([first + k for k in range(side)] for first in (first_row, first_column))
        # Of what lies outside, zeros are read, and what is written there is not read again.
        pixels = [
            [
                ((row < f["height"]) & (column < f["width"])).choose(
                    picture + (row * f["width"] + column) * pixel, f["nothing"]
                )
                for column in columns
            ]
            for row in rows
        ]
        values = [[at_points + point_ + cell * pixel for point_ in line] for line in points_]
        with f.loop(0, pixel, LINE) as byte:
            yield pixels, values, byte


@compiled
def _to_points(dtype: torch.dtype) -> Function:
    f = Function(dtype, ARGUMENTS)
    with _cells(f, 6, f["source"], f["result"]) as (pixels, values, byte):
        # Down each column, and then along the rows.
        columns = [points([f.load(pixels[i][j] + byte) for i in range(6)]) for j in range(6)]
        for i in range(6):
            for j, value in enumerate(points([column[i] for column in columns])):
                f.store(value, values[i][j] + byte)
    return f


def _back(dtype: torch.dtype, relu: bool) -> Function:
    f = Function(dtype, ARGUMENTS)
    with _cells(f, 4, f["result"], f["source"]) as (pixels, products, byte):
        bias = f.load(f["bias"] + byte)
        columns = [outputs([f.load(products[i][j] + byte) for i in range(6)]) for j in range(6)]
        for i in range(4):
            for j, value in enumerate(outputs([column[i] for column in columns])):
                biased = value + bias
                f.store(biased.above_0() if relu else biased, pixels[i][j] + byte)
    return f


_from_points = compiled(functools.partial(_back, relu=False))
_from_points_by_relu = compiled(functools.partial(_back, relu=True))
