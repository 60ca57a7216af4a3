from __future__ import annotations

import numpy as np
import torch

from . import host
from .example_image import FOLDER

FPS = 12.0  # as tools/draw_clip.py draws them


class NSTExampleClip:
    TITLE = "NST Example Clip"
    CATEGORY = f"{host.CATEGORY}/utilities"
    DESCRIPTION = (
        "A short clip of the pack's own, to try moving pictures with: the camera pans over a landscape, a balloon "
        "passes."
    )
    RETURN_TYPES = ("IMAGE", "FLOAT")
    RETURN_NAMES = ("frames", "fps")
    OUTPUT_TOOLTIPS = ("The frames, as a batch of pictures.", "Frames per second.")
    SEARCH_ALIASES = ("example video", "sample clip", "demo video", "frames", "style transfer")
    FUNCTION = "load"

    @classmethod
    def INPUT_TYPES(cls):
        names = sorted(file.stem for file in FOLDER.glob("clip-*.webp"))
        return {
            "required": {"name": (names, {"tooltip": "Which clip. There is only this one so far."})},
            "optional": {
                "frames": (
                    "INT",
                    {"default": 24, "min": 1, "max": 24, "tooltip": "How many frames of it, from the first."},
                ),
            },
        }

    def load(self, name: str, frames: int = 24) -> tuple[torch.Tensor, float]:
        from PIL import Image, ImageSequence

        with Image.open(FOLDER / f"{name}.webp") as clip:
            pictures = [np.asarray(frame.convert("RGB"), np.float32) / 255 for frame in ImageSequence.Iterator(clip)]
        return torch.from_numpy(np.stack(pictures[:frames])), FPS
