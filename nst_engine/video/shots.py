"""Shots of a clip, found before anything is made of it, so that they can be worked on apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import torch

from ..errors import NSTError
from ..pictures.images import resize, shape_of
from .coherence import cut_between
from .flow import Flow, dis_flow
from .source import Part, Source

SIDE = 256  # of the frames that are compared; in larger ones cuts are no plainer


@dataclass(frozen=True)
class Shot:
    """Where in its clip a shot begins, and how long it is."""

    first: int  # the number of its first frame
    count: int
    start: Fraction  # seconds since the beginning of the clip
    end: Fraction | None  # None: with the clip

    @property
    def part(self) -> Part:
        return Part(self.start, self.end, first=self.first)


def find_shots(source: Source, on_frame: Callable[[int], object], flow: Flow | None = dis_flow) -> list[Shot]:
    """Every shot of a clip that can be read to its end. Without a `flow` all of it is one."""
    broken: list[str] = []
    starts: list[tuple[int, Fraction]] = []
    count = 0
    before: torch.Tensor | None = None
    for shown in source.frames(Part(), broken.append):
        assert shown.time is not None
        small = _small(shown.pixels)
        if before is None or (flow and cut_between(before, small, flow)):
            starts.append((shown.number, shown.time))
        before, count = small, shown.number + 1
        on_frame(count)
    if broken:
        raise NSTError(f"{broken[0]}; nst video makes what comes before that.")
    return list(_between(starts, count))


def _between(starts: list[tuple[int, Fraction]], count: int) -> Iterator[Shot]:
    for (first, start), (after, end) in zip(starts, [*starts[1:], (count, None)], strict=True):
        yield Shot(first, after - first, start, end)


def _small(pixels: torch.Tensor) -> torch.Tensor:
    height, width = shape_of(pixels)
    scale = min(1.0, SIDE / max(height, width))
    return resize(pixels, (max(1, round(height * scale)), max(1, round(width * scale))))
