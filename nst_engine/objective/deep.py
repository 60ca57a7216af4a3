"""Deep style layers in large results. They see forms as large as a star or a wave, which shallow layers do not. In
small results faces suffer from them, and they would take a third more of the time."""

from __future__ import annotations

from dataclasses import replace

from ..network.architecture import smallest_side
from ..network.tiles import grid
from ..pictures.images import Shape
from ..statistics.distances import BY_MOMENTS
from ..styles.grams import StyleGrams
from .controls import LayerWeights
from .setup import Setup


def may_take_deep_layers(setup: Setup, chosen: LayerWeights | None, shape: Shape) -> bool:
    """Whether a result of this shape is large enough, and nothing that the user chose speaks against them."""
    recipe = setup.recipe
    large = recipe.deep_layers and max(shape) > max(recipe.size.pixels)
    own = chosen is not None and chosen.style is not None
    return bool(large and not own and recipe.statistic in BY_MOMENTS and recipe.octaves == 1)


def with_deep_layers(
    setup: Setup, chosen: LayerWeights | None, shape: Shape, grams: StyleGrams, smallest: Shape, fraction: float
) -> Setup:
    """With the recipe's deep layers, where they can be had on every level: `smallest` is the first one's shape, and
    `fraction` of the result's. A style with a mask goes without them: what is within it may be too little."""
    layers, network = {**setup.style_layers, **setup.recipe.deep_layers}, setup.network
    if not may_take_deep_layers(setup, chosen, shape) or not network.vgg.has_taps(layers):
        return setup
    needed, step = smallest_side(layers, network.edges), grid(tuple(layers))
    fits = min(shape) >= needed and not (network.seamless and any(side % step for side in shape))
    for style in grams.counted:
        side = min(style.shape_at(smallest, fraction, setup.recipe.style_fit))
        fits = fits and style.mask is None and side >= needed and style.knows(network, layers)
    if not fits:
        return setup
    # How far the style is goes by the recipe's layers: by these, too.
    return replace(setup, recipe=replace(setup.recipe, style_layers=layers), style_layers=layers)
