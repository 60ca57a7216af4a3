"""From content and style grams to a finished picture: sizes and levels, the loop, progress, history, the result."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from .color import METHODS, check_strength, match_colours
from .errors import NSTError
from .grams import StyleGrams, network_for
from .images import LARGEST_SIDE, alpha_of, check_picture, fit_long, fit_short, resize, shape_of
from .objective import LayerWeights, Multipliers, Objective, Terms, build
from .optim import Finished, minimise
from .precision import name_of, resolve
from .recipes import LBFGS, Adam, Pass, Recipe, get_recipe
from .vgg import IMAGENET_MEAN, IMAGENET_STD, Network, VGGFeatures

STOP = object()

STARTS = ("content", "noise", "image")
OPTIMIZERS = ("adam", "lbfgs")
KEEP_COLOURS = ("none", *METHODS)

MOST_SCALES = 12  # the coarsest then is a 45th of the picture
LARGEST_RATE = 1e30

# `size`: a long side in pixels, or one of these.
OWN_SIZE = 0
RECIPE_SIZE = -1


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


@dataclass
class Progress:
    """What `on_step` is told. Reading the loss or the image waits for the device; nothing else does."""

    step: int
    steps: int
    level: int
    levels: int
    picture: int
    pictures: int
    terms: Terms
    _image: Callable[[], torch.Tensor]

    @property
    def image(self) -> torch.Tensor:
        """The picture as it is now, 1x3xHxW in 0..1 on the CPU; its colours are kept only when it is finished."""
        return self._image()

    @property
    def total(self) -> float:
        return float(self.terms.total)


@dataclass
class Result:
    image: torch.Tensor
    histories: list[list[Step]]
    settings: dict[str, Any]
    notes: list[str] = field(default_factory=list)

    @property
    def history(self) -> list[Step]:
        return self.histories[0]


@dataclass(frozen=True)
class Level:
    shape: tuple[int, int]
    fraction: float  # of the final size
    steps: int


def stylize(
    vgg: VGGFeatures,
    content: torch.Tensor,
    grams: StyleGrams,
    *,
    recipe: str | Recipe = "balanced",
    steps: int | None = None,
    optimizer: str | None = None,
    learning_rate: float | None = None,
    content_weight: float = 1.0,
    style_weight: float = 1.0,
    tv_weight: float | None = None,
    start: str | None = None,
    start_image: torch.Tensor | None = None,
    size: int = OWN_SIZE,
    scales: int | None = None,
    seed: int = 0,
    layers: LayerWeights | None = None,
    on_step: Callable[[Progress], object] | None = None,
    keep_colours: str = "none",
    keep_colours_strength: float = 1.0,
) -> Result:
    """Give every picture of `content` (Nx3xHxW or Nx4xHxW, 0..1) the style of `grams`.

    None leaves a choice to the recipe. Weights multiply the recipe's own; `size` is the long side of the result,
    0 the content's own size, -1 the recipe's. `on_step(progress)` may return STOP to end early and keep the picture.
    `keep_colours` is how `match_colours` gives the finished picture the content's colours.
    """
    check_keep_colours(keep_colours, keep_colours_strength)
    recipe = adjust(get_recipe(recipe), steps, optimizer, learning_rate, start, start_image is not None)
    if not (isinstance(seed, int) and 0 <= seed < 2**64):
        raise NSTError(f"seed: {seed} is not a seed; give a whole number from 0 to 2**64 − 1.")
    with torch.inference_mode(False):
        pictures = check_picture(content, "content image")
        alpha = alpha_of(content)
        network = network_for(vgg, recipe)
        shape = target_shape(shape_of(pictures), size, recipe, network.device)
        levels = plan(shape, recipe, scales)
        starts, notes = _start_images(start_image, len(pictures), shape)
        if starts is not None and recipe.start != "image":
            notes = [f"start image: not used, because start is {recipe.start!r}"]
        run = _Run(
            network, recipe, levels, layers or LayerWeights(), Multipliers(content_weight, style_weight, tv_weight)
        )
        finished = []
        for i, picture in enumerate(pictures):
            if run.stopped:
                # Stopped for good: the pictures not begun come back as they were, none is lost.
                finished.append(resize(picture[None], shape))
                run.histories.append([])
                continue
            given = None if starts is None else starts[i % len(starts)][None]
            made = run.one(picture[None], given, grams, seed, i, len(pictures), on_step)
            if keep_colours != "none":
                made = match_colours(made, resize(picture[None], shape), keep_colours, keep_colours_strength)
            finished.append(made)
        image = torch.cat(finished)
        if alpha is not None:
            image = torch.cat([image, resize(alpha, shape)], 1)
    settings = {
        "recipe": recipe.name,
        "steps": recipe.steps,
        "optimizer": "adam" if isinstance(recipe.optimizer, Adam) else "lbfgs",
        "learning_rate": recipe.optimizer.lr,
        "content_weight": content_weight,
        "style_weight": style_weight,
        "tv_weight": tv_weight,
        "start": recipe.start,
        "width": shape[1],
        "height": shape[0],
        "levels": [[*level.shape, level.steps] for level in levels],
        "seed": seed,
        "keep_colours": keep_colours,
        "keep_colours_strength": keep_colours_strength,
        "layers": {"style": dict(run.style_layers), "content": dict(run.content_layers)},
        "styles": [{"name": s.name, "weight": s.weight, "size": s.size} for s in grams.styles],
        "network": vgg.source,
        "pooling": network.pooling,
        "padding": network.padding,
        "precision": name_of(network.dtype),
        "device": str(network.device),
        "stopped_early": run.stopped,
    }
    return Result(image, run.histories, settings, notes)


def memory_needed(vgg: VGGFeatures, *shapes: tuple[int, int]) -> int:
    """Bytes that a run at the largest of these heights and widths takes at its peak, roughly."""
    halves = resolve(vgg.precision, vgg.device).itemsize == 2
    bytes_per_pixel, network = (1450 if halves else 2500), 200 << 20  # from bench/RESULTS.md, on a CPU
    return bytes_per_pixel * max(h * w for h, w in shapes) + network


def adjust(
    recipe: Recipe,
    steps: int | None,
    optimizer: str | None,
    learning_rate: float | None,
    start: str | None,
    has_start_image: bool,
) -> Recipe:
    """The recipe with the user's own choices in place of its."""
    if steps is not None:
        if steps < 0:
            raise NSTError(f"steps: {steps} is not a number of steps; give 0 (returns the start) or more.")
        recipe = replace(recipe, steps=steps)
    if optimizer is not None:
        if optimizer not in OPTIMIZERS:
            raise NSTError(f"optimizer: {optimizer!r} is not one of {', '.join(OPTIMIZERS)}.")
        if optimizer == "adam" and not isinstance(recipe.optimizer, Adam):
            # In pixels, so that a learning rate means the same whatever space the recipe's own optimiser moves in.
            recipe = replace(recipe, optimizer=Adam(0.03, (0.9, 0.99), final_lr=0.1), variable="pixels")
        elif optimizer == "lbfgs" and not isinstance(recipe.optimizer, LBFGS):
            recipe = replace(recipe, optimizer=LBFGS())
    if learning_rate is not None:
        if not 0 < learning_rate <= LARGEST_RATE:
            raise NSTError(
                f"learning_rate: {learning_rate} is not a rate; give a number above 0, up to {LARGEST_RATE}."
            )
        recipe = replace(recipe, optimizer=replace(recipe.optimizer, lr=learning_rate))
    if start is not None:
        if start not in STARTS:
            raise NSTError(f"start: {start!r} is not one of {', '.join(STARTS)}.")
        recipe = replace(recipe, start=start)
    elif has_start_image:
        recipe = replace(recipe, start="image")
    if recipe.start == "image" and not has_start_image:
        raise NSTError("start: 'image' needs a start image; connect one, or choose content or noise.")
    return recipe


def check_keep_colours(method: str, strength: float) -> None:
    if method not in KEEP_COLOURS:
        raise NSTError(f"keep_colours: {method!r} is not one of {', '.join(KEEP_COLOURS)}.")
    check_strength(strength, "keep_colours_strength")


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
    return fit_short(own, pixels[0])


def plan(shape: tuple[int, int], recipe: Recipe, scales: int | None) -> list[Level]:
    """Coarse to fine: the recipe's passes, or `scales` levels √2 apart with more steps where they are cheap."""
    passes = recipe.passes
    if scales is not None:
        if not 1 <= scales <= MOST_SCALES:
            raise NSTError(f"scales: {scales} is not a number of levels; give 1 to {MOST_SCALES}.")
        fractions = [2 ** (-k / 2) for k in reversed(range(scales))]
        total = sum(1 / f for f in fractions)
        passes = tuple(Pass(f, 1 / f / total) for f in fractions)
    levels = []
    done = 0.0
    for p in passes:
        first, done = done, done + p.share
        steps = round(done * recipe.steps) - round(first * recipe.steps)
        level = Level((max(1, round(shape[0] * p.scale)), max(1, round(shape[1] * p.scale))), p.scale, steps)
        # A level without steps would only blur what the next one starts from.
        if steps or p is passes[-1]:
            levels.append(level)
    return levels


def _start_images(
    start_image: torch.Tensor | None, count: int, shape: tuple[int, int]
) -> tuple[torch.Tensor | None, list[str]]:
    if start_image is None:
        return None, []
    starts = check_picture(start_image, "start image")
    if len(starts) not in (1, count):
        raise NSTError(f"start image: a batch of {len(starts)} for {count} content pictures; give 1 or {count}.")
    h, w = starts.shape[-2:]
    if (h, w) == shape:
        return starts, []
    return resize(starts, shape), [f"start image: resized from {w}×{h} to {shape[1]}×{shape[0]}"]


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


class _Run:
    """What the pictures of one call share, and what has happened so far."""

    def __init__(
        self,
        network: Network,
        recipe: Recipe,
        levels: list[Level],
        layers: LayerWeights,
        multipliers: Multipliers,
    ) -> None:
        self.network = network
        self.recipe = recipe
        self.levels = levels
        self.layers = layers
        self.multipliers = multipliers
        self.space = _Space(recipe.variable, network.device)
        self.histories: list[list[Step]] = []
        self.stopped = False
        self.began = time.perf_counter()
        self.style_layers = recipe.style_layers if layers.style is None else layers.style
        self.content_layers = recipe.content_layers if layers.content is None else layers.content

    def one(
        self,
        content: torch.Tensor,
        start: torch.Tensor | None,
        grams: StyleGrams,
        seed: int,
        picture: int,
        pictures: int,
        on_step: Callable[[Progress], object] | None,
    ) -> torch.Tensor:
        recipe, network = self.recipe, self.network
        # The same noise for every picture of a batch: a picture comes out as it would alone.
        generator = torch.Generator().manual_seed(seed)
        taken: list[tuple[int, int, Terms, float]] = []
        variable: torch.Tensor | None = None
        for number, level in enumerate(self.levels):
            at_level = resize(content, level.shape)
            if variable is None:
                pixels = self._start(at_level, start, generator)
            else:
                pixels = resize(self._picture(variable), level.shape).to(network.device)
            variable = self.space.variable(pixels).requires_grad_()
            # Made also when no step is to be taken: what cannot be used is refused all the same.
            objective = build(
                network, recipe, at_level, grams, self.layers, self.multipliers, level.shape, level.fraction
            )
            self._descend(variable, objective, number, taken, picture, pictures, on_step)
            if self.stopped:
                break
        assert variable is not None
        self.histories.append([_record(*entry) for entry in taken])
        self._check_finite(taken)
        if not torch.isfinite(variable).all():
            raise NSTError(_diverged(len(taken), self))
        return resize(self._picture(variable), self.levels[-1].shape)

    def _start(self, content: torch.Tensor, start: torch.Tensor | None, generator: torch.Generator) -> torch.Tensor:
        device = self.network.device
        if self.recipe.start == "content":
            return content.to(device)
        if self.recipe.start == "image":
            assert start is not None
            return resize(start, shape_of(content)).to(device)
        # Drawn on the CPU: the same seed starts from the same noise on every device.
        noise = torch.randn(content.shape, generator=generator) * self.recipe.noise
        return (noise + torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1)).to(device)

    def _picture(self, variable: torch.Tensor) -> torch.Tensor:
        return self.space.pixels(variable.detach()).clamp(0, 1).cpu().clone()

    def _descend(
        self,
        variable: torch.Tensor,
        objective: Objective,
        number: int,
        taken: list[tuple[int, int, Terms, float]],
        picture: int,
        pictures: int,
        on_step: Callable[[Progress], object] | None,
    ) -> None:
        level = self.levels[number]
        first = len(taken)
        # Asking whether the loss is finite waits for the device; a GPU is asked now and then, and at the end.
        patience = 1 if self.network.device.type == "cpu" else 16
        pace = _Pace(self.network.device)

        def evaluate() -> torch.Tensor:
            if len(taken) - first >= level.steps or self.stopped:
                raise Finished
            if self.recipe.clamp:
                with torch.no_grad():
                    self.space.clamp_(variable)
            pace.keep()
            terms, gradient = objective.value_and_grad(self.space.pixels(variable.detach()))
            variable.grad = self.space.slope(gradient)
            taken.append((len(taken), number, terms, time.perf_counter() - self.began))
            if len(taken) % patience == 0:
                self._check_finite(taken)
            if on_step is not None:
                progress = Progress(
                    step=len(taken),
                    steps=self.recipe.steps,
                    level=number,
                    levels=len(self.levels),
                    picture=picture,
                    pictures=pictures,
                    terms=terms,
                    _image=lambda: self._picture(variable),
                )
                if on_step(progress) is STOP:
                    self.stopped = True
            return terms.total

        with torch.enable_grad():
            minimise(variable, evaluate, self.recipe.optimizer, first, self.recipe.steps)

    def _check_finite(self, taken: list[tuple[int, int, Terms, float]]) -> None:
        if taken and not math.isfinite(float(taken[-1][2].total)):
            bad = next(step for step, _, terms, _ in taken if not math.isfinite(float(terms.total)))
            raise NSTError(_diverged(bad, self))


class _Pace:
    """Keeps a GPU busy and Python at most one step ahead of it: so a cancel or a stop takes effect within a step."""

    def __init__(self, device: torch.device) -> None:
        self.event = torch.cuda.Event() if device.type == "cuda" else None

    def keep(self) -> None:
        if self.event is not None:
            self.event.synchronize()
            self.event.record()


def _record(step: int, level: int, terms: Terms, seconds: float) -> Step:
    return Step(step, level, float(terms.total), float(terms.content), float(terms.style), float(terms.tv), seconds)


def _diverged(step: int, run: _Run) -> str:
    helps = []
    if run.network.dtype != torch.float32:
        helps.append(f"precision fp32 (this run used {name_of(run.network.dtype)})")
    if isinstance(run.recipe.optimizer, LBFGS):
        helps.append("the optimiser adam, which takes no leaps")
    helps.append(f"a learning rate below {run.recipe.optimizer.lr:g}")
    return (
        f"The loss stopped being a number at step {step} of {run.recipe.steps} (recipe {run.recipe.name}), "
        f"so there is no picture to give. What helps: {'; or '.join(helps)}."
    )
