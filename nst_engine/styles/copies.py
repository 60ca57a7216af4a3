"""Copies of a style picture, mirrored, turned or rescaled, that are measured with it as one style."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from ..errors import NSTError
from ..pictures.images import Shape
from ..statistics.distances import Statistics, weighted_mean


@dataclass(frozen=True)
class Copy:
    """Right angles only, so that no corner has to be made up."""

    quarter_turns: int = 0
    mirrored: bool = False
    scale: float = 1.0

    def shape(self, shape: Shape) -> Shape:
        """Before it is turned, where the picture itself is measured at this one."""
        height, width = (max(1, round(side * self.scale)) for side in shape)
        return height, width

    def of(self, pixels: torch.Tensor) -> torch.Tensor:
        """Mirrored and turned; of pictures and masks alike."""
        return (pixels.flip(3) if self.mirrored else pixels).rot90(self.quarter_turns, (2, 3))


AS_IT_IS = Copy()
_TURNS = range(4)
# The picture itself comes first.
COPIES: dict[str, tuple[Copy, ...]] = {
    "none": (AS_IT_IS,),
    "mirrored": (AS_IT_IS, Copy(mirrored=True)),
    "rotated": tuple(map(Copy, _TURNS)),
    "rotated-mirrored": tuple(Copy(turns, mirrored) for mirrored in (False, True) for turns in _TURNS),
    "rescaled": (AS_IT_IS, Copy(scale=2**-0.5), Copy(scale=2**0.5)),
}


def in_four_rotations(copies: str) -> tuple[Copy, ...]:
    """Each in all four directions."""
    return tuple(dict.fromkeys(replace(copy, quarter_turns=turns) for copy in COPIES[copies] for turns in _TURNS))


def check_copies(copies: str) -> str:
    if copies not in COPIES:
        raise NSTError(f"copies: {copies!r} is not one of {', '.join(COPIES)}.")
    return copies


def averaged(measured: list[dict[str, Statistics]]) -> dict[str, Statistics]:
    """The mean of what the copies have at each tap, as if they lay side by side in one picture. Where a mask leaves
    nothing of a copy, it is the others'."""
    taps = dict.fromkeys(tap for statistics in measured for tap in statistics)
    there = {tap: [statistics[tap] for statistics in measured if tap in statistics] for tap in taps}
    return {tap: weighted_mean([(1 / len(found), statistics) for statistics in found]) for tap, found in there.items()}
