"""The whole loss of one picture and its gradient: the one place where either is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F

from ..errors import NSTError
from ..layers import check_layers
from ..network.architecture import channels, stride
from ..network.fast import each, new_arena, rows_of, team
from ..network.plain import each as alone
from ..network.precision import widest_float
from ..network.tiles import Tile, cut, fit_tile, grid
from ..network.vgg import Network, Tape, VGGFeatures
from ..pictures.images import check_picture, check_size, shape_of
from ..recipes import LBFGS, Recipe, get_recipe
from ..statistics.distances import BY_SORTING, Quantiles, Samples, by_moments, gap, random_directions
from ..statistics.measure import positions, sums, whole_statistics
from ..statistics.regions import Region, nearer
from ..styles.grams import StyleGrams, network_for
from .content import ContentTarget
from .controls import LayerWeights, Multipliers
from .gradients import Norms, Pull, Pulls, Slopes, Sums, at
from .losses import content_factor, style_factor, total_variation
from .memory import Asked, Layout, free_memory, lay_out
from .temporal import Temporal

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
        network: Network,
        recipe: Recipe,
        content: torch.Tensor | None,
        regions: Sequence[Region],
        style_layers: Mapping[str, float],
        content_layers: Mapping[str, float],
        multipliers: Multipliers,
        shape: tuple[int, int],
        layout: Layout,
        emphasis: torch.Tensor | None = None,
        seed: int = 0,
        temporal: Temporal | None = None,
    ) -> None:
        self.network = network
        self.arena = new_arena() if layout.ample and network.device.type == "cpu" else None
        self.recipe = recipe
        self.shape = shape
        self.style_layers = style_layers
        self.content_layers = content_layers
        self.alpha = recipe.content_weight * multipliers.content_in_all
        self.beta = recipe.style_weight * multipliers.style
        self.gamma = recipe.tv_weight if multipliers.tv is None else recipe.tv_unit * multipliers.tv
        if self.alpha == 0 or content is None:
            self.content_layers = {}
        if self.beta == 0:
            self.style_layers = {}
        self.taps = tuple(dict.fromkeys((*self.style_layers, *self.content_layers)))
        if not self.taps and not self.gamma:
            raise NSTError("content_weight, style_weight, tv_weight: all of them count nothing; raise at least one.")
        # fp16's range is too small for slopes before they are scaled; bf16's is fp32's.
        self.slope_dtype = torch.float32 if network.dtype == torch.float16 else network.dtype
        self.tiles: tuple[Tile, ...] | None = None
        if layout.tile is not None and self.taps:
            tile = fit_tile(layout.tile, self.taps)
            self.tiles = tuple(cut(shape, tile, self.taps, network.vgg.architecture, network.seamless))
        # Samples are kept once, below.
        self.regions = [replace(region, samples={}) for region in regions]
        self.sorts = recipe.statistic in BY_SORTING
        # A covariance is a small difference of large numbers, whose rounding its root multiplies.
        self.sum_dtype = network.dtype
        if recipe.statistic != "gram" or recipe.mean_std:
            self.sum_dtype = widest_float(network.device) if network.dtype == torch.float32 else torch.float32
        wide = torch.promote_types(self.sum_dtype, torch.float32)
        self.distances = [
            {}
            if self.sorts
            else {
                tap: by_moments(recipe.statistic, target.to(wide), recipe.details)
                for tap, target in region.targets.items()
            }
            for region in regions
        ]
        # Channels stay the same from step to step, so that the style's are sorted once.
        self.samples: list[Mapping[str, Samples | Quantiles]] = [
            {tap: s.along(None, torch.float32) for tap, s in region.samples.items()}
            if recipe.statistic == "histogram"
            else region.samples
            for region in regions
        ]
        # A relative recipe is a mean over its taps: adding one does not raise the whole.
        style_sum = sum(self.style_layers.values()) if recipe.style_term in ("relative", "gap") else 1.0
        content_sum = sum(self.content_layers.values()) if recipe.content_term == "relative" else 1.0
        self.style_weights = {tap: self.beta * w / style_sum for tap, w in self.style_layers.items()}
        self.content_weights = {tap: self.alpha * w / content_sum for tap, w in self.content_layers.items()}
        self.content: ContentTarget | None = None
        self.content_factors: dict[str, torch.Tensor | float] = {}
        if self.content_layers and content is not None:
            self.content = target = ContentTarget(
                network, content, self.content_layers, self.tiles, layout.keep_content
            )
            self.content_factors = {
                tap: weight * content_factor(recipe.content_term, target.energy[tap], target.numel[tap])
                for tap, weight in self.content_weights.items()
            }
        # How much more the content counts at each place of a tap.
        self.emphasis = (
            {}
            if emphasis is None
            else {tap: F.avg_pool2d(emphasis, stride(tap)).to(network.device) for tap in self.content_layers}
        )
        self.temporal = None if temporal is None else temporal.at(shape, network.device)
        self.seed = seed
        self.generator = torch.Generator().manual_seed(seed)

    @torch.no_grad()
    def value_and_grad(self, pixels: torch.Tensor, on_tile: OnTile | None = None) -> tuple[Terms, torch.Tensor]:
        """The terms at `pixels` (1x3xHxW, 0..1) and the gradient of their total. `on_tile(done, of)` is told how far
        this is whenever a tile is done; it may raise."""
        x = pixels.detach().to(self.network.device)
        if shape_of(x) != self.shape:
            raise NSTError(f"image: {shape_of(x)} (height, width) is not the transfer's size, {self.shape}.")
        with team(self.network.device):
            return self._value_and_grad(x, on_tile)

    def _value_and_grad(self, x: torch.Tensor, on_tile: OnTile | None) -> tuple[Terms, torch.Tensor]:
        # New directions at every step; but L-BFGS compares steps, so for it they stay.
        if isinstance(self.recipe.optimizer, LBFGS):
            self.generator.manual_seed(self.seed)
        style, content, tv, temporal = (torch.zeros((), device=x.device) for _ in range(4))
        if not self.taps:
            gradient = torch.zeros_like(x)
        elif self.tiles is None:
            style, content, gradient = self._in_one_pass(x)
        else:
            style, content, gradient = self._by_tiles(x, self.tiles, on_tile)
        if self.gamma:
            value, slope = total_variation(x, self.recipe.tv_term, self.recipe.tv_kind, self.network.seamless)
            tv = self.gamma * value
            gradient.add_(slope, alpha=self.gamma)
        if self.temporal is not None:
            temporal, slope = self.temporal.value_and_grad(x)
            gradient.add_(slope)
        return Terms(content + style + tv + temporal, content, style, tv, temporal), gradient

    def _in_one_pass(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        tape: Tape = []
        taps: dict[str, torch.Tensor] = {}
        content = x.new_zeros(())
        sums: dict[str, dict[int, Sums]] = {}
        slopes = Slopes(self, {}, self._content_at(None), directions=self._directions())
        for tap, features in self.network.activations(x, self.taps, tape, self.arena):
            taps[tap] = features
            if tap in self.style_layers and not self.sorts:
                sums[tap] = {i: self._sums(i, tap, features) for i in self.regions_at(tap)}
            if tap in slopes.targets:
                content = content + self._content(tap, features, slopes.targets[tap])
        style, slopes.pulls = self._styles(sums)
        gradient = self._pull_back(tape, taps, slopes)
        return sum(slopes.values.values(), style), content, gradient

    def _by_tiles(
        self, x: torch.Tensor, tiles: tuple[Tile, ...], on_tile: OnTile | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The same value and gradient, one tile in memory at a time (Galerne et al. 2024).

        The statistics are sums over positions, so they are collected tile by tile; from the whole of them follows one
        small matrix per tap, and with it every tile gives its part of the gradient back.
        """
        normed = self.recipe.normalise_gradients
        rounds = 1 + bool(self.style_layers) + normed
        done = 0

        def tell() -> None:
            nonlocal done
            done += 1
            if on_tile is not None:
                on_tile(done, rounds * len(tiles))

        style, content = x.new_zeros(()), x.new_zeros(())
        pulls: Pulls = {}
        if self.style_layers:
            sums: dict[str, dict[int, Sums]] = {tap: {} for tap in self.style_layers}
            for tile in tiles:
                for tap, features in self.network.activations(tile.pixels(x), self.style_layers, arena=self.arena):
                    for i in self.regions_at(tap):
                        part = self._sums(i, tap, tile.without_margin(features, tap), tile)
                        sums[tap][i] = sums[tap][i] + part if i in sums[tap] else part
                tell()
            style, pulls = self._styles(sums)
        norms: Norms = {}
        if normed:
            for tile in tiles:
                slopes = Slopes(self, pulls, self._content_at(tile), tile)
                for tap, features in self.network.activations(tile.pixels(x), self.taps, arena=self.arena):
                    for term, slope in slopes.parts(tap, tile.without_margin(features, tap)):
                        norm = torch.linalg.vector_norm(slope, 1, dtype=torch.float32)
                        norms[term, tap] = norms.get((term, tap), 0) + norm
                tell()
        gradient = torch.zeros_like(x)
        for tile in tiles:
            slopes = Slopes(self, pulls, self._content_at(tile), tile, norms)
            tape: Tape = []
            taps = dict(self.network.activations(tile.pixels(x), self.taps, tape, self.arena))
            for tap, target in slopes.targets.items():
                content = content + self._content(tap, tile.without_margin(taps[tap], tap), target, tile)
            tile.add_to(gradient, self._pull_back(tape, taps, slopes))
            tell()
        return style, content, gradient

    def _directions(self) -> dict[str, torch.Tensor]:
        """As many for each tap as it has channels; new ones at every step."""
        if self.recipe.statistic != "sliced":
            return {}
        sizes = {tap: channels(tap) for tap in self.style_layers}
        return {tap: random_directions(c, c, self.generator, self.network.device) for tap, c in sizes.items()}

    def _content_at(self, tile: Tile | None) -> dict[str, torch.Tensor]:
        return {} if self.content is None else self.content.at(tile, self.arena)

    def regions_at(self, tap: str) -> list[int]:
        return [i for i, region in enumerate(self.regions) if tap in region.targets]

    def _sums(self, i: int, tap: str, features: torch.Tensor, tile: Tile | None = None) -> Sums:
        """Σ T²F and F Fᵀ of the features that region i counts, T∘F."""
        f = positions(features)
        means = self.recipe.looks_at_means
        summed, products = sums(f, self.regions[i].rows(tap, tile, f), self.sum_dtype, means)
        return Sums(summed if means else None, products)

    def _styles(self, sums: Mapping[str, Mapping[int, Sums]]) -> tuple[torch.Tensor, Pulls]:
        """Tap by tap, at once: a root of a large matrix is much of a step."""
        taps = list(sums)
        found: dict[str, tuple[torch.Tensor, dict[int, Pull]]] = {}

        def work(tap: str) -> None:
            found[tap] = self._style(tap, sums[tap])

        (each if self.network.device.type == "cpu" else alone)(work, taps)
        return sum((found[tap][0] for tap in taps), torch.zeros((), device=self.network.device)), {
            tap: found[tap][1] for tap in taps
        }

    def _style(self, tap: str, sums: Mapping[int, Sums]) -> tuple[torch.Tensor, dict[int, Pull]]:
        """Over the regions, k·D(S, A) with S = F Fᵀ/n, and what F is pulled with: for the Gram matrix's ‖S − A‖², that
        is 4k/n (S − A) (Gatys et al. 2016, equation 6).

        A region of n of all N positions counts n/N of what the whole picture would: so a place is pulled as hard in a
        small region as in a large one.
        """
        total = torch.zeros((), device=self.network.device)
        pulls = {}
        n_all = self.positions(tap)
        for i, summed in sums.items():
            n, k = self.regions[i].count[tap], self.factor(i, tap)
            moment = summed.products / n
            mean = moment.new_zeros(len(moment)) if summed.features is None else summed.features / n
            d = self.distances[i][tap](mean, moment)
            total = total + k * (n / n_all) * d.value.float()
            row = None if d.by_mean is None else (d.by_mean * (k / n_all)).to(self.slope_dtype)
            pulls[i] = Pull((d.by_moment * (2 * k / n_all)).to(self.slope_dtype), row)
        return total, pulls

    def positions(self, tap: str) -> int:
        return (self.shape[0] // stride(tap)) * (self.shape[1] // stride(tap))

    def factor(self, i: int, tap: str) -> torch.Tensor | float:
        region = self.regions[i]
        k = style_factor(self.recipe, region.targets[tap], self.positions(tap), region.gaps.get(tap))
        return self.style_weights[tap] * k

    def _content(
        self, tap: str, features: torch.Tensor, target: torch.Tensor, tile: Tile | None = None
    ) -> torch.Tensor:
        """k‖F − P‖²."""
        emphasis = at(self.emphasis[tap], tap, tile) if tap in self.emphasis else None
        rows = rows_of(features)
        totals = torch.zeros(len(rows), device=features.device)

        def work(k: int) -> None:
            squares = (features[:, :, rows[k]] - target[:, :, rows[k]]).float().square_()
            if emphasis is not None:
                squares *= emphasis[:, :, rows[k]]
            totals[k] = squares.sum()

        each(work, range(len(rows)))
        return self.content_factors[tap] * totals.sum()

    def _pull_back(self, tape: Tape, taps: dict[str, torch.Tensor], slopes: Slopes) -> torch.Tensor:
        """Carry the taps' slopes back to the pixels; uses up the tape and the features at the taps."""
        tile = slopes.tile
        # fp16 has no small numbers: bring the largest slope to about 1 on the way down, and undo it in fp32.
        scale: torch.Tensor | None = None
        if self.network.dtype == torch.float16:
            own = {tap: f if tile is None else tile.without_margin(f, tap) for tap, f in taps.items()}
            largest = torch.stack([slopes.at(tap, f).abs().amax() for tap, f in own.items()]).amax()
            scale = torch.exp2(-torch.log2(largest.clamp_min(1e-30)).round())

        def add_slope(tap: str, slope: torch.Tensor | None) -> torch.Tensor:
            features = taps.pop(tap)
            # Nothing but a tile's own positions pulls: what its margin wants, its neighbours say.
            if tile is not None and slope is None:
                slope = torch.zeros_like(features)
            features = features if tile is None else tile.without_margin(features, tap)
            if slope is None:
                own = slopes.at(tap, features)
                return own if scale is None else (own * scale).half()
            into = slope if tile is None else tile.without_margin(slope, tap)
            if scale is None:
                slopes.add_to(into, tap, features)
            else:
                into.add_((slopes.at(tap, features) * scale).half())
            return slope

        gradient = self.network.backward(tape, add_slope, self.arena)
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
    strength: float = 1.0,
    seamless: bool = False,
    emphasis: torch.Tensor | None = None,
    seed: int = 0,
) -> Objective:
    """The objective of a recipe for one content picture (1x3xHxW), or for none: then `shape` is the picture's.

    A `seamless` picture goes on on its other side; its sides are multiples of the pooling grid (16 for relu5_1).
    `emphasis` (1x1xHxW) is what the content term is multiplied by, place by place. `seed` is that of the directions in
    which the statistic `sliced` looks.

    With `tile`, a size in pixels (rounded down to the pooling grid), the network never sees more than a tile and its
    margin at a time; value and gradient are the same. "auto": in one pass if that fits into what the device has free.
    """
    recipe = get_recipe(recipe)
    with torch.inference_mode(False):
        if content is not None:
            content = check_picture(content, "content")
            shape = shape_of(content)
        if shape is None:
            raise NSTError("shape: without a content picture, give height and width of the result.")
        grams.check(shape)
        network = network_for(vgg, recipe, seamless)
        style_layers, content_layers = layers_in_use(vgg, recipe, layers or LayerWeights())
        multipliers = Multipliers(content_weight, style_weight, tv_weight, strength)
        free = free_memory(network.device)
        held = content_layers if content is not None else {}
        asked = Asked(grams.region_count, grams.guided, emphasis=emphasis is not None)
        layout = lay_out(network, recipe, (style_layers, held), shape, tile, free, asked)
        return build(
            network,
            recipe,
            content,
            grams,
            style_layers,
            content_layers,
            multipliers,
            shape,
            1.0,
            layout,
            emphasis,
            seed,
        )


def _beside_content(
    region: Region, recipe: Recipe, strength: float, measuring: Network, content: torch.Tensor
) -> Region:
    """What the content's own statistics make of its targets."""
    own = whole_statistics(measuring, content, region.targets, region.guides)
    if recipe.style_term == "gap":
        gaps = {tap: gap(recipe.statistic, recipe.details, region.targets[tap], seen) for tap, seen in own.items()}
        region = replace(region, gaps=gaps)
    if strength >= 1:
        return region
    return nearer(region, strength, own, measuring, content, recipe.statistic in BY_SORTING)


def layers_in_use(
    vgg: VGGFeatures, recipe: Recipe, layers: LayerWeights
) -> tuple[Mapping[str, float], Mapping[str, float]]:
    """Style and content layers: the user's own, or else the recipe's."""
    style = check_layers(recipe.style_layers if layers.style is None else layers.style, "layers.style")
    content = check_layers(recipe.content_layers if layers.content is None else layers.content, "layers.content")
    vgg.check_taps(style, "layers.style")
    vgg.check_taps(content, "layers.content")
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
    emphasis: torch.Tensor | None = None,
    seed: int = 0,
    temporal: Temporal | None = None,
) -> Objective:
    """The objective of one level: content already at `shape`, `fraction` of the final size."""
    more = max(1.0, recipe.small_level / max(shape)) ** 2
    recipe = replace(recipe, content_weight=recipe.content_weight * more)
    grams.check_network(network.vgg)
    step = grid((*style_layers, *content_layers))
    if network.seamless and (shape[0] % step or shape[1] % step):
        raise NSTError(f"seamless: {shape[1]}×{shape[0]} will not do; the sides have to be multiples of {step}.")
    check_size(shape, (*style_layers, *content_layers), network.edges, "size", fraction=fraction)
    sorts = recipe.statistic in BY_SORTING
    regions = grams.regions(network, style_layers, shape, fraction, recipe.style_fit, sorts)
    if content is not None and (recipe.style_term == "gap" or multipliers.strength < 1):
        measuring = network.measuring(network.seamless)  # once, for all of them
        regions = [_beside_content(region, recipe, multipliers.strength, measuring, content) for region in regions]
    return Objective(
        network,
        recipe,
        content,
        regions,
        style_layers,
        content_layers,
        multipliers,
        shape,
        layout,
        emphasis,
        seed,
        temporal,
    )
