"""The whole loss of one picture and its gradient: the one place where either is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from .content import ContentTarget
from .errors import NSTError
from .grams import StyleGrams, network_for, positions, second_moment
from .images import check_picture, check_size, shape_of
from .layers import check_layers
from .losses import content_factor, style_factor, total_variation
from .memory import Layout, free_memory, lay_out
from .recipes import Recipe, get_recipe
from .regions import Region
from .tiles import Tile, cut, fit_tile
from .vgg import Network, Tape, VGGFeatures, stride

OnTile = Callable[[int, int], object]
# By tap and region, what the features are multiplied with for their slope.
Matrices = dict[str, dict[int, torch.Tensor]]


@dataclass(frozen=True)
class Terms:
    """Weighted terms as 0-d tensors, so that nothing waits for the device until somebody reads one."""

    total: torch.Tensor
    content: torch.Tensor
    style: torch.Tensor
    tv: torch.Tensor


@dataclass(frozen=True)
class LayerWeights:
    """Which taps count and how much; None leaves that to the recipe."""

    style: Mapping[str, float] | None = None
    content: Mapping[str, float] | None = None

    def __repr__(self) -> str:
        def listed(taps: Mapping[str, float] | None) -> str:
            return "as the recipe" if taps is None else ", ".join(f"{t}={w:g}" for t, w in taps.items())

        return f"<LAYER_WEIGHTS style: {listed(self.style)}; content: {listed(self.content)}>"


@dataclass(frozen=True)
class Multipliers:
    """The user's sliders: of content and style, 1 is what the recipe says; of total variation, None is."""

    content: float = 1.0
    style: float = 1.0
    tv: float | None = None

    def __post_init__(self) -> None:
        for name, value in (("content_weight", self.content), ("style_weight", self.style), ("tv_weight", self.tv)):
            if value is not None and not 0 <= value < float("inf"):
                raise NSTError(f"{name}: {value} is not a multiplier; give 0 or more (1 is what the recipe says).")


class Objective:
    """L(x) = α·content + β·style + γ·TV for one content picture and its style targets."""

    def __init__(
        self,
        network: Network,
        recipe: Recipe,
        content: torch.Tensor | None,
        regions: Sequence[Region],
        style_layers: Mapping[str, float],
        content_layers: Mapping[str, float],
        multipliers: Multipliers,
        shape: tuple[int, int],
        layout: Layout,
    ) -> None:
        self.network = network
        self.recipe = recipe
        self.shape = shape
        self.style_layers = style_layers
        self.content_layers = content_layers
        self.alpha = recipe.content_weight * multipliers.content
        self.beta = recipe.style_weight * multipliers.style
        self.gamma = recipe.tv_weight if multipliers.tv is None else recipe.tv_unit * multipliers.tv
        if self.alpha == 0 or content is None:
            self.content_layers = {}
        if self.beta == 0:
            self.style_layers = {}
        self.taps = tuple(dict.fromkeys((*self.style_layers, *self.content_layers)))
        if not self.taps and not self.gamma:
            raise NSTError("weights: content, style and total variation all count nothing; raise at least one weight.")
        # fp16's range is too small for slopes before they are scaled; bf16's is fp32's.
        self.slope_dtype = torch.float32 if network.dtype == torch.float16 else network.dtype
        self.tiles: tuple[Tile, ...] | None = None
        if layout.tile is not None and self.taps:
            self.tiles = tuple(cut(shape, fit_tile(layout.tile, self.taps), self.taps, network.vgg.architecture))
        self.regions = regions
        # A relative recipe is a mean over its taps: adding one does not raise the whole.
        self.style_sum = sum(self.style_layers.values()) if recipe.style_term == "relative" else 1.0
        content_sum = sum(self.content_layers.values()) if recipe.content_term == "relative" else 1.0
        self.content: ContentTarget | None = None
        self.content_factors: dict[str, torch.Tensor | float] = {}
        if self.content_layers and content is not None:
            self.content = target = ContentTarget(
                network, content, self.content_layers, self.tiles, layout.keep_content
            )
            self.content_factors = {
                tap: self.alpha
                * weight
                / content_sum
                * content_factor(recipe.content_term, target.energy[tap], target.numel[tap])
                for tap, weight in self.content_layers.items()
            }

    @torch.no_grad()
    def value_and_grad(self, pixels: torch.Tensor, on_tile: OnTile | None = None) -> tuple[Terms, torch.Tensor]:
        """The terms at `pixels` (1x3xHxW, 0..1) and the gradient of their total. `on_tile(done, of)` is told how far
        this is whenever a tile is done; it may raise."""
        x = pixels.detach().to(self.network.device)
        if shape_of(x) != self.shape:
            raise NSTError(f"image: {shape_of(x)} (height, width) is not the transfer's size, {self.shape}.")
        style, content, tv = (torch.zeros((), device=x.device) for _ in range(3))
        if not self.taps:
            gradient = torch.zeros_like(x)
        elif self.tiles is None:
            style, content, gradient = self._in_one_pass(x)
        else:
            style, content, gradient = self._by_tiles(x, self.tiles, on_tile)
        if self.gamma:
            value, slope = total_variation(x, self.recipe.tv_term)
            tv = self.gamma * value
            gradient.add_(slope, alpha=self.gamma)
        return Terms(content + style + tv, content, style, tv), gradient

    def _in_one_pass(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        tape: Tape = []
        taps: dict[str, torch.Tensor] = {}
        style, content = x.new_zeros(()), x.new_zeros(())
        matrices: Matrices = {}
        targets = self._content_at(None)
        for tap, features in self.network.activations(x, self.taps, tape):
            taps[tap] = features
            if tap in self.style_layers:
                sums = {i: self._guided_sum(i, tap, features) for i in self._regions_at(tap)}
                value, matrices[tap] = self._style(tap, sums)
                style = style + value
            if tap in targets:
                content = content + self._content(tap, features, targets[tap])
        return style, content, self._pull_back(tape, taps, matrices, targets)

    def _by_tiles(
        self, x: torch.Tensor, tiles: tuple[Tile, ...], on_tile: OnTile | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The same value and gradient, one tile in memory at a time (Galerne et al. 2024).

        The statistics are sums over positions, so they are collected tile by tile; from the whole of them follows one
        small matrix per tap, and with it every tile gives its part of the gradient back.
        """
        rounds = 2 if self.style_layers else 1
        done = 0

        def tell() -> None:
            nonlocal done
            done += 1
            if on_tile is not None:
                on_tile(done, rounds * len(tiles))

        style, content = x.new_zeros(()), x.new_zeros(())
        matrices: Matrices = {}
        if self.style_layers:
            sums: dict[str, dict[int, torch.Tensor]] = {tap: {} for tap in self.style_layers}
            for tile in tiles:
                for tap, features in self.network.activations(tile.pixels(x), self.style_layers):
                    for i in self._regions_at(tap):
                        part = self._guided_sum(i, tap, tile.own(features, tap), tile)
                        sums[tap][i] = sums[tap][i] + part if i in sums[tap] else part
                tell()
            for tap in self.style_layers:
                value, matrices[tap] = self._style(tap, sums[tap])
                style = style + value
        gradient = torch.zeros_like(x)
        for tile in tiles:
            targets = self._content_at(tile)
            tape: Tape = []
            taps = dict(self.network.activations(tile.pixels(x), self.taps, tape))
            for tap, target in targets.items():
                content = content + self._content(tap, tile.own(taps[tap], tap), target)
            tile.pixels(gradient).add_(self._pull_back(tape, taps, matrices, targets, tile))
            tell()
        return style, content, gradient

    def _content_at(self, tile: Tile | None) -> dict[str, torch.Tensor]:
        return {} if self.content is None else self.content.at(tile)

    def _regions_at(self, tap: str) -> list[int]:
        return [i for i, region in enumerate(self.regions) if tap in region.moments]

    def _guided_sum(self, i: int, tap: str, features: torch.Tensor, tile: Tile | None = None) -> torch.Tensor:
        """F Fᵀ of the features that region i counts, T∘F."""
        f = positions(features)
        t = self.regions[i].rows(tap, tile, f)
        return second_moment(f if t is None else t * f) * len(f)

    def _style(self, tap: str, sums: Mapping[int, torch.Tensor]) -> tuple[torch.Tensor, dict[int, torch.Tensor]]:
        """Over the regions, k‖S − A‖² with S = F Fᵀ/n, and the matrices 4k/n (S − A) that F is multiplied with for its
        derivative (Gatys et al. 2016, equation 6).

        A region of n of all N positions counts n/N of what the whole picture would: so a place is pulled as hard in a
        small region as in a large one.
        """
        weight = self.beta * self.style_layers[tap] / self.style_sum
        total = torch.zeros((), device=self.network.device)
        matrices = {}
        n_all = (self.shape[0] // stride(tap)) * (self.shape[1] // stride(tap))
        for i, summed in sums.items():
            target, n = self.regions[i].moments[tap], self.regions[i].count[tap]
            difference = summed / n - target
            k = weight * style_factor(self.recipe.gram, self.recipe.style_term, target, n_all)
            total = total + k * (n / n_all) * difference.square().sum()
            matrices[i] = (difference * (4 * k / n_all)).to(self.slope_dtype)
        return total, matrices

    def _content(self, tap: str, features: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """k‖F − P‖²."""
        return self.content_factors[tap] * (features - target).float().square().sum()

    def _pull_back(
        self,
        tape: Tape,
        taps: dict[str, torch.Tensor],
        matrices: Matrices,
        targets: Mapping[str, torch.Tensor],
        tile: Tile | None = None,
    ) -> torch.Tensor:
        """Carry the taps' slopes back to the pixels; uses up the tape and the features at the taps."""

        def slope_of(tap: str, features: torch.Tensor) -> torch.Tensor:
            """∂L/∂F of one tap: 4k/N (S − A) F for style, 2k (F − P) for content."""
            slope: torch.Tensor | None = None
            f = features.to(self.slope_dtype)
            for i, matrix in matrices.get(tap, {}).items():
                t = self.regions[i].rows(tap, tile, f)
                rows = positions(f) @ matrix if t is None else t.square() * (positions(f) @ matrix)
                pull = rows.view(1, *shape_of(f), -1).movedim(-1, 1)
                slope = pull if slope is None else slope.add_(pull)
            if tap in targets:
                pull = (f - targets[tap]) * (2 * self.content_factors[tap])
                slope = pull if slope is None else slope.add_(pull)
            return torch.zeros_like(f) if slope is None else slope

        # fp16 has no small numbers: bring the largest slope to about 1 on the way down, and undo it in fp32.
        scale: torch.Tensor | None = None
        if self.network.dtype == torch.float16:
            own = {tap: f if tile is None else tile.own(f, tap) for tap, f in taps.items()}
            largest = torch.stack([slope_of(tap, f).abs().amax() for tap, f in own.items()]).amax()
            scale = torch.exp2(-torch.log2(largest.clamp_min(1e-30)).round())

        def add_slope(tap: str, slope: torch.Tensor | None) -> torch.Tensor:
            features = taps.pop(tap)
            # Nothing but a tile's own positions pulls: what its margin wants, its neighbours say.
            if tile is not None and slope is None:
                slope = torch.zeros_like(features)
            own = slope_of(tap, features if tile is None else tile.own(features, tap))
            own = own if scale is None else (own * scale).half()
            if slope is None:
                return own
            (slope if tile is None else tile.own(slope, tap)).add_(own)
            return slope

        gradient = self.network.pull_back(tape, self.taps, add_slope)
        return gradient if scale is None else gradient / scale


def objective(
    vgg: VGGFeatures,
    content: torch.Tensor | None,
    grams: StyleGrams,
    *,
    recipe: str | Recipe = "balanced",
    layers: LayerWeights | None = None,
    content_weight: float = 1.0,
    style_weight: float = 1.0,
    tv_weight: float | None = None,
    shape: tuple[int, int] | None = None,
    tile: int | str | None = None,
) -> Objective:
    """The objective of a recipe for one content picture (1x3xHxW), or for none: then `shape` is the picture's.

    With `tile`, a size in pixels (rounded down to the pooling grid), the network never sees more than a tile and its
    margin at a time; value and gradient are the same. "auto": in one pass if that fits into what the device has free.
    """
    recipe = get_recipe(recipe)
    with torch.inference_mode(False):
        if content is not None:
            content = check_picture(content, "content image")
            shape = shape_of(content)
        if shape is None:
            raise NSTError("objective: without a content picture, give the shape (height, width) of the result.")
        network = network_for(vgg, recipe)
        style_layers, content_layers = layers_in_use(vgg, recipe, layers or LayerWeights())
        multipliers = Multipliers(content_weight, style_weight, tv_weight)
        free = free_memory(network.device)
        held = content_layers if content is not None else {}
        layout = lay_out(network, style_layers, held, recipe.optimizer, shape, tile, free)
        return build(network, recipe, content, grams, style_layers, content_layers, multipliers, shape, 1.0, layout)


def layers_in_use(
    vgg: VGGFeatures, recipe: Recipe, layers: LayerWeights
) -> tuple[Mapping[str, float], Mapping[str, float]]:
    """Style and content layers: the user's own, or else the recipe's."""
    style = check_layers(recipe.style_layers if layers.style is None else layers.style, "style layers")
    content = check_layers(recipe.content_layers if layers.content is None else layers.content, "content layers")
    vgg.check_taps(style, "style layers")
    vgg.check_taps(content, "content layers")
    return style, content


def build(
    network: Network,
    recipe: Recipe,
    content: torch.Tensor | None,
    grams: StyleGrams,
    style_layers: Mapping[str, float],
    content_layers: Mapping[str, float],
    multipliers: Multipliers,
    shape: tuple[int, int],
    fraction: float,
    layout: Layout,
) -> Objective:
    """The objective of one level: content already at `shape`, `fraction` of the final size."""
    grams.check_network(network.vgg)
    check_size(shape, (*style_layers, *content_layers), network.padding, "transfer", fraction)
    regions = grams.regions(network, style_layers, shape, fraction, recipe.squash_style)
    return Objective(network, recipe, content, regions, style_layers, content_layers, multipliers, shape, layout)
