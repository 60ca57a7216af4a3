from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from . import host

FOLDER = Path(__file__).parent / "examples"


class NSTExampleImage:
    TITLE = "NST Example Image"
    CATEGORY = f"{host.CATEGORY}/utilities"
    DESCRIPTION = (
        "A picture of the pack's own, to try things with: two to paint, and several styles. Replace it by Load Image."
    )
    RETURN_TYPES = ("IMAGE", "MASK")
    RETURN_NAMES = ("image", "mask")
    OUTPUT_TOOLTIPS = (
        "The picture.",
        "A part of it: the landscape's sky, or the still life's jug, bowl and fruit. Of a style, all of it.",
    )
    SEARCH_ALIASES = ("example", "sample image", "demo picture", "test image", "style transfer", "painting", "style")
    FUNCTION = "load"

    @classmethod
    def INPUT_TYPES(cls):
        names = sorted(file.stem for file in FOLDER.glob("*.jpg"))
        return {
            "required": {
                "name": (
                    names,
                    {"tooltip": "content-…: a picture to paint. style-…: a picture to take the style from."},
                )
            }
        }

    def load(self, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        image = read(FOLDER / f"{name}.jpg", "RGB")
        mask = FOLDER / f"{name}-mask.png"
        return image, read(mask, "L") if mask.is_file() else torch.ones(image.shape[:3])


def read(file: Path, mode: str) -> torch.Tensor:
    from PIL import Image

    with Image.open(file) as picture:
        return torch.from_numpy(np.asarray(picture.convert(mode), dtype=np.float32) / 255)[None]
