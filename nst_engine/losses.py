"""Content, style and total variation: what each name in a recipe stands for.

F is a tap's features, C channels by N positions; P the content picture's features at the same tap;
S = F Fᵀ/N the transfer's second moment and A the style's. Gram conventions differ by powers of N and C only, so
every published style loss is a factor times ‖S − A‖².
"""

from __future__ import annotations

from collections.abc import Callable

import torch

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


def style_factor(gram: str, term: str, style_moment: Tensor, n: int) -> Tensor | float:
    """k in: style term of one tap = k · ‖S − A‖²."""
    if term == "relative":  # ‖G − A‖² / ‖A‖²: the same whatever the convention
        return 1.0 / style_moment.square().sum().clamp_min(1e-30)
    c = style_moment.shape[0]
    return STYLE_TERMS[term](c, n) * GRAMS[gram](c, n) ** 2


def content_factor(term: str, energy: Tensor, numel: int) -> Tensor | float:
    """k in: content term of one tap = k · ‖F − P‖², where ‖P‖² is `energy` and P has `numel` numbers."""
    if term == "relative":
        return 1.0 / energy.clamp_min(1e-30)
    return {"mean": 1.0 / numel, "half-sum": 0.5}[term]  # half-sum: Gatys et al. 2016, equation 1


def total_variation(pixels: Tensor, term: str) -> tuple[Tensor, Tensor]:
    """Squared differences between neighbours (Mahendran & Vedaldi 2015, β = 2), summed or per pixel, and the slope."""
    k = 1.0 / (pixels.shape[-2] * pixels.shape[-1]) if term == "mean" else 1.0
    slope = torch.zeros_like(pixels)
    total = pixels.new_zeros(())
    for dim in (2, 3):
        step = pixels.diff(dim=dim)
        total = total + step.square().sum()
        last = pixels.shape[dim] - 1
        slope.narrow(dim, 1, last).add_(step, alpha=2 * k)
        slope.narrow(dim, 0, last).sub_(step, alpha=2 * k)
    return k * total, slope
