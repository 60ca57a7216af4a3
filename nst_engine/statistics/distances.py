"""How far apart the features of two pictures are at one tap, and which way is nearer.

The Gram matrix is one answer. The others are squared Wasserstein distances, the least work that brings one cloud of
features to the other's: of normal distributions with their means and deviations, or with their means and covariances
(Mroueh 2019), of every channel by itself (the histogram loss of Risser et al. 2017), and of the shadows that the clouds
cast in random directions (Heitz et al. 2021). They share a unit: the mean of ‖F‖² over a picture, its distance from
nothing.

F is N positions of C channels; μ their mean, M = F Fᵀ/N their second moment; those of the style are marked A.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from ..network.exact import add_product, product
from ..network.fast import each, strips
from ..network.precision import widest_float

Tensor = torch.Tensor

# What follows from μ and M can be collected tile by tile; what sorts wants the whole picture at once.
BY_MOMENTS = ("gram", "mean-std", "covariance")
BY_SORTING = ("histogram", "sliced")
STATISTICS = BY_MOMENTS + BY_SORTING

# Of the mean variance, added to every variance: a square root has no slope at nothing. With so much the largest
# eigenvalue of R C R is some 10⁵ times the smallest, so many iterations bring the distance of real features to within
# 0.03 %, and single precision is enough. With a tenth of it rounding makes small eigenvalues negative, from which the
# iteration runs away.
LEAST_VARIANCE = 0.03
LEAST_SHARE = 1e-4  # of the mean square
ITERATIONS = 22
# Numbers sorted at a time.
SORTED_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class Statistics:
    """Of one tap: the mean of its features (C) and their second moment F Fᵀ/N (C×C), over N positions; within a mask T,
    whose guided features are T∘F, N is Σ T²."""

    mean: Tensor
    moment: Tensor
    n: float

    def to(self, kind: torch.device | torch.dtype) -> Statistics:
        return Statistics(self.mean.to(kind), self.moment.to(kind), self.n)


def mixed(parts: list[tuple[float, Statistics]]) -> Statistics:
    """Of all features together, each part having its share."""
    if len(parts) == 1:
        return parts[0][1]
    return Statistics(
        sum((share * s.mean for share, s in parts[1:]), parts[0][0] * parts[0][1].mean),
        sum((share * s.moment for share, s in parts[1:]), parts[0][0] * parts[0][1].moment),
        parts[0][1].n,
    )


@dataclass(frozen=True)
class Slope:
    """A distance and its derivatives by μ and M; D changes by ⟨by_moment, dM⟩ + ⟨by_mean, dμ⟩."""

    value: Tensor
    by_moment: Tensor
    by_mean: Tensor | None = None  # None: it does not depend on μ


# From the style's statistics, once, to what is asked at every step.
Distance = Callable[[Tensor, Tensor], Slope]


@dataclass(frozen=True)
class Details:
    """What a distance is computed with, where it makes a difference."""

    shift: float = 0.0  # of activations, before their Gram matrix
    mean_std: float = 0.0  # m: m C³ (‖μ − μ_A‖² + ‖σ − σ_A‖²) is added to the Gram matrices' distance
    least_variance: float | None = None  # added to every variance; None: LEAST_VARIANCE and LEAST_SHARE of the style's
    # Of Newton–Schulz for a root of a covariance, which so few leave unfinished; 0: the root itself.
    iterations: int = 0


DEFAULT = Details()


def by_moments(name: str, target: Statistics, details: Details = DEFAULT) -> Distance:
    """The distance of (μ, M) to this target."""
    made: dict[str, Callable[[Statistics, Details], Distance]] = {
        "gram": gram if not details.mean_std else gram_and_mean_std,
        "mean-std": mean_std,
        "covariance": covariance,
    }
    return made[name](target, details)


def shifted(mean: Tensor, moment: Tensor, s: float) -> Tensor:
    """The second moment of F + s: M + s(μ1ᵀ + 1μᵀ) + s²."""
    return moment if s == 0 else moment + s * (mean[:, None] + mean) + s**2


def gram(target: Statistics, details: Details = DEFAULT) -> Distance:
    """‖S − A‖² of the second moments (Gatys et al. 2016), of activations shifted by s (Novak & Nikulin 2016)."""
    shift = details.shift
    a = shifted(target.mean, target.moment, shift)

    def distance(mean: Tensor, moment: Tensor) -> Slope:
        difference = shifted(mean, moment, shift) - a
        by_mean = 4 * shift * difference.sum(1) if shift else None
        return Slope(difference.square().sum(), 2 * difference, by_mean)

    return distance


def gram_and_mean_std(target: Statistics, details: Details) -> Distance:
    """‖S − A‖² + m C³ (‖μ − μ_A‖² + ‖σ − σ_A‖²) (Galerne et al. 2024, whose layers weigh w = 1/C² and add
    w C² times the mean squares of means and deviations to w times that of Gram matrices)."""
    # Next to nothing is added to variances: it only keeps a channel without any from dividing by it.
    first, second = gram(target, details), mean_std(target, Details(least_variance=1e-8))
    factor = details.mean_std * len(target.mean) ** 3

    def distance(mean: Tensor, moment: Tensor) -> Slope:
        a, b = first(mean, moment), second(mean, moment)
        assert b.by_mean is not None
        by_mean = factor * b.by_mean if a.by_mean is None else a.by_mean + factor * b.by_mean
        return Slope(a.value + factor * b.value, a.by_moment + factor * b.by_moment, by_mean)

    return distance


def mean_std(target: Statistics, details: Details = DEFAULT) -> Distance:
    """‖μ − μ_A‖² + ‖σ − σ_A‖² (Li et al. 2017, Huang & Belongie 2017)."""
    least = _least_variance(target, details)

    def deviation(mean: Tensor, moment: Tensor) -> Tensor:
        return ((moment.diagonal() - mean.square()).clamp_min(0) + least).sqrt()

    sigma_a = deviation(target.mean, target.moment)

    def distance(mean: Tensor, moment: Tensor) -> Slope:
        sigma = deviation(mean, moment)
        value = (mean - target.mean).square().sum() + (sigma - sigma_a).square().sum()
        by_variance = (sigma - sigma_a) / sigma
        return Slope(value, by_variance.diag(), 2 * (mean - target.mean) - 2 * by_variance * mean)

    return distance


def covariance(target: Statistics, details: Details = DEFAULT) -> Distance:
    """‖μ − μ_A‖² + tr(C + C_A − 2(R C R)^½), where R = C_A^½: the Wasserstein distance of two normal distributions.

    Its slope by C is I − R (R C R)^−½ R.
    """
    least = _least_variance(target, details)

    def covered(mean: Tensor, moment: Tensor) -> Tensor:
        return moment - torch.outer(mean, mean) + least * torch.eye(len(mean), device=mean.device, dtype=mean.dtype)

    c_a = covered(target.mean, target.moment)
    root_a, _inverse = square_root(c_a, details.iterations)

    def distance(mean: Tensor, moment: Tensor) -> Slope:
        c = covered(mean, moment)
        root, inverse = square_root(product(product(root_a, c), root_a), details.iterations)
        value = (mean - target.mean).square().sum() + c.trace() + c_a.trace() - 2 * root.trace()
        by_covariance = -product(product(root_a, inverse), root_a)
        by_covariance.diagonal().add_(1)
        by_covariance = (by_covariance + by_covariance.T) / 2
        return Slope(value, by_covariance, 2 * (mean - target.mean) - 2 * by_covariance @ mean)

    return distance


def gap(statistic: str, details: Details, target: Statistics, own: Statistics) -> Tensor:
    """How far these statistics are from the target's. Distances that sort are about as large as that of covariances."""
    name = "covariance" if statistic in BY_SORTING else statistic
    wide = widest_float(own.mean.device)
    own, target = own.to(wide), target.to(own.mean.device).to(wide)
    return by_moments(name, target, details)(own.mean, own.moment).value


def _least_variance(target: Statistics, details: Details) -> Tensor:
    """Some even where the style is flat, and its variance nothing but rounding."""
    if details.least_variance is not None:
        return target.mean.new_tensor(details.least_variance)
    variance = target.moment.diagonal() - target.mean.square()
    return torch.maximum(LEAST_VARIANCE * variance.mean(), LEAST_SHARE * target.moment.diagonal().mean()).clamp_min(
        1e-30
    )


def square_root(a: Tensor, iterations: int = 0) -> tuple[Tensor, Tensor]:
    """A^½ and A^−½ of a positive definite matrix, or what so many iterations make of them. Eigenvalues are found in a
    quarter of the iteration's time on a CPU, and exactly; other devices are good at products only."""
    if a.device.type == "cpu":
        return by_eigenvalues(a, iterations)
    return unfinished_root(a, iterations) if iterations else newton_schulz(a)


def by_eigenvalues(a: Tensor, iterations: int = 0) -> tuple[Tensor, Tensor]:
    values, vectors = torch.linalg.eigh(a.double())
    if iterations:
        # What the iterations make of a matrix, they make of its eigenvalues.
        root, inverse = unfinished_root(values.clamp_min(0), iterations)
        return ((vectors * root) @ vectors.T).to(a), ((vectors * inverse) @ vectors.T).to(a)
    root = values.clamp_min(1e-12 * values[-1]).clamp_min(1e-30).sqrt()
    return ((vectors * root) @ vectors.T).to(a), ((vectors / root) @ vectors.T).to(a)


def newton_schulz(a: Tensor, iterations: int = ITERATIONS) -> tuple[Tensor, Tensor]:
    """The coupled iteration (Higham 2008, equation 6.35)."""
    eye = torch.eye(len(a), device=a.device, dtype=a.dtype)
    norm = a.norm().clamp_min(1e-30)
    y, z = a / norm, eye
    for _ in range(iterations):
        t = 1.5 * eye - product(0.5 * z, y)
        y, z = product(y, t), product(t, z)
    return y * norm.sqrt(), z / norm.sqrt()


def unfinished_root(a: Tensor, iterations: int) -> tuple[Tensor, Tensor]:
    """What so few iterations of Newton and Schulz make of A^½, and, in place of A^−½, twice the gradient of its trace
    as as many iterations of the Lyapunov equation X·dA + dA·X = dX give it (Lin & Maji 2017). Of a matrix, or of its
    eigenvalues (a vector): with those, products are number by number."""
    matrix = a.ndim == 2
    times = product if matrix else torch.mul
    eye = torch.eye(len(a), device=a.device, dtype=a.dtype) if matrix else torch.ones_like(a)
    norm = a.norm().clamp_min(1e-30)
    y, z = a / norm, eye
    for _ in range(iterations):
        t = 1.5 * eye - times(0.5 * z, y)
        y, z = times(y, t), times(t, z)
    root = y * norm.sqrt()
    norm = root.norm().clamp_min(1e-30)
    x, gradient = root / norm, eye / norm
    for _ in range(iterations):
        t = 1.5 * eye - times(0.5 * x, x)
        x, gradient = times(x, t), times(gradient, t)
    return root, gradient


@dataclass(frozen=True)
class Samples:
    """Features themselves, N rows of C, and how much each counts (None: all the same)."""

    rows: Tensor
    weights: Tensor | None = None

    def to(self, device: torch.device) -> Samples:
        return Samples(self.rows.to(device), None if self.weights is None else self.weights.to(device))

    def along(self, directions: Tensor | None, dtype: torch.dtype) -> Quantiles:
        """In every direction, or for every channel, sorted."""
        rows = self.rows.to(dtype)
        sorted_ = Quantiles.of((rows if directions is None else product(rows, directions)).T, self.weights)
        return Quantiles(sorted_.values, sorted_.shares, None, None)


def pooled(parts: list[tuple[float, Samples]]) -> Samples:
    """All of them together, each part having its share."""
    if len(parts) == 1:
        return parts[0][1]
    weights = []
    for share, s in parts:
        w = torch.ones(len(s.rows), device=s.rows.device) if s.weights is None else s.weights
        weights.append(w * (share / w.sum().clamp_min(1e-30)))
    return Samples(torch.cat([s.rows for _, s in parts]), torch.cat(weights))


@dataclass(frozen=True)
class Quantiles:
    """Sorted numbers, K rows of N, and for each the share of the whole that lies below it (half its own included):
    one row of shares for all where every number counts the same."""

    values: Tensor
    shares: Tensor
    order: Tensor | None
    weights: Tensor | None

    @staticmethod
    def of(x: Tensor, weights: Tensor | None) -> Quantiles:
        values, order = x.sort(dim=1)
        n = x.shape[1]
        if weights is None:
            return Quantiles(values, (torch.arange(n, device=x.device, dtype=x.dtype) + 0.5) / n, order, None)
        w = (weights / weights.sum().clamp_min(1e-30)).to(x.dtype)[order]
        return Quantiles(values, w.cumsum(1) - w / 2, order, w)

    def part(self, rows: slice) -> Quantiles:
        shares = self.shares if self.shares.ndim == 1 else self.shares[rows]
        return Quantiles(self.values[rows], shares, None, None)

    def at(self, shares: Tensor) -> Tensor:
        """The numbers below which these shares lie, in between by straight lines."""
        m = self.values.shape[1]
        if self.shares.ndim == 1 and shares.ndim == 1:
            place = (shares * m - 0.5).clamp(0, m - 1)
            low = place.long().clamp_max(max(m - 2, 0))
            below, above = self.values[:, low], self.values[:, (low + 1).clamp_max(m - 1)]
            return torch.lerp(below, above, place - low)
        rows = len(self.values)
        q, p = (s.expand(rows, -1).contiguous() for s in (self.shares, shares))
        high = torch.searchsorted(q, p).clamp(min(1, m - 1), m - 1)
        low = (high - 1).clamp_min(0)
        q_low, q_high = q.gather(1, low), q.gather(1, high)
        part = ((p - q_low) / (q_high - q_low).clamp_min(1e-30)).clamp(0, 1)
        return torch.lerp(self.values.gather(1, low), self.values.gather(1, high), part)


def by_sorting(
    f: Tensor, weights: Tensor | None, target: Samples | Quantiles, directions: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The distance of N rows of C to the target's, and its slope.

    Along one direction the least work keeps the order, so the distance is that of the sorted numbers. Directions are
    the columns of a C×K matrix of unit vectors, or the channels themselves if there is none; C/K of their sum is what
    all directions would come to. A target may be sorted already, along the same ones.
    """
    f = f.to(torch.promote_types(f.dtype, torch.float32))
    c = f.shape[1]
    k = c if directions is None else directions.shape[1]
    total = f.new_zeros(())
    slope = torch.zeros_like(f)
    per_turn = max(1, SORTED_AT_ONCE // len(f))
    for first in range(0, k, per_turn):
        turn = slice(first, min(first + per_turn, k))
        v = None if directions is None else directions[:, turn].to(f)
        value, back = _along(f, weights, target, v, turn)
        total = total + value

        def add(rows: slice, v: Tensor | None = v, back: Tensor = back, turn: slice = turn) -> None:
            if v is None:
                slope[rows, turn] = back[:, rows].T
            else:
                add_product(slope[rows], back[:, rows].T, v.T)

        each(add, strips(len(f), c, f.device))
    scale = c / k
    return total * scale, slope.mul_(scale)


def _along(
    f: Tensor, weights: Tensor | None, target: Samples | Quantiles, v: Tensor | None, turn: slice
) -> tuple[Tensor, Tensor]:
    """The work along each of these directions v (or for these channels), and its slope by F's shadows there."""
    parts = strips(turn.stop - turn.start, len(f), f.device, least=1 << 20)
    values = f.new_zeros(len(parts))
    back = f.new_empty(turn.stop - turn.start, len(f))

    def work(number: int) -> None:
        part = parts[number]
        some = slice(turn.start + part.start, turn.start + part.stop)
        u = None if v is None else v[:, part]
        x = (f[:, some] if u is None else product(f, u)).T
        ours = Quantiles.of(x, weights)
        assert ours.order is not None
        if isinstance(target, Quantiles):
            theirs = target.part(some)
        else:
            own = Samples(target.rows[:, some], target.weights) if u is None else target
            theirs = own.along(u, f.dtype)
        far = ours.values - theirs.at(ours.shares)
        pull = 2 * far * (1 / len(f) if ours.weights is None else ours.weights)
        values[number] = (far * pull).sum() / 2
        back[part] = torch.empty_like(x).scatter_(1, ours.order, pull)

    each(work, range(len(parts)))
    return values.sum(), back


def random_directions(c: int, k: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """Unit vectors as the columns of a C×K matrix; drawn on the CPU, so that they are the same on every device."""
    v = torch.randn(c, k, generator=generator)
    v /= v.norm(dim=0)
    # Pinned memory is fetched by a GPU when it comes to it; for other memory Python waits.
    return v.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else v.to(device)
