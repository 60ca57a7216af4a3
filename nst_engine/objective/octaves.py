"""The picture's octaves, each half as large as the one before: in all of them style is compared (Snelgrove 2017), for
small kernels see large motifs where the picture is small."""

from __future__ import annotations

import torch

from ..network.architecture import smallest_side
from ..network.tiles import grid
from ..network.vgg import Network
from ..pictures.images import Shape

Tensor = torch.Tensor

MOST_OCTAVES = 8
# Long side. Smaller ones have too few positions for statistics, and saved styles go no further down.
SMALLEST_OCTAVE = 64
# Keys' cubic (a = −0.5) at ±¼, ±¾, ±1¼ and ±1¾ of the smaller picture's pixels: as pictures are resized everywhere, so
# that the style, resized to an octave's size, has been smoothed as the picture is.
HALF = (0.8671875, 0.2265625, -0.0703125, -0.0234375)
KERNEL = tuple(w / 2 for w in (*reversed(HALF), *HALF))
BEFORE, AFTER = 3, 4  # pixels beyond the picture's ends that the kernel reaches


def octave_shapes(shape: Shape, count: int, taps: tuple[str, ...], network: Network) -> list[Shape]:
    """Of the picture and its octaves, as many of them as there can be."""
    shapes, step = [shape], grid(taps) if taps and network.seamless else 1
    least = smallest_side(taps, network.edges) if taps else 1
    while len(shapes) < count:
        h, w = (side // 2 for side in shapes[-1])
        uneven = network.seamless and any(side % (2 * step) for side in shapes[-1])
        if max(h, w) < SMALLEST_OCTAVE or min(h, w) < least or uneven:
            break
        shapes.append((h, w))
    return shapes


class Halving:
    """From a picture to the next octave, and the gradient's way back: along each side a sum of shifted copies, which
    every device can do."""

    def __init__(self, shape: Shape, wraps: bool, device: torch.device) -> None:
        self.shape, self.wraps = shape, wraps
        self.around = [torch.arange(-BEFORE, side + AFTER, device=device) % side for side in shape]
        # Beyond the ends there is nothing: what of the kernel lies within counts as all of it.
        rows, columns = torch.ones(1, 1, shape[0], 1, device=device), torch.ones(1, 1, 1, shape[1], device=device)
        self.within = [self._along(rows, 2), self._along(columns, 3)]

    def __call__(self, x: Tensor) -> Tensor:
        for dim, within in zip((2, 3), self.within, strict=True):
            x = self._along(x, dim).div_(within)
        return x

    def backward(self, gradient: Tensor) -> Tensor:
        """∂L/∂x from that by the smaller picture, which is used up."""
        for dim, within in zip((3, 2), reversed(self.within), strict=True):
            gradient = self._back_along(gradient.div_(within), dim)
        return gradient

    def _along(self, x: Tensor, dim: int) -> Tensor:
        wide = self._widened(x, dim)
        count = x.shape[dim] // 2
        y = KERNEL[0] * _every_second(wide, dim, 0, count)
        for first, weight in enumerate(KERNEL[1:], 1):
            y.add_(_every_second(wide, dim, first, count), alpha=weight)
        return y

    def _back_along(self, y: Tensor, dim: int) -> Tensor:
        side = self.shape[dim - 2]
        wide = y.new_zeros([n if d != dim else BEFORE + side + AFTER for d, n in enumerate(y.shape)])
        for first, weight in enumerate(KERNEL):
            _every_second(wide, dim, first, y.shape[dim]).add_(y, alpha=weight)
        if not self.wraps:
            return wide.narrow(dim, BEFORE, side)
        x = y.new_zeros([n if d != dim else side for d, n in enumerate(y.shape)])
        return x.index_add_(dim, self.around[dim - 2], wide)

    def _widened(self, x: Tensor, dim: int) -> Tensor:
        side = x.shape[dim]
        if self.wraps:
            return x.index_select(dim, self.around[dim - 2])
        wide = x.new_zeros([n if d != dim else BEFORE + side + AFTER for d, n in enumerate(x.shape)])
        wide.narrow(dim, BEFORE, side).copy_(x)
        return wide


def _every_second(x: Tensor, dim: int, first: int, count: int) -> Tensor:
    """A view of so many."""
    where = slice(first, first + 2 * count - 1, 2)
    return x[:, :, where] if dim == 2 else x[:, :, :, where]
