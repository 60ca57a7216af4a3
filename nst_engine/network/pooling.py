"""Pooling over 2×2 windows, and the way back through it.

Max-pooling remembers which pixel of a window won in one byte, where torch takes eight. It always follows a ReLU, so a
window whose maximum is 0 lets no gradient through: with that remembered, too, the ReLU before it need keep nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..system.devices import kind_of
from .bits import bits
from .fast import Arena, empty, launch, max_pool_backward_rows, max_pool_rows, rows_of, share_of
from .plain import DEAD


def max_pool(x: Tensor, arena: Arena | None = None) -> Tensor:
    return _by_rows(x, lambda part: F.max_pool2d(part, 2), arena)


def max_pool_with_argmax(x: Tensor, arena: Arena | None = None) -> tuple[Tensor, Tensor]:
    """The maximum of every window, and where in the window it is (0 1 / 2 3, the first of equals). x is not below 0."""
    pooled = _pooled(x, arena)
    argmax = empty(pooled.shape, pooled, arena, torch.uint8)

    def work(rows: slice) -> None:
        a, b, c, d = _windows(x, rows)
        upper, lower = torch.maximum(a, b), torch.maximum(c, d)
        maximum = torch.maximum(upper, lower, out=pooled[:, :, rows])
        index, index_in_lower, in_lower = _greater(b, a), _greater(d, c), _greater(lower, upper)
        # Without a branch: the upper row's, unless the lower row won.
        index ^= (index ^ index_in_lower) & in_lower
        index.add_(in_lower, alpha=2)
        index |= (_greater(maximum, 0) ^ 1) * DEAD
        argmax[:, :, rows] = index

    _launch(max_pool_rows(x, pooled, argmax) or work, pooled)
    return pooled, argmax


def max_pool_backward(gradient: Tensor, argmax: Tensor, shape: torch.Size, arena: Arena | None = None) -> Tensor:
    """∂L/∂x from ∂L/∂pooled; 0 also where x is not above 0."""
    out = _output(gradient, shape, arena)

    def work(rows: slice) -> None:
        # Comparing within one format: products with booleans are several times slower.
        numbers = bits(gradient[:, :, rows])
        index = argmax[:, :, rows].to(numbers.dtype)
        won = torch.empty_like(index)
        for k, window in enumerate(_windows(out, rows)):
            torch.mul(numbers, torch.eq(index, k, out=won), out=bits(window))

    _launch(max_pool_backward_rows(out, gradient, argmax) or work, gradient, out)
    return out


def _greater(a: Tensor, b: Tensor | int) -> Tensor:
    """1 or 0, on a CPU as an integer as long as the numbers."""
    if not kind_of(a.device).is_cpu:
        return torch.gt(a, b).view(torch.uint8)
    numbers = bits(a)
    return torch.gt(numbers, bits(b) if isinstance(b, Tensor) else b, out=torch.empty_like(numbers))


def average_pool(x: Tensor, gain: float = 1.0, arena: Arena | None = None) -> Tensor:
    return _by_rows(x, lambda part: F.avg_pool2d(part, 2).mul_(gain), arena)


def average_pool_backward(gradient: Tensor, shape: torch.Size, gain: float = 1.0, arena: Arena | None = None) -> Tensor:
    out = _output(gradient, shape, arena)

    def work(rows: slice) -> None:
        for window in _windows(out, rows):
            torch.mul(gradient[:, :, rows], 0.25, out=window).mul_(gain)

    _launch(work, gradient, out)
    return out


def l2_pool(x: Tensor, gain: float = 1.0, arena: Arena | None = None) -> Tensor:
    """The root of the sum of squares."""

    def work(part: Tensor) -> Tensor:
        # Squares leave fp16's range where the root does not.
        squares = part.float().square() if x.dtype == torch.float16 else part.square()
        return F.avg_pool2d(squares, 2).mul_(4).sqrt_().to(x.dtype).mul_(gain)

    return _by_rows(x, work, arena)


def l2_pool_backward(
    gradient: Tensor, x: Tensor, pooled: Tensor, gain: float = 1.0, arena: Arena | None = None
) -> Tensor:
    out = _output(gradient, x.shape, arena)

    def work(rows: slice) -> None:
        # The root's derivative is infinite at 0; a dead window gives none instead.
        outputs = pooled[:, :, rows]
        ratio = torch.where(outputs > 0, gradient[:, :, rows] / outputs, 0)
        for window, inputs in zip(_windows(out, rows), _windows(x, rows), strict=True):
            torch.mul(ratio, inputs, out=window).mul_(gain**2)

    _launch(work, gradient, out)
    return out


def _by_rows(x: Tensor, pool: Callable[[Tensor], Tensor], arena: Arena | None) -> Tensor:
    pooled = _pooled(x, arena)

    def work(rows: slice) -> None:
        pooled[:, :, rows] = pool(x[:, :, 2 * rows.start : 2 * rows.stop])

    _launch(work, pooled)
    return pooled


def _pooled(x: Tensor, arena: Arena | None) -> Tensor:
    batch, channels, height, width = x.shape
    return empty((batch, channels, height // 2, width // 2), x, arena)


def _output(gradient: Tensor, shape: torch.Size, arena: Arena | None) -> Tensor:
    out = empty(shape, gradient, arena)
    # Pixels that fill no window were dropped by the pooling.
    out[:, :, gradient.shape[2] * 2 :] = 0
    out[:, :, :, gradient.shape[3] * 2 :] = 0
    return out


def _launch(work: Callable[[slice], None], pooled: Tensor, out: Tensor | None = None) -> None:
    """Strip by strip of the pooled picture: rows that fit into a core's caches together with what is in between. On the
    way back `out` is written, which may have a row more than the windows."""
    share = share_of(pooled.shape[2])
    makes = share if out is None else lambda rows: 2 * rows.stop / out.shape[2]
    launch(work, rows_of(pooled), share, makes)


def _windows(x: Tensor, rows: slice) -> list[Tensor]:
    """Views of the four pixels of the windows in these rows of the pooled picture."""
    height, width = x.shape[2] // 2 * 2, x.shape[3] // 2 * 2
    first, last, _ = rows.indices(height // 2)
    return [x[:, :, 2 * first + i : 2 * last : 2, j:width:2] for i in (0, 1) for j in (0, 1)]
