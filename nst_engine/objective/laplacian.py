"""Content by structure: the Laplacian of the pooled picture, which is nothing but its edges and contours, against the
content picture's (Li et al. 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ..pictures.images import shape_of

Tensor = torch.Tensor

# Pixels a side that one position stands for. The small one holds lines, the large one limbs and roofs.
POOLS = (4, 16)
# The least mean square of a content's Laplacian; photographs have 0.2 to 0.5 at every size. A picture of nothing but
# fog has less, and would otherwise be held so firmly that no stroke could be painted on it.
LEAST = 0.05
# λ, as a multiple of what the features' distance is for a blank picture. With half of it edges are little firmer than
# without; with five times as much they are sharp, but styles with large flat areas get a fine hatching.
SHARE = 0.2


@dataclass(frozen=True)
class Pooled:
    """The content at one size of pool."""

    pool: int
    content: Tensor  # Σ over channels of the pooled picture
    factor: Tensor  # k
    emphasis: Tensor | None  # E

    def value_and_grad(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """k Σ E (D d)² with d = Σ over channels of pool(x) − pool(P), and its gradient by d, 2k D(E∘D d): D is its own
        transpose."""
        edges = laplacian(pooled(x, self.pool) - self.content)
        weighted = edges if self.emphasis is None else edges * self.emphasis
        value = self.factor * (weighted * edges).sum()
        return value, laplacian(weighted) * (2 * self.factor)


class LaplacianTerm:
    """λ times the mean over the pools of Σ E (D pool(x) − D pool(P))² / Σ (D pool(P))², beside the features' distance.

    The paper adds sums over positions. As a share of the content's own edges the term is 1 for a blank picture, so one
    weight does at every size and for every picture. λ goes with what the features' distance is for a `blank` picture.
    """

    def __init__(
        self, content: Tensor, blank: Tensor | float, emphasis: Tensor | None, normalised: float | None
    ) -> None:
        pools = [pool for pool in POOLS if min(shape_of(content)) >= 2 * pool]
        self.parts: Sequence[Pooled] = [_pooled(content, p, SHARE * blank / len(pools), emphasis) for p in pools]
        self.normalised = normalised  # what Σ|∂L/∂x| is to be, where gradients are normalised

    def add_to(self, gradient: Tensor, x: Tensor) -> Tensor:
        """Add the gradient by the pixels, the same in every channel; returns the value."""
        total, grad_pixels = x.new_zeros(()), torch.zeros_like(x[:, :1])
        for part in self.parts:
            value, grad_pool = part.value_and_grad(x)
            total = total + value
            _spread(grad_pixels, grad_pool, part.pool)
        if self.normalised is not None:
            grad_pixels *= self.normalised / (x.shape[1] * grad_pixels.abs().sum()).clamp_min(1e-30)
        gradient.add_(grad_pixels)
        return total


def _pooled(content: Tensor, pool: int, blank: Tensor | float, emphasis: Tensor | None) -> Pooled:
    small = pooled(content, pool)
    energy = laplacian(small).square().mean().clamp_min(LEAST) * small.numel()
    heavier = None if emphasis is None else F.avg_pool2d(emphasis.to(content.device), pool)
    return Pooled(pool, small, blank / energy, heavier)


def pooled(x: Tensor, pool: int) -> Tensor:
    """The mean of every pool, summed over the channels; what fills no pool is left out."""
    return F.avg_pool2d(x, pool).sum(1, keepdim=True)


def laplacian(x: Tensor) -> Tensor:
    """At every position the sum of its differences to its four neighbours, or to those that it has. A seamless picture
    has no others: where it joins, the content need not, and its edge there is not wanted."""
    edges = torch.zeros_like(x)
    for dim in (2, 3):
        last = x.shape[dim] - 1
        steps = x.narrow(dim, 1, last) - x.narrow(dim, 0, last)
        edges.narrow(dim, 0, last).sub_(steps)
        edges.narrow(dim, 1, last).add_(steps)
    return edges


def _spread(grad_pixels: Tensor, grad_pool: Tensor, pool: int) -> None:
    """Add to every pixel its part of the gradient of its pool."""
    rows, columns = shape_of(grad_pool)
    covered = grad_pixels[:, :, : rows * pool, : columns * pool]
    covered.unflatten(3, (columns, pool)).unflatten(2, (rows, pool)).add_(grad_pool[:, :, :, None, :, None] / pool**2)
