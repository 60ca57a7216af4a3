"""Hypercolumns, and the nearest of a style's (Kolkin et al. 2022, section 3).

A hypercolumn is what several layers see at one position: their features, brought to one grid and put one after the
other. Of two clouds of them, each with its mean removed, the nearest is the one at the least angle.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import torch
import torch.nn.functional as F

from ..network.architecture import channels, stride
from ..network.exact import matmul
from .neighbours import nearest_neighbours

Tensor = torch.Tensor

# The paper's grid: a position for every fourth pixel.
GRID_STRIDE = 4
# Of a style, in all copies: more are drawn from, which bounds the memory of a match and keeps its time in proportion to
# the picture.
MOST_HYPERCOLUMNS = 1 << 16
COSINES_AT_ONCE = 1 << 22  # in memory, for each thread
# Features shorter than this have no direction: those of a flat picture, say, which are their own mean but for rounding.
NO_LENGTH = 1e-6


def grid_tap(taps: Iterable[str]) -> str:
    """The layer whose positions are the hypercolumns'."""
    return min(taps, key=lambda tap: (abs(math.log2(stride(tap) / GRID_STRIDE)), stride(tap)))


def to_grid(features: Tensor, tap: str, grid: str, shape: tuple[int, int]) -> Tensor:
    """A tap's features at the positions of another, which has this height and width: means over what is finer, straight
    lines between what is coarser."""
    if stride(tap) == stride(grid):
        return features
    if stride(tap) < stride(grid):
        return _means(features, stride(grid) // stride(tap))
    return F.interpolate(features, size=shape, mode="bilinear", align_corners=False)


def from_grid(gradient: Tensor, tap: str, grid: str, shape: tuple[int, int]) -> Tensor:
    """The way back: the gradient by the tap's features, which have this height and width."""
    if stride(tap) == stride(grid):
        return gradient
    if stride(tap) > stride(grid):
        size = [*gradient.shape[:2], *shape]
        back: Tensor = torch.ops.aten.upsample_bilinear2d_backward(gradient, gradient.shape[-2:], size, False)
        return back
    return _spread(gradient, stride(grid) // stride(tap), shape)


def _means(features: Tensor, window: int) -> Tensor:
    """Of so many positions down and across. The last window has those that are left at the end as well: if they counted
    nowhere, nothing would say what the picture is to be there."""
    if not any(side % window for side in features.shape[2:]):
        return F.avg_pool2d(features, window)
    for dim in (2, 3):
        count, last = _windows(features.shape[dim], window)
        whole, end = features.split([count * window, last], dim)
        means = whole.unflatten(dim, (count, window)).mean(dim + 1)
        features = torch.cat((means, end.mean(dim, keepdim=True)), dim)
    return features


def _spread(gradient: Tensor, window: int, shape: tuple[int, int]) -> Tensor:
    """The way back."""
    if not any(side % window for side in shape):
        return F.interpolate(gradient / window**2, scale_factor=window, mode="nearest")
    for dim, side in zip((2, 3), shape, strict=True):
        count, last = _windows(side, window)
        whole, end = (gradient / length for length in (window, last))
        whole, end = whole.narrow(dim, 0, count), end.narrow(dim, count, 1)
        gradient = torch.cat((whole.repeat_interleave(window, dim), end.repeat_interleave(last, dim)), dim)
    return gradient


def _windows(side: int, window: int) -> tuple[int, int]:
    """How many there are before the last one, and how long that is."""
    count = side // window - 1
    return count, side - count * window


def nearest_by_cosine(
    ours: Tensor, theirs: Tensor, weights: Tensor | None = None, on_block: Callable[[], object] | None = None
) -> Tensor:
    """For each of N rows the number of the row of M at the least cosine distance, each side's mean removed. `weights`
    say how much each of ours counts for their mean; `on_block` is called before each block of COSINES_AT_ONCE."""
    means = _mean(ours, weights), _mean(theirs, None)

    def distances(rows: slice, columns: slice) -> Tensor:
        if on_block is not None:
            on_block()
        # Anew for every block: as nothing beside the product, and no second copy of a large style.
        a, b = _directions(ours[rows], means[0]), _directions(theirs[columns], means[1])
        return matmul(a, b.T).neg_()

    side = math.isqrt(COSINES_AT_ONCE)
    return nearest_neighbours(distances, ours, theirs, (side, side))


def _mean(rows: Tensor, weights: Tensor | None) -> Tensor:
    rows = rows.float()
    return rows.mean(0) if weights is None else (rows * weights[:, None]).sum(0) / weights.sum().clamp_min(1e-30)


def _directions(rows: Tensor, mean: Tensor) -> Tensor:
    return F.normalize(rows.float() - mean, dim=1, eps=NO_LENGTH)


def bytes_of_matches(taps: Sequence[str], itemsize: int, regions: Sequence[int]) -> tuple[float, float, float]:
    """What matches with so many of each region's hypercolumns take: whatever the picture's size, these, and those of
    one region once more joined; for each pixel in the network, a layer's features on the grid and their gradient; for
    each pixel of the picture, the targets, and the content's hypercolumns in three forms while these are made."""
    grid = grid_tap(taps)
    wide = 4 * sum(map(channels, taps))
    at_work = COSINES_AT_ONCE + math.isqrt(COSINES_AT_ONCE) * wide  # cosines, and directions of both sides, twice
    style = (sum(regions) + max(regions)) * wide + 4 * at_work * torch.get_num_threads()
    targets = (3 * wide + wide * itemsize / 4) / stride(grid) ** 2
    return style, 4 * itemsize * max(map(channels, taps)) / stride(grid) ** 2, targets
