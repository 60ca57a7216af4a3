from __future__ import annotations

from .. import nst_engine as nst
from . import host


class NSTInterpolateStyles:
    TITLE = "NST Interpolate Styles"
    CATEGORY = host.CATEGORY
    DESCRIPTION = (
        "Goes from one style to another in equal steps. Neural Style Transfer then runs once for every step, and gives "
        "a row of pictures."
    )
    RETURN_TYPES = ("STYLE_GRAMS",)
    RETURN_NAMES = ("style_grams",)
    OUTPUT_IS_LIST = (True,)
    OUTPUT_TOOLTIPS = ("A list of styles: the first and the last are exactly the two given.",)
    FUNCTION = "interpolate"

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "from_style": ("STYLE_GRAMS", {"tooltip": "The style that the row begins with, or a blend."}),
                "to_style": (
                    "STYLE_GRAMS",
                    {"tooltip": "The style that it ends with, of the same network."},
                ),
                "frames": (
                    "INT",
                    {
                        "default": 4,
                        "min": 2,
                        "max": 64,
                        "tooltip": "How many pictures the row has, both ends included. Each takes a transfer of its "
                        "own.",
                    },
                ),
            }
        }

    def interpolate(
        self, from_style: nst.StyleGrams, to_style: nst.StyleGrams, frames: int
    ) -> tuple[list[nst.StyleGrams]]:
        return ([nst.interpolate(from_style, to_style, i / (frames - 1)) for i in range(frames)],)
