"""The whole loss of one picture and its gradient: the one place where either is computed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from ..errors import NSTError
from ..network import operations
from ..network.fast import new_arena, synchronize, thread_pool
from ..network.tiles import Tile, cut, fit_tile
from ..network.vgg import Tape
from ..pictures.images import shape_of
from ..statistics.distances import BY_POSITION, BY_SAMPLING
from ..statistics.hypercolumns import ColumnGradient
from ..statistics.regions import Region
from ..system.devices import kind_of
from .any_style import AnyStyleGradient, AnyStyleTerm
from .content import ContentTarget, ContentTerm
from .gradients import Norms, TapGradients, l1
from .laplacian import LaplacianTerm
from .layout import Layout
from .nearest import SHARE_OF_CONTENT, ContentShare, NeuralNeighborTerm
from .octaves import Halving
from .remd import RemdTerm
from .setup import Setup
from .similarity import SelfSimilarity
from .style import StyleTerm, gradient_dtype
from .targets import Octave
from .total_variation import total_variation

OnTile = Callable[[int, int], object]


@dataclass(frozen=True)
class Terms:
    """Weighted terms as 0-d tensors, so that nothing waits for the device until somebody reads one."""

    total: torch.Tensor
    content: torch.Tensor
    style: torch.Tensor
    tv: torch.Tensor
    temporal: torch.Tensor


class Objective:
    """L(x) = α·content + β·style + γ·TV for one content picture and its style targets; of a frame, + temporal."""

    def __init__(
        self,
        setup: Setup,
        content: torch.Tensor | None,
        regions: Sequence[Region],
        shape: tuple[int, int],
        layout: Layout,
        emphasis: torch.Tensor | None = None,
    ) -> None:
        self.network, self.recipe, self.shape = setup.network, setup.recipe, shape
        self.arena = new_arena() if layout.ample and kind_of(self.network.device).is_cpu else None
        weights = setup.weights()
        self.tv_weight = weights.tv
        self.taps = tuple(dict.fromkeys((*weights.style, *weights.content)))
        self.tiles: tuple[Tile, ...] | None = None
        if layout.tile is not None and self.taps:
            tile = fit_tile(layout.tile, self.taps)
            self.tiles = tuple(cut(shape, tile, self.taps, self.network.vgg.architecture, self.network.seamless))
        self.similarity: SelfSimilarity | None = None
        target = None
        if weights.content:
            assert content is not None
            if self.recipe.content_measure == "self-similarity":
                of = (self.network, self.recipe, content, weights.content)
                self.similarity = SelfSimilarity(*of, emphasis, setup.seed)
            else:
                target = ContentTarget(self.network, content, weights.content, self.tiles, layout.keep_content)
        self.content = ContentTerm(target, self.recipe.content_term, weights.content, emphasis)
        self.style = self._style_term(setup, regions, content, emphasis)
        self.laplacian: LaplacianTerm | None = None
        if target is not None and self.recipe.content_measure == "laplacian":
            normalised = sum(weights.content.values()) if self.recipe.normalise_gradients else None
            self.laplacian = LaplacianTerm(
                target.picture.to(self.network.device),
                self.content.of_blank,
                emphasis,
                normalised,
            )
        self.halving: Halving | None = None
        self.smaller: Objective | None = None  # the next octave's
        self.temporal = None if setup.temporal is None else setup.temporal.at(shape, self.network.device)

    def _style_term(
        self, setup: Setup, regions: Sequence[Region], content: torch.Tensor | None, emphasis: torch.Tensor | None
    ) -> AnyStyleTerm:
        """Of the recipe's statistic."""
        recipe, weights = self.recipe, setup.weights()
        if recipe.statistic in BY_POSITION:
            share = min(1.0, SHARE_OF_CONTENT * setup.multipliers.content_in_all)
            stay = ContentShare(content, share, setup.multipliers.strength, emphasis)
            return NeuralNeighborTerm(setup, weights.style, regions, self.shape, stay)
        if recipe.statistic in BY_SAMPLING:
            counts = self.content.of_blank if self.similarity is None else self.similarity.factor
            return RemdTerm(setup, weights.style, regions, self.shape, counts if weights.content else None)
        return StyleTerm(self.network, recipe, weights.style, regions, self.shape, setup.seed)

    def continued(self, setup: Setup, octave: Octave, layout: Layout) -> Objective:
        """The objective of the next octave, which this one adds to its own style term from now on."""
        if layout.tile is not None and layout.tile >= max(octave.shape):
            layout = replace(layout, tile=None)
        self.halving = Halving(self.shape, self.network.seamless, self.network.device)
        self.smaller = Objective(setup, None, octave.regions, octave.shape, replace(layout, ample=False))
        self.smaller.arena = self.arena
        return self.smaller

    @property
    def passes(self) -> int:
        """Through the network, with a tile each."""
        each = 1 + bool(self.style.weights or self.similarity) + self.recipe.normalise_gradients
        return each * len(self.tiles or ()) + (0 if self.smaller is None else self.smaller.passes)

    @torch.no_grad()
    def value_and_grad(self, pixels: torch.Tensor, on_tile: OnTile | None = None) -> tuple[Terms, torch.Tensor]:
        """The terms at `pixels` (1x3xHxW, 0..1) and the gradient of their total. `on_tile(done, of)` is told how far
        this is whenever a tile is done; it may raise."""
        x = pixels.detach().to(self.network.device)
        if shape_of(x) != self.shape:
            raise NSTError(f"image: {shape_of(x)} (height, width) is not the transfer's size, {self.shape}.")
        done, of = 0, self.passes

        def tell() -> None:
            nonlocal done
            done += 1
            if on_tile is not None:
                on_tile(done, of)

        with thread_pool(self.network.device):
            return self._value_and_grad(x, tell)

    def _value_and_grad(self, x: torch.Tensor, tell: Callable[[], None]) -> tuple[Terms, torch.Tensor]:
        style, content, tv, temporal = (torch.zeros((), device=x.device) for _ in range(4))
        if not self.taps:
            gradient = torch.zeros_like(x)
        elif self.tiles is None:
            style, content, gradient = self._in_one_pass(x)
        else:
            style, content, gradient = self._by_tiles(x, self.tiles, tell)
        if self.smaller is not None and self.halving is not None:
            terms, grad_half = self.smaller._value_and_grad(self.halving(x), tell)
            style = style + terms.style
            gradient.add_(self.halving.backward(grad_half))
        style = style + self.style.add_to(gradient, x)
        if self.laplacian is not None:
            content = content + self.laplacian.add_to(gradient, x)
        if self.tv_weight:
            value, grad_pixels = total_variation(x, self.recipe.tv_term, self.recipe.tv_kind, self.network.seamless)
            tv = self.tv_weight * value
            gradient.add_(grad_pixels, alpha=self.tv_weight)
        if self.temporal is not None:
            temporal, grad_pixels = self.temporal.value_and_grad(x)
            gradient.add_(grad_pixels)
        return Terms(content + style + tv + temporal, content, style, tv, temporal), gradient

    def _begin(self, x: torch.Tensor) -> None:
        self.style.begin(x)
        if self.similarity is not None:
            self.similarity.begin()

    def _in_one_pass(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        tape: Tape = []
        taps: dict[str, torch.Tensor] = {}
        of_content: list[torch.Tensor] = []  # its value's parts
        sums: dict[str, Any] = {}
        columns: dict[str, torch.Tensor] = {}
        self._begin(x)
        targets = self.content.targets(None, self.arena)
        for tap, features in self.network.launch(x, self.taps, tape, self.arena):
            taps[tap] = features
            if tap in self.style.weights and not self.style.sorts:
                sums[tap] = self.style.sums(tap, features)
            if tap in targets:
                of_content.append(self.content.value(tap, features, targets[tap]))
            if self.similarity is not None and tap in self.similarity.weights:
                columns[tap] = self.similarity.columns(tap, features)
        synchronize()
        content = sum(of_content, x.new_zeros(()))
        value, style = self.style.value_and_gradient(sums)
        similarity = None
        if self.similarity is not None:
            content, similarity = self.similarity.value_and_gradient(columns)
        gradient = self._backward(tape, taps, self._gradients(style, None, targets, similarity=similarity))
        return sum(style.values.values(), value), content, gradient

    def _by_tiles(
        self, x: torch.Tensor, tiles: tuple[Tile, ...], tell: Callable[[], None]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The same value and gradient, one tile in memory at a time (Galerne et al. 2024).

        The statistics are sums over positions, so they are collected tile by tile; from the whole of them follows one
        small matrix per tap, and with it every tile gives its part of the gradient back.
        """
        self._begin(x)
        sums, columns = self._sums(x, tiles, tell)
        value, style = self.style.value_and_gradient(sums)
        content, gradient, similarity = x.new_zeros(()), torch.zeros_like(x), None
        if self.similarity is not None:
            content, similarity = self.similarity.value_and_gradient(columns)
        norms = self._norms(x, tiles, style, similarity, tell) if self.recipe.normalise_gradients else None
        for tile in tiles:
            gradients = self._gradients(style, tile, self.content.targets(tile, self.arena), norms, similarity)
            tape: Tape = []
            taps = dict(self.network.activations(tile.pixels(x), self.taps, tape, self.arena))
            for tap, target in gradients.targets.items():
                part = self.content.value(tap, tile.without_margin(taps[tap], tap), target, tile)
                synchronize()
                content = content + part
            tile.add_to(gradient, self._backward(tape, taps, gradients))
            tell()
        return value, content, gradient

    def _sums(
        self, x: torch.Tensor, tiles: tuple[Tile, ...], tell: Callable[[], None]
    ) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        """What the style's distance follows from, and the samples of the content's."""
        sums: dict[str, Any] = {tap: {} for tap in self.style.weights}
        columns: dict[str, torch.Tensor] = {}
        compared = () if self.similarity is None else self.similarity.weights
        taps = tuple(dict.fromkeys((*self.style.weights, *compared)))
        for tile in tiles if taps else ():
            for tap, seen in self.network.activations(tile.pixels(x), taps, arena=self.arena):
                features = tile.without_margin(seen, tap)
                parts = self.style.sums(tap, features, tile) if tap in sums else {}
                synchronize()
                for i, part in parts.items():
                    sums[tap][i] = sums[tap][i] + part if i in sums[tap] else part
                if self.similarity is not None and tap in compared:
                    part = self.similarity.columns(tap, features, tile)
                    columns[tap] = columns[tap] + part if tap in columns else part
            tell()
        return sums, columns

    def _norms(
        self,
        x: torch.Tensor,
        tiles: tuple[Tile, ...],
        style: AnyStyleGradient,
        similarity: ColumnGradient | None,
        tell: Callable[[], None],
    ) -> Norms:
        norms: Norms = {}
        for tile in tiles:
            gradients = self._gradients(style, tile, self.content.targets(tile, self.arena), None, similarity)
            for tap, features in self.network.activations(tile.pixels(x), self.taps, arena=self.arena):
                for part, gradient in gradients.parts(tap, tile.without_margin(features, tap)):
                    norms[part, tap] = norms.get((part, tap), 0) + l1(gradient)
            tell()
        return norms

    def _gradients(
        self,
        style: AnyStyleGradient,
        tile: Tile | None,
        targets: Mapping[str, torch.Tensor],
        norms: Norms | None = None,
        similarity: ColumnGradient | None = None,
    ) -> TapGradients:
        dtype, normalised = gradient_dtype(self.network), self.recipe.normalise_gradients
        return TapGradients(style, self.content, targets, dtype, tile, normalised, norms, similarity)

    def _backward(self, tape: Tape, taps: dict[str, torch.Tensor], gradients: TapGradients) -> torch.Tensor:
        """Carry the gradients at the taps back to the pixels; uses up the tape and the features at the taps."""
        tile = gradients.tile
        # fp16 has no small numbers: bring the largest gradient to about 1 on the way back, and undo it in fp32.
        scale: torch.Tensor | None = None
        if self.network.dtype == torch.float16:
            inner = {tap: f if tile is None else tile.without_margin(f, tap) for tap, f in taps.items()}
            largest = torch.stack([gradients.at(tap, f).abs().amax() for tap, f in inner.items()]).amax()
            scale = torch.exp2(-torch.log2(largest.clamp_min(1e-30)).round())

        def add_gradient(tap: str, deeper: torch.Tensor | None, relu_output: torch.Tensor | None) -> torch.Tensor:
            features = taps.pop(tap)
            # Only a tile's inner positions have a gradient of their own: those of its margin are its neighbours'.
            if tile is not None and deeper is None:
                deeper = torch.zeros_like(features)
            features = features if tile is None else tile.without_margin(features, tap)
            if deeper is None:
                here = gradients.at(tap, features)
                deeper = here if scale is None else (here * scale).half()
            else:
                into = deeper if tile is None else tile.without_margin(deeper, tap)
                if scale is None:
                    # Through the ReLU; but a tile's margin has to go through it, too.
                    at_once = tile is None and relu_output is not None
                    gradients.add_to(into, tap, features, at_once)
                    if at_once:
                        return deeper
                else:
                    synchronize()
                    into.add_((gradients.at(tap, features) * scale).half())
            return deeper if relu_output is None else operations.relu_backward(deeper, relu_output)

        gradient = self.network.backward(tape, add_gradient, self.arena)
        return gradient if scale is None else gradient / scale
