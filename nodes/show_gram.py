from __future__ import annotations

import torch

from .. import nst_engine as nst
from ..nst_engine.inside import ORDERS, SCALES, gram_sheet
from ..nst_engine.statistics.measure import memory_to_measure
from . import host
from .layer_weights import layer_choice
from .preview import follow_measuring


class NSTShowGram:
    TITLE = "NST Show Gram"
    CATEGORY = f"{host.CATEGORY}/utilities"
    DESCRIPTION = (
        "Shows what is kept of a style at one layer: how strongly every two channels of it occur together, as a heat "
        "map. It is all that a transfer is to match there."
    )
    RETURN_TYPES = ("IMAGE",)
    RETURN_NAMES = ("image",)
    OUTPUT_TOOLTIPS = ("The heat map, with its scale; of a blend, what the styles are blended to.",)
    FUNCTION = "show"

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "vgg": ("VGG_FEATURES", {"tooltip": "The network that the style was measured with."}),
                "style_grams": ("STYLE_GRAMS", {"tooltip": "The style, from Compute or Load Style Grams."}),
                "layer": layer_choice("The layer to look into. What a loaded style lacks cannot be shown."),
                "order": (
                    list(ORDERS),
                    {"tooltip": "strongest: channels with the most energy first. channel: in the network's order."},
                ),
                "scale": (
                    list(SCALES),
                    {"tooltip": "log: faint values show, over four powers of ten. sqrt: only the strong ones do."},
                ),
                "recipe": (
                    list(nst.RECIPES),
                    {"tooltip": "Whose network to look into: recipes differ in pooling, input and units."},
                ),
            }
        }

    def show(
        self, vgg: nst.VGGFeatures, style_grams: nst.StyleGrams, layer: str, order: str, scale: str, recipe: str
    ) -> tuple[torch.Tensor]:
        with host.room_for(memory_to_measure(vgg), vgg.device):
            sheet = gram_sheet(vgg, style_grams, layer, order=order, scale=scale, recipe=recipe, **follow_measuring())
        return (sheet,)
