"""How far the style is from the content picture. Where it is far, what is painted would hide the picture."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..network.architecture import position_count
from ..pictures.images import shape_of
from ..statistics.distances import covariance
from ..statistics.measure import whole_statistics
from ..statistics.regions import Region
from .setup import Setup


def apart(setup: Setup, content: torch.Tensor, regions: Sequence[Region]) -> float:
    """Σ w (n/N) W²/C over Σ w (n/N), of all taps and regions, whichever statistic the transfer compares: W² is the
    distance by means and covariances, C a tap's channels, w its weight, and a region has n of its N positions."""
    total = counted = 0.0
    for region in regions:
        for tap, found in whole_statistics(setup.network, content, region.targets, region.guides).items():
            target = region.targets[tap]
            found = found.to(target.mean.device)
            distance = covariance(target, setup.recipe.details)(found.mean, found.moment)
            share = setup.style_layers[tap] * region.count[tap] / position_count(shape_of(content), tap)
            total += share * float(distance.value) / len(target.mean)
            counted += share
    return total / counted if counted else 0.0
