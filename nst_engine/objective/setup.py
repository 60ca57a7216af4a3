"""What a transfer computes with, at every size of the picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ..errors import NSTError
from ..layers import check_layers
from ..network.vgg import UNWATCHED, Network, VGGFeatures, Watch
from ..recipes import Recipe, network_for
from .controls import LayerWeights, Multipliers
from .factors import CONTENT_MEANS, STYLE_MEANS
from .footprint import ExtraMemory
from .layout import Layout, lay_out
from .temporal import Temporal


@dataclass(frozen=True)
class Weights:
    """What the terms of the loss are multiplied by: tap by tap for style and content, and for total variation."""

    style: Mapping[str, float]
    content: Mapping[str, float]
    tv: float


@dataclass(frozen=True, eq=False)
class Setup:
    """A network, a recipe and the user's choices; `temporal` holds a frame of a video to the frames before it, and
    `rematch` is that of a `Refinement`, while it lasts."""

    network: Network
    recipe: Recipe
    style_layers: Mapping[str, float]
    content_layers: Mapping[str, float]
    multipliers: Multipliers = field(default_factory=Multipliers)
    seed: int = 0
    temporal: Temporal | None = None
    rematch: int = 0

    @property
    def layers(self) -> tuple[str, ...]:
        return (*self.style_layers, *self.content_layers)

    @property
    def tv_weight(self) -> float:
        recipe, multiplier = self.recipe, self.multipliers.tv
        return recipe.tv_weight if multiplier is None else recipe.tv_unit * multiplier

    @property
    def of_style_alone(self) -> Setup:
        """The same without the other terms."""
        return replace(self, content_layers={}, multipliers=replace(self.multipliers, tv=0.0), temporal=None)

    def weights(self) -> Weights:
        """α, β and γ, the first two shared out over the taps where the term is a mean over them."""
        recipe, multipliers = self.recipe, self.multipliers
        style, content = recipe.style_weight * multipliers.style, recipe.content_weight * multipliers.content_in_all
        weights = Weights(
            _shared(self.style_layers, style, recipe.style_term in STYLE_MEANS),
            _shared(self.content_layers, content, recipe.content_term in CONTENT_MEANS),
            self.tv_weight,
        )
        if not weights.style and not weights.content and not weights.tv:
            counts = {"content_weight": self.content_layers, "style_weight": self.style_layers, "tv_weight": True}
            named = ", ".join(name for name, what in counts.items() if what)
            raise NSTError(f"{named}: none has an effect here; raise at least one.")
        return weights

    def lay_out(self, shape: tuple[int, int], tile: int | str | None, free: int, extras: ExtraMemory) -> Layout:
        """How a picture of this shape is worked on with so many bytes free."""
        taps = (self.style_layers, self.content_layers)
        return lay_out(self.network, self.recipe, taps, shape, tile, free, extras)


def _shared(layers: Mapping[str, float], factor: float, mean: bool) -> dict[str, float]:
    if factor == 0:
        return {}
    total = sum(layers.values()) if mean else 1.0
    return {tap: factor * weight / total for tap, weight in layers.items()}


def set_up(
    vgg: VGGFeatures,
    recipe: Recipe,
    layers: LayerWeights | None,
    *,
    content: bool,
    seamless: bool = False,
    watch: Watch = UNWATCHED,
) -> Setup:
    """With the user's own layers, or else the recipe's; without a content picture no content layers."""
    chosen = layers or LayerWeights()
    style_layers = check_layers(recipe.style_layers if chosen.style is None else chosen.style, "layers.style")
    content_layers: Mapping[str, float] = recipe.content_layers if chosen.content is None else chosen.content
    vgg.check_taps(style_layers, "layers.style")
    if recipe.content_layers or chosen.content is not None:
        content_layers = check_layers(content_layers, "layers.content")
        vgg.check_taps(content_layers, "layers.content")
    network = network_for(vgg, recipe, seamless, watch)
    return Setup(network, recipe, style_layers, content_layers if content else {})
