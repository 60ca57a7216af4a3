"""Styles from pictures: measured at once where their size is known."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch

from ..errors import NSTError, TooSmall
from ..layers import check_layers
from ..network.architecture import smallest_side
from ..network.vgg import VGGFeatures, Watch
from ..pictures.images import LARGEST_SIDE, check_picture, shape_of
from ..recipes import Recipe, get_recipe, network_for
from ..statistics.masks import check_mask, fit_mask
from ..statistics.measure import pieces
from .copies import check_copies
from .grams import StyleGrams
from .style import Style, check_mode, check_weight

# Styles are measured in advance at the sizes that coarse-to-fine levels use: from their own down to SMALLEST in steps
# of √2, but always at RUNGS sizes or more.
SMALLEST, RUNGS = 64, 4


def compute_style_grams(
    vgg: VGGFeatures,
    style: torch.Tensor,
    *,
    recipe: str | Recipe = "balanced",
    weight: float = 1.0,
    size: int = 0,
    layers: Mapping[str, float] | None = None,
    blend_with: StyleGrams | None = None,
    name: str = "style image",
    mask: torch.Tensor | None = None,
    region: torch.Tensor | None = None,
    mask_mode: str = "simple",
    copies: str = "none",
    on_measure: Callable[[int, int], object] | None = None,
    on_layer: Callable[[], object] | None = None,
) -> StyleGrams:
    """Styles from a batch of pictures (Nx3xHxW, 0..1), measured at once where their size is known.

    `size` is the long side at which strokes are measured; 0 means as large as the transfer, whose size is not known
    yet, so those statistics are made when the first transfer asks. `weight` is shared out over the batch.

    `mask` (HxW, 1xHxW, or one for each picture; 0..1) is the part of the pictures that is the style; `region` (the
    same, of the transfer's pictures) the part of the transfer that takes it on. A style without a region goes where no
    other style's region lies; where none is left, the content is kept. `mask_mode`: at the edge a neuron counts as much
    as lies within ("simple"), or not at all unless all that it sees does ("inside").

    `copies` of every picture are measured with it as one style: "mirrored", "rotated" by right angles,
    "rotated-mirrored", or "rescaled" by √2 either way; their masks go with them.
    """
    check_mode(mask_mode)
    check_copies(copies)
    recipe = get_recipe(recipe)
    check_weight(weight)
    if not 0 <= size <= LARGEST_SIDE:
        raise NSTError(
            f"size: {size} is not a size; give the long side in pixels, up to {LARGEST_SIDE}, "
            "or 0 for as large as the transfer."
        )
    taps = tuple(recipe.style_layers if layers is None else check_layers(layers, "layers"))
    vgg.check_taps(taps, "layers")
    with torch.inference_mode(False):
        pictures = check_picture(style, "style")
        if region is not None:
            region = check_mask(region, "region", None)
        common: dict[str, Any] = {"size": size, "region": region, "mask_mode": mask_mode, "region_mode": mask_mode}
        common["copies"] = copies
        names = [name] if len(pictures) == 1 else [f"{name} {i}" for i in range(1, len(pictures) + 1)]
        styles = [
            Style(one, weight / len(pictures), name=called, aspect=shape_of(one), mask=part, **common)
            for one, called, part in zip(pictures.split(1), names, _masks(mask, pictures), strict=True)
        ]
        grams = StyleGrams(styles, vgg.key, vgg.description)
        if blend_with is not None:
            grams = blend_with + grams
        if size:
            _measure_ladder(styles, vgg, recipe, taps, Watch(on_layer, on_measure))
    return grams


def _masks(mask: torch.Tensor | None, pictures: torch.Tensor) -> list[torch.Tensor | None]:
    """One for each picture."""
    if mask is None:
        return [None] * len(pictures)
    fitted = fit_mask(check_mask(mask, "mask", len(pictures)), shape_of(pictures), "mask")
    return list(fitted.expand(len(pictures), -1, -1, -1).split(1))


def measure(
    grams: StyleGrams,
    vgg: VGGFeatures,
    recipe: str | Recipe = "balanced",
    on_measure: Callable[[int, int], object] | None = None,
    on_layer: Callable[[], object] | None = None,
) -> None:
    """Fill the memos with what a recipe asks for, of styles that have a size of their own; those without a picture must
    have it already."""
    grams.check_network(vgg)
    grams.check_weights()
    recipe = get_recipe(recipe)
    vgg.check_taps(recipe.style_layers, "layers")
    styles = [style for style in grams.styles if style.size]
    _measure_ladder(styles, vgg, recipe, tuple(recipe.style_layers), Watch(on_layer, on_measure))


def _measure_ladder(styles: list[Style], vgg: VGGFeatures, recipe: Recipe, taps: tuple[str, ...], watch: Watch) -> None:
    network = network_for(vgg, recipe).measuring()  # once, for all of them
    needed = smallest_side(taps, network.padding)
    rungs = []
    for style in styles:
        count = max(RUNGS, 1 + math.ceil(2 * math.log2(style.size / SMALLEST)))
        fractions = (*(2 ** (-rung / 2) for rung in range(count)), *(p.fraction for p in recipe.passes))
        for fraction in dict.fromkeys(fractions):
            shape = style.shape_at((0, 0), fraction, fit="long")
            if (fraction == 1 or min(shape) >= needed) and style.missing(network, taps, shape):
                rungs.append((style, shape, fraction))
    of = sum(
        len(pieces(copy.shape(shape), taps, vgg.architecture))
        for style, shape, _ in rungs
        for copy in style.fitting_copies(network, taps, shape)
    )
    done = 0

    def on_measure(*_: int) -> None:
        """The pieces of all sizes count as those of one picture."""
        nonlocal done
        done = min(done + 1, of)
        watch.measured(done, of)

    network.watch = replace(watch, on_measure=on_measure)
    for style, shape, fraction in rungs:
        try:
            style.statistics(network, taps, shape)
        except TooSmall:
            # Nobody has asked for the smaller sizes: skip one at which the mask leaves nothing.
            if fraction == 1:
                raise
