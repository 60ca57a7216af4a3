"""The style term of Kolkin et al. 2022 (Neural Neighbor Style Transfer): how far the picture's hypercolumns are from
those of the style that are nearest to the content's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F

from ..network.architecture import position_count, stride, tap_shape
from ..network.fast import parallel_for, strips, synchronize
from ..network.tiles import Tile
from ..pictures.images import shape_of
from ..statistics.moments import positions
from ..statistics.nearest import from_grid, grid_tap, nearest_by_cosine, to_grid
from ..statistics.regions import Region
from .factors import style_factors
from .setup import Setup
from .style import gradient_dtype

Tensor = torch.Tensor
Rows = dict[str, Tensor]  # by tap, N rows of C

# Where every layer is matched by itself, again and again: of so many of the style's positions at a time, others each.
MOST_REMATCHED = 1 << 14
# Of a squared length: a feature that is nothing has no direction.
LEAST = 1e-12
# Of the content in the picture that is matched; the rest is what the level begins with. It is the authors' α, of which
# their program's README says that 0.75 is its default, and that 1 keeps most of the content.
SHARE_OF_CONTENT = 0.75


@dataclass(frozen=True)
class ContentShare:
    """What of the content is in the targets. `share`: in the picture whose hypercolumns are replaced, the rest of which
    is what the level begins with. `strength`: how far each target lies from the content's own hypercolumn (0) to the
    style's (1), divided by `emphasis`, how many times more the content counts there."""

    content: Tensor | None
    share: float
    strength: float
    emphasis: Tensor | None

    @property
    def plain(self) -> bool:
        return self.content is None or (self.strength >= 1 and self.emphasis is None)


@dataclass
class Part:
    """A region of the picture: the style's hypercolumns, and what is to be met where."""

    region: Region
    where: Tensor | None  # numbers of the positions that count; None: all
    counts: Tensor  # T²/N of each
    factors: Sequence[Tensor | float]  # Σ w·k, of each group of taps
    targets: Rows = field(default_factory=dict)  # u = √w t, where w is what the tap counts and ‖t‖ over its group is 1


@dataclass(frozen=True)
class Cosines:
    """Of every position, at one tap: Σ h·t and Σ h·h, over channels; h = √w F."""

    products: Tensor
    squares: Tensor


class NeuralNeighborTerm:
    """Σ over regions of (k/N) Σ T² (1 − cos(h, t)), for hypercolumns h and their targets t.

    Hypercolumns are matched once, when the term is first evaluated: those of a mixture of content and start are
    replaced by the style's nearest. With `rematch`, as in the paper's last pass, every layer is a group by itself, and
    its features are replaced by the nearest to them, again after so many evaluations.
    """

    sorts = False

    @property
    def repeats(self) -> bool:
        return not self.rematch

    def __init__(
        self,
        setup: Setup,
        weights: Mapping[str, float],
        regions: Sequence[Region],
        shape: tuple[int, int],
        stay: ContentShare,
    ) -> None:
        self.network, self.recipe, self.weights, self.shape, self.stay = (
            setup.network,
            setup.recipe,
            weights,
            shape,
            stay,
        )
        self.dtype, self.rematch = gradient_dtype(setup.network), setup.rematch
        self.generator = torch.Generator().manual_seed(setup.seed)
        self.evaluations = 0
        if not weights:
            return
        self.grid = grid_tap(weights)
        self.groups = [(tap,) for tap in weights] if self.rematch else [tuple(weights)]
        self.parts = [self._part(region) for region in regions if not region.guides or self.grid in region.guides]
        total = sum(weights.values())
        self.shares = {tap: 1.0 if self.rematch else weight / total for tap, weight in weights.items()}
        self.content_columns: Rows = {}

    @property
    def grid_shape(self) -> tuple[int, int]:
        return tap_shape(self.shape, self.grid)

    def _part(self, region: Region) -> Part:
        n = position_count(self.shape, self.grid)
        each = style_factors(self.recipe, self.weights, region.targets, self.shape)
        factors = [sum((each[tap] for tap in group if tap in each), 0.0) for group in self.groups]
        if not region.guides:
            return Part(region, None, torch.full((n,), 1 / n, device=self.network.device), factors)
        t = region.guides[self.grid].flatten().float()
        where = t.nonzero().flatten()
        return Part(region, where, t[where].square() / n, factors)

    def columns(self, tap: str, features: Tensor) -> Tensor:
        """The tap's part of the hypercolumns, as rows."""
        return positions(to_grid(features, tap, self.grid, self.grid_shape))

    def begin(self, x: Tensor) -> None:
        """Called before every evaluation."""
        due = self.evaluations == 0 and bool(self.weights)
        self.evaluations += 1
        if not due:
            return
        content = None if self.stay.content is None else self.stay.content.to(x)
        if content is not None and not self.stay.plain:
            self.content_columns = self._seen(content)
        if self.rematch:
            return
        columns = self._seen(x if content is None else torch.lerp(x, content, self.stay.share))
        for part in self.parts:
            self._match(part, self.groups[0], {tap: _at(rows, part.where) for tap, rows in columns.items()})

    def _seen(self, pixels: Tensor) -> Rows:
        return {tap: self.columns(tap, f).clone() for tap, f in self.network.activations(pixels, self.weights)}

    def _match(self, part: Part, group: Sequence[str], ours: Rows) -> None:
        """The targets of a group of taps."""
        theirs = {tap: part.region.samples[tap].rows for tap in group}
        if self.rematch and (m := len(theirs[group[0]])) > MOST_REMATCHED:
            drawn = torch.randperm(m, generator=self.generator)[:MOST_REMATCHED].to(self.network.device)
            theirs = {tap: rows[drawn] for tap, rows in theirs.items()}
        weights = None if part.where is None else part.counts
        chosen = nearest_by_cosine(self._joined(ours), self._joined(theirs), weights, self.network.watch.layer)
        targets = _unit({tap: rows[chosen].float() * self.shares[tap] ** 0.5 for tap, rows in theirs.items()})
        if self.content_columns:
            content = {tap: _at(self.content_columns[tap], part.where).float() for tap in group}
            content = {tap: rows * self.shares[tap] ** 0.5 for tap, rows in content.items()}
            targets = _unit(_between(_unit(content), targets, _at(self._strength(), part.where)))
        # √w once more: what is multiplied with these is F itself.
        part.targets.update({tap: (t * self.shares[tap] ** 0.5).to(self.dtype) for tap, t in targets.items()})

    def _joined(self, rows: Rows) -> Tensor:
        # Tap by tap: never all of them twice.
        first, widths = next(iter(rows.values())), [part.shape[1] for part in rows.values()]
        joined = torch.empty(len(first), sum(widths), device=first.device)
        for columns, (tap, part) in zip(joined.split(widths, 1), rows.items(), strict=True):
            torch.mul(part.float(), self.shares[tap] ** 0.5, out=columns)
        return joined

    def _strength(self) -> Tensor:
        strength = torch.full(self.grid_shape, min(1.0, self.stay.strength), device=self.network.device)
        if self.stay.emphasis is not None:
            strength = strength / F.avg_pool2d(self.stay.emphasis, stride(self.grid))[0, 0].to(strength)
        return strength.flatten()

    def sums(self, tap: str, features: Tensor, tile: Tile | None = None) -> dict[int, Cosines]:
        """By region; matched anew, where that is due."""
        synchronize()
        columns = self.columns(tap, features)
        found = {}
        for i, part in enumerate(self.parts):
            rows = _at(columns, part.where)
            if self.rematch and (self.evaluations - 1) % self.rematch == 0:
                self._match(part, (tap,), {tap: rows})
            found[i] = _cosines(rows, part.targets[tap], self.shares[tap])
        return found

    def value_and_gradient(self, sums: Mapping[str, Mapping[int, Cosines]]) -> tuple[Tensor, NeuralNeighborGradient]:
        """1 − cos(h, t) = 1 − h·t/‖h‖, and by h: (h·t/‖h‖³) h − t/‖h‖."""
        total = torch.zeros((), device=self.network.device)
        by_tap: dict[tuple[str, int], tuple[Tensor, Tensor]] = {}
        for i, part in enumerate(self.parts):
            for group, factor in zip(self.groups, part.factors, strict=True):
                products = torch.stack([sums[tap][i].products for tap in group]).sum(0)
                squares = torch.stack([sums[tap][i].squares for tap in group]).sum(0).clamp_min(LEAST)
                counts, length = factor * part.counts, squares.sqrt()
                total = total + (counts * (1 - products / length)).sum()
                factors = counts * products / (squares * length), -counts / length
                by_tap.update({(tap, i): factors for tap in group})
        return total, NeuralNeighborGradient(self, by_tap)

    def add_to(self, gradient: Tensor, x: Tensor) -> float:
        """Nothing depends on the pixels themselves."""
        return 0.0


@dataclass(frozen=True)
class NeuralNeighborGradient:
    """∂(style term)/∂F at one tap after the other: of every position, w a F + b u."""

    term: NeuralNeighborTerm
    factors: Mapping[tuple[str, int], tuple[Tensor, Tensor]]  # a and b, by tap and region
    values: Mapping[object, Tensor] = field(default_factory=dict)

    @property
    def weights(self) -> Mapping[str, float]:
        return self.term.weights

    def at(self, tap: str, f: Tensor, tile: Tile | None) -> Tensor | None:
        term = self.term
        if tap not in term.weights:
            return None
        columns = term.columns(tap, f)
        total = torch.zeros_like(columns)
        for i, part in enumerate(term.parts):
            a, b = (factor[:, None].to(term.dtype) for factor in self.factors[tap, i])
            rows = _at(columns, part.where) * (a * term.shares[tap])
            rows.addcmul_(part.targets[tap], b)
            total = rows if part.where is None else total.index_add_(0, part.where, rows)
        on_grid = total.view(1, *term.grid_shape, -1).movedim(-1, 1)
        return from_grid(on_grid, tap, term.grid, shape_of(f)).contiguous(memory_format=torch.channels_last)

    def of_one_region(self, tap: str) -> None:
        """Nothing that is a matrix product."""


def _at(rows: Tensor, where: Tensor | None) -> Tensor:
    return rows if where is None else rows[where]


def _cosines(f: Tensor, targets: Tensor, share: float) -> Cosines:
    products, squares = (torch.empty(len(f), device=f.device) for _ in range(2))

    def work(rows: slice) -> None:
        x = f[rows].float()
        products[rows] = (x * targets[rows].float()).sum(1)
        squares[rows] = x.square().sum(1) * share

    parallel_for(work, strips(len(f), f.shape[1], f.device))
    return Cosines(products, squares)


def _unit(rows: Rows) -> Rows:
    squares = torch.stack([part.square().sum(1) for part in rows.values()]).sum(0)
    scale = squares.clamp_min(LEAST).rsqrt()[:, None]
    return {tap: part * scale for tap, part in rows.items()}


def _between(content: Rows, style: Rows, strength: Tensor) -> Rows:
    return {tap: torch.lerp(content[tap], part, strength[:, None]) for tap, part in style.items()}
