"""What the style term aims at: the styles' statistics in a picture of some size, by the regions where they go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..errors import NSTError, TooSmall
from ..network.vgg import Network
from ..pictures.images import Shape
from ..statistics.distances import BY_POSITION, BY_SAMPLING, BY_SORTING
from ..statistics.measure import whole_statistics
from ..statistics.regions import Region, towards_content
from ..styles.grams import StyleGrams
from .octaves import Halving, octave_shapes
from .remd import mixed_with_content
from .setup import Setup


@dataclass(frozen=True)
class Octave:
    """The picture at one of the sizes that are compared at once: the first is the picture itself."""

    shape: Shape
    regions: Sequence[Region]


def octaves(
    setup: Setup, content: torch.Tensor | None, grams: StyleGrams, shape: Shape, fraction: float
) -> list[Octave]:
    """As many as the recipe says, unless the picture, its regions or the styles become too small."""
    count = setup.recipe.octaves if setup.weights().style else 1
    if count > 1 and setup.recipe.statistic in BY_POSITION + BY_SAMPLING:
        raise NSTError(
            f"octaves: {count} will not do with the statistic {setup.recipe.statistic}, which compares features "
            "in one size; give 1, or another statistic."
        )
    found: list[Octave] = []
    for number, smaller in enumerate(octave_shapes(shape, count, tuple(setup.style_layers), setup.network)):
        if number and content is not None:
            content = Halving(found[-1].shape, setup.network.seamless, content.device)(content)
        try:
            found.append(Octave(smaller, _regions(setup, content, grams, smaller, fraction / 2**number)))
        except TooSmall:
            if number == 0:
                raise
            break
    return found


def _regions(
    setup: Setup, content: torch.Tensor | None, grams: StyleGrams, shape: Shape, fraction: float
) -> list[Region]:
    network, recipe, strength = setup.network, setup.recipe, setup.multipliers.strength
    regions = grams.regions(network, setup.style_layers, shape, fraction, recipe.style_fit, recipe.statistic)
    compares = recipe.statistic not in BY_POSITION + BY_SAMPLING
    if content is not None and compares and strength < 1:
        measuring = network.measuring(network.seamless)  # once, for all of them
        sorts = recipe.statistic in BY_SORTING
        return [_towards_content(region, sorts, strength, measuring, content) for region in regions]
    if content is not None and recipe.statistic in BY_SAMPLING and strength < 1:
        measuring = network.measuring(network.seamless)
        return [mixed_with_content(region, strength, measuring, content, setup.seed) for region in regions]
    return regions


def _towards_content(region: Region, sorts: bool, strength: float, measuring: Network, content: torch.Tensor) -> Region:
    """With targets that lie so far of the way from the content's own statistics."""
    found = whole_statistics(measuring, content, region.targets, region.guides)
    return towards_content(region, strength, found, measuring, content, sorts)
