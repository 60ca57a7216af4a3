"""The style term of Kolkin et al. 2019 (STROTSS): how far samples of the picture's hypercolumns are from the style's,
by relaxed earth mover's distance, by mean and covariance, and by colour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch

from ..errors import NSTError, counted
from ..network.tiles import Tile
from ..network.vgg import Network
from ..pictures.images import shape_of
from ..statistics.earth_mover import mean_and_covariance, moment_distance, palette, remd
from ..statistics.hypercolumns import (
    COLOURS,
    LEAST_SAMPLES,
    ColumnGradient,
    PositionSampler,
    SampledPositions,
    by_tap,
    columns_at,
    joined,
    random_positions,
)
from ..statistics.regions import Region
from ..statistics.sorting import Samples
from .factors import style_factors
from .setup import Setup

Tensor = torch.Tensor

# Of the palette term, whose weight is 1/α, where the content counts next to nothing.
MOST_PALETTE = 4.0


@dataclass(frozen=True)
class Cloud:
    """What one region of the picture is compared with."""

    draws: PositionSampler
    columns: Tensor  # N rows of hypercolumns
    mean_and_covariance: tuple[Tensor, Tensor]
    colours: Tensor
    factor: Tensor  # k times the region's share of the picture
    palette: Tensor  # 1/α, times the same


class RemdTerm:
    """Σ over regions of k·(n/N)·(ℓ_r + ℓ_m + ℓ_p/α), at positions that are others at every step; for L-BFGS, which
    compares steps, always the same. α is how much the content counts beside the style."""

    sorts = False
    repeats = False

    def __init__(
        self,
        setup: Setup,
        weights: Mapping[str, float],
        regions: Sequence[Region],
        shape: tuple[int, int],
        content: Tensor | float | None,
    ) -> None:
        self.setup, self.weights, self.shape, self.device = setup, weights, shape, setup.network.device
        self.clouds = [self._cloud(region, content) for region in regions] if weights else []
        self.looks: list[SampledPositions] = []

    def _cloud(self, region: Region, content: Tensor | float | None) -> Cloud:
        share = 1.0
        if region.mask is not None:
            count, (h, w) = float(region.mask.sum()), self.shape
            share = count / (h * w)
            if count < LEAST_SAMPLES:
                raise NSTError(
                    f"{region.name}: {counted(int(count), 'pixel')} left of it at {w}×{h}, and the statistic "
                    f"{self.setup.recipe.statistic!r} needs {LEAST_SAMPLES}. Paint a larger part, or give fewer scales."
                )
        k = torch.zeros((), device=self.device)
        for factor in style_factors(self.setup.recipe, self.weights, region.targets, self.shape).values():
            k = k + factor
        alpha = k if content is None else content
        columns = joined({tap: region.samples[tap].rows for tap in self.weights}, self.weights)
        return Cloud(
            PositionSampler(self.shape, region.mask, self.setup.seed),
            columns,
            mean_and_covariance(columns),
            region.samples[COLOURS].rows,
            k * share,
            k * share * (k / alpha).clamp(max=MOST_PALETTE),
        )

    def begin(self, x: Tensor) -> None:
        """Called before every evaluation."""
        if self.looks and self.setup.recipe.draws_once:
            return
        self.looks = [SampledPositions(cloud.draws.next(), self.shape, self.device) for cloud in self.clouds]

    def sums(self, tap: str, features: Tensor, tile: Tile | None = None) -> dict[int, Tensor]:
        """By region, the tap's part of the hypercolumns: of a tile, what it contributes to them."""
        return {i: looks.at(tap).read(features, tap, tile) for i, looks in enumerate(self.looks)}

    def value_and_gradient(self, sums: Mapping[str, Mapping[int, Tensor]]) -> tuple[Tensor, RemdGradient]:
        total, parts = torch.zeros((), device=self.device), []
        for i, (cloud, looks) in enumerate(zip(self.clouds, self.looks, strict=True)):
            columns = {tap: sums[tap][i] for tap in self.weights}
            ours = joined(columns, self.weights).requires_grad_()
            with torch.enable_grad():
                work = remd(ours, cloud.columns)
                spread = moment_distance(mean_and_covariance(ours), cloud.mean_and_covariance)
                value = cloud.factor * (work + spread)
                (gradient,) = torch.autograd.grad(value, ours)
            total = total + value.detach()
            parts.append(ColumnGradient(looks, by_tap(gradient, columns, self.weights)))
        return total, RemdGradient(self, parts)

    def add_to(self, gradient: Tensor, x: Tensor) -> Tensor:
        """Add the colours' gradient by the pixels; returns their value."""
        total = x.new_zeros(())
        for cloud, looks in zip(self.clouds, self.looks, strict=True):
            ours = looks.of(x).clone().requires_grad_()
            with torch.enable_grad():
                value = cloud.palette * palette(ours, cloud.colours)
                (grad_colour,) = torch.autograd.grad(value, ours)
            index = looks.samples[:, 0] * self.shape[1] + looks.samples[:, 1]
            grad_pixels = gradient.new_zeros(3, self.shape[0] * self.shape[1]).index_add_(1, index, grad_colour.T)
            gradient.add_(grad_pixels.view(gradient.shape))
            total = total + value.detach()
        return total


@dataclass(frozen=True)
class RemdGradient:
    """∂(style term)/∂F at one tap after the other."""

    term: RemdTerm
    parts: list[ColumnGradient]
    values: Mapping[object, Tensor] = field(default_factory=dict)

    @property
    def weights(self) -> Mapping[str, float]:
        return self.term.weights

    def at(self, tap: str, f: Tensor, tile: Tile | None) -> Tensor | None:
        total: Tensor | None = None
        for part in self.parts:
            found = part.at(tap, f, tile)
            if found is not None:
                total = found if total is None else total.add_(found)
        return total

    def of_one_region(self, tap: str) -> None:
        """Nothing that is a matrix product."""


def mixed_with_content(region: Region, strength: float, network: Network, content: Tensor, seed: int) -> Region:
    """The same with a cloud in which samples of the content itself stand for what is missing to strength 1."""
    count = len(region.samples[COLOURS].rows)
    content_count = round((1 - strength) * count)
    if content_count < LEAST_SAMPLES:
        return region
    generator = torch.Generator().manual_seed(seed)
    samples = random_positions(shape_of(content), content_count, region.mask, generator)
    content_samples = columns_at(network, content, [name for name in region.samples if name != COLOURS], samples)
    content_samples[COLOURS] = content[0, :, samples[:, 0], samples[:, 1]].T.to(network.device)
    kept = torch.randperm(count, generator=generator)[content_count:].to(network.device)
    mixed = {name: torch.cat((content_samples[name], style.rows[kept])) for name, style in region.samples.items()}
    return replace(region, samples={name: Samples(rows) for name, rows in mixed.items()})
