"""How far the style is from the content picture. Where it is far, what is painted would hide the picture."""

from __future__ import annotations

import math

import torch

from ..errors import NSTError
from ..network.architecture import position_count
from ..network.vgg import Network
from ..pictures.images import check_size, fit_long, resize, shape_of
from ..statistics.distances import covariance
from ..statistics.measure import whole_statistics
from ..styles.grams import StyleGrams
from .setup import Setup


def apart(setup: Setup, content: torch.Tensor, grams: StyleGrams, fraction: float) -> float:
    """How far, seen at the recipe's `afar`, where fine lines are a tone, so that it does not depend on the result's
    size. `content` is `fraction` of that size. It goes by the recipe's layers, whichever the user takes; 0 where
    weights or a saved style lack them, or the picture is too small for them."""
    shape, network, layers = shape_of(content), setup.network, tuple(setup.recipe.style_layers)
    afar = fit_long(shape, min(max(shape), setup.recipe.afar or max(shape)))
    for seen in (afar, shape):
        measuring = network.measuring(network.seamless and seen == shape)
        # By the result's side in whole pixels, so that a style is not measured anew on every level.
        small = max(seen) / round(max(shape) / fraction)
        try:
            network.vgg.check_taps(layers, "layers")
            check_size(seen, layers, measuring.edges, "size")
            return _distance(setup, measuring, resize(content.cpu(), seen), grams, small)
        except NSTError:
            continue
    return 0.0


def _distance(setup: Setup, measuring: Network, content: torch.Tensor, grams: StyleGrams, fraction: float) -> float:
    """D / √(P A), each of them Σ w (n/N) …/C over taps and regions: D of W², the distance by means and covariances,
    whichever statistic the transfer compares, P and A of ‖F‖²/N, content and style; C is a tap's channels, w its
    weight, and a region has n of its N positions. So it does not depend on how large a network's features are."""
    layers, shape = setup.recipe.style_layers, shape_of(content)
    d = p = a = 0.0
    for region in grams.regions(setup.network, layers, shape, fraction, setup.recipe.style_fit):
        for tap, found in whole_statistics(measuring, content, region.targets, region.guides).items():
            target = region.targets[tap]
            found = found.to(target.mean.device)
            share = layers[tap] * region.count[tap] / position_count(shape, tap) / len(target.mean)
            d += share * float(covariance(target, setup.recipe.details)(found.mean, found.moment).value)
            p += share * float(found.moment.trace())
            a += share * float(target.moment.trace())
    return d / max(math.sqrt(p * a), 1e-30)
