"""The nearest neighbours of many points, found by comparing them block by block."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ..network.fast import parallel_for

Tensor = torch.Tensor

# Of some points A, the rows, from some points B, the columns.
Distances = Callable[[slice, slice], Tensor]


def nearest_neighbours(distances: Distances, a: Tensor, b: Tensor, block: tuple[int, int]) -> Tensor:
    """For each of N points A the number of the nearest of M points B. Of their distances no more than a block of so
    many rows and columns exists at a time, for each thread."""
    found = torch.zeros(len(a), dtype=torch.long, device=a.device)

    def work(rows: slice) -> None:
        best: Tensor | None = None
        for columns in _parts(len(b), block[1]):
            least, number = distances(rows, columns).min(1)
            if best is None:
                best, found[rows] = least, number
                continue
            nearer = least < best
            best = torch.where(nearer, least, best)
            found[rows] = torch.where(nearer, number + columns.start, found[rows])

    parallel_for(work, _parts(len(a), block[0]))
    return found


def neighbours_both_ways(distances: Distances, a: Tensor, b: Tensor, block: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """The same, and for each B the number of the nearest A."""
    strips = len(_parts(len(a), block[0]))
    least = a.new_empty(strips, len(b))
    which = torch.empty(strips, len(b), dtype=torch.long, device=a.device)

    def noted(rows: slice, columns: slice) -> Tensor:
        far = distances(rows, columns)
        strip = rows.start // block[0]
        least[strip, columns], number = far.min(0)
        which[strip, columns] = number + rows.start
        return far

    to_b = nearest_neighbours(noted, a, b, block)
    return to_b, which.gather(0, least.argmin(0, keepdim=True))[0]


def _parts(count: int, size: int) -> list[slice]:
    return [slice(first, min(first + size, count)) for first in range(0, count, size)]
