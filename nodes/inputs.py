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


class OrAuto:
    """The least value of a number that may be -1 as well, which is what a canvas takes for the least. The host compares
    what it is given with this, and so refuses by itself what lies between."""

    least: float

    def __gt__(self, value: Any) -> bool:
        return not self <= value

    def __le__(self, value: Any) -> bool:
        return value == AS_RECIPE or value >= self.least

    def __str__(self) -> str:
        return f"{self.least:g} (or {AS_RECIPE} for auto)"


class _Int(OrAuto, int):
    pass


class _Float(OrAuto, float):
    pass


def number_or_recipe(text: str, kind: str = "INT", least: float = 0, **options: Any) -> Input:
    smallest = _Int(AS_RECIPE) if kind == "INT" else _Float(AS_RECIPE)
    smallest.least = least
    tooltip = f"{text} -1 (auto): as the preset says."
    return kind, {"default": AS_RECIPE, "min": smallest, **options, "tooltip": tooltip}


def advanced(entry: Input) -> Input:
    """The same, which a canvas that can do so shows only when asked for."""
    kind, options = entry
    return kind, {**options, "advanced": True}


def given(value):
    """-1 and "recipe" leave it to the recipe."""
    return None if value in (AS_RECIPE, RECIPE) else value


def multiplier(text: str) -> Input:
    return "FLOAT", {"default": 1.0, "min": 0.0, "max": 1000.0, "step": 0.05, "tooltip": text}


def share(text: str, default: float) -> Input:
    return "FLOAT", {"default": default, "min": 0.0, "max": 1.0, "step": 0.05, "tooltip": text}


VGG = ("VGG_FEATURES", {"tooltip": "The network that looks at the pictures: the same one that measured the style."})
STYLE_GRAMS = ("STYLE_GRAMS", {"tooltip": "The style to paint in, from Compute Style Grams or Load Style Grams."})
STYLE_WEIGHT = (
    "FLOAT",
    {
        "default": 1.0,
        "min": 0.0,
        "max": 100.0,
        "step": 0.05,
        "tooltip": "How much this style counts when several are blended: 2 and 1 is two parts to one. "
        "On its own, any weight above 0 does the same.",
    },
)
OTHER_STYLE = ("STYLE_GRAMS", {"tooltip": "Another style, to blend this one with by their weights."})
REGION_MASK = (
    "MASK",
    {
        "tooltip": "Which part of your picture gets this style, the sky for instance. Not connected or "
        "empty: wherever no other style goes. Where no style goes at all, your picture stays."
    },
)
RECIPES = (
    list(nst.RECIPES),
    {
        "tooltip": "All settings at once. balanced suits most pictures, at any size. classic is busier, with more of "
        "the style's own shapes. The others repeat published programs and papers."
    },
)
STEPS = number_or_recipe(
    "How long it paints. 50 is a sketch, 150 finished, 280 refined. 0 gives the start picture back.", max=100000
)
OPTIMIZER = advanced(
    (
        [RECIPE, *OPTIMIZERS],
        {"tooltip": "How each step is found. adam is steady; lbfgs takes larger leaps. recipe: as the preset says."},
    )
)
LEARNING_RATE = advanced(
    number_or_recipe(
        "How far each step goes. Too high gives noise, too low an unfinished picture.",
        "FLOAT",
        least=1e-30,
        max=100.0,
        step=0.0001,
        round=False,
    )
)
TV_WEIGHT = advanced(
    number_or_recipe(
        "Smooths away grain and noise. 1 is a light touch with every preset, 0 none.", "FLOAT", max=1000.0, step=0.05
    )
)
SCALES = advanced(
    number_or_recipe(
        "How many sizes it is painted at, from small to large. More give larger, better arranged strokes; 1 gives the "
        "finest.",
        least=1,
        max=MOST_SCALES,
    )
)
SEED = (
    "INT",
    {
        "default": 0,
        "min": 0,
        "max": 0xFFFFFFFFFFFFFFFF,
        "control_after_generate": "fixed",
        "tooltip": "Where painting starts from noise, another seed gives another picture. Otherwise it hardly matters.",
    },
)
PREVIEW_EVERY = advanced(
    (
        "INT",
        {
            "default": AUTO_PREVIEW,
            "min": AUTO_PREVIEW,
            "max": 10000,
            "tooltip": "How many steps between two previews. -1 (auto): about one preview a second. 0: no previews.",
        },
    )
)
LAYER_WEIGHTS = (
    "LAYER_WEIGHTS",
    {"tooltip": "Your own choice of the network's layers, from Layer Weights. Not connected: the preset's."},
)
START_IMAGE = (
    "IMAGE",
    {"tooltip": "A picture to begin from. It is resized to fit, and used when you start from recipe or image."},
)
TILE = advanced(
    (
        "INT",
        {
            "default": AUTO_TILE,
            "min": AUTO_TILE,
            "max": LARGEST_SIDE,
            "tooltip": "Paints in tiles of so many pixels, to save memory. It takes longer and gives the same picture, "
            "without seams. -1 (auto): tiles only if the picture does not fit into memory. 0: never.",
        },
    )
)
METHOD = (
    "NST_METHOD",
    {"tooltip": "Another way of measuring style, from NST Method. Not connected: the preset's."},
)


def tile_of(tile: int) -> int | str | None:
    return {AUTO_TILE: "auto", WHOLE: None}.get(tile, tile)
