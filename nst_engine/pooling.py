"""Pooling over 2×2 windows, and the way back through it.

Max-pooling remembers which pixel of a window won in one byte, where torch takes eight. It always follows a ReLU, so a
window whose greatest value is 0 lets no slope through: with that remembered, too, the ReLU before it need keep nothing.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from .arena import Arena, empty

Tensor = torch.Tensor

BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}  # by bytes
DEAD = 4  # after the four places of a window: none of them is above 0


def max_pool(x: Tensor, arena: Arena | None = None) -> tuple[Tensor, Tensor]:
    """The greatest of every window, and its place in it (0 1 / 2 3, the first of equals). x is not below 0."""
    batch, channels, height, width = x.shape
    pooled = empty((batch, channels, height // 2, width // 2), x, arena)
    places = empty(pooled.shape, pooled, arena, torch.uint8)
    for rows in _strips(pooled):
        a, b, c, d = _windows(x, rows)
        upper, lower = torch.maximum(a, b), torch.maximum(c, d)
        greatest = torch.maximum(upper, lower, out=pooled[:, :, rows])
        place, place_in_lower, in_lower = _greater(b, a), _greater(d, c), _greater(lower, upper)
        # Without a branch: the upper row's, unless the lower row won.
        place ^= (place ^ place_in_lower) & in_lower
        place.add_(in_lower, alpha=2)
        place |= (_greater(greatest, 0) ^ 1) * DEAD
        places[:, :, rows] = place
    return pooled, places


def max_unpool(slope: Tensor, places: Tensor, shape: torch.Size, arena: Arena | None = None) -> Tensor:
    """∂L/∂x from ∂L/∂pooled; 0 also where x is not above 0."""
    out = _output(slope, shape, arena)
    for rows in _strips(slope):
        # Comparing within one format: products with booleans are several times slower.
        bits = _bits(slope[:, :, rows])
        place = places[:, :, rows].to(bits.dtype)
        won = torch.empty_like(place)
        for k, window in enumerate(_windows(out, rows)):
            torch.mul(bits, torch.eq(place, k, out=won), out=_bits(window))
    return out


def _greater(a: Tensor, b: Tensor | int) -> Tensor:
    """1 or 0. On a CPU, comparing takes a tenth of the time where the result is an integer as long as the numbers; and
    not below 0, numbers have the order of their bits."""
    if a.device.type != "cpu":
        return torch.gt(a, b).view(torch.uint8)
    bits = _bits(a)
    return torch.gt(bits, _bits(b) if isinstance(b, Tensor) else b, out=torch.empty_like(bits))


def _bits(x: Tensor) -> Tensor:
    return x.view(BITS[x.itemsize]) if x.device.type == "cpu" else x


def average_pool(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 2)


def average_unpool(slope: Tensor, shape: torch.Size, arena: Arena | None = None) -> Tensor:
    out = _output(slope, shape, arena)
    for window in _windows(out, slice(None)):
        torch.mul(slope, 0.25, out=window)
    return out


def l2_pool(x: Tensor) -> Tensor:
    """The root of the sum of squares."""
    # Squares leave fp16's range where the root does not.
    squares = x.float().square() if x.dtype == torch.float16 else x.square()
    return F.avg_pool2d(squares, 2).mul_(4).sqrt_().to(x.dtype)


def l2_unpool(slope: Tensor, x: Tensor, pooled: Tensor, arena: Arena | None = None) -> Tensor:
    # The root's slope is infinite at zero; a dead neighbourhood must give none instead.
    return average_unpool(torch.where(pooled > 0, slope / pooled, 0).mul_(4), x.shape, arena).mul_(x)


def _output(slope: Tensor, shape: torch.Size, arena: Arena | None) -> Tensor:
    out = empty(shape, slope, arena)
    # What does not fill a window was dropped on the way there.
    out[:, :, slope.shape[2] * 2 :] = 0
    out[:, :, :, slope.shape[3] * 2 :] = 0
    return out


def _strips(pooled: Tensor) -> list[slice]:
    """A few rows at a time on a CPU, whose caches then hold what is in between; all of them at once elsewhere."""
    height = pooled.shape[2]
    step = 16 if pooled.device.type == "cpu" else max(1, height)
    return [slice(first, min(first + step, height)) for first in range(0, height, step)]


def _windows(x: Tensor, rows: slice) -> list[Tensor]:
    """Views of the four places of the windows in these rows of the pooled picture."""
    height, width = x.shape[2] // 2 * 2, x.shape[3] // 2 * 2
    first, last, _ = rows.indices(height // 2)
    return [x[:, :, 2 * first + i : 2 * last : 2, j:width:2] for i in (0, 1) for j in (0, 1)]
