"""How far a run is: what its callbacks are told, and what is kept of every step."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass

import torch

from ..objective.objective import Terms
from ..pictures.images import small_copy
from .levels import Level

STOP = object()


@dataclass(frozen=True)
class Step:
    """One evaluation: the weighted terms before update `step`, whose sum is `total`."""

    step: int
    level: int
    total: float
    content: float
    style: float
    tv: float
    seconds: float  # since the run began
    temporal: float = 0.0  # of a frame of a moving picture


@dataclass
class Position:
    """How far a run is; within a step, too, where that is done by tiles."""

    step: int  # steps done of this picture
    steps: int
    level: int
    levels: int
    picture: int
    pictures: int
    tile: int = 0  # tiles done of the step that is under way
    tiles: int = 0
    shape: tuple[int, int] = (0, 0)  # height and width at this level
    share: float = 0.0  # done of the whole run, where a step counts by its pixels

    @property
    def done(self) -> float:
        """Steps, of all `steps` · `pictures`."""
        within = self.tile / self.tiles if self.tiles else 0
        return self.picture * self.steps + self.step + within


@dataclass
class Progress(Position):
    """What `on_step` is told. Reading the loss or a picture waits for the device; nothing else does."""

    _: KW_ONLY
    terms: Terms
    _pixels: Callable[[], torch.Tensor]

    @property
    def image(self) -> torch.Tensor:
        """The picture as it is now, 1x3xHxW in 0..1 on the CPU; its colours are kept only when it is finished."""
        return self._pixels().cpu().clone()

    def preview(self, side: int) -> torch.Tensor:
        """The same, no larger than `side`: reduced before it leaves the device."""
        return small_copy(self._pixels(), side)

    @property
    def total(self) -> float:
        return float(self.terms.total)


OnStep = Callable[[Progress], object]
OnTile = Callable[[Position], object]


class Reporter:
    """Tells the caller how far a run is, and keeps the terms of every step."""

    def __init__(
        self,
        levels: Sequence[Level],
        pictures: int = 1,
        on_step: OnStep | None = None,
        on_tile: OnTile | None = None,
    ) -> None:
        self.levels, self.pictures = levels, pictures
        self.steps = sum(level.steps for level in levels)
        self.on_step, self.on_tile = on_step, on_tile
        self.level = 0
        self.stopped = False  # as `on_step` wished
        self.histories: list[list[Step]] = []
        self.tiles: dict[int, int | None] = {}  # by level, as they were in the end
        self.notes: list[str] = []
        self._taken: list[tuple[int, Terms, float]] = []  # level, terms and seconds of each step of this picture
        self._began = time.perf_counter()

    @property
    def step(self) -> int:
        """Steps done of this picture."""
        return len(self._taken)

    def position(self, tile: int = 0, tiles: int = 0) -> Position:
        done, levels = len(self.histories), len(self.levels)
        share = (done + self._share(tile / tiles if tiles else 0)) / self.pictures
        shape = self.levels[self.level].shape
        return Position(self.step, self.steps, self.level, levels, done, self.pictures, tile, tiles, shape, share)

    def _share(self, within: float) -> float:
        """How much of this picture's work is done, `within` of the step that is under way."""
        costs = [level.shape[0] * level.shape[1] for level in self.levels]
        whole = sum(cost * level.steps for cost, level in zip(costs, self.levels, strict=True))
        earlier = self.levels[: self.level]
        steps = self.step - sum(level.steps for level in earlier) + within
        before = sum(cost * level.steps for cost, level in zip(costs, earlier, strict=False))
        return (before + costs[self.level] * steps) / whole if whole else 1.0

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def tile_done(self, tile: int, tiles: int) -> None:
        if self.on_tile is not None:
            self.on_tile(self.position(tile, tiles))

    def record(self, terms: Terms) -> None:
        self._taken.append((self.level, terms, time.perf_counter() - self._began))

    def tell(self, terms: Terms, pixels: Callable[[], torch.Tensor]) -> None:
        if self.on_step is not None:
            progress = Progress(**vars(self.position()), terms=terms, _pixels=pixels)
            if self.on_step(progress) is STOP:
                self.stopped = True

    def diverged_at(self) -> int | None:
        """The first step whose loss is not finite, if the last one's is not. Waits for the device."""
        if not self._taken or math.isfinite(float(self._taken[-1][1].total)):
            return None
        return next(step for step, (_, terms, _) in enumerate(self._taken) if not math.isfinite(float(terms.total)))

    def end_picture(self) -> None:
        """Its history is complete, and the next picture's begins."""
        self.histories.append([_step(number, *taken) for number, taken in enumerate(self._taken)])
        self._taken = []


def _step(number: int, level: int, terms: Terms, seconds: float) -> Step:
    total, content, style, tv = (float(term) for term in (terms.total, terms.content, terms.style, terms.tv))
    return Step(number, level, total, content, style, tv, seconds, float(terms.temporal))
