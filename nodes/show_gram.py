from __future__ import annotations

import torch

from .. import nst_engine as nst
from ..nst_engine.statistics.measure import memory_to_measure
from ..nst_engine.visualise import ORDERS, SCALES, gram_sheet
from . import host
from .layer_weights import layer_choice
from .preview import follow_measuring


class NSTShowGram:
    TITLE = "NST Show Gram"
    CATEGORY = f"{host.CATEGORY}/utilities"
    DESCRIPTION = (
        "Shows what is known of a style at one layer, as a heat map: which textures occur together, and how "
        "strongly. A painting has to match this, and nothing else."
    )
    RETURN_TYPES = ("IMAGE",)
    RETURN_NAMES = ("image",)
    OUTPUT_TOOLTIPS = ("The heat map with its scale. Of a blend, the blend.",)
    SEARCH_ALIASES = ("gram matrix", "visualize style", "heat map", "style transfer")
    FUNCTION = "show"

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "vgg": ("VGG_FEATURES", {"tooltip": "The network that measured the style."}),
                "style_grams": ("STYLE_GRAMS", {"tooltip": "The style, from Compute Style Grams or Load Style Grams."}),
                "layer": layer_choice("Which layer to look into. A saved style has only those it was saved with."),
                "order": (
                    list(ORDERS),
                    {
                        "tooltip": "strongest: the most active channels first. channel: in the network's own order.",
                        "advanced": True,
                    },
                ),
                "scale": (
                    list(SCALES),
                    {"tooltip": "log: faint values show too. sqrt: only the strong ones stand out.", "advanced": True},
                ),
                "recipe": (
                    list(nst.RECIPES),
                    {
                        "tooltip": "Looks as this preset does; they differ a little in pooling and scale.",
                        "advanced": True,
                    },
                ),
            }
        }

    def show(
        self, vgg: nst.VGGFeatures, style_grams: nst.StyleGrams, layer: str, order: str, scale: str, recipe: str
    ) -> tuple[torch.Tensor]:
        with host.reserve_memory(memory_to_measure(vgg), vgg.device):
            sheet = gram_sheet(vgg, style_grams, layer, order=order, scale=scale, recipe=recipe, **follow_measuring())
        return (sheet,)
