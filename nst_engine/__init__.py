"""Neural style transfer: a picture takes on another's style by moving its pixels until VGG sees it so."""

# ruff: noqa: E402
from .early import until_main

until_main()

from .color import match_colours
from .controls import LayerWeights
from .errors import NSTError
from .grams import StyleGrams, compute_style_grams, interpolate
from .levels import target_shape
from .objective import objective
from .recipes import RECIPES, Recipe
from .run import STOP, Position, Progress, Step
from .stylize import Result, memory_needed, stylize
from .vgg import VGGFeatures
from .video import Coherence, stylize_video
from .weights import load_vgg

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
