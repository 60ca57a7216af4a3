"""Neural style transfer: a picture takes on another's style by moving its pixels until VGG sees it so."""

from .errors import NSTError
from .grams import StyleGrams, compute_style_grams, interpolate
from .objective import LayerWeights, objective
from .recipes import RECIPES, Recipe
from .stylize import STOP, Progress, Result, Step, memory_needed, stylize, target_shape
from .vgg import VGGFeatures
from .weights import load_vgg

__all__ = [
    "RECIPES",
    "STOP",
    "LayerWeights",
    "NSTError",
    "Progress",
    "Recipe",
    "Result",
    "Step",
    "StyleGrams",
    "VGGFeatures",
    "compute_style_grams",
    "interpolate",
    "load_vgg",
    "memory_needed",
    "objective",
    "stylize",
    "target_shape",
]

__version__ = "0.1.0"
