from __future__ import annotations

import torch

from .. import nst_engine as nst
from ..nst_engine.pictures.images import from_host
from ..nst_engine.statistics.measure import memory_to_measure
from ..nst_engine.visualise import ORDERS, feature_sheet
from . import checks, host
from .layer_weights import layer_choice
from .preview import follow_measuring


class NSTShowFeatures:
    TITLE = "NST Show Features"
    CATEGORY = f"{host.CATEGORY}/utilities"
    DESCRIPTION = "Shows what one layer of the network sees in a picture: edges, colours, textures, side by side."
    RETURN_TYPES = ("IMAGE",)
    RETURN_NAMES = ("image",)
    OUTPUT_TOOLTIPS = ("A sheet of what it sees: one for every picture of the batch.",)
    SEARCH_ALIASES = ("feature maps", "vgg features", "activations", "visualize layers", "deep dream", "style transfer")
    FUNCTION = "show"

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "vgg": ("VGG_FEATURES", {"tooltip": "The network, from Load VGG Features."}),
                "image": ("IMAGE", {"tooltip": "The picture that the network looks at."}),
                "layer": layer_choice(
                    "Which layer to look into: the first see edges and colours, the last whole things."
                ),
                "maps": (
                    "INT",
                    {
                        "default": 16,
                        "min": 1,
                        "max": 512,
                        "tooltip": "How many of its maps to show, each sees something of its own.",
                    },
                ),
                "order": (
                    list(ORDERS),
                    {
                        "tooltip": "strongest: the most active maps first. channel: in the network's own order.",
                        "advanced": True,
                    },
                ),
                "size": (
                    "INT",
                    {
                        "default": 512,
                        "min": 0,
                        "max": 16384,
                        "tooltip": "Larger pictures are first reduced to this long side, in pixels. 0: never.",
                        "advanced": True,
                    },
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

    @classmethod
    def VALIDATE_INPUTS(cls, layer: str | None = None, size: int | None = None) -> bool | str:
        return checks.refusal_of(cls, layer=layer, size=size) or checks.layer_too_deep(layer, size) or True

    def show(
        self, vgg: nst.VGGFeatures, image: torch.Tensor, layer: str, maps: int, order: str, size: int, recipe: str
    ) -> tuple[torch.Tensor]:
        pictures = from_host(image)
        with host.reserve_memory(memory_to_measure(vgg), vgg.device):
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
