"""The style term: how far the picture's statistics are from the style's, tap by tap and region by region.

A region of n of all N positions counts n/N of what the whole picture would: so a position's gradient is as large in a
small region as in a large one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch

from ..network.architecture import channels, position_count
from ..network.fast import parallel_for
from ..network.plain import parallel_for as serial_for
from ..network.precision import widest_float
from ..network.tiles import Tile
from ..network.vgg import Network
from ..pictures.images import shape_of
from ..recipes import Recipe
from ..statistics.distances import BY_SORTING, DistanceTo, distance_to
from ..statistics.moments import RowGradient, positions, sums
from ..statistics.regions import Region
from ..statistics.sorting import DIRECTIONS, Quantiles, Samples, sorted_distance
from ..system.devices import kind_of
from .factors import style_factors

Tensor = torch.Tensor


def gradient_dtype(network: Network) -> torch.dtype:
    """fp16's range is too small for gradients before they are scaled; bf16's is fp32's."""
    return torch.float32 if network.dtype == torch.float16 else network.dtype


@dataclass(frozen=True)
class Sums:
    """Over positions: Σ F, where the statistic needs it, and Σ F Fᵀ."""

    features: Tensor | None
    products: Tensor

    def __add__(self, other: Sums) -> Sums:
        both = None if self.features is None or other.features is None else self.features + other.features
        return Sums(both, self.products + other.products)


# By tap and region.
RowGradients = Mapping[str, Mapping[int, RowGradient]]


class StyleTerm:
    """Σ over taps and regions of w·k·(n/N)·D, with `factors.style_factor`'s k."""

    def __init__(
        self,
        network: Network,
        recipe: Recipe,
        weights: Mapping[str, float],
        regions: Sequence[Region],
        shape: tuple[int, int],
        seed: int,
    ) -> None:
        self.device, self.recipe, self.weights, self.shape = network.device, recipe, weights, shape
        self.dtype = gradient_dtype(network)
        self.sorts = recipe.statistic in BY_SORTING
        self.repeats = not self.sorts
        self.new_directions = DIRECTIONS[recipe.statistic] if self.sorts else None
        # A covariance is a small difference of large numbers, whose rounding its root multiplies.
        self.sum_dtype = network.dtype
        if recipe.statistic != "gram" or recipe.mean_std:
            self.sum_dtype = widest_float(network.device) if network.dtype == torch.float32 else torch.float32
        self.samples = [self._samples(region) for region in regions]
        self.regions = [replace(region, samples={}) for region in regions]  # samples are kept once, above
        self.distances = [self._distances(region) for region in regions]
        self.factors = [style_factors(recipe, weights, region.targets, shape) for region in regions]
        self.generator = torch.Generator().manual_seed(seed)
        self.kept_directions: dict[str, Tensor] = {}

    def _samples(self, region: Region) -> Mapping[str, Samples | Quantiles]:
        if not self.sorts or self.new_directions is not None:
            return region.samples
        # Channels stay the same from step to step, so that the style's are sorted once.
        return {tap: samples.along(None, torch.float32) for tap, samples in region.samples.items()}

    def _distances(self, region: Region) -> Mapping[str, DistanceTo]:
        if self.sorts:
            return {}
        wide = torch.promote_types(self.sum_dtype, torch.float32)
        recipe = self.recipe
        return {t: distance_to(recipe.statistic, a.to(wide), recipe.details) for t, a in region.targets.items()}

    def regions_at(self, tap: str) -> list[int]:
        return [i for i, region in enumerate(self.regions) if tap in region.targets] if tap in self.weights else []

    def begin(self, x: Tensor) -> None:
        """Called before every evaluation: nothing to do."""

    def value_and_gradient(self, sums: Mapping[str, Mapping[int, Sums]]) -> tuple[Tensor, StyleGradient]:
        """In one pass. What sorts has its value when the gradient has been asked for."""
        value, rows = self.value_and_gradients(sums)
        return value, StyleGradient(self, rows, self.directions())

    def add_to(self, gradient: Tensor, x: Tensor) -> float:
        """Nothing depends on the pixels themselves."""
        return 0.0

    def sums(self, tap: str, features: Tensor, tile: Tile | None = None) -> dict[int, Sums]:
        """By region, Σ T²F and F Fᵀ of the features that it counts, T∘F. Launched: they are there after
        `synchronize`."""
        f = positions(features)
        means = self.recipe.looks_at_means
        found = {}
        for i in self.regions_at(tap):
            summed, products = sums(f, self.regions[i].guide_column(tap, tile, f), self.sum_dtype, means)
            found[i] = Sums(summed if means else None, products)
        return found

    def value_and_gradients(self, sums: Mapping[str, Mapping[int, Sums]]) -> tuple[Tensor, RowGradients]:
        """From the sums over the whole picture. All taps at once: a root of a large matrix is much of a step."""
        taps = list(sums)
        found: dict[str, tuple[Tensor, dict[int, RowGradient]]] = {}

        def work(tap: str) -> None:
            found[tap] = self._at_tap(tap, sums[tap])

        (parallel_for if kind_of(self.device).is_cpu else serial_for)(work, taps)
        total = sum((found[tap][0] for tap in taps), torch.zeros((), device=self.device))
        return total, {tap: found[tap][1] for tap in taps}

    def _at_tap(self, tap: str, sums: Mapping[int, Sums]) -> tuple[Tensor, dict[int, RowGradient]]:
        """k·D(S, A) with S = F Fᵀ/n, and its gradient by F: for the Gram matrix's ‖S − A‖², that is 4k/n (S − A)F
        (Gatys et al. 2016, equation 6)."""
        total = torch.zeros((), device=self.device)
        gradients = {}
        n_all = position_count(self.shape, tap)
        for i, summed in sums.items():
            n, k = self.regions[i].count[tap], self.factors[i][tap]
            moment = summed.products / n
            mean = moment.new_zeros(len(moment)) if summed.features is None else summed.features / n
            d = self.distances[i][tap](mean, moment)
            total = total + k * (n / n_all) * d.value.float()
            row = None if d.grad_mean is None else (d.grad_mean * (k / n_all)).to(self.dtype)
            gradients[i] = RowGradient((d.grad_moment * (2 * k / n_all)).to(self.dtype), row)
        return total, gradients

    def directions(self) -> dict[str, Tensor]:
        """For the sliced distance: new ones at every step, or always the first."""
        if self.new_directions is None:
            return {}
        if self.kept_directions:
            return self.kept_directions
        drawn = {tap: self.new_directions(channels(tap), self.generator, self.device) for tap in self.weights}
        if self.recipe.draws_once:
            self.kept_directions = drawn
        return drawn


@dataclass
class StyleGradient:
    """∂(style term)/∂F at one tap after the other: T²∘(F·B + b)."""

    term: StyleTerm
    rows: RowGradients = field(default_factory=dict)
    directions: Mapping[str, Tensor] = field(default_factory=dict)  # for the sliced distance
    values: dict[tuple[str, int], Tensor] = field(default_factory=dict)  # of distances that are known only now

    @property
    def weights(self) -> Mapping[str, float]:
        return self.term.weights

    def at(self, tap: str, f: Tensor, tile: Tile | None) -> Tensor | None:
        total: Tensor | None = None
        for i in self.term.regions_at(tap):
            t = self.term.regions[i].guide_column(tap, tile, f)
            if self.term.sorts:
                rows = self._sorted(i, tap, f, t)
            else:
                rows = self.rows[tap][i].of(positions(f))
                if t is not None:
                    rows.mul_(t.square())
            gradient = rows.view(1, *shape_of(f), -1).movedim(-1, 1)
            total = gradient if total is None else total.add_(gradient)
        return total

    def of_one_region(self, tap: str) -> RowGradient | None:
        """The gradient at a tap where it is that of one region which is the whole picture."""
        regions = self.term.regions_at(tap)
        if self.term.sorts or len(regions) != 1 or tap in self.term.regions[regions[0]].guides:
            return None
        return self.rows[tap][regions[0]]

    def _sorted(self, i: int, tap: str, f: Tensor, t: Tensor | None) -> Tensor:
        term = self.term
        k, n, n_all = term.factors[i][tap], term.regions[i].count[tap], position_count(term.shape, tap)
        weights = None if t is None else t.flatten().float().square()
        value, gradient = sorted_distance(positions(f), weights, term.samples[i][tap], self.directions.get(tap))
        self.values[tap, i] = k * (n / n_all) * value
        return gradient.mul_(k * (n / n_all)).to(term.dtype)
