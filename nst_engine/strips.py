"""A network's layers, strip by strip: on a CPU a few rows at a time, in whichever thread is free; elsewhere whole."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from . import exact
from .arena import Arena, empty
from .workers import each, strips

Tensor = torch.Tensor
Finish = Callable[[Tensor, slice], None]  # of a tensor and some of its rows

# For each way of continuing a picture beyond its border: which row comes before the first, and which after the last,
# counted in the padded picture, whose last row this is.
CONTINUED = {
    "replicate": lambda last: (1, last - 1),
    "reflect": lambda last: (2, last - 2),
    "circular": lambda last: (last - 1, 1),
}


def rows_of(x: Tensor) -> list[slice]:
    return strips(x.shape[2], x.shape[0] * x.shape[1] * x.shape[3], x.device)


def convolve(
    x: Tensor,
    kernel: Tensor,
    bias: Tensor | None,
    padding: int,
    stride: int = 1,
    arena: Arena | None = None,
    finish: Finish | None = None,
) -> Tensor:
    """conv2d; and what is to be done to its rows while they are still in a core's cache."""
    size = kernel.shape[2]
    height, width = ((side + 2 * padding - size) // stride + 1 for side in x.shape[2:])
    rows = strips(height, x.shape[0] * len(kernel) * width, x.device)
    if len(rows) == 1 and _shares_channels(kernel, height * width, x.device):
        return _by_channels(x, kernel, bias, padding, arena, finish)
    if len(rows) == 1:
        if finish is relu_ and bias is not None and (y := exact.convolve_relu(x, kernel, bias, padding)) is not None:
            return y
        y = exact.convolve(x, kernel, bias, padding) if stride == 1 else F.conv2d(x, kernel, bias, stride, padding)
        if finish is not None:
            finish(y, rows[0])
        return y
    y = empty((x.shape[0], len(kernel), height, width), x, arena)

    def work(part: slice) -> None:
        first, end = part.start * stride - padding, (part.stop - 1) * stride - padding + size
        above, below = max(0, -first), max(0, end - x.shape[2])
        seen = x[:, :, first + above : end - below]
        if above or below:
            seen = F.pad(seen, (0, 0, above, below))
        y[:, :, part] = F.conv2d(seen, kernel, bias, stride=stride, padding=(0, padding))
        if finish is not None:
            finish(y, part)

    each(work, rows)
    return y


CHANNELS = 128  # of a convolution's output that a thread makes of a small picture
LEAST_PRODUCTS = 1 << 24  # that are worth a thread's attention


def _shares_channels(kernel: Tensor, positions: int, device: torch.device) -> bool:
    return device.type == "cpu" and len(kernel) > CHANNELS and positions * kernel.numel() >= LEAST_PRODUCTS


def _by_channels(
    x: Tensor, kernel: Tensor, bias: Tensor | None, padding: int, arena: Arena | None, finish: Finish | None
) -> Tensor:
    """Of a picture so small that strips of it would read the kernels more often than they are worth."""
    height, width = (side + 2 * padding - 2 for side in x.shape[2:])
    y = empty((len(x), len(kernel), height, width), x, arena)

    def work(part: slice) -> None:
        y[:, part] = F.conv2d(x, kernel[part], None if bias is None else bias[part], padding=padding)

    each(work, [slice(first, first + CHANNELS) for first in range(0, len(kernel), CHANNELS)])
    if finish is not None:
        finish(y, slice(0, height))
    return y


def pad(x: Tensor, edges: str, arena: Arena | None = None) -> Tensor:
    """One position more on every side, as `edges` says."""
    # Not F.pad: of a tensor in channels_last it takes ten times a copy's time on an H200.
    n, c, h, w = x.shape
    y = empty((n, c, h + 2, w + 2), x, arena)

    def work(part: slice) -> None:
        y[:, :, 1 + part.start : 1 + part.stop, 1:-1] = x[:, :, part]

    each(work, rows_of(x))
    for dim in (3, 2):
        last = y.shape[dim] - 1
        for side, source in zip((0, last), CONTINUED[edges](last), strict=True):
            y.select(dim, side).copy_(y.select(dim, source))
    return y


def fold_border(gradient: Tensor, edges: str) -> Tensor:
    """Give the gradient of a padded border back to the pixels that it repeated."""
    for dim in (2, 3):
        last = gradient.shape[dim] - 1
        for side, source in zip((0, last), CONTINUED[edges](last), strict=True):
            gradient.select(dim, source).add_(gradient.select(dim, side))
        gradient = gradient.narrow(dim, 1, last - 1)
    return gradient


def relu(x: Tensor, arena: Arena | None = None) -> Tensor:
    y = empty(x.shape, x, arena)

    def work(part: slice) -> None:
        torch.clamp_min(x[:, :, part], 0, out=y[:, :, part])

    each(work, rows_of(x))
    return y


def relu_(y: Tensor, rows: slice) -> None:
    y[:, :, rows].clamp_min_(0)


def relu_backward_(y: Tensor) -> Finish:
    """Lets a gradient through where y, what the ReLU gave, is above 0."""

    def work(gradient: Tensor, rows: slice) -> None:
        g = gradient[:, :, rows]
        torch.ops.aten.threshold_backward.grad_input(g, y[:, :, rows], 0, grad_input=g)

    return work


def finished(y: Tensor, finish: Finish) -> Tensor:
    each(lambda rows: finish(y, rows), rows_of(y))
    return y
