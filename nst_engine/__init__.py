"""Neural style transfer: a picture takes on another's style by moving its pixels until VGG sees it so."""

# ruff: noqa: E402
from .system.interrupts import until_main

until_main()

from .errors import NSTError
from .network.vgg import VGGFeatures
from .network.weights import load_vgg
from .objective.build import objective
from .objective.controls import LayerWeights
from .pictures.colour import match_colours
from .recipes import RECIPES, Recipe
from .run.levels import target_shape
from .run.progress import STOP, Position, Progress, Step
from .styles.compute import compute_style_grams
from .styles.grams import StyleGrams, interpolate
from .stylize import Result, memory_needed, stylize
from .video import Coherence, stylize_video

__all__ = [
    "RECIPES",
    "STOP",
    "Coherence",
    "LayerWeights",
    "NSTError",
    "Position",
    "Progress",
    "Recipe",
    "Result",
    "Step",
    "StyleGrams",
    "VGGFeatures",
    "compute_style_grams",
    "interpolate",
    "load_vgg",
    "match_colours",
    "memory_needed",
    "objective",
    "stylize",
    "stylize_video",
    "target_shape",
]

__version__ = "0.1.0"
