"""The distances that sort: of every channel by itself (Risser et al. 2017), and of the features' shadows in random
directions (Heitz et al. 2021)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from ..network.exact import add_matmul, matmul
from ..network.fast import parallel_for, strips
from ..system.devices import sent

Tensor = torch.Tensor

SORTED_AT_ONCE = 1 << 22  # numbers


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
        sorted_ = Quantiles.of((rows if directions is None else matmul(rows, directions)).T, self.weights)
        return Quantiles(sorted_.values, sorted_.shares, None, None)


def merged(parts: list[tuple[float, Samples]]) -> Samples:
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
    """Sorted numbers, K rows of N, and for each the share of the whole that lies below it (half of itself included):
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
            index = (shares * m - 0.5).clamp(0, m - 1)
            low = index.long().clamp_max(max(m - 2, 0))
            below, above = self.values[:, low], self.values[:, (low + 1).clamp_max(m - 1)]
            return torch.lerp(below, above, index - low)
        rows = len(self.values)
        q, p = (s.expand(rows, -1).contiguous() for s in (self.shares, shares))
        high = torch.searchsorted(q, p).clamp(min(1, m - 1), m - 1)
        low = (high - 1).clamp_min(0)
        q_low, q_high = q.gather(1, low), q.gather(1, high)
        part = ((p - q_low) / (q_high - q_low).clamp_min(1e-30)).clamp(0, 1)
        return torch.lerp(self.values.gather(1, low), self.values.gather(1, high), part)


def sorted_distance(
    f: Tensor, weights: Tensor | None, target: Samples | Quantiles, directions: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The distance of N rows of C to the target's, and its gradient.

    Along one direction the least work keeps the order, so the distance is that of the sorted numbers. Directions are
    the columns of a C×K matrix of unit vectors, or the channels themselves if there is none; their sum is scaled by C/K
    to estimate that of C directions. A target may be sorted already, along the same ones.
    """
    f = f.to(torch.promote_types(f.dtype, torch.float32))
    c = f.shape[1]
    k = c if directions is None else directions.shape[1]
    total = f.new_zeros(())
    gradient = torch.zeros_like(f)
    at_once = max(1, SORTED_AT_ONCE // len(f))
    for first in range(0, k, at_once):
        some = slice(first, min(first + at_once, k))
        v = None if directions is None else directions[:, some].to(f)
        value, along = _along(f, weights, target, v, some)
        total = total + value

        def add(rows: slice, v: Tensor | None = v, along: Tensor = along, some: slice = some) -> None:
            if v is None:
                gradient[rows, some] = along[:, rows].T
            else:
                add_matmul(gradient[rows], along[:, rows].T, v.T)

        parallel_for(add, strips(len(f), c, f.device))
    scale = c / k
    return total * scale, gradient.mul_(scale)


def _along(
    f: Tensor, weights: Tensor | None, target: Samples | Quantiles, v: Tensor | None, channels: slice
) -> tuple[Tensor, Tensor]:
    """The work along each of these directions v (or for these channels), and its gradient by F's shadows there."""
    count = channels.stop - channels.start
    parts = strips(count, len(f), f.device, least=1 << 20)
    values = f.new_zeros(len(parts))
    gradient = f.new_empty(count, len(f))

    def work(number: int) -> None:
        part = parts[number]
        some = slice(channels.start + part.start, channels.start + part.stop)
        u = None if v is None else v[:, part]
        x = (f[:, some] if u is None else matmul(f, u)).T
        ours = Quantiles.of(x, weights)
        assert ours.order is not None
        if isinstance(target, Quantiles):
            theirs = target.part(some)
        else:
            there = Samples(target.rows[:, some], target.weights) if u is None else target
            theirs = there.along(u, f.dtype)
        far = ours.values - theirs.at(ours.shares)
        grad_x = 2 * far * (1 / len(f) if ours.weights is None else ours.weights)
        values[number] = (far * grad_x).sum() / 2
        gradient[part] = torch.empty_like(x).scatter_(1, ours.order, grad_x)

    parallel_for(work, range(len(parts)))
    return values.sum(), gradient


def random_directions(c: int, k: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """Unit vectors as the columns of a C×K matrix; drawn on the CPU, so that they are the same on every device."""
    v = torch.randn(c, k, generator=generator)
    v /= v.norm(dim=0)
    return sent(v, device)


# By statistic, the directions along which features of C channels are sorted; None: every channel by itself.
DIRECTIONS: dict[str, Callable[[int, torch.Generator, torch.device], Tensor] | None] = {
    "histogram": None,
    "sliced": lambda c, generator, device: random_directions(c, c, generator, device),
}
