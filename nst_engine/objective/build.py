"""From what a user asks for to the objective: of a recipe, and of a level of a run."""

from __future__ import annotations

from dataclasses import replace

import torch

from ..errors import NSTError
from ..network.fast import thread_pool
from ..network.tiles import grid
from ..network.vgg import VGGFeatures
from ..pictures.images import check_picture, check_size, shape_of
from ..recipes import Recipe, get_recipe
from ..styles.grams import StyleGrams
from ..system.devices import free_memory
from .apart import apart
from .controls import LayerWeights, Multipliers
from .footprint import ExtraMemory
from .layout import Layout
from .objective import Objective
from .setup import Setup, set_up
from .targets import octaves

FARTHEST = 2.5  # times as far as a recipe's `far`: from there on the content counts no more
SMALLEST_COUNTS = 4.0  # times, on a small level: as on the first of a large picture, and no more on a smaller one


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

    A `seamless` picture wraps around at its edges; its sides are multiples of the pooling grid (16 for relu5_1).
    `emphasis` (1x1xHxW) is what the content term is multiplied by, pixel by pixel. `seed` is that of the directions in
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
        multipliers = Multipliers(content_weight, style_weight, tv_weight, strength)
        setup = set_up(vgg, recipe, layers, content=content is not None, seamless=seamless)
        setup = replace(setup, multipliers=multipliers, seed=seed)
        matched = grams.hypercolumn_counts(setup.style_layers, shape, recipe.style_fit, setup.recipe.statistic)
        extras = ExtraMemory(grams.region_count, grams.guided, emphasis=emphasis is not None, matched=matched)
        layout = setup.lay_out(shape, tile, free_memory(setup.network.device), extras)
        # With one thread for each operation of torch, so that sums do not depend on how many there are.
        with thread_pool(vgg.device):
            return build(setup, content, grams, shape, 1.0, layout, emphasis)


def build(
    setup: Setup,
    content: torch.Tensor | None,
    grams: StyleGrams,
    shape: tuple[int, int],
    fraction: float,
    layout: Layout,
    emphasis: torch.Tensor | None = None,
) -> Objective:
    """The objective of one level: content already at `shape`, `fraction` of the final size."""
    network, recipe = setup.network, setup.recipe
    grams.check_network(network.vgg)
    step = grid(setup.layers)
    if network.seamless and (shape[0] % step or shape[1] % step):
        raise NSTError(f"seamless: {shape[1]}×{shape[0]} will not do; the sides have to be multiples of {step}.")
    check_size(shape, setup.layers, network.edges, "size", fraction=fraction)
    [first, *others] = found = octaves(setup, content, grams, shape, fraction)
    more = _content_counts(recipe, max(shape)) * _far_counts(setup, content, grams, fraction)
    # As a mean over the octaves, style weighs the same however many there are.
    share = recipe.style_weight / len(found)
    setup = replace(setup, recipe=replace(recipe, content_weight=recipe.content_weight * more, style_weight=share))
    whole = last = Objective(setup, content, first.regions, shape, layout, emphasis)
    for octave in others:
        last = last.continued(setup.of_style_alone, octave, layout)
    return whole


def _content_counts(recipe: Recipe, side: float) -> float:
    """How many times as much on a level with this long side: what is lost on a small one does not come back."""
    if recipe.content_side:
        return recipe.content_side / side
    return min(max(1.0, recipe.small_level / side), SMALLEST_COUNTS)


def _far_counts(setup: Setup, content: torch.Tensor | None, grams: StyleGrams, fraction: float) -> float:
    """How many times as much where the style is far from the content picture, which it would hide."""
    far, weights = setup.recipe.far, setup.weights()
    if not far or content is None or not weights.content or not weights.style:
        return 1.0
    # A picture without contrast is far from every style, and has little to keep.
    return min(max(1.0, apart(setup, content, grams, fraction) / far), FARTHEST) ** 2
