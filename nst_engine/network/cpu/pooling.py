"""Max-pooling and the way back through it in compiled loops: all that is done to a window, at once."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ..plain import DEAD, PoolRows
from .loops import LINE, Function, Integer, compiled

Tensor = torch.Tensor

# Addresses; the widths of both pictures and their channels; the first row of windows, and the one after the last.
ARGUMENTS = ("whole", "pooled", "argmax", "width", "across", "channels", "first", "end")


def max_pool_rows(whole: Tensor, pooled: Tensor, argmax: Tensor) -> PoolRows | None:
    """What `pooling.max_pool_with_argmax` does to some rows of windows; None where there is no such loop."""
    return _rows(_forward, whole, pooled, argmax)


def max_pool_backward_rows(whole: Tensor, pooled: Tensor, argmax: Tensor) -> PoolRows | None:
    """The same of `pooling.max_pool_backward`."""
    return _rows(_backward, whole, pooled, argmax)


def _rows(
    make: Callable[[torch.dtype], Callable[..., None] | None], whole: Tensor, pooled: Tensor, argmax: Tensor
) -> PoolRows | None:
    tensors, channels = (whole, pooled, argmax), whole.shape[1]
    in_lines = all(x.is_contiguous(memory_format=torch.channels_last) for x in tensors)
    if whole.device.type != "cpu" or not in_lines or channels * whole.element_size() % LINE:
        return None
    loop = make(whole.dtype)
    if loop is None:
        return None

    def work(rows: slice) -> None:
        for pictures in zip(*tensors, strict=True):
            addresses = (picture.data_ptr() for picture in pictures)
            loop(*addresses, whole.shape[3], pooled.shape[3], channels, rows.start, rows.stop)

    return work


def _windows(f: Function, body: Callable[[list[Integer], Integer, Integer], None]) -> Function:
    """A loop over the windows and over their channels, a line at a time: `body` has the addresses of the window's four
    pixels, of the pooled one, and of the byte that says which of the four won."""
    size = f.dtype.itemsize
    pixel = f["channels"] * size
    with f.loop(f["first"], f["end"]) as row, f.loop(0, f["across"]) as column:
        corner = f["whole"] + (row * 2 * f["width"] + column * 2) * pixel
        four = [corner + (f["width"] * i + j) * pixel for i in (0, 1) for j in (0, 1)]
        position = (row * f["across"] + column) * f["channels"]
        with f.loop(0, f["channels"], f.lanes) as channel:
            byte = channel * size
            pooled = f["pooled"] + position * size + byte
            body([address + byte for address in four], pooled, f["argmax"] + position + channel)
    return f


@compiled
def _forward(dtype: torch.dtype) -> Function:
    f = Function(dtype, ARGUMENTS)

    def body(four: list[Integer], pooled: Integer, argmax: Integer) -> None:
        a, b, c, d = (f.load_bits(address) for address in four)
        number = a.all
        upper, in_upper = b.where(b > a, a), number(1).where(b > a, number(0))
        lower, in_lower = d.where(d > c, c), number(3).where(d > c, number(2))
        maximum = lower.where(lower > upper, upper)
        index = in_lower.where(lower > upper, in_upper)
        f.store_bits(maximum, pooled)
        f.store_bits(index.where(maximum > number(0), number(DEAD)), argmax, 1)

    return _windows(f, body)


@compiled
def _backward(dtype: torch.dtype) -> Function:
    f = Function(dtype, ARGUMENTS)

    def body(four: list[Integer], pooled: Integer, argmax: Integer) -> None:
        gradient, index = f.load_bits(pooled), f.load_bits(argmax, 1)
        for k, address in enumerate(four):
            f.store_bits(gradient.where(index.equals(k), gradient.all(0)), address)

    return _windows(f, body)
