"""A picture cut into tiles whose features, once their margins are cropped away, are exactly those of the whole.

A neuron sees a square of pixels. With a margin as wide as that square reaches beyond the tile, and with tiles and
margins that start on the pooling grid, the features of a tile do not depend on the cut.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import torch

from ..errors import NSTError
from .architecture import layers_to, stride

Span = tuple[int, int]


@dataclass(frozen=True)
class Tile:
    """Rows and columns that count (`inner`), and the same with the margin (`outer`), in pixels of the whole picture."""

    inner: tuple[Span, Span]
    outer: tuple[Span, Span]
    shape: tuple[int, int]  # of the whole picture
    wraps: bool = False  # the picture is seamless, and `outer` may reach beyond its end, to its other side

    def pixels(self, picture: torch.Tensor) -> torch.Tensor:
        """The tile with its margin: a view, unless the picture wraps around."""
        (top, bottom), (left, right) = self.outer
        if not self.wraps:
            return picture[:, :, top:bottom, left:right]
        rows, columns = self._around(picture.device)
        return picture.index_select(2, rows).index_select(3, columns)

    def with_more_margin(self, pixels: int) -> Tile:
        """Of a picture that does not wrap around."""
        outer = [
            (max(0, first - pixels), min(size, last + pixels))
            for (first, last), size in zip(self.outer, self.shape, strict=True)
        ]
        return replace(self, outer=(outer[0], outer[1]))

    def add_to(self, picture: torch.Tensor, part: torch.Tensor) -> None:
        """Add a part that covers the tile and its margin."""
        if not self.wraps:
            self.pixels(picture).add_(part)
            return
        rows, columns = self._around(picture.device)
        strip = picture.new_zeros(*picture.shape[:3], part.shape[3]).index_add_(2, rows, part)
        picture.index_add_(3, columns, strip)

    def _around(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        (top, bottom), (left, right) = self.outer
        rows, columns = (torch.arange(*span, device=device) for span in ((top, bottom), (left, right)))
        return rows % self.shape[0], columns % self.shape[1]

    def without_margin(self, features: torch.Tensor, tap: str) -> torch.Tensor:
        """The features of `pixels` that count: a view."""
        return self._view(features, tap, offset=True)

    def from_whole(self, features: torch.Tensor, tap: str) -> torch.Tensor:
        """The same positions in the features of the whole picture: a view."""
        return self._view(features, tap, offset=False)

    def _view(self, features: torch.Tensor, tap: str, offset: bool) -> torch.Tensor:
        s = stride(tap)
        for dim, inner, outer, size in zip((2, 3), self.inner, self.outer, self.shape, strict=True):
            # Pooling drops pixels that fill no window: at the picture's end a tap is that much shorter.
            first, last = inner[0] // s, (size // s if inner[1] == size else inner[1] // s)
            shift = outer[0] // s if offset else 0
            features = features.narrow(dim, first - shift, last - first)
        return features


def grid(taps: Iterable[str]) -> int:
    """Pixels per position of the deepest tap: what tiles and margins are multiples of."""
    return max(stride(tap) for tap in taps)


def receptive_radius(taps: Iterable[str], architecture: str) -> int:
    """How many pixels a neuron of the deepest tap sees beyond those that its position stands for."""
    # A 3×3 kernel reaches one position further.
    return sum(stride(layer) for layer in layers_to(taps, architecture) if layer.startswith("conv"))


def margin(taps: Iterable[str], architecture: str) -> int:
    """`receptive_radius`, rounded up to the grid."""
    taps = tuple(taps)
    return math.ceil(receptive_radius(taps, architecture) / grid(taps)) * grid(taps)


def fit_tile(tile: int, taps: Iterable[str]) -> int:
    """The tile size rounded down to the pooling grid."""
    step = grid(taps)
    if tile < step:
        raise NSTError(f"tile: {tile} pixels are less than one position of the deepest layer; give at least {step}.")
    return tile // step * step


def cut(
    shape: tuple[int, int], tile: int, taps: Iterable[str], architecture: str, wraps: bool = False
) -> Iterator[Tile]:
    """Tiles of at most `tile` pixels a side, as even as the grid allows, that cover a picture of this shape."""
    taps = tuple(taps)
    around = margin(taps, architecture)
    for rows in _spans(shape[0], tile, grid(taps)):
        for columns in _spans(shape[1], tile, grid(taps)):
            top, bottom = rows[0] - around, rows[1] + around
            left, right = columns[0] - around, columns[1] + around
            if not wraps:
                top, bottom = max(0, top), min(shape[0], bottom)
                left, right = max(0, left), min(shape[1], right)
            yield Tile((rows, columns), ((top, bottom), (left, right)), shape, wraps)


def _spans(size: int, tile: int, step: int) -> Iterator[Span]:
    first = 0
    tile = math.ceil(size / math.ceil(size / tile) / step) * step
    while first < size:
        last = min(first + tile, size)
        # A rest of less than one position of the deepest tap joins this tile.
        if size - last < step:
            last = size
        yield first, last
        first = last
