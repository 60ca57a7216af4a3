"""A network's layers, strip by strip: on a CPU a few rows at a time, in whichever thread is free; elsewhere whole."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F

from .. import exact
from .arena import Arena, empty
from .threads import each, strips

Tensor = torch.Tensor


@dataclass(frozen=True)
class Finish:
    """What a convolution's sums become before they are written: `bias` is added, and then they go through a ReLU, or
    back through the one that `gave` these numbers, which lets a gradient through where they are above 0."""

    bias: Tensor | None = None
    relu: bool = False
    gave: Tensor | None = None

    def of(self, picture: int) -> Finish:
        """For one of a batch."""
        return self if self.gave is None else replace(self, gave=self.gave[picture : picture + 1])

    def write(self, made: Tensor, y: Tensor, rows: slice) -> None:
        """What was made, with its bias, into rows of y."""
        if self.relu:
            torch.clamp_min(made, 0, out=y[:, :, rows])
        elif self.gave is not None:
            torch.ops.aten.threshold_backward.grad_input(made, self.gave[:, :, rows], 0, grad_input=y[:, :, rows])
        else:
            y[:, :, rows] = made

    def within(self, y: Tensor, rows: slice) -> None:
        """The same where they are written already."""
        if self.relu or self.gave is not None:
            self.write(y[:, :, rows], y, rows)


AS_IT_IS = Finish()

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
    padding: int,
    stride: int = 1,
    arena: Arena | None = None,
    finish: Finish = AS_IT_IS,
) -> Tensor:
    """conv2d, finished row by row while they are still in a core's cache."""
    size, bias = kernel.shape[2], finish.bias
    height, width = ((side + 2 * padding - size) // stride + 1 for side in x.shape[2:])
    numbers = x.shape[0] * max(len(kernel) * width, x.shape[1] * x.shape[3] * stride)  # seen or made
    rows = strips(height, numbers, x.device, least=1 << 20)  # each is a call, which takes as long as many sums
    if len(rows) == 1 and _shares_channels(kernel, height * width, x.device):
        return _by_channels(x, kernel, padding, arena, finish)
    if len(rows) == 1:
        if finish.relu and bias is not None and (made := exact.convolve_relu(x, kernel, bias, padding)) is not None:
            return made
        y = exact.convolve(x, kernel, bias, padding) if stride == 1 else F.conv2d(x, kernel, bias, stride, padding)
        finish.within(y, rows[0])
        return y
    y = empty((x.shape[0], len(kernel), height, width), x, arena)

    def work(part: slice) -> None:
        first, end = part.start * stride - padding, (part.stop - 1) * stride - padding + size
        above, below = max(0, -first), max(0, end - x.shape[2])
        seen = x[:, :, first + above : end - below]
        if above or below:
            seen = F.pad(seen, (0, 0, above, below))
        finish.write(F.conv2d(seen, kernel, bias, stride=stride, padding=(0, padding)), y, part)

    each(work, rows)
    return y


CHANNELS = 128  # of a convolution's output that a thread makes of a small picture
LEAST_PRODUCTS = 1 << 24  # that are worth a thread's attention


def _shares_channels(kernel: Tensor, positions: int, device: torch.device) -> bool:
    return device.type == "cpu" and len(kernel) > CHANNELS and positions * kernel.numel() >= LEAST_PRODUCTS


def _by_channels(x: Tensor, kernel: Tensor, padding: int, arena: Arena | None, finish: Finish) -> Tensor:
    """Of a picture so small that strips of it would read the kernels more often than they are worth."""
    height, width = (side + 2 * padding - 2 for side in x.shape[2:])
    y = empty((len(x), len(kernel), height, width), x, arena)

    def work(part: slice) -> None:
        bias = None if finish.bias is None else finish.bias[part]
        y[:, part] = F.conv2d(x, kernel[part], bias, padding=padding)

    each(work, [slice(first, first + CHANNELS) for first in range(0, len(kernel), CHANNELS)])
    finish.within(y, slice(0, height))
    return y


def pad(x: Tensor, edges: str, arena: Arena | None = None) -> Tensor:
    """One position more on every side, as `edges` says."""
    # Not F.pad: of a tensor in channels_last it takes several times as long on an H200.
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
    each(lambda rows: Finish(relu=True).write(x[:, :, rows], y, rows), rows_of(x))
    return y


def finished(y: Tensor, finish: Finish) -> Tensor:
    each(lambda rows: finish.within(y, rows), rows_of(y))
    return y
