"""What the terms of content and style are multiplied by: the factor that each name in a recipe stands for.

F is a tap's features, C channels by N positions; P the content picture's features at the same tap;
S = F Fᵀ/N the transfer's second moment and A the style's. Gram conventions differ by powers of N and C only, so
every published style loss is a factor times ‖S − A‖².
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from ..network.architecture import position_count
from ..recipes import Recipe
from ..statistics.distances import BY_POSITION, BY_SAMPLING, Statistics, shifted

Tensor = torch.Tensor

# G = factor · F Fᵀ/N
GRAMS: dict[str, Callable[[int, int], float]] = {
    "sum": lambda c, n: float(n),  # F Fᵀ; the style's, too, is taken at the transfer's N
    "mean": lambda c, n: 1.0,  # F Fᵀ/N
    "mean/C": lambda c, n: 1.0 / c,  # F Fᵀ/(C N)
}

# term = factor · Σ(G − A)²
STYLE_TERMS: dict[str, Callable[[int, int], float]] = {
    "mean": lambda c, n: 1.0 / c**2,
    "mean/CHW": lambda c, n: 1.0 / (c**2 * c * n),
    "gatys": lambda c, n: 1.0 / (4.0 * n**2 * c**2),  # Gatys et al. 2016, equation 4
}

# Terms that are means over their taps: one tap more does not raise the whole. The others are sums over them.
STYLE_MEANS = ("per channel", "relative")
CONTENT_MEANS = ("mean of means", "relative")


def style_factor(recipe: Recipe, target: Statistics, n: int) -> Tensor | float:
    """k in: style term of one tap = k · D, where D is the distance that the recipe measures.

    k is defined for the Gram matrix, and "per channel" for covariances. The other distances are scaled to equal its
    term at an all-zero picture, from which the Gram matrix is ‖A‖² away, a cosine 1, and the rest tr A.
    """
    a = shifted(target.mean, target.moment, recipe.shift if recipe.statistic == "gram" else 0.0)
    size = a.square().sum().clamp_min(1e-30)
    trace = target.moment.trace().clamp_min(1e-30)
    of_cosines = recipe.statistic in BY_POSITION + BY_SAMPLING
    blank = torch.ones_like(size) if of_cosines else size if recipe.statistic == "gram" else trace
    if recipe.style_term == "per channel":  # D/C
        return trace / blank / len(a)
    if recipe.style_term == "relative":  # ‖G − A‖² / ‖A‖²: the same whatever the convention
        k: Tensor | float = 1.0 / size
    else:
        c = a.shape[0]
        k = STYLE_TERMS[recipe.style_term](c, n) * GRAMS[recipe.gram](c, n) ** 2
    return k if recipe.statistic == "gram" else k * size / blank


def style_factors(
    recipe: Recipe, weights: Mapping[str, float], targets: Mapping[str, Statistics], shape: tuple[int, int]
) -> dict[str, Tensor | float]:
    """By tap, its weight times k, in a picture of this shape."""
    return {
        tap: weights[tap] * style_factor(recipe, target, position_count(shape, tap))
        for tap, target in targets.items()
        if tap in weights
    }


def content_factor(term: str, energy: Tensor, numel: int) -> Tensor | float:
    """k in: content term of one tap = k · ‖F − P‖², where ‖P‖² is `energy` and P has `numel` numbers."""
    if term == "relative":
        return 1.0 / energy.clamp_min(1e-30)
    # half-sum: Gatys et al. 2016, equation 1
    return {"mean": 1.0 / numel, "mean of means": 1.0 / numel, "half-sum": 0.5}[term]
