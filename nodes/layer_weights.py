from __future__ import annotations

from .. import nst_engine as nst
from ..nst_engine.layers import check_layers, parse_layers
from ..nst_engine.network.architecture import layer_names
from ..nst_engine.recipes import FIVE
from . import host

CUSTOM = "custom"


def layer_choice(tooltip: str) -> tuple[list[str], dict[str, str]]:
    """An input that names one layer."""
    return list(layer_names("vgg19")), {"default": "relu3_1", "tooltip": f"{tooltip} VGG-16 has not all of them."}


class LayerWeights:
    TITLE = "Layer Weights"
    CATEGORY = host.CATEGORY
    DESCRIPTION = (
        "Chooses which layers of the network count, and how much, for style and for content. Shallow layers hold "
        "colour and fine grain, deep ones larger brush strokes and shapes."
    )
    RETURN_TYPES = ("LAYER_WEIGHTS",)
    RETURN_NAMES = ("layer_weights",)
    OUTPUT_TOOLTIPS = (
        "Layer weights, for Neural Style Transfer (and Compute Style Grams, when other layers are used).",
    )
    FUNCTION = "choose"

    @classmethod
    def INPUT_TYPES(cls):
        def slider(tap: str, holds: str):
            options = {"default": 1.0, "min": 0.0, "max": 10.0, "step": 0.05, "display": "slider"}
            return ("FLOAT", {**options, "tooltip": f"Weight of {tap} in the style: {holds}. Used by preset custom."})

        holds = ("colour and grain", "fine marks", "strokes", "large strokes and motifs", "shapes and composition")
        return {
            "required": {
                "preset": (
                    [CUSTOM, *nst.RECIPES],
                    {"tooltip": "custom: the sliders below. A recipe's name: its layers, sliders ignored."},
                ),
                **{tap: slider(tap, what) for tap, what in zip(FIVE, holds, strict=True)},
                "style_layers": (
                    "STRING",
                    {
                        "default": "",
                        "tooltip": "Any other style layers, e.g. relu3_2=0.5, conv4_2=1. They are added to the preset "
                        "or the sliders, or replace their weight there; 0 takes a layer out.",
                    },
                ),
                "content_layers": (
                    "STRING",
                    {
                        "default": "",
                        "tooltip": "Content layers, e.g. relu4_2=1. Empty: the preset's; with custom, the recipe's. "
                        "Shallower layers keep the content more exactly.",
                    },
                ),
            }
        }

    def choose(self, preset: str, style_layers: str, content_layers: str, **sliders: float) -> tuple[nst.LayerWeights]:
        own = None if preset == CUSTOM else nst.RECIPES[preset]
        style = {**(own.style_layers if own else sliders), **parse_layers(style_layers, "style_layers")}
        content = {**(own.content_layers if own else {}), **parse_layers(content_layers, "content_layers")}
        return (
            nst.LayerWeights(
                style=check_layers(style, "style_layers"),
                content=check_layers(content, "content_layers") if content else None,
            ),
        )
