from __future__ import annotations

import numpy as np
import torch

from .. import nst_engine as nst
from ..nst_engine.statistics.regions import MODES
from ..nst_engine.styles.saved import THUMBNAIL
from . import host


class LoadStyleGrams:
    TITLE = "Load Style Grams"
    CATEGORY = host.CATEGORY
    DESCRIPTION = (
        "Loads a style that Save Style Grams wrote, from ComfyUI's input or output folder. No picture is needed, and "
        "nothing is measured again."
    )
    RETURN_TYPES = ("STYLE_GRAMS", "IMAGE")
    RETURN_NAMES = ("style_grams", "thumbnail")
    OUTPUT_TOOLTIPS = (
        "The style, for Neural Style Transfer, or to blend others with.",
        "The small copy of the style picture, one for every style in the file; black where none was saved.",
    )
    FUNCTION = "load"

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "style": (
                    host.style_files(),
                    {
                        "tooltip": "A saved style: those in the input folder, then those in the output folder. Press R "
                        "on the canvas to list new ones."
                    },
                ),
                "weight": (
                    "FLOAT",
                    {
                        "default": 1.0,
                        "min": 0.0,
                        "max": 100.0,
                        "step": 0.05,
                        "tooltip": "How much this style counts against the others it is blended with; a saved blend "
                        "shares it out as it was. Alone, any weight above 0 is the same.",
                    },
                ),
            },
            "optional": {
                "style_grams": ("STYLE_GRAMS", {"tooltip": "Styles to blend this one with, by their weights."}),
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
                        "tooltip": "At the region's edge: simple counts a place by how much of it is covered; inside "
                        "leaves out whatever sees anything beyond the region. What is saved in the file stays as it is."
                    },
                ),
            },
        }

    @classmethod
    def VALIDATE_INPUTS(cls, style: str | None) -> bool | str:
        """In place of the host's look into the list: a file may have come since, and nobody is led elsewhere."""
        try:
            return style is None or bool(host.style_file(style))
        except nst.NSTError as error:
            return str(error)

    @classmethod
    def IS_CHANGED(cls, style: str | None = None, **_) -> str:
        """A file that changes on disk is loaded anew."""
        if style is None:
            return "linked"
        file = host.style_file(style).stat()
        return f"{file.st_mtime_ns} {file.st_size}"

    def load(
        self,
        style: str,
        weight: float,
        style_grams: nst.StyleGrams | None = None,
        region_mask: torch.Tensor | None = None,
        mask_mode: str = "simple",
    ) -> tuple[nst.StyleGrams, torch.Tensor]:
        grams = nst.StyleGrams.load(host.style_file(style)).weighted(weight).within(region_mask, mask_mode)
        # numpy's zeros take no memory until they are touched, and a small file may hold a thousand styles.
        thumbnails = torch.from_numpy(np.zeros((len(grams.styles), *THUMBNAIL), np.float32))
        for i, one in enumerate(grams.styles):
            if one.thumbnail is not None:
                torch.div(one.thumbnail, 255, out=thumbnails[i])
        return (grams if style_grams is None else style_grams + grams), thumbnails
