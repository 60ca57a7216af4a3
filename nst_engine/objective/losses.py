"""Content, style and total variation: what each name in a recipe stands for.

F is a tap's features, C channels by N positions; P the content picture's features at the same tap;
S = F Fᵀ/N the transfer's second moment and A the style's. Gram conventions differ by powers of N and C only, so
every published style loss is a factor times ‖S − A‖².
"""

from __future__ import annotations

from collections.abc import Callable

import torch

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


# As a share of the style's distance from a blank picture. Smaller gaps are raised to this, so that a tap where content
# and style nearly agree does not weigh as much as one with everything still to do.
LEAST_GAP = 0.02


def style_factor(recipe: Recipe, target: Statistics, n: int, gap: Tensor | None = None) -> Tensor | float:
    """k in: style term of one tap = k · D, where D is the distance that the recipe measures.

    k is defined for the Gram matrix. The other distances are scaled to equal its term at an all-zero picture, from
    which the Gram matrix is ‖A‖² away, a cosine 1, and they are tr A. The gap is D(content, A), or without a content
    D(0, A).
    """
    a = shifted(target.mean, target.moment, recipe.shift if recipe.statistic == "gram" else 0.0)
    size = a.square().sum().clamp_min(1e-30)
    trace = target.moment.trace().clamp_min(1e-30)
    of_cosines = recipe.statistic in BY_POSITION + BY_SAMPLING
    blank = torch.ones_like(size) if of_cosines else size if recipe.statistic == "gram" else trace
    if recipe.style_term == "per channel":  # D/C, whatever the statistic
        return trace / len(a) if of_cosines else 1.0 / len(a)
    if recipe.style_term == "gap":  # D over the gap: how much of the way from the content to the style is left
        return 1.0 / (blank if gap is None else torch.maximum(gap.to(blank), LEAST_GAP * blank))
    if recipe.style_term == "relative":  # ‖G − A‖² / ‖A‖²: the same whatever the convention
        k: Tensor | float = 1.0 / size
    else:
        c = a.shape[0]
        k = STYLE_TERMS[recipe.style_term](c, n) * GRAMS[recipe.gram](c, n) ** 2
    return k if recipe.statistic == "gram" else k * size / blank


def content_factor(term: str, energy: Tensor, numel: int) -> Tensor | float:
    """k in: content term of one tap = k · ‖F − P‖², where ‖P‖² is `energy` and P has `numel` numbers."""
    if term == "relative":
        return 1.0 / energy.clamp_min(1e-30)
    return {"mean": 1.0 / numel, "half-sum": 0.5}[term]  # half-sum: Gatys et al. 2016, equation 1


# Total variation: a power of the differences to the neighbours at these offsets (down, right), each with its weight.
# A pixel and its four neighbours favour horizontal and vertical edges; all nine treat the directions nearly alike. On
# an even gradient both come to the same.
FIVE_POINTS = (((0, 1), 1.0), ((1, 0), 1.0))
NINE_POINTS = (((0, 1), 2 / 3), ((1, 0), 2 / 3), ((1, 1), 1 / 6), ((1, -1), 1 / 6))
VARIATIONS = {"l2": (2, FIVE_POINTS), "l1": (1, FIVE_POINTS), "l2-nine": (2, NINE_POINTS), "l1-nine": (1, NINE_POINTS)}
# Offered to recipes only, because users would see no difference: nine points, where diagonals reach across the border,
# to pixels that repeat those at it.
ACROSS_BORDER = "l2-nine-border"
# A part of the pictures in which neighbours are compared, which ones, and how much that counts.
Term = tuple[tuple[slice, slice, slice, slice], tuple[int, int], float]
ALL = slice(None)
WHOLE = (ALL, ALL, ALL, ALL)
# What the differences of neighbours come to: so that L1's weight means what L2's does.
USUAL_DIFFERENCE = 0.05


def total_variation(pixels: Tensor, reduction: str, kind: str = "l2", wraps: bool = False) -> tuple[Tensor, Tensor]:
    """Absolute (L1; Rudin, Osher & Fatemi 1992) or squared (L2) differences of neighbours, summed or per pixel, and the
    gradient. Where the picture wraps around, its last pixel's neighbour is the first."""
    power, neighbours = VARIATIONS[kind.removesuffix("-border")]
    h, w = pixels.shape[-2:]
    terms = [(WHOLE, offset, weight) for offset, weight in neighbours]
    if kind == ACROSS_BORDER and not wraps:
        terms = _across_border(terms, h, w)
    k = (1.0 / (h * w) if reduction == "mean" else 1.0) * (1.0 if power == 2 else USUAL_DIFFERENCE)
    gradient = torch.zeros_like(pixels)
    total = pixels.new_zeros(())
    for part, (down, right), weight in terms:
        if wraps:
            step = pixels.roll((-down, -right), (2, 3)) - pixels
        else:
            there, here = _shifted(pixels[part], down, right)
            step = there - here
        if power == 2:
            total, grad_step = total + k * weight * step.square().sum(), step.mul_(2 * k * weight)
        else:
            total, grad_step = total + k * weight * step.abs().sum(), step.sign_().mul_(k * weight)
        if wraps:
            gradient.add_(grad_step.roll((down, right), (2, 3))).sub_(grad_step)
        else:
            there, here = _shifted(gradient[part], down, right)
            there.add_(grad_step)
            here.sub_(grad_step)
        del step, grad_step  # before the next are computed
    return total, gradient


def _across_border(terms: list[Term], h: int, w: int) -> list[Term]:
    """Across the border, each of the (h + 1)(w + 1) diagonal differences equals the one between neighbours along it; in
    a mean, each direction's sum is divided by that number."""
    share = h * w / ((h + 1) * (w + 1))
    terms = [(part, (d, r), weight * share if d and r else weight) for part, (d, r), weight in terms]
    along = sum(weight for _, (d, r), weight in terms if d and r)
    first, last = slice(0, 1), slice(-1, None)
    rows: list[Term] = [((ALL, ALL, edge, ALL), (0, 1), along) for edge in (first, last)]
    columns: list[Term] = [((ALL, ALL, ALL, edge), (1, 0), along) for edge in (first, last)]
    return terms + rows + columns


def _shifted(x: Tensor, down: int, right: int) -> tuple[Tensor, Tensor]:
    """Views of the pixels that have a neighbour so far down and right: of the neighbours, and of themselves."""
    h, w = x.shape[-2] - down, x.shape[-1] - abs(right)
    return (
        x.narrow(2, down, h).narrow(3, max(0, right), w),
        x.narrow(2, 0, h).narrow(3, max(0, -right), w),
    )
