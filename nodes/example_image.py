from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from . import host

FOLDER = Path(__file__).parent / "examples"


class NSTExampleImage:
    TITLE = "NST Example Image"
    CATEGORY = f"{host.CATEGORY}/utilities"
    DESCRIPTION = "One of the pack's own pictures, to try things with: two contents and several styles."
    RETURN_TYPES = ("IMAGE",)
    RETURN_NAMES = ("image",)
    OUTPUT_TOOLTIPS = ("The picture.",)
    FUNCTION = "load"

    @classmethod
    def INPUT_TYPES(cls):
        names = sorted(file.stem for file in FOLDER.glob("*.jpg"))
        return {"required": {"name": (names, {"tooltip": "content-…: something to stylise. style-…: a style."})}}

    def load(self, name: str) -> tuple[torch.Tensor]:
        from PIL import Image

        with Image.open(FOLDER / f"{name}.jpg") as picture:
            pixels = np.asarray(picture.convert("RGB"), dtype=np.float32) / 255
        return (torch.from_numpy(pixels)[None],)
