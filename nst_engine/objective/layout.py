"""How a picture is worked on with so much memory free: in one pass or by tiles."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from ..errors import NSTError
from ..network.vgg import Network
from ..recipes import LBFGS, Recipe
from ..statistics.distances import BY_FEATURES, BY_MOMENTS, BY_SORTING
from .footprint import NO_EXTRAS, PICTURE, SMALLEST_TILE, ExtraMemory, Footprint, Taps, footprint

# Of what is free; the rest is for what nobody foresees: fragmentation, libraries' workspaces, other programs.
USABLE_SHARE = 0.8
# A pass that keeps one block of memory for the next (`Arena`) can need this many times the memory of one that frees it,
# because other tensors cannot use its free parts. Only where there is plenty.
AMPLE = 1.7
# An L-BFGS that remembers less than this is no longer worth its name.
SHORTEST_HISTORY = 4


@dataclass(frozen=True)
class Layout:
    """How a picture is worked on: in one pass (`tile` is None) or by tiles, with the content's features kept or
    computed again at every step, how much L-BFGS remembers, and whether there is memory enough to keep it from pass to
    pass."""

    tile: int | None = None
    keep_content: bool = True
    history: int = 0
    ample: bool = False

    def smaller(self, shape: tuple[int, int], around: int) -> Layout | None:
        """With half the tile, or without the content's features, whichever takes less time with a margin so wide; none
        if there is nothing left to save."""
        tile = self.tile or max(shape)
        choices = []
        if tile > SMALLEST_TILE:
            choices.append(replace(self, tile=max(SMALLEST_TILE, tile // 2), ample=False))
        if self.tile is not None and self.keep_content:
            choices.append(replace(self, keep_content=False, ample=False))
        return min(choices, key=lambda c: _time(c, around), default=None)


def lay_out(
    network: Network,
    recipe: Recipe,
    taps: Taps,
    shape: tuple[int, int],
    tile: int | str | None,
    free: int,
    extras: ExtraMemory = NO_EXTRAS,
) -> Layout:
    """One pass where it fits into what is free; else the tiles and the treatment of the content that take the least
    time. L-BFGS's memory comes first, being the largest, but takes no more than half."""
    budget = USABLE_SHARE * free
    history = 0
    if isinstance(recipe.optimizer, LBFGS):
        history = int(budget / 2 / (2 * PICTURE * shape[0] * shape[1]))
        history = max(SHORTEST_HISTORY, min(recipe.optimizer.history, history))
        recipe = replace(recipe, optimizer=replace(recipe.optimizer, history=history))
    _check_tile(tile, recipe.statistic)
    footprints = {keep: footprint(network, recipe, taps, keep, extras) for keep in (True, False)}

    def layout(tile: int | None, keep: bool) -> Layout:
        return Layout(tile, keep, history, AMPLE * footprints[keep].total(shape, tile) <= budget)

    if isinstance(tile, int):
        return layout(tile, footprints[True].total(shape, tile) <= budget)
    if tile is None or footprints[True].total(shape) <= budget:
        return layout(None, True)
    if recipe.statistic in BY_FEATURES:
        raise _too_large_at_once(footprints[True], shape, budget, recipe.statistic)
    choices = [
        layout(largest, keep)
        for keep, memory in footprints.items()
        if (largest := memory.largest_tile(shape, budget)) is not None
    ]
    if not choices:
        least = footprints[False]
        raise NSTError(
            f"size: {shape[1]}×{shape[0]} pixels take {least.total(shape, SMALLEST_TILE) / 2**30:.1f} GB even by "
            f"tiles, and {budget / 2**30:.1f} GB are free. {_that_fits(least.largest_long_side(shape, budget))}."
        )
    return min(choices, key=lambda c: _time(c, footprints[True].margin))


def _check_tile(tile: int | str | None, statistic: str) -> None:
    if isinstance(tile, str) and tile != "auto":
        raise NSTError(f"tile: {tile!r} is not a tile size; give pixels, 'auto', or None for one pass.")
    if isinstance(tile, int) and statistic in BY_FEATURES:
        raise NSTError(
            f"tile: the statistic {statistic!r} {does_at_once(statistic)} the whole picture's features, which tiles "
            f"cannot do. Leave tile at its default, or choose a statistic that is a sum: {', '.join(BY_MOMENTS)}."
        )


def does_at_once(statistic: str) -> str:
    return "sorts" if statistic in BY_SORTING else "matches"


def _too_large_at_once(memory: Footprint, shape: tuple[int, int], budget: float, statistic: str) -> NSTError:
    total = memory.total(shape) / 2**30
    reason = f"take {total:.1f} GB; {budget / 2**30:.1f} GB are free" if total < math.inf else "are too many for a GPU"
    return NSTError(
        f"size: the statistic {statistic!r} {does_at_once(statistic)} the whole picture's features, which tiles cannot "
        f"do, and {shape[1]}×{shape[0]} pixels in one pass {reason}. "
        f"{_that_fits(memory.largest_in_one_pass(shape, budget))}, or a statistic that is a sum: "
        f"{', '.join(BY_MOMENTS)}."
    )


def _that_fits(long_side: int) -> str:
    return f"A long side of {long_side} would do" if long_side else "No size would do, but more free memory"


def _time(layout: Layout, around: int) -> float:
    """A step by tiles, relative to one in one pass: a forward pass more for the statistics, and one for targets that
    are not kept."""
    assert layout.tile is not None
    forward = 0.37  # of a step, as measured on a CPU; the rest is the way back
    return (1 + forward * (1 if layout.keep_content else 2)) * ((layout.tile + 2 * around) / layout.tile) ** 2
