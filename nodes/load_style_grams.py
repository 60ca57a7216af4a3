from __future__ import annotations

import numpy as np
import torch

from .. import nst_engine as nst
from ..nst_engine.statistics.masks import MODES
from ..nst_engine.styles.saved import THUMBNAIL
from . import host, inputs
from .masks import painted
from .preview import leave
from .progress_text import joined


class LoadStyleGrams:
    TITLE = "Load Style Grams"
    CATEGORY = host.CATEGORY
    DESCRIPTION = (
        "Loads a saved style, your own or somebody else's, from ComfyUI's input or output folder. It takes the place "
        "of a style picture."
    )
    RETURN_TYPES = ("STYLE_GRAMS", "IMAGE")
    RETURN_NAMES = ("style_grams", "thumbnail")
    OUTPUT_TOOLTIPS = (
        "The style, for Neural Style Transfer, or for another node to blend with it.",
        "Thumbnails of the style pictures in the file; black where none was saved.",
    )
    SEARCH_ALIASES = ("load style", "import style", "saved style", "style file", "style transfer", "safetensors")
    FUNCTION = "load"

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "style": (
                    host.style_files(),
                    {
                        "tooltip": "Which saved style: first those in the input folder, then those in the output "
                        "folder. Press R on the canvas to list new ones."
                    },
                ),
                "weight": inputs.STYLE_WEIGHT,
            },
            "optional": {
                "style_grams": inputs.OTHER_STYLE,
                "region_mask": inputs.REGION_MASK,
                "mask_mode": (
                    list(MODES),
                    {
                        "tooltip": "At the mask's edge: simple goes right up to it; inside keeps clear of it, so that "
                        "nothing from beyond bleeds in.",
                        "advanced": True,
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
        grams = nst.StyleGrams.load(host.style_file(style)).weighted(weight)
        notes: list[str] = []
        grams = grams.within(painted(region_mask, "region_mask", notes), mask_mode)
        if notes:
            leave(joined(*notes))
        # numpy's zeros take no memory until they are touched, and a small file may hold a thousand styles.
        thumbnails = torch.from_numpy(np.zeros((len(grams.styles), *THUMBNAIL), np.float32))
        for i, one in enumerate(grams.styles):
            if one.thumbnail is not None:
                torch.div(one.thumbnail, 255, out=thumbnails[i])
        return (grams if style_grams is None else style_grams + grams), thumbnails
