"""From content and style grams to a finished picture: the choices that a user has, checked, and what comes of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch

from .color import METHODS, check_strength, match_colours
from .errors import NSTError
from .grams import StyleGrams, network_for
from .images import alpha_of, check_picture, resize, shape_of
from .levels import OWN_SIZE, plan, target_shape
from .memory import footprint, free_memory
from .objective import LayerWeights, Multipliers, layers_in_use
from .precision import name_of
from .recipes import BRISK, LBFGS, Adam, Recipe, get_recipe
from .regions import check_mask
from .run import OnStep, OnTile, Run, Step
from .vgg import VGGFeatures

STARTS = ("content", "noise", "image")
OPTIMIZERS = ("adam", "lbfgs")
KEEP_COLOURS = ("none", *METHODS)

LARGEST_RATE = 1e30


@dataclass
class Result:
    image: torch.Tensor
    histories: list[list[Step]]
    settings: dict[str, Any]
    notes: list[str] = field(default_factory=list)

    @property
    def history(self) -> list[Step]:
        return self.histories[0]


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
    keep_colours: str = "none",
    keep_colours_strength: float = 1.0,
    protect: torch.Tensor | None = None,
    on_step: OnStep | None = None,
    tile: int | str | None = "auto",
    on_tile: OnTile | None = None,
    memory: int | None = None,
) -> Result:
    """Give every picture of `content` (Nx3xHxW or Nx4xHxW, 0..1) the style of `grams`.

    None leaves a choice to the recipe. Weights multiply the recipe's own; `size` is the long side of the result,
    0 the content's own size, -1 the recipe's. `on_step(progress)` may return STOP to end early and keep the picture;
    what it raises ends the run. `keep_colours` is how `match_colours` gives the finished picture the content's colours.

    `protect` (HxW or 1xHxW, 0..1) is where the content's pixels stay as they are.

    `tile` bounds what the network sees at a time, in pixels: None is the whole picture, "auto" the whole if that fits
    into `memory` (bytes; by default what the device has free), else tiles. The result is the same. `on_tile` is told
    whenever a tile is done; what it raises ends the run, too.
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
        style_layers, content_layers = layers_in_use(vgg, recipe, layers or LayerWeights())
        run = Run(
            network,
            recipe,
            levels,
            grams,
            style_layers,
            content_layers,
            Multipliers(content_weight, style_weight, tv_weight),
            tile,
            free_memory(network.device) if memory is None else memory,
            None if protect is None else check_mask(protect, "protect mask"),
            on_step,
            on_tile,
            len(pictures),
        )
        finished = []
        for i, picture in enumerate(pictures):
            if run.stopped:
                # Stopped for good: the pictures not begun come back as they were, none is lost.
                finished.append(resize(picture[None], shape))
                run.histories.append([])
                continue
            given = None if starts is None else starts[i % len(starts)][None]
            made = run.one(picture[None], given, seed)
            if keep_colours != "none":
                made = match_colours(made, resize(picture[None], shape), keep_colours, keep_colours_strength)
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
        "start": recipe.start,
        "width": shape[1],
        "height": shape[0],
        "levels": [[*level.shape, level.steps] for level in levels],
        "tiles": [run.tiles.get(number) for number in range(len(levels))],
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
    return Result(image, run.histories, settings, notes + run.notes)


def memory_needed(
    vgg: VGGFeatures, shape: tuple[int, int], recipe: str | Recipe = "balanced", layers: LayerWeights | None = None
) -> int:
    """Bytes that a run at this height and width takes when nothing has to be saved."""
    recipe = get_recipe(recipe)
    style_layers, content_layers = layers_in_use(vgg, recipe, layers or LayerWeights())
    return footprint(network_for(vgg, recipe), style_layers, content_layers, recipe.optimizer).total(shape)


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
            recipe = replace(recipe, optimizer=BRISK, variable="pixels")
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
