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
        "Gives a picture the colours of another: a style picture those of the content before it is measured, so that "
        "only its texture is transferred, or any picture those of any other."
    )
    RETURN_TYPES = ("IMAGE",)
    RETURN_NAMES = ("image",)
    OUTPUT_TOOLTIPS = ("The picture in the reference's colours; its transparency is kept.",)
    FUNCTION = "match"

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "image": (
                    "IMAGE",
                    {"tooltip": "The picture whose colours are to change. Every one of a batch is done."},
                ),
                "reference": (
                    "IMAGE",
                    {"tooltip": "The picture whose colours are wanted: one for all, or one for each."},
                ),
                "method": (
                    list(METHODS),
                    {
                        "tooltip": "symmetric, pca, cholesky, histogram: the palette as a whole, for any two pictures. "
                        "lab, luminance: place by place, for two versions of one picture."
                    },
                ),
                "strength": (
                    "FLOAT",
                    {
                        "default": 1.0,
                        "min": 0.0,
                        "max": 1.0,
                        "step": 0.05,
                        "tooltip": "How much of the change: 0 is the picture as it was, 1 all.",
                    },
                ),
            }
        }

    def match(self, image: torch.Tensor, reference: torch.Tensor, method: str, strength: float) -> tuple[torch.Tensor]:
        matched = nst.match_colours(from_host(image), from_host(reference), method, strength)
        return (to_host(matched).to(host.resting_device()),)
