"""Frames in, frames out: each is stylised from what the ones before it have become."""

from __future__ import annotations

import tempfile
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ..errors import NSTError, counted
from ..network.vgg import VGGFeatures
from ..objective.temporal import Temporal
from ..pictures.images import check_picture, resize, shape_of
from ..recipes import Adam, get_recipe
from ..run.levels import OWN_SIZE, target_shape, usual_steps
from ..run.progress import STOP, OnStep, Progress
from ..styles.grams import StyleGrams
from ..stylize import stylize
from .coherence import Coherence, Past, anchor, coloured
from .flow import dis_flow, opencv
from .frame import Frame
from .spool import Spool

# Of the steps that a picture has, for a frame that goes on from earlier ones.
SHARE = 0.2
# Of their results, where a recipe's steps are Adam's: it does not come to rest in so few.
AVERAGING = 0.9


def stylize_video(
    vgg: VGGFeatures,
    frames: Iterable[torch.Tensor],
    grams: StyleGrams,
    *,
    coherence: Coherence | None = None,
    protect: torch.Tensor | Iterable[torch.Tensor] | None = None,
    past: Sequence[Past] = (),
    first: int = 0,
    spool: Path | None = None,
    on_step: OnStep | None = None,
    **choices: Any,
) -> Iterator[Frame]:
    """Give every frame (1x3xHxW or 1x4xHxW, 0..1) the style of `grams`, so that it holds together with those before it.

    No more frames are held than `coherence.back` looks back to; with two passes a shot waits in files, in the folder
    `spool` if one is given. `protect` is one mask for all frames, or one for each. `choices` are those of `stylize`.
    To go on where another run ended, give the `past` of its last frames, in order, the number of the `first` frame to
    come, and the same `spool`. `on_step` is told the number of the frame as `picture`; where it returns STOP, no frame
    follows, and the one in work is dropped unless it is the only one. What a shot has become by then, when it is to be
    gone through twice, is `Spool(spool).waiting(number)`.
    """
    run = _Run(vgg, grams, coherence or Coherence(), choices, on_step)
    masks = _masks(protect, first)
    jobs = (_Given(number, given, next(masks)) for number, given in enumerate(frames, first))
    seen = deque((run.fitted_past(one) for one in past), maxlen=max(run.coherence.back))
    if run.coherence.passes == 1:
        yield from _one_pass(run, jobs, seen)
        return
    with ExitStack() as stack:
        folder = spool or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nst-")))
        yield from _two_passes(run, jobs, Spool(folder))


@dataclass(frozen=True, eq=False)
class _Given:
    number: int
    picture: torch.Tensor
    protect: torch.Tensor | None


def _one_pass(run: _Run, jobs: Iterable[_Given], seen: deque[Past]) -> Iterator[Frame]:
    alone = not seen
    for job in jobs:
        frame = run.forward(job, seen)
        if run.stopped and not alone:
            return
        if not frame.reliable:
            seen.clear()
        seen.append(frame.past)
        alone = False
        yield frame
        if run.stopped:
            return


def _two_passes(run: _Run, jobs: Iterable[_Given], spool: Spool) -> Iterator[Frame]:
    """Forwards through a shot, then backwards: what had entered at one border is carried to where it comes from, so
    that no border's drift is left (Ruder et al. 2016, section 4.4)."""
    seen: deque[Past] = deque(maxlen=max(run.coherence.back))
    shot: list[int] = []
    alone = True
    for job in jobs:
        frame = spool.frame("forward", job.number) or run.forward(job, seen)
        if run.stopped:
            if alone:
                yield frame
            return
        alone = False
        spool.keep("forward", frame, job.picture, job.protect)
        if not frame.reliable:
            yield from _backwards(run, spool, shot)
            shot = []
            seen.clear()
        if run.stopped:
            return
        seen.append(frame.past)
        shot.append(job.number)
    yield from _backwards(run, spool, shot)


def _backwards(run: _Run, spool: Spool, shot: list[int]) -> Iterator[Frame]:
    later: deque[Past] = deque(maxlen=max(run.coherence.back))
    for number in reversed(shot):
        once = spool.frame("forward", number)
        assert once is not None
        job = _Given(number, *spool.given(number))
        twice = spool.frame("backward", number) or (run.backward(job, once, later) if later else once)
        if run.stopped:
            return
        spool.keep("backward", twice)
        later.append(twice.past)
    for number in shot:
        frame = spool.frame("backward", number)
        assert frame is not None
        yield frame
        spool.drop(number)


class _Run:
    """What the frames of one call share."""

    def __init__(
        self,
        vgg: VGGFeatures,
        grams: StyleGrams,
        coherence: Coherence,
        choices: dict[str, Any],
        on_step: OnStep | None,
    ) -> None:
        self.vgg, self.grams, self.coherence, self.choices, self.on_step = vgg, grams, coherence, choices, on_step
        self.recipe = get_recipe(choices.get("recipe", "balanced"))
        self.flow = coherence.flow or dis_flow
        if coherence.flow is None:
            opencv()  # said now, not after the first frame
        self.stopped = False
        self.shape: tuple[int, int] | None = None  # of the first frame

    def forward(self, job: _Given, seen: Sequence[Past]) -> Frame:
        """A frame from those before it, or alone where a shot begins."""
        began = time.perf_counter()
        content = self.fitted(job.picture)
        self.check_size(job)
        temporal = anchor(content, self.near(seen), self.coherence, self.flow) if seen else None
        chosen = {} if temporal is None else self.fewer(content) | self.start(content, seen[-1])
        return self._stylised(job, content, temporal, began, chosen)

    def backward(self, job: _Given, once: Frame, later: Sequence[Past]) -> Frame:
        """A frame of the second pass, held to those after it; where they do not show it, to the first pass's
        result."""
        began = time.perf_counter()
        found = anchor(once.past.content, self.near(later), replace(self.coherence, cuts=False), self.flow)
        assert found is not None
        c = found.reliability
        temporal = replace(
            found,
            target=torch.lerp(once.past.painted, found.target, c),
            reliability=torch.ones_like(c),
            settled=torch.lerp(once.past.settled, found.settled, c),
        )
        chosen = {**self.fewer(once.past.content), "start": "image", "start_image": temporal.target, "scales": 1}
        return replace(
            self._stylised(job, once.past.content, temporal, began, chosen),
            reliable=once.reliable,
            seconds=once.seconds + time.perf_counter() - began,
        )

    def near(self, seen: Sequence[Past]) -> list[Past]:
        return [seen[-n] for n in self.coherence.back if n <= len(seen)]

    def fewer(self, content: torch.Tensor) -> dict[str, Any]:
        """What is chosen for a frame that goes on from others."""
        given = self.choices.get("steps")
        usual = usual_steps(shape_of(content), self.recipe, self.choices.get("scales"))
        steps = usual if given is None else given
        chosen: dict[str, Any] = {"steps": max(1, round(SHARE * steps)) if steps else 0}
        if self.coherence.steps is not None:
            chosen["steps"] = self.coherence.steps
        if self.choices.get("averaging") is None and isinstance(self.recipe.optimizer, Adam):
            chosen["averaging"] = max(AVERAGING, self.recipe.averaging)
        return chosen

    def start(self, content: torch.Tensor, before: Past) -> dict[str, Any]:
        """What is new in a frame starts from, where that would be the content."""
        given = self.choices.get("start"), self.choices.get("start_image")
        if given != ("content", None) and (given != (None, None) or self.recipe.start != "content"):
            return {}
        return {"start": "image", "start_image": coloured(content, before)}

    def check_size(self, job: _Given) -> None:
        """Flow and temporal term go from pixel to pixel."""
        h, w = shape_of(job.picture)
        self.shape = self.shape or (h, w)
        if (h, w) != self.shape:
            raise NSTError(
                f"frames: frame {job.number + 1} is {w}×{h}, and those before it {self.shape[1]}×{self.shape[0]}; "
                "give frames of one size."
            )

    def fitted(self, given: torch.Tensor) -> torch.Tensor:
        """The frame in the result's size."""
        picture = check_picture(given, "frames")
        if len(picture) != 1:
            raise NSTError(f"frames: a batch of {len(picture)} pictures instead of one frame; give them one by one.")
        size = self.choices.get("size", OWN_SIZE)
        return resize(picture, target_shape(shape_of(picture), size, self.recipe, self.vgg.device))

    def fitted_past(self, past: Past) -> Past:
        return replace(past, content=self.fitted(past.content))

    def _stylised(
        self, job: _Given, content: torch.Tensor, temporal: Temporal | None, began: float, chosen: dict[str, Any]
    ) -> Frame:
        result = stylize(
            self.vgg,
            job.picture,
            self.grams.of_picture(job.number),
            **{**self.choices, **chosen},
            protect=job.protect,
            temporal=temporal,
            on_step=self._reporter(job.number),
        )
        assert result.painted is not None
        return Frame(
            job.number,
            result.image,
            Past(content, result.painted, _settled(result.painted, temporal)),
            0.0 if temporal is None else max(1e-9, float(temporal.reliability.mean())),
            result.history,
            result.settings,
            result.notes,
            time.perf_counter() - began,
        )

    def _reporter(self, number: int) -> OnStep:
        def on_step(progress: Progress) -> object:
            answer = None if self.on_step is None else self.on_step(replace(progress, picture=number))
            self.stopped = self.stopped or answer is STOP
            return answer

        return on_step


def _settled(painted: torch.Tensor, temporal: Temporal | None) -> torch.Tensor:
    """How near to its end every place is, now that it has had a frame's steps more."""
    if temporal is None:
        return torch.ones_like(painted[:, :1])
    return (temporal.hold + SHARE).clamp(max=1)


def _masks(protect: torch.Tensor | Iterable[torch.Tensor] | None, first: int) -> Iterator[torch.Tensor | None]:
    """One for every frame from the first on; a mask that covers nothing protects nothing."""
    if protect is None or (isinstance(protect, torch.Tensor) and (protect.ndim == 2 or len(protect) == 1)):
        while True:
            yield protect
    given = protect[first:] if isinstance(protect, torch.Tensor) else protect
    count = first
    for mask in given:
        yield mask if bool((mask > 0).any()) else None
        count += 1
    raise NSTError(
        f"protect: {counted(count, 'mask')}, and the clip has more frames; give one for all, or one for each frame."
    )
