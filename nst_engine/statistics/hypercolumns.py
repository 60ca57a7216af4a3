"""Hypercolumns at sampled positions (Kolkin et al. 2019, section 2.1).

A hypercolumn is what several layers see at one pixel: their features, enlarged to the picture's size by straight lines
and put one after the other. Only samples are ever computed: each is a weighted mean of the four features around it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch

from ..network.architecture import channels, stride
from ..network.fast import synchronize
from ..network.tiles import Tile
from ..network.vgg import Network
from ..pictures.images import Shape, shape_of
from ..system.devices import sent
from .measure import in_pieces_that_fit, pieces
from .moments import positions

Tensor = torch.Tensor

# Of a picture or of a region in it, at every step; and of a style, once.
SAMPLES = 1024
STYLE_SAMPLES = 5000
# The content's are read once for so many steps.
STEPS_AHEAD = 8
COLOURS = "colours"  # among taps: the pixels themselves
# Fewer pixels than this are no cloud to be compared.
LEAST_SAMPLES = 8


# --- where to look ------------------------------------------------------------------------------------------------


def grid_positions(shape: Shape, mask: Tensor | None, generator: torch.Generator) -> Tensor:
    """About SAMPLES pixels (N rows of y and x) on an even grid that is shifted at random; of a mask (1x1xHxW), as many
    on the part of it that counts, a pixel at its edge as often as it counts."""
    (h, w), shift = shape, torch.rand(2, generator=generator).tolist()
    area = h * w if mask is None else max(1.0, float(mask.sum()))
    step = max(1.0, math.sqrt(area / SAMPLES))
    y, x = (
        (torch.arange(0, side, step, dtype=torch.float64) + part * min(step, side)).long()
        for side, part in zip(shape, shift, strict=True)
    )
    y, x = y[y < h], x[x < w]
    grid = torch.cartesian_prod(y, x)
    if mask is None:
        return grid
    counted = mask[0, 0]
    chosen = grid[torch.rand(len(grid), generator=generator) < counted[grid[:, 0], grid[:, 1]]]
    if len(chosen) >= LEAST_SAMPLES:
        return chosen
    most = counted.flatten().topk(LEAST_SAMPLES).indices
    return torch.stack((most // w, most % w), 1)


def random_positions(shape: Shape, count: int, mask: Tensor | None, generator: torch.Generator) -> Tensor:
    """So many pixels, or all if there are no more; within a mask, each as often as it counts."""
    h, w = shape
    if mask is not None:
        shares = mask.flatten().double().cumsum(0)
        drawn = torch.rand(count, generator=generator, dtype=torch.float64) * shares[-1]
        index = torch.searchsorted(shares, drawn, right=True).clamp_max(h * w - 1)
    elif h * w <= count:
        index = torch.arange(h * w)
    else:
        index = torch.randint(h * w, (count,), generator=generator)
    return torch.stack((index // w, index % w), 1)


class PositionSampler:
    """Positions in pictures of one shape, others every time."""

    def __init__(self, shape: Shape, mask: Tensor | None, seed: int) -> None:
        self.shape, self.mask = shape, mask
        self.generator = torch.Generator().manual_seed(seed)

    def next(self) -> Tensor:
        return grid_positions(self.shape, self.mask, self.generator)


# --- reading, and the way back ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Corners:
    """The four positions of a layer around each sample, one after the other, and how much each of them counts."""

    rows: Tensor
    columns: Tensor
    weights: Tensor

    @staticmethod
    def of(samples: Tensor, shape: Shape, tap: str) -> Corners:
        """At a tap's positions, enlarged to `shape` as `F.interpolate` does without aligned corners."""
        lows, highs, parts = [], [], []
        for dim, side in enumerate(shape):
            n = side // stride(tap)
            at = ((samples[:, dim] + 0.5) * (n / side) - 0.5).clamp(0, n - 1)
            low = at.long()
            lows.append(low)
            highs.append((low + 1).clamp_max(n - 1))
            parts.append(at - low)
        (top, left), (bottom, right), (y, x) = lows, highs, parts
        return Corners(
            torch.cat((top, top, bottom, bottom)),
            torch.cat((left, right, left, right)),
            torch.cat(((1 - y) * (1 - x), (1 - y) * x, y * (1 - x), y * x)),
        )

    def within(self, size: Shape, tap: str, tile: Tile | None) -> tuple[Tensor, Tensor]:
        """The numbers of these positions in a map of this size, a tile's or the whole, and their weights, 0 for those
        of other tiles."""
        top, left = (0, 0) if tile is None else (first // stride(tap) for first, _ in tile.inner)
        rows, columns = self.rows - top, self.columns - left
        inside = (rows >= 0) & (rows < size[0]) & (columns >= 0) & (columns < size[1])
        index = rows.clamp(0, size[0] - 1) * size[1] + columns.clamp(0, size[1] - 1)
        return index, self.weights * inside

    def read(self, features: Tensor, tap: str, tile: Tile | None = None) -> Tensor:
        """N rows of C in fp32; of a tile (without its margin), what it contributes to them."""
        synchronize()
        index, weights = self.within(shape_of(features), tap, tile)
        rows = positions(features)[index].float().mul_(weights[:, None])
        return rows.view(4, -1, rows.shape[1]).sum(0)

    def spread(self, gradient: Tensor, size: Shape, tap: str, tile: Tile | None = None) -> Tensor:
        """The gradient by the features from that by the rows: 1xCxHxW in fp32."""
        index, weights = self.within(size, tap, tile)
        rows = gradient.new_zeros(size[0] * size[1], gradient.shape[1])
        rows.index_add_(0, index, gradient.repeat(4, 1).mul_(weights[:, None]))
        return rows.view(1, *size, -1).movedim(-1, 1)


class SampledPositions:
    """Samples in a picture of one shape, at any tap."""

    def __init__(self, samples: Tensor, shape: Shape, device: torch.device) -> None:
        self.samples, self.shape = sent(samples, device), shape
        self._corners: dict[str, Corners] = {}

    def at(self, tap: str) -> Corners:
        if tap not in self._corners:
            self._corners[tap] = Corners.of(self.samples, self.shape, tap)
        return self._corners[tap]

    def of(self, picture: Tensor) -> Tensor:
        """N rows of a 1xCxHxW picture itself."""
        return picture[0, :, self.samples[:, 0], self.samples[:, 1]].T


@dataclass(frozen=True)
class ColumnGradient:
    """∂L/∂F of a function of hypercolumns, at one tap after the other."""

    looks: SampledPositions
    by_tap: Mapping[str, Tensor] = field(default_factory=dict)

    def at(self, tap: str, f: Tensor, tile: Tile | None) -> Tensor | None:
        if tap not in self.by_tap:
            return None
        return self.looks.at(tap).spread(self.by_tap[tap], shape_of(f), tap, tile).to(f.dtype)


def columns_at(network: Network, pixels: Tensor, taps: Iterable[str], samples: Tensor) -> dict[str, Tensor]:
    """Each tap's part of a picture's hypercolumns, as rows, tile by tile whatever its size."""
    taps, shape = tuple(taps), shape_of(pixels)
    looks = SampledPositions(samples, shape, network.device)

    def measured(side: int) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        cut_up = pieces(shape, taps, network.vgg.architecture, network.seamless, side)
        for done, piece in enumerate(cut_up, 1):
            for tap, features in network.activations(piece.pixels(pixels).to(network.device), taps):
                part = looks.at(tap).read(piece.without_margin(features, tap), tap, piece)
                found[tap] = found[tap] + part if tap in found else part
            network.watch.measured(done, len(cut_up))
        return found

    return in_pieces_that_fit(network, shape, measured)


def joined(columns: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """The parts of all taps one after the other. Weights that are all the same change nothing; a tap with twice the
    mean weight counts twice."""
    scales = scales_of(weights)
    return torch.cat([columns[tap] * scale for tap, scale in scales.items()], 1)


def by_tap(gradient: Tensor, columns: Mapping[str, Tensor], weights: Mapping[str, float]) -> dict[str, Tensor]:
    """The way back: by each tap's part."""
    scales = scales_of(weights)
    parts = gradient.split([columns[tap].shape[1] for tap in scales], 1)
    return {tap: part * scale for (tap, scale), part in zip(scales.items(), parts, strict=True)}


def scales_of(weights: Mapping[str, float]) -> dict[str, float]:
    mean = sum(weights.values()) / len(weights)
    return {tap: weight / mean for tap, weight in weights.items()}


def bytes_of_samples(taps: Iterable[str], styles: int) -> tuple[float, float]:
    """What terms of samples take at the most: whatever the picture's size, and for each pixel in the network. `styles`:
    clouds of a style's samples, or 0 where the picture is compared with the content alone."""
    taps = tuple(taps)
    width = sum(map(channels, taps))
    ahead = STEPS_AHEAD * SAMPLES * max(width, SAMPLES)
    clouds = styles * (STYLE_SAMPLES * width + width**2)
    at_work = 8 * SAMPLES * width + (2 * STYLE_SAMPLES * width + 6 * width**2 if styles else 6 * SAMPLES**2)
    # The gradient by the features of one layer, in fp32 and in the network's precision.
    widest = max((channels(tap) / stride(tap) ** 2 for tap in taps), default=0.0)
    return 4 * (ahead + clouds + at_work), 8 * widest
