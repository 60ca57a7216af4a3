"""A picture cut into tiles whose features, once their margins are cropped away, are exactly those of the whole.

A neuron sees a square of pixels. Give every tile a margin as wide as that square reaches beyond the tile, start tiles
and margins on the pooling grid, and nothing of the cut can be seen from inside.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch

from ..errors import NSTError
from .vgg import deepest_tap, layer_names, stride

Span = tuple[int, int]


@dataclass(frozen=True)
class Tile:
    """Rows and columns that count (`inner`) and that are looked at (`outer`), in pixels of the whole picture."""

    inner: tuple[Span, Span]
    outer: tuple[Span, Span]
    shape: tuple[int, int]  # of the whole picture
    wraps: bool = False  # beyond the picture's end it begins again, and `outer` may reach there

    def pixels(self, picture: torch.Tensor) -> torch.Tensor:
        """The looked-at part: a view, unless the picture wraps around."""
        (top, bottom), (left, right) = self.outer
        if not self.wraps:
            return picture[:, :, top:bottom, left:right]
        rows, columns = self._around(picture.device)
        return picture.index_select(2, rows).index_select(3, columns)

    def add_to(self, picture: torch.Tensor, part: torch.Tensor) -> None:
        """Add what belongs to the looked-at part."""
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

    def own(self, features: torch.Tensor, tap: str) -> torch.Tensor:
        """A view of the features that count, of the features of `pixels`."""
        return self._view(features, tap, offset=True)

    def place(self, features: torch.Tensor, tap: str) -> torch.Tensor:
        """A view of where they stand in the features of the whole picture."""
        return self._view(features, tap, offset=False)

    def _view(self, features: torch.Tensor, tap: str, offset: bool) -> torch.Tensor:
        s = stride(tap)
        for dim, inner, outer, size in zip((2, 3), self.inner, self.outer, self.shape, strict=True):
            # Pooling drops what does not fill a window: at the picture's end a tap is that much shorter.
            first, last = inner[0] // s, (size // s if inner[1] == size else inner[1] // s)
            shift = outer[0] // s if offset else 0
            features = features.narrow(dim, first - shift, last - first)
        return features


def grid(taps: Iterable[str]) -> int:
    """Pixels per position of the deepest tap: what tiles and margins are multiples of."""
    return max(stride(tap) for tap in taps)


def reach(taps: Iterable[str], architecture: str) -> int:
    """How many pixels beyond its own a neuron of the deepest tap sees."""
    names = layer_names(architecture)
    names = names[: names.index(deepest_tap(taps, architecture)) + 1]
    # A 3×3 kernel reaches one position further.
    return sum(stride(layer) for layer in names if layer.startswith("conv"))


def margin(taps: Iterable[str], architecture: str) -> int:
    """The same, rounded up to the grid."""
    taps = tuple(taps)
    return math.ceil(reach(taps, architecture) / grid(taps)) * grid(taps)


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
            outer = tuple(
                (first - around, last + around) if wraps else (max(0, first - around), min(size, last + around))
                for (first, last), size in zip((rows, columns), shape, strict=True)
            )
            yield Tile((rows, columns), outer, shape, wraps)  # type: ignore[arg-type]


def _spans(size: int, tile: int, step: int) -> Iterator[Span]:
    first = 0
    tile = math.ceil(size / math.ceil(size / tile) / step) * step
    while first < size:
        last = min(first + tile, size)
        # What is left is less than one position of the deepest tap: it joins this tile.
        if size - last < step:
            last = size
        yield first, last
        first = last
