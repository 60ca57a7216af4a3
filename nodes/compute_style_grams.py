from __future__ import annotations

import torch

from .. import nst_engine as nst
from ..nst_engine.pictures.images import from_host
from ..nst_engine.statistics.measure import memory_to_measure
from ..nst_engine.statistics.regions import MODES
from . import host
from .preview import measuring


class ComputeStyleGrams:
    TITLE = "Compute Style Grams"
    CATEGORY = host.CATEGORY
    DESCRIPTION = (
        "Measures the style of a picture: the Gram matrices of its features. Done once and reused by every transfer "
        "that follows. A batch is several styles; chain these nodes to blend styles by weight."
    )
    RETURN_TYPES = ("STYLE_GRAMS",)
    RETURN_NAMES = ("style_grams",)
    OUTPUT_TOOLTIPS = ("The style, for Neural Style Transfer, or for another Compute Style Grams to blend with.",)
    FUNCTION = "compute"

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "vgg": ("VGG_FEATURES", {"tooltip": "The network, from Load VGG Features."}),
                "style_image": ("IMAGE", {"tooltip": "The picture whose style is wanted. A batch is several styles."}),
                "weight": (
                    "FLOAT",
                    {
                        "default": 1.0,
                        "min": 0.0,
                        "max": 100.0,
                        "step": 0.05,
                        "tooltip": "How much this style counts against the others it is blended with. Only the "
                        "proportions matter; alone, any weight above 0 is the same.",
                    },
                ),
                "size": (
                    "INT",
                    {
                        "default": 512,
                        "min": 0,
                        "max": 16384,
                        "tooltip": "The long side at which the style is measured, in pixels: larger means larger "
                        "strokes. 0: as large as the transfer's picture.",
                    },
                ),
            },
            "optional": {
                "layer_weights": (
                    "LAYER_WEIGHTS",
                    {"tooltip": "Which layers to measure now. Others are measured when a transfer asks for them."},
                ),
                "style_grams": ("STYLE_GRAMS", {"tooltip": "Styles to blend this one with, by their weights."}),
                "style_mask": (
                    "MASK",
                    {"tooltip": "The part of the style picture that is the style. Without: all."},
                ),
                "region_mask": (
                    "MASK",
                    {
                        "tooltip": "The part of the content picture that takes on this style. Without: whatever no "
                        "other style's region covers. What no style covers stays content."
                    },
                ),
                "mask_mode": (
                    list(MODES),
                    {
                        "tooltip": "At the masks' edges: simple counts a place by how much of it is covered; inside "
                        "leaves out whatever sees anything beyond the mask, so that nothing bleeds in."
                    },
                ),
            },
        }

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
    ) -> tuple[nst.StyleGrams]:
        pictures = from_host(style_image)
        with host.room_for(memory_to_measure(vgg), vgg.device), measuring("the style") as watched:
            grams = nst.compute_style_grams(
                vgg,
                pictures,
                weight=weight,
                size=size,
                layers=layer_weights.style if layer_weights else None,
                blend_with=style_grams,
                mask=style_mask,
                region=region_mask,
                mask_mode=mask_mode,
                **watched,
            )
        return (grams,)
