"""Deep style layers, on levels that are small beside the result. There they see forms as large as a face or a star,
which shallow layers cannot. On larger levels they would take most of the time and copy the style's own things."""

from __future__ import annotations

from dataclasses import replace

from ..errors import NSTError
from ..network.tiles import grid
from ..pictures.images import Shape, check_size
from ..statistics.distances import BY_MOMENTS
from ..styles.grams import StyleGrams
from .setup import Setup


def compares_deep_layers(setup: Setup, fraction: float) -> bool:
    """On a level of this fraction of the final size, if they can be had there."""
    recipe = setup.recipe
    here = setup.deep_layers and fraction <= recipe.deep_up_to
    return bool(here and recipe.statistic in BY_MOMENTS and recipe.octaves == 1 and setup.weights().style)


def with_deep_layers(setup: Setup, grams: StyleGrams, shape: Shape, fraction: float) -> Setup:
    """With the recipe's deep layers on a level of this shape, `fraction` of the final size. Without them where the user
    took layers of their own, where picture, style or mask is too small for them, or where a saved style lacks them."""
    network = setup.network
    if not compares_deep_layers(setup, fraction):
        return setup
    layers = {**setup.style_layers, **setup.deep_layers}
    if (network.seamless and any(side % grid(tuple(layers)) for side in shape)) or not network.vgg.has_taps(layers):
        return setup
    try:
        check_size(shape, tuple(layers), network.edges, "size")
        grams.regions(network, layers, shape, fraction, setup.recipe.style_fit)
    except NSTError:
        return setup
    return replace(setup, style_layers=layers)
