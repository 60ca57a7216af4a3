"""The loop of one run: level by level from a start to a picture, telling how far it is, and never out of memory."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field, replace

import torch
import torch.nn.functional as F

from ..errors import NSTError
from ..network.precision import name_of
from ..network.tiles import margin
from ..network.vgg import IMAGENET_MEAN, IMAGENET_STD, Network
from ..objective.controls import Multipliers
from ..objective.memory import Asked, Layout, lay_out
from ..objective.objective import Objective, Terms, build
from ..objective.temporal import Temporal
from ..pictures.images import resize, small_copy
from ..recipes import LBFGS, Adam, Recipe
from ..statistics.distances import BY_MOMENTS, BY_SORTING
from ..statistics.regions import stretch
from ..styles.grams import StyleGrams
from ..system.shortage import is_out_of_memory, release
from .levels import Level
from .optim import Average, Finished, Moments, adam, lbfgs
from .recording import Recorded, record_on_cuda, worth_recording
from .starts import start_pixels

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
        """The same, no larger than `side`: made small before it leaves the device."""
        return small_copy(self._pixels(), side)

    @property
    def total(self) -> float:
        return float(self.terms.total)


OnStep = Callable[[Progress], object]
OnTile = Callable[[Position], object]


@dataclass(frozen=True)
class Protect:
    """Where the content is to stay: pixel by pixel, or by counting so many times more to the network."""

    mask: torch.Tensor  # 1x1xHxW
    weight: float | None = None


@dataclass
class Run:
    """What the pictures of one call share, and what has happened so far."""

    network: Network
    recipe: Recipe
    levels: list[Level]
    grams: StyleGrams
    style_layers: Mapping[str, float]
    content_layers: Mapping[str, float]
    multipliers: Multipliers
    tile: int | str | None
    free: int  # bytes that the run may take
    protect: Protect | None = None
    start_mix: float = 0.0
    on_step: OnStep | None = None
    on_tile: OnTile | None = None
    pictures: int = 1
    temporal: Temporal | None = None
    histories: list[list[Step]] = field(default_factory=list)
    tiles: dict[int, int | None] = field(default_factory=dict)  # by level, as they were in the end
    notes: list[str] = field(default_factory=list)
    stopped: bool = False
    began: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        self.space = _Space(self.recipe.variable, self.network.device)
        self.layout(self.levels[-1])  # what cannot be done at all is refused before anything is

    def layout(self, level: Level) -> Layout:
        recipe, optimizer = self.recipe, self.recipe.optimizer
        if isinstance(optimizer, LBFGS) and level is not self.levels[0]:
            later = min(optimizer.history, optimizer.later_history)
            recipe = replace(recipe, optimizer=replace(optimizer, history=later))
        return lay_out(
            self.network,
            recipe,
            (self.style_layers, self.content_layers),
            level.shape,
            self.tile,
            self.free,
            self._asked(),
        )

    def _asked(self) -> Asked:
        grams, protect, tv = self.grams, self.protect, self.multipliers.tv
        emphasis = protect is not None and protect.weight is not None
        return Asked(
            grams.region_count,
            grams.guided,
            (protect is not None and not emphasis) or grams.may_leave_some,
            emphasis,
            bool(self.recipe.tv_weight if tv is None else tv),
            self.temporal is not None,
        )

    def _resize(self, pixels: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        # On the CPU, for not every device has such a filter.
        return resize(pixels.cpu(), shape, self.network.seamless).to(pixels.device)

    def _enlarged(self, pixels: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        """For the next level."""
        if self.recipe.enlarging == "smooth" or self.network.seamless:
            return self._resize(pixels, shape)
        # On the CPU, as above.
        enlarged = F.interpolate(pixels.cpu(), size=shape, mode="bicubic", align_corners=False).clamp(0, 1)
        return enlarged.to(pixels.device)

    def one(self, content: torch.Tensor | None, start: torch.Tensor | None, seed: int) -> torch.Tensor:
        """One picture from its start to the end."""
        # The same noise for every picture of a batch: a picture comes out as it would alone.
        generator = torch.Generator().manual_seed(seed)
        taken: list[tuple[int, int, Terms, float]] = []
        variable: torch.Tensor | None = None
        moments: Moments | None = None
        exponential = self.recipe.average == "exponential"
        average = Average(self.recipe.averaging, exponential) if self.recipe.averaging else None
        for number, level in enumerate(self.levels):
            at_level = None if content is None else self._resize(content, level.shape)
            if variable is None:
                pixels = start_pixels(self.recipe, level.shape, at_level, start, self.grams, generator)
                if at_level is not None:
                    pixels = torch.lerp(pixels, at_level, self.start_mix)
                pixels = pixels.to(self.network.device)
            else:
                pixels = self._enlarged(self._shown(variable, average), level.shape)
            if self.temporal is not None:
                pixels = self.temporal.at(level.shape, self.network.device).begin(pixels)
            # Counts once, or what this level's few steps add would be faint.
            if average is not None and (number or exponential):
                average.begin(pixels)
            pinned = None if at_level is None else self.pinned(level.shape)
            if pinned is not None:
                assert at_level is not None
                pixels = torch.lerp(pixels, at_level.to(pixels), pinned)
            variable = self.space.variable(pixels).requires_grad_()
            del pixels
            moments = self._descend(variable, at_level, number, taken, moments, pinned, average, seed)
            if self.stopped:
                break
        assert variable is not None
        del moments
        self.histories.append([_record(*entry) for entry in taken])
        self._check_finite(taken)
        if not torch.isfinite(variable).all():
            raise NSTError(self._diverged(len(taken)))
        return self._resize(self._shown(variable, average).cpu(), self.levels[-1].shape)

    def pinned(self, shape: tuple[int, int]) -> torch.Tensor | None:
        """Where the content's pixels stay: what is protected, and what no style covers. The content term alone would
        not hold them, for Adam follows the smallest slope."""
        masks = [self.grams.uncovered(shape)]
        if self.protect is not None and self.protect.weight is None:
            masks.append(stretch(self.protect.mask, shape))
        given = [mask for mask in masks if mask is not None]
        return torch.stack(given).amax(0).to(self.network.device) if given else None

    def _emphasis(self, shape: tuple[int, int]) -> torch.Tensor | None:
        if self.protect is None or self.protect.weight is None:
            return None
        return 1 + (self.protect.weight - 1) * stretch(self.protect.mask, shape)

    def _pixels(self, variable: torch.Tensor) -> torch.Tensor:
        return self.space.pixels(variable.detach()).clamp(0, 1)

    def _shown(self, variable: torch.Tensor, average: Average | None) -> torch.Tensor:
        """The picture that a run which ended now would give."""
        return self._pixels(variable) if average is None or average.pixels is None else average.pixels

    def _descend(
        self,
        variable: torch.Tensor,
        content: torch.Tensor | None,
        number: int,
        taken: list[tuple[int, int, Terms, float]],
        moments: Moments | None,
        pinned: torch.Tensor | None,
        average: Average | None,
        seed: int,
    ) -> Moments | None:
        level = self.levels[number]
        first = len(taken)
        # Made also when no step is to be taken: what cannot be used is refused all the same.
        objective = _Patient(self, content, number, seed)

        def position(tile: int = 0, tiles: int = 0) -> Position:
            done = len(self.histories)
            return Position(len(taken), self.recipe.steps, number, len(self.levels), done, self.pictures, tile, tiles)

        def on_tile(tile: int, tiles: int) -> None:
            if self.on_tile is not None:
                self.on_tile(position(tile, tiles))

        # Asking whether the loss is finite waits for the device; a GPU is asked now and then, and at the end.
        patience = 1 if self.network.device.type == "cpu" else 16
        pace = _Pace(self.network.device)

        def evaluate() -> torch.Tensor:
            if average is not None and len(taken) > first:
                average.add(self._pixels(variable))
            if len(taken) - first >= level.steps or self.stopped:
                raise Finished
            if self.recipe.clamp:
                with torch.no_grad():
                    self.space.clamp_(variable)
            pace.keep()
            variable.grad = None  # its memory can be used again
            terms, gradient = objective.value_and_grad(self.space.pixels(variable.detach()), on_tile)
            if pinned is not None:
                gradient.mul_(1 - pinned)
            variable.grad = self.space.slope(gradient)
            taken.append((len(taken), number, terms, time.perf_counter() - self.began))
            if len(taken) % patience == 0:
                self._check_finite(taken)
            if self.on_step is not None:
                progress = Progress(**vars(position()), terms=terms, _pixels=lambda: self._shown(variable, average))
                if self.on_step(progress) is STOP:
                    self.stopped = True
            return terms.total

        settings = self.recipe.optimizer
        if isinstance(settings, Adam):
            with torch.no_grad():
                carried = moments.resized(level.shape, settings.moments) if moments is not None else None
                temporal = objective.temporal
                calm = None if temporal is None else temporal.pace
                return adam(variable, evaluate, settings, level.steps, carried, calm)
        lbfgs(variable, evaluate, replace(settings, history=objective.layout.history))
        return None

    def _check_finite(self, taken: list[tuple[int, int, Terms, float]]) -> None:
        if taken and not math.isfinite(float(taken[-1][2].total)):
            bad = next(step for step, _, terms, _ in taken if not math.isfinite(float(terms.total)))
            raise NSTError(self._diverged(bad))

    def _diverged(self, step: int) -> str:
        helps = []
        if self.network.dtype != torch.float32:
            helps.append(f"precision fp32 (this run used {name_of(self.network.dtype)})")
        if isinstance(self.recipe.optimizer, LBFGS):
            helps.append("the optimiser adam, which takes no leaps")
        helps.append(f"a learning rate below {self.recipe.optimizer.lr:g}")
        return (
            f"The loss stopped being a number at step {step} of {self.recipe.steps} (recipe {self.recipe.name}), "
            f"so there is no picture to give. What helps: {'; or '.join(helps)}."
        )


class _Patient:
    """A level's objective that, when the device runs out of memory all the same, tries again with less at a time."""

    def __init__(self, run: Run, content: torch.Tensor | None, number: int, seed: int) -> None:
        self.run, self.content, self.number, self.seed = run, content, number, seed
        self.layout = run.layout(run.levels[number])
        self.objective: Objective | None = None
        self.recorded: Recorded | None = None
        self._trying(lambda objective: objective)

    def value_and_grad(self, pixels: torch.Tensor, on_tile: Callable[[int, int], None]) -> tuple[Terms, torch.Tensor]:
        return self._trying(
            lambda objective: self.recorded(pixels) if self.recorded else objective.value_and_grad(pixels, on_tile)
        )

    @property
    def temporal(self) -> Temporal | None:
        assert self.objective is not None
        return self.objective.temporal

    def _trying(self, do: Callable[[Objective], object]):
        while True:
            try:
                if self.objective is None:
                    self.objective = self._build()
                return do(self.objective)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            # Outside the handler, whose traceback would keep the failed attempt's tensors alive.
            self._make_room()

    def _build(self) -> Objective:
        run, level = self.run, self.run.levels[self.number]
        run.tiles[self.number] = self.layout.tile
        objective = build(
            run.network,
            run.recipe,
            self.content,
            run.grams,
            run.style_layers,
            run.content_layers,
            run.multipliers,
            level.shape,
            level.fraction,
            self.layout,
            run._emphasis(level.shape),
            self.seed,
            run.temporal,
        )
        if worth_recording(objective, level.steps):
            self.recorded = Recorded(objective.value_and_grad, record_on_cuda)
        return objective

    def _make_room(self) -> None:
        self.objective = self.recorded = None
        release(self.run.network.device)
        h, w = self.run.levels[self.number].shape
        run = self.run
        taps = (*run.style_layers, *run.content_layers)
        around = margin(taps, run.network.vgg.architecture) if taps else 0
        smaller = self.layout.smaller((h, w), around)
        if self.run.recipe.statistic in BY_SORTING:
            raise NSTError(
                f"size: {w}×{h} pixels do not fit into the memory of {self.run.network.device} in one pass, and the "
                f"statistic {self.run.recipe.statistic!r}, which sorts, cannot be had by tiles. A smaller size would "
                f"do, or a statistic that is a sum: {', '.join(BY_MOMENTS)}."
            )
        if smaller is None:
            raise NSTError(
                f"size: {w}×{h} pixels do not fit into the memory of {self.run.network.device}, not even by tiles of "
                f"{self.layout.tile}. A smaller size would do, or precision bf16, or fewer programs beside this one."
            )
        self.layout = smaller
        less = "smaller tiles" if smaller.keep_content else "tiles, and the content's features made anew at every step"
        note = f"memory ran out at {w}×{h}: the run goes on with {less}, and gives the same picture"
        if note not in self.run.notes:
            self.run.notes.append(note)


class _Space:
    """The numbers that the optimiser moves, as an affine image of the pixels: pixels = scale·variable + shift."""

    def __init__(self, name: str, device: torch.device) -> None:
        scale, shift = {
            "pixels": ((1.0, 1.0, 1.0), (0.0, 0.0, 0.0)),
            "imagenet": (IMAGENET_STD, IMAGENET_MEAN),
            "bytes": ((1 / 255,) * 3, (0.0, 0.0, 0.0)),
        }[name]
        self.plain = name == "pixels"
        self.scale = torch.tensor(scale, device=device).view(1, 3, 1, 1)
        self.shift = torch.tensor(shift, device=device).view(1, 3, 1, 1)

    def pixels(self, variable: torch.Tensor) -> torch.Tensor:
        return variable if self.plain else variable * self.scale + self.shift

    def variable(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels.clone() if self.plain else (pixels - self.shift) / self.scale

    def slope(self, gradient: torch.Tensor) -> torch.Tensor:
        # Contiguous: torch's L-BFGS flattens it with a view.
        return (gradient if self.plain else gradient * self.scale).contiguous()

    def clamp_(self, variable: torch.Tensor) -> None:
        variable.clamp_(-self.shift / self.scale, (1 - self.shift) / self.scale)


class _Pace:
    """Keeps a GPU busy and Python at most one step ahead of it: so a cancel or a stop takes effect within a step."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.event = torch.cuda.Event() if device.type == "cuda" else None

    def keep(self) -> None:
        if self.event is not None:
            self.event.synchronize()
            self.event.record(torch.cuda.current_stream(self.device))


def _record(step: int, level: int, terms: Terms, seconds: float) -> Step:
    total, content, style, tv = (float(term) for term in (terms.total, terms.content, terms.style, terms.tv))
    return Step(step, level, total, content, style, tv, seconds, float(terms.temporal))
