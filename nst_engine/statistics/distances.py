"""How far apart the features of two pictures are at one tap, and the derivatives of that distance.

The Gram matrix is one answer. The others are squared Wasserstein distances, the least work that brings one cloud of
features to the other's: of normal distributions with their means and deviations, or with their means and covariances
(Mroueh 2019), of every channel by itself (the histogram loss of Risser et al. 2017), and of projections onto random
directions (Heitz et al. 2021). All are in units of ‖F‖²: a style's distance from an all-zero picture is tr A.

F is N positions of C channels; μ their mean, M = F Fᵀ/N their second moment; those of the style are marked A.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from ..network.exact import matmul
from .roots import square_root
from .sorting import DIRECTIONS

Tensor = torch.Tensor

# What follows from μ and M can be collected tile by tile; what sorts wants the whole picture at once.
BY_MOMENTS = ("gram", "mean-std", "covariance")
BY_SORTING = tuple(DIRECTIONS)
# What compares position by position, with the nearest of the style's: `nearest` has how.
BY_POSITION = ("nearest",)
# What compares samples of hypercolumns, which can be gathered tile by tile: `earth_mover` has how.
BY_SAMPLING = ("remd",)
STATISTICS = BY_MOMENTS + BY_SORTING + BY_POSITION + BY_SAMPLING
# What needs the features themselves: of the whole picture at once, and of the style's picture.
BY_FEATURES = BY_SORTING + BY_POSITION
WITHOUT_SUMS = BY_FEATURES + BY_SAMPLING  # a saved style will not do

# Of the mean variance, added to every variance: the derivative of a square root is not finite at 0. With so much the
# largest eigenvalue of Bᵀ C B is some 10⁵ times the smallest, and single precision is enough for `newton_schulz`. With
# a tenth of it rounding makes small eigenvalues negative, and the iteration diverges.
LEAST_VARIANCE = 0.03
LEAST_SHARE = 1e-4  # of the mean square


@dataclass(frozen=True)
class Statistics:
    """Of one tap: the mean of its features (C) and their second moment F Fᵀ/N (C×C), over N positions; within a mask T,
    whose guided features are T∘F, N is Σ T²."""

    mean: Tensor
    moment: Tensor
    n: float

    def to(self, kind: torch.device | torch.dtype) -> Statistics:
        return Statistics(self.mean.to(kind), self.moment.to(kind), self.n)


def weighted_mean(parts: list[tuple[float, Statistics]]) -> Statistics:
    """Of all features together, each part having its share."""
    if len(parts) == 1:
        return parts[0][1]
    return Statistics(
        sum((share * s.mean for share, s in parts[1:]), parts[0][0] * parts[0][1].mean),
        sum((share * s.moment for share, s in parts[1:]), parts[0][0] * parts[0][1].moment),
        parts[0][1].n,
    )


@dataclass(frozen=True)
class Distance:
    """D and its derivatives: dD = ⟨grad_moment, dM⟩ + ⟨grad_mean, dμ⟩."""

    value: Tensor
    grad_moment: Tensor
    grad_mean: Tensor | None = None  # None: it does not depend on μ


# Maps (μ, M) to their distance from the style's statistics.
DistanceTo = Callable[[Tensor, Tensor], Distance]


@dataclass(frozen=True)
class DistanceSettings:
    """What a distance is computed with, where it makes a difference."""

    shift: float = 0.0  # of activations, before their Gram matrix
    mean_std: float = 0.0  # m: m C³ (‖μ − μ_A‖² + ‖σ − σ_A‖²) is added to the Gram matrices' distance
    least_variance: float | None = None  # added to every variance; None: LEAST_VARIANCE and LEAST_SHARE of the style's
    # Newton–Schulz iterations for the root of a covariance, where so few are part of a recipe; 0: the exact root.
    iterations: int = 0
    # Directions in which the style varies less than this share of what it varies most are left out of its covariance.
    least_direction: float = 0.0


DEFAULT = DistanceSettings()


def distance_to(name: str, target: Statistics, details: DistanceSettings = DEFAULT) -> DistanceTo:
    """The distance of (μ, M) to this target."""
    distances: dict[str, Callable[[Statistics, DistanceSettings], DistanceTo]] = {
        "gram": gram if not details.mean_std else gram_and_mean_std,
        "mean-std": mean_std,
        "covariance": covariance,
    }
    return distances[name](target, details)


def shifted(mean: Tensor, moment: Tensor, s: float) -> Tensor:
    """The second moment of F + s: M + s(μ1ᵀ + 1μᵀ) + s²."""
    return moment if s == 0 else moment + s * (mean[:, None] + mean) + s**2


def gram(target: Statistics, details: DistanceSettings = DEFAULT) -> DistanceTo:
    """‖S − A‖² of the second moments (Gatys et al. 2016), of activations shifted by s (Novak & Nikulin 2016)."""
    shift = details.shift
    a = shifted(target.mean, target.moment, shift)

    def distance(mean: Tensor, moment: Tensor) -> Distance:
        difference = shifted(mean, moment, shift) - a
        grad_mean = 4 * shift * difference.sum(1) if shift else None
        return Distance(difference.square().sum(), 2 * difference, grad_mean)

    return distance


def gram_and_mean_std(target: Statistics, details: DistanceSettings) -> DistanceTo:
    """‖S − A‖² + m C³ (‖μ − μ_A‖² + ‖σ − σ_A‖²) (Galerne et al. 2024, whose layers weigh w = 1/C² and add
    w C² times the mean squares of means and deviations to w times that of Gram matrices)."""
    # Next to nothing is added to variances: it only keeps a channel without any from dividing by it.
    first, second = gram(target, details), mean_std(target, DistanceSettings(least_variance=1e-8))
    factor = details.mean_std * len(target.mean) ** 3

    def distance(mean: Tensor, moment: Tensor) -> Distance:
        a, b = first(mean, moment), second(mean, moment)
        assert b.grad_mean is not None
        grad_mean = factor * b.grad_mean if a.grad_mean is None else a.grad_mean + factor * b.grad_mean
        return Distance(a.value + factor * b.value, a.grad_moment + factor * b.grad_moment, grad_mean)

    return distance


def mean_std(target: Statistics, details: DistanceSettings = DEFAULT) -> DistanceTo:
    """‖μ − μ_A‖² + ‖σ − σ_A‖² (Li et al. 2017, Huang & Belongie 2017)."""
    least = _least_variance(target, details)

    def deviation(mean: Tensor, moment: Tensor) -> Tensor:
        return ((moment.diagonal() - mean.square()).clamp_min(0) + least).sqrt()

    sigma_a = deviation(target.mean, target.moment)

    def distance(mean: Tensor, moment: Tensor) -> Distance:
        sigma = deviation(mean, moment)
        value = (mean - target.mean).square().sum() + (sigma - sigma_a).square().sum()
        grad_variance = (sigma - sigma_a) / sigma
        return Distance(value, grad_variance.diag(), 2 * (mean - target.mean) - 2 * grad_variance * mean)

    return distance


def covariance(target: Statistics, details: DistanceSettings = DEFAULT) -> DistanceTo:
    """‖μ − μ_A‖² + tr(C + C_A − 2(Bᵀ C B)^½), where B Bᵀ = C_A: the Wasserstein distance of two normal distributions.
    B is C_A^½, or has a column for each direction that counts.

    Its derivative by C is I − B (Bᵀ C B)^−½ Bᵀ.
    """
    least = _least_variance(target, details)

    def covariance_of(mean: Tensor, moment: Tensor) -> Tensor:
        c = moment - torch.outer(mean, mean)
        c.diagonal().add_(least)
        return c

    c_a = covariance_of(target.mean, target.moment)
    trace_a = c_a.trace()
    b = _leading(c_a, details.least_direction) if details.least_direction else square_root(c_a, details.iterations)[0]

    def distance(mean: Tensor, moment: Tensor) -> Distance:
        c = covariance_of(mean, moment)
        root, inverse = square_root(matmul(matmul(b.T, c), b), details.iterations)
        value = (mean - target.mean).square().sum() + c.trace() + trace_a - 2 * root.trace()
        grad_covariance = -matmul(matmul(b, inverse), b.T)
        grad_covariance.diagonal().add_(1)
        grad_covariance = (grad_covariance + grad_covariance.T) / 2
        return Distance(value, grad_covariance, 2 * (mean - target.mean) - 2 * grad_covariance @ mean)

    return distance


def _leading(covariance: Tensor, least: float) -> Tensor:
    """B of those directions in which the variance is at least this share of the greatest. The root of a small matrix
    takes a fraction of the time, and what is left out would hardly move: its root would be next to nothing."""
    variances, directions = torch.linalg.eigh(covariance.cpu().double())
    counts = variances >= least * variances[-1]
    columns: Tensor = directions[:, counts] * variances[counts].sqrt()
    return columns.to(covariance)


def _least_variance(target: Statistics, details: DistanceSettings) -> Tensor:
    """ε, added to every variance; above 0 even where the style is flat and its variance nothing but rounding."""
    if details.least_variance is not None:
        return target.mean.new_tensor(details.least_variance)
    variance = target.moment.diagonal() - target.mean.square()
    return torch.maximum(LEAST_VARIANCE * variance.mean(), LEAST_SHARE * target.moment.diagonal().mean()).clamp_min(
        1e-30
    )
