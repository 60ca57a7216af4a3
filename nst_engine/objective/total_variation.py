"""Total variation, in the kinds that recipes and users may name."""

from __future__ import annotations

import torch

Tensor = torch.Tensor

# A power of the differences to the neighbours at these offsets (down, right), each with its weight.
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
