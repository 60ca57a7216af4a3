from __future__ import annotations

from .. import nst_engine as nst
from ..nst_engine.layers import check_layers, parse_layers
from ..nst_engine.network.architecture import layer_names
from ..nst_engine.recipes import FIVE
from . import host

CUSTOM = "custom"


def layer_choice(tooltip: str) -> tuple[list[str], dict[str, str]]:
    """An input that names one layer."""
    return list(layer_names("vgg19")), {"default": "relu3_1", "tooltip": f"{tooltip} VGG-16 lacks some of them."}


class LayerWeights:
    TITLE = "Layer Weights"
    CATEGORY = host.CATEGORY
    DESCRIPTION = (
        "Decides what is taken from a style, and how much: from colour and grain in the first layers of the network "
        "to large strokes and shapes in the last. Optional; presets have their own."
    )
    RETURN_TYPES = ("LAYER_WEIGHTS",)
    RETURN_NAMES = ("layer_weights",)
    OUTPUT_TOOLTIPS = ("Your choice of layers, for Neural Style Transfer.",)
    SEARCH_ALIASES = (
        "style layers",
        "content layers",
        "vgg layers",
        "style transfer",
        "detail",
    )
    FUNCTION = "choose"

    @classmethod
    def INPUT_TYPES(cls):
        def slider(tap: str, holds: str):
            options = {"default": 1.0, "min": 0.0, "max": 10.0, "step": 0.05, "display": "slider"}
            return (
                "FLOAT",
                {**options, "tooltip": f"How much of the style's {holds} is taken. Counts with custom only."},
            )

        holds = ("colour and grain", "fine marks", "strokes", "large strokes and motifs", "shapes and arrangement")
        return {
            "required": {
                "preset": (
                    [CUSTOM, *nst.RECIPES],
                    {
                        "tooltip": "custom: the sliders below. A preset's name: that preset's layers; the sliders do "
                        "nothing."
                    },
                ),
                **{tap: slider(tap, what) for tap, what in zip(FIVE, holds, strict=True)},
                "style_layers": (
                    "STRING",
                    {
                        "default": "",
                        "tooltip": "More style layers, written like relu3_2=0.5, conv4_2=1. They are added to the "
                        "layers above, or replace their weight; 0 takes a layer out.",
                    },
                ),
                "content_layers": (
                    "STRING",
                    {
                        "default": "",
                        "tooltip": "Layers that hold on to your picture, written like relu4_2=1. relu3_1 keeps it more "
                        "exactly, relu5_1 more loosely. Empty: the preset's.",
                    },
                ),
            }
        }

    def choose(self, preset: str, style_layers: str, content_layers: str, **sliders: float) -> tuple[nst.LayerWeights]:
        recipe = None if preset == CUSTOM else nst.RECIPES[preset]
        style = {**(recipe.style_layers if recipe else sliders), **parse_layers(style_layers, "style_layers")}
        content = {**(recipe.content_layers if recipe else {}), **parse_layers(content_layers, "content_layers")}
        return (
            nst.LayerWeights(
                style=check_layers(style, "style_layers"),
                content=check_layers(content, "content_layers") if content else None,
            ),
        )
