"""How large the result is made, and through which sizes the run goes to get there."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from ..errors import NSTError
from ..pictures.images import LARGEST_SIDE, fit_area, fit_long, fit_short
from ..recipes import Ladder, Pass, Recipe

MOST_SCALES = 20  # from 16384 pixels down to 23

# `size`: a long side in pixels, or one of these.
OWN_SIZE = 0
RECIPE_SIZE = -1


@dataclass(frozen=True)
class Level:
    shape: tuple[int, int]
    fraction: float  # of the final size
    steps: int
    rematch: int = 0  # of the refinement


def target_shape(own: tuple[int, int], size: int, recipe: Recipe, device: torch.device) -> tuple[int, int]:
    """Height and width of the result."""
    if not RECIPE_SIZE <= size <= LARGEST_SIDE:
        raise NSTError(
            f"size: {size} is not a size; give the long side in pixels, up to {LARGEST_SIDE}, "
            "or 0 for the content's own."
        )
    if size > 0:
        return fit_long(own, size)
    if size == OWN_SIZE:
        return own
    pixels = recipe.size.pixels_on(device)
    if recipe.size.rule == "squash":
        return pixels[0], pixels[1]
    if recipe.size.rule == "long":
        return fit_long(own, min(pixels[0], max(own)))
    if recipe.size.rule == "long-exact":
        return fit_long(own, pixels[0])
    if recipe.size.rule == "area":
        return fit_area(own, pixels[0] ** 2)
    return fit_short(own, pixels[0])


def stroke_side(stroke_size: float, side: int) -> int:
    """The long side at which styles are measured for a result with this long side; `stroke_size` 1 is the same."""
    return min(LARGEST_SIDE, max(1, round(stroke_size * side)))


def usual_steps(shape: tuple[int, int], recipe: Recipe, scales: int | None = None, least: int = 1) -> int:
    """How many a picture of this size takes when nobody says otherwise."""
    if not recipe.ladder or scales is not None:
        return recipe.steps
    refining = recipe.refinement.steps if recipe.refinement else 0
    return sum(_steps_of_rungs(shape, recipe.ladder, least)) + refining


def _steps_of_rungs(shape: tuple[int, int], ladder: Ladder, least: int) -> list[int]:
    """Level by level; none has less than `least` pixels on a side, except the last."""
    side = max(shape) if ladder.side == "long" else min(shape)
    count = 1
    while (f := 2 ** (-count / ladder.per_doubling)) * side >= ladder.least and round(f * min(shape)) >= least:
        count += 1
    return [ladder.steps[min(number, len(ladder.steps) - 1)] for number in range(count)]


def _rungs(shape: tuple[int, int], ladder: Ladder, least: int) -> tuple[Pass, ...]:
    steps = _steps_of_rungs(shape, ladder, least)
    fractions = [2 ** (-number / ladder.per_doubling) for number in reversed(range(len(steps)))]
    return tuple(Pass(f, n / sum(steps)) for f, n in zip(fractions, steps, strict=True))


def _passes(shape: tuple[int, int], recipe: Recipe, scales: int | None, least: int) -> tuple[Pass, ...]:
    """The recipe's, as `Recipe` has them, or `scales` of them √2 apart with more steps where they are cheap."""
    if scales is None and recipe.ladder:
        return _rungs(shape, recipe.ladder, least)
    if scales is None and recipe.coarsest:
        scales = min(MOST_SCALES, 1 + max(0, round(2 * math.log2(max(shape) / recipe.coarsest))))
        while scales > 1 and round(min(shape) * 2 ** ((1 - scales) / 2)) < least:
            scales -= 1
    if scales is None:
        return recipe.passes
    if not 1 <= scales <= MOST_SCALES:
        raise NSTError(f"scales: {scales} is not a number of levels; give 1 to {MOST_SCALES}.")
    fractions = [2 ** (-k / 2) for k in reversed(range(scales))]
    total = sum(1 / f for f in fractions)
    return tuple(Pass(f, 1 / f / total) for f in fractions)


def levels_of(shape: tuple[int, int], recipe: Recipe, scales: int | None, grid: int = 1, least: int = 1) -> list[Level]:
    """Coarse to fine. Sides are multiples of `grid`; a recipe's own choice has no levels with less than `least` pixels
    on a side, but for the last."""
    passes = _passes(shape, recipe, scales, least)
    refinement = recipe.refinement
    if refinement:
        # With a user's own levels, of what the ladder comes to at the recipe's own size.
        side = max(recipe.size.pixels)
        usual = usual_steps(shape if scales is None else (side, side), recipe, None, least)
        share = min(1.0, refinement.steps / max(1, usual))
        passes = (*(Pass(p.fraction, p.share * (1 - share)) for p in passes), Pass(1.0, share))
    levels = []
    done = 0.0
    for p in passes:
        first, done = done, done + p.share
        steps = round(done * recipe.steps) - round(first * recipe.steps)
        height, width = (max(1, round(side * p.fraction / grid)) * grid for side in shape)
        # A level without steps would only blur what the next one starts from.
        if steps or p is passes[-1]:
            rematch = refinement.rematch if refinement and p is passes[-1] else 0
            levels.append(Level((height, width), p.fraction, steps, rematch))
    return levels
