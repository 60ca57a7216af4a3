"""One picture from its start to the end: level by level, and on each level step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F

from ..errors import NSTError
from ..network.precision import name_of
from ..objective.build import build
from ..objective.footprint import ExtraMemory
from ..objective.layout import Layout
from ..objective.setup import Setup
from ..pictures.images import resize
from ..recipes import LBFGS, Adam
from ..system.devices import kind_of
from .canvas import Canvas
from .cuda_graphs import Recorded, capture_cuda_graph, worth_recording
from .evaluator import Evaluator, ValueAndGrad, smaller_layout
from .levels import Level
from .optim import Finished, adam, lbfgs
from .picture import Picture
from .progress import Reporter
from .starts import start_pixels

# Asking a GPU whether the loss is finite waits for it, so that is done once in so many steps, and at the end.
PATIENCE = 16


@dataclass(frozen=True)
class Budget:
    """The memory that a run may take, and what takes some of it beside pictures and features."""

    tile: int | str | None
    free: int  # bytes
    extras: ExtraMemory


@dataclass(frozen=True, eq=False)
class Run:
    """What the pictures of one call share."""

    setup: Setup
    levels: Sequence[Level]
    budget: Budget
    start_mix: float = 0.0

    def layout(self, number: int) -> Layout:
        """Of this level; an error where it cannot be done at all."""
        setup, optimizer = self.setup, self.setup.recipe.optimizer
        if isinstance(optimizer, LBFGS) and number > 0:
            later = min(optimizer.history, optimizer.later_history)
            setup = replace(setup, recipe=replace(setup.recipe, optimizer=replace(optimizer, history=later)))
        return setup.lay_out(self.levels[number].shape, self.budget.tile, self.budget.free, self.budget.extras)


def paint(run: Run, picture: Picture, report: Reporter) -> torch.Tensor:
    """The picture that the last level ends with, on the CPU."""
    setup = run.setup
    canvas = Canvas(setup.recipe, setup.network.device)
    # The same noise for every picture of a batch: a picture comes out as it would alone.
    generator = torch.Generator().manual_seed(setup.seed)
    for number in range(len(run.levels)):
        report.level = number
        _paint_level(run, picture, canvas, generator, report)
        if report.stopped:
            break
    canvas.adam_state = None
    steps, diverged = report.step, report.diverged_at()
    report.end_picture()
    if diverged is None and not torch.isfinite(canvas.variable).all():
        diverged = steps
    if diverged is not None:
        raise _diverged(setup, diverged)
    return _resized(canvas.shown().cpu(), run.levels[-1].shape, setup)


def _paint_level(run: Run, picture: Picture, canvas: Canvas, generator: torch.Generator, report: Reporter) -> None:
    """From the start, or from what the level before has left on the canvas."""
    setup, level, device = run.setup, run.levels[report.level], run.setup.network.device
    content = None if picture.content is None else _resized(picture.content, level.shape, setup)
    if report.level == 0:
        pixels = start_pixels(setup.recipe, level.shape, content, picture.start, picture.grams, generator)
        if content is not None:
            pixels = torch.lerp(pixels, content, run.start_mix)
        pixels = pixels.to(device)
    else:
        pixels = _enlarged(canvas.shown(), level.shape, setup)
    if setup.temporal is not None:
        temporal = setup.temporal.at(level.shape, device)
        setup = replace(setup, temporal=temporal)
        pixels = temporal.begin(pixels)
    # Restart the mean, or what this level's few steps add would hardly show.
    if canvas.average is not None and (report.level or canvas.average.exponential):
        canvas.average.begin(pixels)
    pinned = None if content is None else picture.pinned(level.shape)
    if pinned is not None:
        assert content is not None
        pinned = pinned.to(device)
        pixels = torch.lerp(pixels, content.to(pixels), pinned)
    setup = replace(setup, rematch=level.rematch)
    canvas.begin_level(pixels)
    del pixels
    evaluator = _evaluator(run, setup, picture, content, report)
    descend(canvas, evaluator, level, setup, report, pinned)
    report.tiles[report.level] = evaluator.layout.tile


def descend(
    canvas: Canvas,
    evaluate: Evaluator,
    level: Level,
    setup: Setup,
    report: Reporter,
    pinned: torch.Tensor | None = None,
) -> None:
    """The steps of one level. Where it is `pinned` (0..1), the picture stays as it is."""
    variable, space, recipe, device = canvas.variable, canvas.parametrisation, setup.recipe, setup.network.device
    first, pace = report.step, _Pace(device)
    patience = PATIENCE if kind_of(device).queues else 1

    def step() -> torch.Tensor:
        if canvas.average is not None and report.step > first:
            canvas.average.add(canvas.pixels())
        if report.step - first >= level.steps or report.stopped:
            raise Finished
        if recipe.clamp:
            with torch.no_grad():
                space.clamp_(variable)
        pace.keep()
        variable.grad = None  # its memory can be used again
        terms, gradient = evaluate(space.pixels(variable.detach()), report.tile_done)
        if pinned is not None:
            gradient.mul_(1 - pinned)
        variable.grad = space.gradient(gradient)
        report.record(terms)
        if report.step % patience == 0 and (diverged := report.diverged_at()) is not None:
            raise _diverged(setup, diverged)
        report.tell(terms, canvas.shown)
        return terms.total

    if isinstance(recipe.optimizer, Adam):
        rate_factor = None if setup.temporal is None else space.rate_factor(setup.temporal.rate_factor)
        with torch.no_grad():
            if recipe.optimizer.moments == "anew":
                canvas.adam_state = None
            if canvas.adam_state is not None:
                canvas.adam_state = canvas.adam_state.resized(level.shape, recipe.optimizer.moments)
            slower = recipe.optimizer.last_lr if level.fraction == 1 else 1.0
            settings = replace(recipe.optimizer, lr=recipe.optimizer.lr * slower)
            canvas.adam_state = adam(variable, step, settings, level.steps, canvas.adam_state, rate_factor)
    else:
        lbfgs(variable, step, replace(recipe.optimizer, history=evaluate.layout.history))


def _evaluator(run: Run, setup: Setup, picture: Picture, content: torch.Tensor | None, report: Reporter) -> Evaluator:
    """The evaluator of the level that the report is at."""
    level = run.levels[report.level]

    def build_with(layout: Layout) -> ValueAndGrad:
        emphasis = picture.emphasis(level.shape)
        objective = build(setup, content, picture.grams, level.shape, level.fraction, layout, emphasis)
        if not worth_recording(objective, level.steps):
            return objective.value_and_grad
        recorded = Recorded(objective.value_and_grad, capture_cuda_graph)
        return lambda pixels, _: recorded(pixels)

    def smaller(layout: Layout) -> Layout:
        found = smaller_layout(setup, level.shape, layout)
        first = "tiles" if layout.tile is None else "smaller tiles"
        less = first if found.keep_content else "tiles, and the content's features computed again at every step"
        h, w = level.shape
        report.note(f"memory ran out at {w}×{h}: the run goes on with {less}, and gives the same picture")
        return found

    return Evaluator(build_with, run.layout(report.level), smaller, setup.network.device)


def _resized(pixels: torch.Tensor, shape: tuple[int, int], setup: Setup) -> torch.Tensor:
    # On the CPU, for not every device has such a filter.
    return resize(pixels.cpu(), shape, setup.network.seamless).to(pixels.device)


def _enlarged(pixels: torch.Tensor, shape: tuple[int, int], setup: Setup) -> torch.Tensor:
    """For the next level."""
    if setup.recipe.enlarging == "smooth" or setup.network.seamless:
        return _resized(pixels, shape, setup)
    # On the CPU, as above.
    enlarged = F.interpolate(pixels.cpu(), size=shape, mode="bicubic", align_corners=False).clamp(0, 1)
    return enlarged.to(pixels.device)


def _diverged(setup: Setup, step: int) -> NSTError:
    recipe, helps = setup.recipe, []
    if setup.network.dtype != torch.float32:
        helps.append(f"precision fp32 (this run used {name_of(setup.network.dtype)})")
    if isinstance(recipe.optimizer, LBFGS):
        helps.append("the optimiser adam, which takes no leaps")
    helps.append(f"a learning rate below {recipe.optimizer.lr:g}")
    return NSTError(
        f"The loss stopped being a number at step {step} of {recipe.steps} (recipe {recipe.name}), so there is no "
        f"picture to give. What helps: {'; or '.join(helps)}."
    )


class _Pace:
    """Keeps a GPU busy and Python at most one step ahead of it: so a cancel or a stop takes effect within a step."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.event = torch.cuda.Event() if device.type == "cuda" else None

    def keep(self) -> None:
        if self.event is not None:
            self.event.synchronize()
            self.event.record(torch.cuda.current_stream(self.device))
