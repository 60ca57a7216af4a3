"""How far apart two clouds of samples are, and how alike the samples of one are among themselves: the terms of STROTSS
(Kolkin et al. 2019, sections 2.2 and 2.3), for rows of samples through which autograd finds its way.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from ..network.exact import matmul
from ..network.fast import parallel_for, strips
from .nearest import NO_LENGTH
from .neighbours import neighbours_both_ways

Tensor = torch.Tensor

DISTANCES_AT_ONCE = 1 << 22  # in memory, for each thread: so few that there is something for every thread
# Of distances, on average: where a content is flat they are rounding, and their proportions would be noise.
LEAST_DISTANCE = 1e-5

# I1, I2 and I3 of Ohta, Kanade & Sakai 1980: nearly uncorrelated in photographs, and the first is the mean colour.
DECORRELATED = ((1 / 3, 1 / 3, 1 / 3), (1 / 2, 0, -1 / 2), (-1 / 4, 1 / 2, -1 / 4))


class _Square(torch.autograd.Function):
    """A Aᵀ in strips that the CPU's threads share out, and only half of it, for the other half is the same. Torch's own
    backward would be two products in one thread."""

    @staticmethod
    def forward(ctx: Any, a: Tensor) -> Tensor:
        ctx.save_for_backward(a)
        a = a.detach()  # the threads that help do not know that no gradient is wanted here
        out = a.new_empty(len(a), len(a))

        def work(rows: slice) -> None:
            found = matmul(a[rows], a[rows.start :].T)
            out[rows, rows.start :] = found
            out[rows.stop :, rows] = found[:, rows.stop - rows.start :].T

        parallel_for(work, strips(len(a), a.numel(), a.device, least=1 << 26))
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (a,) = ctx.saved_tensors
        return _product(gradients[0] + gradients[0].T, a)


def _product(a: Tensor, b: Tensor) -> Tensor:
    a, b = a.detach(), b.detach()  # as above
    out = a.new_empty(len(a), b.shape[1])

    def work(rows: slice) -> None:
        out[rows] = matmul(a[rows], b)

    parallel_for(work, strips(len(a), b.numel(), a.device, least=1 << 26))
    return out


def square(a: Tensor) -> Tensor:
    found: Tensor = _Square.apply(a)
    return found


@torch.no_grad()
def nearest(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """For each of N rows the number of the nearest of M, and the other way round, by ‖a − b‖²."""
    a, b = a.detach(), b.detach()
    of_a, of_b = a.square().sum(1), b.square().sum(1)

    def distances(rows: slice, columns: slice) -> Tensor:
        return matmul(a[rows], b[columns].T).mul_(-2).add_(of_a[rows, None]).add_(of_b[columns])

    block = max(1, DISTANCES_AT_ONCE // len(b)), len(b)
    return neighbours_both_ways(distances, a, b, block)


def directions(rows: Tensor) -> Tensor:
    return F.normalize(rows, dim=1, eps=NO_LENGTH)


def remd(a: Tensor, b: Tensor) -> Tensor:
    """max(1/n Σᵢ minⱼ Cᵢⱼ, 1/m Σⱼ minᵢ Cᵢⱼ) with cosine distances C = 1 − a·b/‖a‖‖b‖ (equations 3 to 5)."""
    a, b = directions(a), directions(b)
    to_b, to_a = nearest(a, b)  # ‖a − b‖² = 2C
    return torch.maximum(1 - (a * b[to_b]).sum(1).mean(), 1 - (a[to_a] * b).sum(1).mean())


def palette(a: Tensor, b: Tensor) -> Tensor:
    """The same of colours (RGB), with euclidean distances in a decorrelated space."""
    space = a.new_tensor(DECORRELATED)
    a, b = ((rows[:, None] * space).sum(2) for rows in (a, b))
    to_b, to_a = nearest(a, b)
    return torch.maximum((a - b[to_b]).norm(dim=1).mean(), (a[to_a] - b).norm(dim=1).mean())


def mean_and_covariance(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance."""
    mean = rows.mean(0)
    return mean, square((rows - mean).T) / len(rows)


def moment_distance(a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor]) -> Tensor:
    """1/d ‖μ − μ_B‖₁ + 1/d² ‖Σ − Σ_B‖₁ (equation 7)."""
    return sum(((ours - theirs).abs().mean() for ours, theirs in zip(a, b, strict=True)), a[0].new_zeros(()))


def similarities(rows: Tensor) -> Tensor:
    """Dᵢⱼ / Σᵢ Dᵢⱼ with the cosine distances D of every two samples (equation 8)."""
    distances = (1 - square(directions(rows))).clamp_min(0)
    return distances / distances.sum(0).clamp_min(LEAST_DISTANCE * len(rows))


def self_similarity(ours: Tensor, theirs: Tensor, emphasis: Tensor | None = None) -> Tensor:
    """1/n Σᵢⱼ Eⱼ |Dᵢⱼ / Σᵢ Dᵢⱼ − D'ᵢⱼ / Σᵢ D'ᵢⱼ| (equation 8), of such matrices.

    The paper writes 1/n². A column adds up to 1, so that would make the term smaller the more samples there are; as it
    stands here it is the mean over columns of how much of one lies elsewhere, from 0 to 2."""
    away = (ours - theirs).abs().sum(0)
    return (away if emphasis is None else away * emphasis).mean()
