"""From content and style grams to a finished picture: the choices that a user has, checked, and what comes of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from .errors import NSTError, counted, one_or
from .network.architecture import smallest_side
from .network.fast import team
from .network.precision import name_of
from .network.tiles import grid
from .network.vgg import VGGFeatures, Watch
from .objective.controls import LayerWeights, Multipliers
from .objective.memory import SHARE, Asked, footprint, free_memory
from .objective.objective import layers_in_use
from .objective.temporal import Temporal
from .pictures.colour import METHODS, check_strength, match_colours
from .pictures.images import LARGEST_SIDE, alpha_of, check_picture, check_size, resize, shape_of
from .recipes import BRISK, LBFGS, WORDS, Adam, Recipe, get_recipe
from .run.levels import OWN_SIZE, plan, stroke_side, target_shape, usual_steps
from .run.loop import OnStep, OnTile, Protect, Run, Step
from .statistics.regions import check_mask, fit_mask
from .styles.grams import StyleGrams, network_for

OPTIMIZERS = ("adam", "lbfgs")
KEEP_COLOURS = ("none", *METHODS)
PROTECT_MODES = ("pixels", "content")

LARGEST_RATE = 1e30
STROKES = (0.05, 10.0)


@dataclass
class Result:
    image: torch.Tensor
    histories: list[list[Step]]
    settings: dict[str, Any]
    notes: list[str] = field(default_factory=list)
    painted: torch.Tensor | None = None  # the image before its colours were kept, without alpha

    @property
    def history(self) -> list[Step]:
        return self.histories[0]


def stylize(
    vgg: VGGFeatures,
    content: torch.Tensor | None,
    grams: StyleGrams,
    *,
    recipe: str | Recipe = "balanced",
    steps: int | None = None,
    optimizer: str | None = None,
    learning_rate: float | None = None,
    content_weight: float = 1.0,
    style_weight: float = 1.0,
    tv_weight: float | None = None,
    tv_kind: str | None = None,
    strength: float = 1.0,
    statistic: str | None = None,
    shift: float | None = None,
    normalise_gradients: bool | None = None,
    averaging: float | None = None,
    start: str | None = None,
    start_image: torch.Tensor | None = None,
    start_mix: float = 0.0,
    size: int = OWN_SIZE,
    stroke_size: float | None = None,
    shape: tuple[int, int] | None = None,
    seamless: bool = False,
    scales: int | None = None,
    seed: int = 0,
    layers: LayerWeights | None = None,
    keep_colours: str = "none",
    keep_colours_strength: float = 1.0,
    protect: torch.Tensor | None = None,
    protect_mode: str = "pixels",
    protect_weight: float = 20.0,
    temporal: Temporal | None = None,
    on_step: OnStep | None = None,
    tile: int | str | None = "auto",
    on_tile: OnTile | None = None,
    memory: int | None = None,
    on_measure: Callable[[int, int], object] | None = None,
    on_layer: Callable[[], object] | None = None,
) -> Result:
    """Give every picture of `content` (Nx3xHxW or Nx4xHxW, 0..1) the style of `grams`; with no content, make a picture
    of the style alone.

    None leaves a choice to the recipe. Weights multiply the recipe's own; `strength` goes from 0, the content
    untouched, over 1, what the recipe says, to more. `size` is the long side of the result, 0 the content's own size,
    -1 the recipe's; `shape` (height, width) stands in its place where there is no content. `stroke_size` is the long
    side at which styles are measured, in place of their own, where 1 is the result's: the same number looks the same
    at any size. The result is `seamless` if it is to go on on its other side. `on_step(progress)` may return STOP to
    end early and keep the picture; what it raises ends the run. `keep_colours` is how `match_colours` gives the
    finished picture the content's colours.

    `protect` (HxW, 1xHxW, or one for each picture; 0..1) is where the content stays: its pixels as they are, or
    ("content") by counting `protect_weight` times more. `start_mix` is how much of the content is mixed into the start.
    `temporal` holds one picture, a frame, to those before it (see `stylize_video`).

    `tile` bounds what the network sees at a time, in pixels: None is the whole picture, "auto" the whole if that fits
    into `memory` (bytes; by default what the device has free), else tiles. The result is the same. `on_tile` is told
    whenever a tile is done, `on_measure(done, of)` of every piece of a picture that is measured before the steps of a
    level, and `on_layer()` is called before every layer of the network; what they raise ends the run, too.
    """
    check_keep_colours(keep_colours, keep_colours_strength)
    _check_range("start_mix", start_mix, 0, 1)
    if protect_mode not in PROTECT_MODES:
        raise NSTError(f"protect_mode: {protect_mode!r} is not one of {', '.join(PROTECT_MODES)}.")
    _check_range("protect_weight", protect_weight, 1, 1e6)
    multipliers = Multipliers(content_weight, style_weight, tv_weight, strength)
    recipe = adjust(
        get_recipe(recipe),
        steps,
        optimizer,
        learning_rate,
        _start_of(get_recipe(recipe), start, start_image is not None, content is not None, grams),
        statistic=statistic,
        shift=shift,
        tv_kind=tv_kind,
        normalise_gradients=normalise_gradients,
        averaging=averaging,
    )
    if not (isinstance(seed, int) and 0 <= seed < 2**64):
        raise NSTError(f"seed: {seed} is not a seed; give a whole number from 0 to 2**64 − 1.")
    with torch.inference_mode(False):
        pictures: list[torch.Tensor | None] = [None]
        alpha = None
        network = network_for(vgg, recipe, seamless, Watch(on_layer, on_measure))
        style_layers, content_layers = layers_in_use(vgg, recipe, layers or LayerWeights())
        if content is None:
            own = shape = _texture_shape(shape, keep_colours, protect, strength)
            content_layers = {}
        else:
            if shape is not None:
                raise NSTError("shape: a result with a content has its proportions; give its size, the long side.")
            given = check_picture(content, "content")
            pictures = list(given.split(1))
            alpha = alpha_of(content)
            own = shape_of(given)
            shape = target_shape(own, size, recipe, network.device)
        grams.check(own, len(pictures))
        if content is None and grams.guided and grams.uncovered(shape) is not None:
            raise NSTError(
                "region: a texture has no content for where no style goes; add a style without a region, for the rest."
            )
        sized: list[str] = []
        if stroke_size:
            grams, sized = _with_strokes(grams, stroke_size, max(shape))
        taps = (*style_layers, *content_layers)
        least = smallest_side(taps, network.edges)
        if steps is None:
            recipe = replace(recipe, steps=usual_steps(shape, recipe, scales, least))
        levels = plan(shape, recipe, scales, grid(taps) if seamless else 1, least)
        named = "shape" if content is None else "size"
        check_size(levels[0].shape, taps, network.edges, named, own, levels[0].fraction)
        starts, notes = _start_images(start_image, len(pictures), shape)
        if starts is not None and recipe.start != "image":
            notes = [f"start image: not used, because start is {recipe.start!r}"]
        if protect is not None and protect_mode == "content" and content_weight == 0:
            notes.append("protect: of no consequence, because the content counts nothing")
        notes += sized
        asked = [(level.shape, level.fraction) for level in levels]
        notes += grams.stand_ins(network, style_layers, asked, recipe.style_fit)
        if recipe.shift and recipe.statistic != "gram":
            notes.append(f"shift: of no consequence to the statistic {recipe.statistic!r}, only to gram")
        if recipe.mean_std and recipe.statistic != "gram":
            notes.append(
                f"the recipe {recipe.name} measures means and deviations beside Gram matrices; with the statistic "
                f"{recipe.statistic!r} it does not"
            )
        if strength == 0 and content is not None:
            # Whatever the start, what is asked for is the content.
            recipe = replace(recipe, steps=0, start="content")
            levels = [replace(levels[-1], steps=0)]
        protected = _protect(protect, own, len(pictures), protect_mode, protect_weight)
        run = Run(
            network,
            recipe,
            levels,
            grams,
            style_layers,
            content_layers,
            multipliers,
            tile,
            free_memory(network.device) if memory is None else memory,
            protected[0],
            start_mix,
            on_step,
            on_tile,
            len(pictures),
            temporal,
        )
        finished, painted = [], []
        for i, picture in enumerate(pictures):
            if run.stopped:
                # Stopped for good: the pictures not begun come back as they were, none is lost.
                assert picture is not None
                finished.append(resize(picture, shape))
                painted.append(finished[-1])
                run.histories.append([])
                continue
            run.grams, run.protect = grams.of_picture(i), protected[i % len(protected)]
            with team(network.device):
                made = run.one(picture, None if starts is None else starts[i % len(starts)][None], seed)
            made = resize(made, shape, seamless)
            painted.append(made)
            if picture is not None:
                made = _keep(
                    made, resize(picture, shape), run.pinned(shape), strength, keep_colours, keep_colours_strength
                )
            finished.append(made)
        image = finished[0] if len(finished) == 1 else torch.cat(finished)
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
        "tv_kind": recipe.tv_kind,
        "strength": strength,
        "statistic": recipe.statistic,
        "shift": recipe.shift,
        "normalise_gradients": recipe.normalise_gradients,
        "averaging": recipe.averaging,
        "start": recipe.start,
        "start_mix": start_mix,
        "stroke_size": stroke_size,
        "seamless": seamless,
        "width": shape[1],
        "height": shape[0],
        "levels": [[*level.shape, level.steps] for level in levels],
        "tiles": [run.tiles.get(number) for number in range(len(levels))],
        "seed": seed,
        "keep_colours": keep_colours,
        "keep_colours_strength": keep_colours_strength,
        "protect_mode": protect_mode if protect is not None else None,
        "protect_weight": protect_weight if protect is not None and protect_mode == "content" else None,
        "layers": {"style": dict(run.style_layers), "content": dict(run.content_layers)},
        "styles": [{"name": s.name, "weight": s.weight, "size": s.size} for s in grams.styles],
        "network": vgg.source,
        "pooling": network.pooling,
        "padding": network.padding,
        "precision": name_of(network.dtype),
        "device": str(network.device),
        "stopped_early": run.stopped,
    }
    return Result(image, run.histories, settings, notes + run.notes, torch.cat(painted))


def _keep(
    made: torch.Tensor,
    content: torch.Tensor,
    pinned: torch.Tensor | None,
    strength: float,
    keep_colours: str,
    keep_colours_strength: float,
) -> torch.Tensor:
    """What is to be of the content in the finished picture, both in its size: colours, then whole parts."""
    if strength == 0:
        return content
    if keep_colours != "none":
        made = match_colours(made, content, keep_colours, keep_colours_strength)
    # At a soft edge, between the two.
    return made if pinned is None else torch.lerp(made, content, pinned.cpu())


def _with_strokes(grams: StyleGrams, stroke_size: float, side: int) -> tuple[StyleGrams, list[str]]:
    """The styles as large as that makes them in a result with this long side, and what is to be said of it."""
    _check_range("stroke_size", stroke_size, *STROKES)
    size = stroke_side(stroke_size, side)
    own = sorted({style.size for style in grams.styles} - {0, size})
    told = f"stroke size {stroke_size:g}: styles are measured at {size} pixels, in place of"
    return grams.of_size(size), [f"{told} {', '.join(map(str, own))}"] if own else []


def _texture_shape(
    shape: tuple[int, int] | None, keep_colours: str, protect: torch.Tensor | None, strength: float
) -> tuple[int, int]:
    for name, asked in (
        ("keep_colours", keep_colours != "none"),
        ("protect", protect is not None),
        ("strength", strength != 1),
    ):
        if asked:
            raise NSTError(f"{name}: a picture made of the style alone has no content to keep; leave it out.")
    if shape is None or not all(isinstance(side, int) and 1 <= side <= LARGEST_SIDE for side in shape):
        raise NSTError(f"shape: {shape} is not a size; give height and width in pixels, up to {LARGEST_SIDE}.")
    return shape


def _protect(
    mask: torch.Tensor | None, shape: tuple[int, int], pictures: int, mode: str, weight: float
) -> list[Protect | None]:
    """One for all pictures, or one for each."""
    if mask is None:
        return [None]
    fitted = fit_mask(check_mask(mask, "protect", pictures), shape, "protect")
    return [Protect(one, None if mode == "pixels" else weight) for one in fitted.split(1)]


def _check_range(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise NSTError(f"{name}: {value} will not do; give {least:g} to {most:g}.")


def memory_needed(
    vgg: VGGFeatures,
    shape: tuple[int, int],
    recipe: str | Recipe = "balanced",
    layers: LayerWeights | None = None,
    *,
    seamless: bool = False,
    regions: int = 1,
    content: bool = True,
    masks: bool = False,
) -> int:
    """Bytes that have to be free for a run at this height and width to save nothing; `masks`: some say where styles go
    or where the content stays."""
    recipe = get_recipe(recipe)
    style_layers, content_layers = layers_in_use(vgg, recipe, layers or LayerWeights())
    network = network_for(vgg, recipe, seamless)
    asked = Asked(regions, masks or regions > 1, masks, masks, bool(recipe.tv_weight))
    taken = footprint(network, recipe, (style_layers, content_layers if content else ()), asked=asked)
    return round(taken.total(shape) / SHARE)


def adjust(
    recipe: Recipe,
    steps: int | None = None,
    optimizer: str | None = None,
    learning_rate: float | None = None,
    start: str | None = None,
    **choices: Any,
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
            recipe = replace(recipe, optimizer=BRISK, variable="pixels")
        elif optimizer == "lbfgs" and not isinstance(recipe.optimizer, LBFGS):
            recipe = replace(recipe, optimizer=LBFGS())
    if learning_rate is not None:
        if not 0 < learning_rate <= LARGEST_RATE:
            raise NSTError(
                f"learning_rate: {learning_rate} is not a rate; give a number above 0, up to {LARGEST_RATE}."
            )
        recipe = replace(recipe, optimizer=replace(recipe.optimizer, lr=learning_rate))
    chosen = {name: value for name, value in {"start": start, **choices}.items() if value is not None}
    for name in ("start", "statistic", "tv_kind"):
        if name in chosen and chosen[name] not in WORDS[name]:
            raise NSTError(f"{name}: {chosen[name]!r} is not one of {', '.join(WORDS[name])}.")
    _check_range("shift", chosen.get("shift", 0.0), -1e6, 1e6)
    _check_range("averaging", chosen.get("averaging", 0.0), 0, 0.9999)
    return replace(recipe, **chosen)


def _start_of(recipe: Recipe, start: str | None, has_image: bool, has_content: bool, grams: StyleGrams) -> str | None:
    """What was asked for, or what goes without saying; None leaves it to the recipe."""
    if start == "image" and not has_image:
        raise NSTError("start: 'image' needs a start image; connect one, or choose content or noise.")
    if start == "content" and not has_content:
        raise NSTError("start: 'content' needs a content picture; choose noise, grey or the style.")
    if start is not None:
        return start
    if has_image:
        return "image"
    if has_content or recipe.start != "content":
        return None
    return "style-noise" if all(s.picture is not None for s in grams.styles if s.weight > 0) else "noise"


def check_keep_colours(method: str, strength: float) -> None:
    if method not in KEEP_COLOURS:
        raise NSTError(f"keep_colours: {method!r} is not one of {', '.join(KEEP_COLOURS)}.")
    check_strength(strength, "keep_colours_strength")


def _start_images(
    start_image: torch.Tensor | None, count: int, shape: tuple[int, int]
) -> tuple[torch.Tensor | None, list[str]]:
    if start_image is None:
        return None, []
    starts = check_picture(start_image, "start_image")
    if len(starts) not in (1, count):
        raise NSTError(
            f"start_image: a batch of {len(starts)} for {counted(count, 'content picture')}; give {one_or(count)}."
        )
    h, w = starts.shape[-2:]
    if (h, w) == shape:
        return starts, []
    return resize(starts, shape), [f"start image: resized from {w}×{h} to {shape[1]}×{shape[0]}"]
