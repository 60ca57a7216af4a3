"""From what the objective makes of a tap's features to the slope that goes back through the network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from ..network.exact import add_product, product
from ..network.fast import each, rows_of, strips
from ..network.tiles import Tile
from ..pictures.images import shape_of
from ..statistics.distances import by_sorting
from ..statistics.measure import positions

if TYPE_CHECKING:
    from .objective import Objective


@dataclass(frozen=True)
class Pull:
    """What a tap's features are pulled with: as rows, F·matrix + row."""

    matrix: torch.Tensor
    row: torch.Tensor | None

    def __call__(self, f: torch.Tensor) -> torch.Tensor:
        if f.device.type != "cpu":
            return product(f, self.matrix, self.row)
        out = torch.empty_like(f)

        def work(rows: slice) -> None:
            out[rows] = product(f[rows], self.matrix, self.row)

        each(work, self._strips(f))
        return out

    def add_to(self, slope: torch.Tensor, f: torch.Tensor) -> None:
        def work(rows: slice) -> None:
            add_product(slope[rows], f[rows], self.matrix)
            if self.row is not None:
                slope[rows] += self.row

        each(work, self._strips(f))

    def _strips(self, f: torch.Tensor) -> list[slice]:
        """Of as many products, whatever the channels."""
        return strips(len(f), self.matrix.numel(), f.device, least=1 << 26)


@dataclass(frozen=True)
class Sums:
    """Over positions: Σ F, where somebody asks for it, and Σ F Fᵀ."""

    features: torch.Tensor | None
    products: torch.Tensor

    def __add__(self, other: Sums) -> Sums:
        both = None if self.features is None or other.features is None else self.features + other.features
        return Sums(both, self.products + other.products)


# By tap and region.
Pulls = dict[str, dict[int, Pull]]

# By part (content or style) and tap, Σ|∂L/∂F|.
Norms = dict[tuple[str, str], torch.Tensor]


@dataclass
class Slopes:
    """∂L/∂F of one tap after the other, for the whole picture or for a tile."""

    objective: Objective
    pulls: Pulls
    targets: Mapping[str, torch.Tensor]
    tile: Tile | None = None
    norms: Norms = field(default_factory=dict)  # of the whole picture, when this is a tile of it
    directions: Mapping[str, torch.Tensor] = field(default_factory=dict)  # for the sliced distance
    values: dict[tuple[str, int], torch.Tensor] = field(default_factory=dict)  # of distances known only now

    def at(self, tap: str, features: torch.Tensor) -> torch.Tensor:
        total: torch.Tensor | None = None
        for part, slope in self.parts(tap, features):
            if self.objective.recipe.normalise_gradients:
                slope = self._normalised(part, tap, slope)
            if total is None:
                total = slope
            else:
                add_(total, slope)
        return torch.zeros_like(features, dtype=self.objective.slope_dtype) if total is None else total

    def add_to(self, slope: torch.Tensor, tap: str, features: torch.Tensor) -> None:
        """The same, added to what the deeper layers gave."""
        pull = self._pull_as_it_is(tap)
        if pull is not None and slope.is_contiguous(memory_format=torch.channels_last):
            # In less than half of the time, and without memory for the product.
            pull.add_to(positions(slope), positions(features))
        else:
            add_(slope, self.at(tap, features))

    def _pull_as_it_is(self, tap: str) -> Pull | None:
        """What pulls at a tap, if it is one style's matrix and nothing else."""
        o = self.objective
        if tap not in o.style_layers or tap in self.targets or o.sorts or o.recipe.normalise_gradients:
            return None
        regions = o.regions_at(tap)
        whole = len(regions) == 1 and tap not in o.regions[regions[0]].guides
        return self.pulls[tap][regions[0]] if whole else None

    def parts(self, tap: str, features: torch.Tensor) -> Iterator[tuple[str, torch.Tensor]]:
        """For style T²∘(F·B + b), for content 2k (F − P)."""
        o = self.objective
        f = features.to(o.slope_dtype)
        style: torch.Tensor | None = None
        for i in o.regions_at(tap) if tap in o.style_layers else ():
            t = o.regions[i].rows(tap, self.tile, f)
            if o.sorts:
                rows = self._sorted(i, tap, f, t)
            else:
                rows = self.pulls[tap][i](positions(f))
                if t is not None:
                    rows.mul_(t.square())
            pull = rows.view(1, *shape_of(f), -1).movedim(-1, 1)
            style = pull if style is None else style.add_(pull)
        if style is not None:
            yield "style", style
        if tap in self.targets:
            yield "content", self._content(tap, f)

    def _content(self, tap: str, f: torch.Tensor) -> torch.Tensor:
        """2k (F − P)."""
        o, target, pull = self.objective, self.targets[tap], torch.empty_like(f)
        emphasis = at(o.emphasis[tap], tap, self.tile).to(f) if tap in o.emphasis else None

        def work(rows: slice) -> None:
            part = torch.sub(f[:, :, rows], target[:, :, rows], out=pull[:, :, rows])
            part.mul_(2 * o.content_factors[tap])
            if emphasis is not None:
                part *= emphasis[:, :, rows]

        each(work, rows_of(f))
        return pull

    def _sorted(self, i: int, tap: str, f: torch.Tensor, t: torch.Tensor | None) -> torch.Tensor:
        o = self.objective
        k, n, n_all = o.factor(i, tap), o.regions[i].count[tap], o.positions(tap)
        weights = None if t is None else t.flatten().float().square()
        value, slope = by_sorting(positions(f), weights, o.samples[i][tap], self.directions.get(tap))
        self.values[tap, i] = k * (n / n_all) * value
        return slope.mul_(k * (n / n_all)).to(o.slope_dtype)

    def _normalised(self, part: str, tap: str, slope: torch.Tensor) -> torch.Tensor:
        norm = self.norms.get((part, tap))
        if norm is None:
            norm = torch.linalg.vector_norm(slope, 1, dtype=torch.float32)
        weights = self.objective.style_weights if part == "style" else self.objective.content_weights
        return slope.mul_(weights[tap] / norm.clamp_min(1e-30))


def add_(total: torch.Tensor, part: torch.Tensor) -> None:
    each(lambda rows: total[:, :, rows].add_(part[:, :, rows]), rows_of(total))


def at(guide: torch.Tensor, tap: str, tile: Tile | None) -> torch.Tensor:
    return guide if tile is None else tile.from_whole(guide, tap)
