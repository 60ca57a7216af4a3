from __future__ import annotations

from .. import nst_engine as nst
from . import host


class NSTInterpolateStyles:
    TITLE = "NST Interpolate Styles"
    CATEGORY = host.CATEGORY
    DESCRIPTION = (
        "Goes from one style to another in equal steps, and so gives a row of pictures: Neural Style Transfer paints "
        "one for every step."
    )
    RETURN_TYPES = ("STYLE_GRAMS",)
    RETURN_NAMES = ("style_grams",)
    OUTPUT_IS_LIST = (True,)
    OUTPUT_TOOLTIPS = ("The styles, one after the other. The first and the last are exactly the two you gave.",)
    SEARCH_ALIASES = ("blend styles", "mix styles", "morph style", "style row", "style transfer")
    FUNCTION = "interpolate"

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "from_style": ("STYLE_GRAMS", {"tooltip": "The style that the row begins with."}),
                "to_style": (
                    "STYLE_GRAMS",
                    {"tooltip": "The style that the row ends with, measured by the same network."},
                ),
                "frames": (
                    "INT",
                    {
                        "default": 4,
                        "min": 2,
                        "max": 64,
                        "tooltip": "How many pictures the row has, both ends included. Each is painted by itself, and "
                        "takes its time.",
                    },
                ),
            }
        }

    def interpolate(
        self, from_style: nst.StyleGrams, to_style: nst.StyleGrams, frames: int
    ) -> tuple[list[nst.StyleGrams]]:
        return ([nst.interpolate(from_style, to_style, i / (frames - 1)) for i in range(frames)],)
