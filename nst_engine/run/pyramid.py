"""A picture as its Laplacian pyramid (Burt & Adelson 1983), packed into one tensor, as an optimiser moves it.

A step of the same length in every band moves large areas as easily as single pixels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ..pictures.images import shape_of
from ..system.devices import sent

Tensor = torch.Tensor

MOST_BANDS = 8


class Pyramid:
    """The bands of pictures of one shape: x = Σ of bands, each enlarged to the picture's size."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shapes = [shape]
        while len(self.shapes) < MOST_BANDS and min(self.shapes[-1]) > 1:
            self.shapes.append((self.shapes[-1][0] // 2, self.shapes[-1][1] // 2))

    def bands(self, pixels: Tensor) -> Tensor:
        """What each size adds to the next smaller one, and the smallest, 1×C×1×Σ."""
        found = []
        for shape in self.shapes[1:]:
            smaller = _resized(pixels, shape)
            found.append(pixels - _resized(smaller, shape_of(pixels)))
            pixels = smaller
        return _packed([*found, pixels])

    def pixels(self, bands: Tensor) -> Tensor:
        *finer, pixels = self._unpacked(bands)
        for band in reversed(finer):
            pixels = _resized(pixels, shape_of(band)) + band
        return pixels

    def gradient(self, gradient: Tensor) -> Tensor:
        """By the bands."""
        found = [gradient]
        for shape in self.shapes[1:]:
            g = found[-1]
            size = [*g.shape[:2], *shape]
            found.append(torch.ops.aten.upsample_bilinear2d_backward(g, shape_of(g), size, False))
        return _packed(found)

    def means(self, x: Tensor) -> Tensor:
        """A number for every pixel, as one for every number of the bands. Pooled on the CPU, once a level: not every
        device pools to sizes that do not divide."""
        on_cpu = x.cpu()
        return sent(_packed([F.adaptive_avg_pool2d(on_cpu, shape) for shape in self.shapes]), x.device)

    def _unpacked(self, bands: Tensor) -> list[Tensor]:
        parts = bands.split([h * w for h, w in self.shapes], dim=3)
        return [part.reshape(*part.shape[:2], *shape) for part, shape in zip(parts, self.shapes, strict=True)]


def finest_band(pixels: Tensor) -> Tensor:
    """What a picture has that one of half its size lacks."""
    height, width = (max(1, side // 2) for side in shape_of(pixels))
    return pixels - _resized(_resized(pixels, (height, width)), shape_of(pixels))


def _packed(parts: list[Tensor]) -> Tensor:
    return torch.cat([part.flatten(2) for part in parts], 2).unsqueeze(2)


def _resized(pixels: Tensor, shape: tuple[int, int]) -> Tensor:
    return F.interpolate(pixels, size=shape, mode="bilinear", align_corners=False)
