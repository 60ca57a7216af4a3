from __future__ import annotations

import torch

from .. import nst_engine as nst
from ..nst_engine.pictures.images import from_host
from ..nst_engine.statistics.masks import MODES
from ..nst_engine.statistics.measure import memory_to_measure
from ..nst_engine.styles.copies import COPIES
from . import checks, host, inputs
from .masks import painted, painted_or_whole
from .preview import measuring


class ComputeStyleGrams:
    TITLE = "Compute Style Grams"
    CATEGORY = host.CATEGORY
    DESCRIPTION = (
        "Measures the style of a picture: its colours, textures and strokes, without what it shows. Done once, then "
        "reused by every painting. Chain several of these to blend styles."
    )
    RETURN_TYPES = ("STYLE_GRAMS",)
    RETURN_NAMES = ("style_grams",)
    OUTPUT_TOOLTIPS = ("The style, for Neural Style Transfer, or for another Compute Style Grams to blend with it.",)
    SEARCH_ALIASES = (
        *("style", "style picture", "style image", "measure style", "gram matrix", "gram"),
        *("style transfer", "painting", "blend styles", "texture"),
    )
    FUNCTION = "compute"

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "vgg": ("VGG_FEATURES", {"tooltip": "The network, from Load VGG Features."}),
                "style_image": (
                    "IMAGE",
                    {
                        "tooltip": "The picture whose style you want, a painting for instance. A batch is a blend of "
                        "all."
                    },
                ),
                "weight": inputs.STYLE_WEIGHT,
                "size": (
                    "INT",
                    {
                        "default": 512,
                        "min": 0,
                        "max": 16384,
                        "tooltip": "At what size the style is looked at, in pixels along its long side. Larger gives "
                        "larger strokes, smaller finer ones. 0: as large as the picture that is painted.",
                    },
                ),
            },
            "optional": {
                "layer_weights": (
                    "LAYER_WEIGHTS",
                    {
                        "tooltip": "Your own choice of layers, measured right away. Rarely needed: whatever is "
                        "missing is measured later."
                    },
                ),
                "style_grams": inputs.OTHER_STYLE,
                "style_mask": (
                    "MASK",
                    {
                        "tooltip": "Takes the style only from the painted part of the style picture. Empty: from all "
                        "of it."
                    },
                ),
                "region_mask": inputs.REGION_MASK,
                "mask_mode": (
                    list(MODES),
                    {
                        "tooltip": "At a mask's edge: simple goes right up to it; inside keeps clear of it, so that "
                        "nothing from beyond bleeds in.",
                        "advanced": True,
                    },
                ),
                "copies": (
                    list(COPIES),
                    {
                        "tooltip": "Measures the style together with copies of it. mirrored, rotated: its strokes may "
                        "go in any of these directions. rescaled: they may be of several sizes. none: as it is.",
                        "advanced": True,
                    },
                ),
            },
        }

    @classmethod
    def VALIDATE_INPUTS(cls, size: int | None = None, layer_weights: object = checks.NOT_WIRED) -> bool | str:
        refusal = checks.refusal_of(cls, size=size)
        if not refusal and layer_weights is checks.NOT_WIRED:
            refusal = checks.style_too_small(size)
        return refusal or True

    def compute(
        self,
        vgg: nst.VGGFeatures,
        style_image: torch.Tensor,
        weight: float,
        size: int,
        layer_weights: nst.LayerWeights | None = None,
        style_grams: nst.StyleGrams | None = None,
        style_mask: torch.Tensor | None = None,
        region_mask: torch.Tensor | None = None,
        mask_mode: str = "simple",
        copies: str = "none",
    ) -> tuple[nst.StyleGrams]:
        pictures, notes = from_host(style_image), list[str]()
        mask = painted_or_whole(style_mask, "style_mask", notes)
        region = painted(region_mask, "region_mask", notes)
        with host.reserve_memory(memory_to_measure(vgg), vgg.device), measuring("the style", notes) as watched:
            grams = nst.compute_style_grams(
                vgg,
                pictures,
                weight=weight,
                size=size,
                layers=layer_weights.style if layer_weights else None,
                blend_with=style_grams,
                mask=mask,
                region=region,
                mask_mode=mask_mode,
                copies=copies,
                **watched,
            )
        return (grams,)
