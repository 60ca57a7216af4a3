from __future__ import annotations

import torch

from .. import nst_engine as nst
from ..nst_engine.pictures.colour import METHODS
from ..nst_engine.pictures.images import from_host, to_host
from . import host


class NSTMatchColours:
    TITLE = "Match Colours"
    CATEGORY = host.CATEGORY
    DESCRIPTION = (
        "Gives a picture the colours of another. Before Compute Style Grams it leaves of a style only strokes and "
        "textures, in the colours of your own picture."
    )
    RETURN_TYPES = ("IMAGE",)
    RETURN_NAMES = ("image",)
    OUTPUT_TOOLTIPS = ("The picture in its new colours. Transparency is kept.",)
    SEARCH_ALIASES = (
        *("match colors", "color match", "color transfer", "keep colors", "palette", "recolor", "recolour"),
        *("color correct", "style transfer", "painting"),
    )
    FUNCTION = "match"

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "image": (
                    "IMAGE",
                    {"tooltip": "The picture to recolour. Of a batch, every one is done."},
                ),
                "reference": (
                    "IMAGE",
                    {"tooltip": "The picture that has the colours you want. For a batch, one for all or one for each."},
                ),
                "method": (
                    list(METHODS),
                    {
                        "tooltip": "symmetric, pca, cholesky, histogram: take over the palette as a whole, between any "
                        "two pictures. lab, luminance: place by place, between two versions of one picture."
                    },
                ),
                "strength": (
                    "FLOAT",
                    {
                        "default": 1.0,
                        "min": 0.0,
                        "max": 1.0,
                        "step": 0.05,
                        "tooltip": "How much the colours change: 0 not at all, 1 completely.",
                    },
                ),
            }
        }

    def match(self, image: torch.Tensor, reference: torch.Tensor, method: str, strength: float) -> tuple[torch.Tensor]:
        matched = nst.match_colours(from_host(image), from_host(reference), method, strength)
        return (to_host(matched).to(host.resting_device()),)
