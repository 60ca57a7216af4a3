from __future__ import annotations

import torch

from .. import nst_engine as nst
from ..nst_engine.inside import ORDERS, feature_sheet
from ..nst_engine.pictures.images import from_host
from ..nst_engine.statistics.measure import memory_to_measure
from . import host
from .layer_weights import layer_choice
from .preview import follow_measuring


class NSTShowFeatures:
    TITLE = "NST Show Features"
    CATEGORY = f"{host.CATEGORY}/utilities"
    DESCRIPTION = "Shows what a layer of the network sees in a picture: its feature maps side by side."
    RETURN_TYPES = ("IMAGE",)
    RETURN_NAMES = ("image",)
    OUTPUT_TOOLTIPS = ("A sheet of maps, one for every picture of the batch.",)
    FUNCTION = "show"

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "vgg": ("VGG_FEATURES", {"tooltip": "The network, from Load VGG Features."}),
                "image": ("IMAGE", {"tooltip": "The picture that the network looks at."}),
                "layer": layer_choice("The layer to look into: conv before the ReLU, relu after it."),
                "maps": ("INT", {"default": 16, "min": 1, "max": 512, "tooltip": "How many maps to show."}),
                "order": (
                    list(ORDERS),
                    {"tooltip": "strongest: those with the most energy first. channel: in the network's order."},
                ),
                "size": (
                    "INT",
                    {
                        "default": 512,
                        "min": 0,
                        "max": 16384,
                        "tooltip": "Long side that a larger picture is reduced to first, in pixels. 0: as it is.",
                    },
                ),
                "recipe": (
                    list(nst.RECIPES),
                    {"tooltip": "Whose network to look into: recipes differ in pooling, input and units."},
                ),
            }
        }

    def show(
        self, vgg: nst.VGGFeatures, image: torch.Tensor, layer: str, maps: int, order: str, size: int, recipe: str
    ) -> tuple[torch.Tensor]:
        pictures = from_host(image)
        with host.room_for(memory_to_measure(vgg), vgg.device):
            sheets = feature_sheet(
                vgg,
                pictures,
                layer,
                count=maps,
                order=order,
                size=size,
                recipe=recipe,
                **follow_measuring(),
            )
        return (sheets,)
