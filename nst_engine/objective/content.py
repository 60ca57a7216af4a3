"""The content term: how far the picture's features are from the content picture's, P."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
import torch.nn.functional as F

from ..network.architecture import stride, tap_shape
from ..network.bits import relu_backward
from ..network.fast import Arena, launch, parallel_for, rows_of, share_of
from ..network.tiles import Tile
from ..network.vgg import Network
from ..pictures.images import shape_of
from .factors import content_factor

Tensor = torch.Tensor


class ContentTarget:
    """P at its taps, for the whole picture or for a tile: kept, or computed again each time where memory is short."""

    def __init__(
        self,
        network: Network,
        picture: Tensor,
        taps: Iterable[str],
        tiles: Sequence[Tile] | None = None,
        keep: bool = True,
    ) -> None:
        self.network = network
        self.picture = picture
        self.taps = tuple(taps)
        self.kept: dict[str, Tensor] = {}
        self.energy: dict[str, Tensor] = {}  # ‖P‖²
        self.numel: dict[str, int] = {}
        if tiles is None:
            self.kept = network.features(picture.to(network.device), self.taps)
            self.energy = {tap: p.float().square().sum() for tap, p in self.kept.items()}
            self.numel = {tap: p.numel() for tap, p in self.kept.items()}
            return
        for done, tile in enumerate(tiles, 1):
            for tap, p in self._features(tile).items():
                self.energy[tap] = self.energy.get(tap, 0) + p.float().square().sum()
                self.numel[tap] = self.numel.get(tap, 0) + p.numel()
                if keep:
                    self.keep(tile, tap, p)
            network.watch.measured(done, len(tiles))

    def at(self, tile: Tile | None, arena: Arena | None = None) -> dict[str, Tensor]:
        if tile is None:
            return self.kept
        if self.kept:
            return {tap: tile.from_whole(p, tap) for tap, p in self.kept.items()}
        return self._features(tile, arena)

    def _features(self, tile: Tile, arena: Arena | None = None) -> dict[str, Tensor]:
        pixels = tile.pixels(self.picture).to(self.network.device)
        features = self.network.activations(pixels, self.taps, arena=arena)
        return {tap: tile.without_margin(p, tap) for tap, p in features}

    def keep(self, tile: Tile, tap: str, p: Tensor) -> None:
        if tap not in self.kept:
            shape = (1, p.shape[1], *tap_shape(shape_of(self.picture), tap))
            self.kept[tap] = torch.empty(shape, dtype=p.dtype, device=p.device, memory_format=torch.channels_last)
        tile.from_whole(self.kept[tap], tap).copy_(p)


class ContentTerm:
    """Σ over taps of k Σ E (F − P)², with `factors.content_factor`'s k; E is how much more each position counts."""

    def __init__(
        self, target: ContentTarget | None, term: str, weights: Mapping[str, float], emphasis: Tensor | None
    ) -> None:
        self.target, self.weights = target, weights
        self.factors: dict[str, Tensor | float] = {}
        self.emphasis: dict[str, Tensor] = {}
        if target is None:
            return
        for tap, weight in weights.items():
            self.factors[tap] = weight * content_factor(term, target.energy[tap], target.numel[tap])
            if emphasis is not None:
                self.emphasis[tap] = F.avg_pool2d(emphasis, stride(tap)).to(target.network.device)

    @property
    def of_blank(self) -> Tensor | float:
        """What the term is for a picture without features."""
        return 0.0 if self.target is None else sum(k * self.target.energy[tap] for tap, k in self.factors.items())

    def targets(self, tile: Tile | None, arena: Arena | None) -> Mapping[str, Tensor]:
        return {} if self.target is None else self.target.at(tile, arena)

    def value(self, tap: str, features: Tensor, target: Tensor, tile: Tile | None = None) -> Tensor:
        """Launched: it is there after `synchronize`."""
        emphasis = self._emphasis(tap, tile)
        rows = rows_of(features)
        totals, value = torch.empty(len(rows), device=features.device), torch.empty((), device=features.device)

        def work(k: int) -> None:
            squares = (features[:, :, rows[k]] - target[:, :, rows[k]]).float().square_()
            if emphasis is not None:
                squares *= emphasis[:, :, rows[k]]
            totals[k] = squares.sum()

        def add_up(_: None) -> None:
            value.copy_(self.factors[tap] * totals.sum())

        launch(work, range(len(rows)), lambda k: rows[k].stop / features.shape[2], aside=True)
        launch(add_up, [None], aside=True)
        return value

    def gradient(self, tap: str, f: Tensor, target: Tensor, tile: Tile | None = None) -> Tensor:
        """2k E (F − P)."""
        gradient = torch.empty_like(f)
        some = self._some_rows(tap, f, target, tile)
        parallel_for(lambda rows: some(rows, gradient[:, :, rows]), rows_of(f))
        return gradient

    def add_to(self, gradient: Tensor, tap: str, f: Tensor, target: Tensor, through_relu: bool) -> None:
        """Launched: the same of the whole picture, added, and taken back through the ReLU that F came out of."""
        some = self._some_rows(tap, f, target, None)

        def work(rows: slice) -> None:
            part = gradient[:, :, rows]
            part += some(rows, None)
            if through_relu:
                relu_backward(part, f[:, :, rows], part)

        share = share_of(f.shape[2])
        launch(work, rows_of(f), share, share)

    def _some_rows(
        self, tap: str, f: Tensor, target: Tensor, tile: Tile | None
    ) -> Callable[[slice, Tensor | None], Tensor]:
        """The gradient of these rows, written into a tensor if one is given."""
        emphasis = self._emphasis(tap, tile)
        emphasis = None if emphasis is None else emphasis.to(f)

        def some(rows: slice, out: Tensor | None) -> Tensor:
            part = torch.sub(f[:, :, rows], target[:, :, rows], out=out)
            part.mul_(2 * self.factors[tap])
            if emphasis is not None:
                part *= emphasis[:, :, rows]
            return part

        return some

    def _emphasis(self, tap: str, tile: Tile | None) -> Tensor | None:
        emphasis = self.emphasis.get(tap)
        return emphasis if emphasis is None or tile is None else tile.from_whole(emphasis, tap)
