"""Inputs that several nodes have, declared once, and what their special values mean."""

from __future__ import annotations

from typing import Any

from .. import nst_engine as nst
from ..nst_engine.options import OPTIMIZERS
from ..nst_engine.pictures.images import LARGEST_SIDE
from ..nst_engine.run.levels import MOST_SCALES
from .preview import AUTO_PREVIEW

RECIPE = "recipe"
AS_RECIPE = -1
AUTO_TILE = -1
WHOLE = 0

Input = tuple[Any, dict[str, Any]]


def number_or_recipe(text: str, kind: str = "INT", **options: Any) -> Input:
    tooltip = f"{text} -1: as the recipe says."
    return kind, {"default": AS_RECIPE, "min": AS_RECIPE, **options, "tooltip": tooltip}


# Below these -1 alone has a meaning, though the widgets' steps let others be typed in, too.
LEAST = {"learning_rate": 1e-30, "tv_weight": 0.0, "averaging": 0.0, "scales": 1}


def check_numbers(kind: Any, **values: float | None) -> bool | str:
    """For a node's VALIDATE_INPUTS: in place of the host's own look at the bounds of these inputs.

    None: linked. What is no number at all the host refuses by itself, and asks here nevertheless.
    """
    table = kind.INPUT_TYPES()
    for name, value in values.items():
        most = {**table["required"], **table.get("optional", {})}[name][1]["max"]
        if isinstance(value, int | float) and value != AS_RECIPE and not LEAST[name] <= value <= most:
            least = "a number above 0" if name == "learning_rate" else f"{LEAST[name]:g}"
            return f"{name}: {str(value)[:20]} will not do; give {least} to {most:g}, or -1 for what the recipe says."
    return True


def given(value):
    """-1 and "recipe" leave it to the recipe."""
    return None if value in (AS_RECIPE, RECIPE) else value


def multiplier(text: str) -> Input:
    return "FLOAT", {"default": 1.0, "min": 0.0, "max": 1000.0, "step": 0.05, "tooltip": text}


def share(text: str, default: float) -> Input:
    return "FLOAT", {"default": default, "min": 0.0, "max": 1.0, "step": 0.05, "tooltip": text}


VGG = ("VGG_FEATURES", {"tooltip": "The same network that the style was measured with."})
STYLE_GRAMS = ("STYLE_GRAMS", {"tooltip": "The style, from Compute Style Grams."})
RECIPES = (
    list(nst.RECIPES),
    {
        "tooltip": "balanced: suits most pairs at any size; classic: busier, with more of the style's own forms. The "
        "others are published programs and papers: their layers, losses, weights, optimiser, steps, start and size. "
        "Precision fp32 and style size 0 make them exact."
    },
)
STEPS = number_or_recipe("Evaluations of the loss in all. 0 gives back the start picture.", max=100000)
OPTIMIZER = (
    [RECIPE, *OPTIMIZERS],
    {"tooltip": "adam is steady, lbfgs takes larger leaps. recipe: as the recipe says."},
)
LEARNING_RATE = number_or_recipe(
    "How far the optimiser moves at each step.", "FLOAT", max=100.0, step=0.0001, round=False
)
TV_WEIGHT = number_or_recipe(
    "Total variation: smooths away noise. 1 is a light smoothing under every recipe, 0 is none.",
    "FLOAT",
    max=1000.0,
    step=0.05,
)
SCALES = number_or_recipe(
    "Coarse-to-fine levels, each √2 larger than the last: more give larger strokes, 1 the finest.", max=MOST_SCALES
)
SEED = (
    "INT",
    {
        "default": 0,
        "min": 0,
        "max": 0xFFFFFFFFFFFFFFFF,
        "control_after_generate": True,
        "tooltip": "Of the noise start: the same seed begins from the same noise on every device.",
    },
)
PREVIEW_EVERY = (
    "INT",
    {
        "default": AUTO_PREVIEW,
        "min": AUTO_PREVIEW,
        "max": 10000,
        "tooltip": "Steps between preview pictures. -1: about one a second. 0: none.",
    },
)
LAYER_WEIGHTS = ("LAYER_WEIGHTS", {"tooltip": "Other layers than the recipe's, from Layer Weights."})
START_IMAGE = (
    "IMAGE",
    {"tooltip": "The picture to begin from, when start is recipe or image; resized if need be."},
)
TILE = (
    "INT",
    {
        "default": AUTO_TILE,
        "min": AUTO_TILE,
        "max": LARGEST_SIDE,
        "tooltip": "How much of the picture the network sees at a time, in pixels: less takes less memory and more "
        "time, and gives the same picture. -1: all of it if it fits into the memory that is free, else tiles as large "
        "as fit. 0: all of it.",
    },
)
METHOD = ("NST_METHOD", {"tooltip": "How style is measured and met, from NST Method. Without: as the recipe says."})


def tile_of(tile: int) -> int | str | None:
    return {AUTO_TILE: "auto", WHOLE: None}.get(tile, tile)
