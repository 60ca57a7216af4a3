from __future__ import annotations

import contextlib
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import torch

from ..nst_engine.system.safe_files import write_new
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


def offer_in_load_image() -> None:
    """Copies of the pictures among the host's inputs, where Load Image lists them. What is there already stays.

    Those with a mask are there twice, the second time as a mask editor saves them: transparent where the mask is.
    """
    pictures = sorted([*FOLDER.glob("*.jpg"), *FOLDER.glob("*-masked.png")]) if host.inside_comfyui() else []
    for file in pictures:
        copy = host.input_folder() / f"nst-{file.name}"
        if not copy.exists():
            # An input folder that cannot be written to is no reason to stop, nor is another process that was first.
            with file.open("rb") as picture, contextlib.suppress(OSError, StopIteration):
                write_new([copy], partial(shutil.copyfileobj, picture))


def read(file: Path, mode: str) -> torch.Tensor:
    from PIL import Image

    with Image.open(file) as picture:
        return torch.from_numpy(np.asarray(picture.convert(mode), dtype=np.float32) / 255)[None]
