"""How far the style is from the content picture. Where it is far, what is painted would hide the picture."""

from __future__ import annotations

import torch

from ..errors import TooSmall
from ..network.architecture import position_count
from ..pictures.images import check_size, fit_long, resize, shape_of
from ..statistics.distances import covariance
from ..statistics.measure import whole_statistics
from ..styles.grams import StyleGrams
from .setup import Setup


def apart(setup: Setup, content: torch.Tensor, grams: StyleGrams, fraction: float) -> float:
    """How far at the size of the recipe's first level: from afar, where fine lines are a tone, and the same whatever
    the result's size. `content` is `fraction` of that."""
    shape = shape_of(content)
    afar = fit_long(shape, min(max(shape), setup.recipe.coarsest or max(shape)))
    try:
        check_size(afar, tuple(setup.style_layers), setup.network.edges, "size")
        return _distance(setup, resize(content.cpu(), afar), grams, fraction * max(afar) / max(shape))
    except TooSmall:  # for a layer or a region
        return _distance(setup, content, grams, fraction)


def _distance(setup: Setup, content: torch.Tensor, grams: StyleGrams, fraction: float) -> float:
    """Σ w (n/N) W²/C over Σ w (n/N), of all taps and regions, whichever statistic the transfer compares: W² is the
    distance by means and covariances, C a tap's channels, w its weight, and a region has n of its N positions."""
    shape, measuring = shape_of(content), setup.network.measuring()
    total = counted = 0.0
    for region in grams.regions(setup.network, setup.style_layers, shape, fraction, setup.recipe.style_fit):
        for tap, found in whole_statistics(measuring, content, region.targets, region.guides).items():
            target = region.targets[tap]
            found = found.to(target.mean.device)
            share = setup.style_layers[tap] * region.count[tap] / position_count(shape, tap)
            work = covariance(target, setup.recipe.details)(found.mean, found.moment).value
            total += share * float(work) / len(target.mean)
            counted += share
    return total / counted if counted else 0.0
