"""Pictures in rows on one sheet."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps


def contact_sheet(
    cells: Sequence[tuple[str, Image.Image]], columns: int, size: tuple[int, int], ground: str = "black"
) -> Image.Image:
    """Titles and pictures: each fills a cell of this width and height, and has its title in the lower left corner."""
    width, height = size
    sheet = Image.new("RGB", (columns * width, -(-len(cells) // columns) * height), ground)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    for i, (title, picture) in enumerate(cells):
        x, y = i % columns * width, i // columns * height
        sheet.paste(ImageOps.fit(picture, size, Image.Resampling.LANCZOS, centering=(0, 0)), (x, y))
        if title:
            lower = y + height - 1
            pen.rectangle((x, lower - 23, x + 14 + pen.textlength(title, font), lower), "black")
            pen.text((x + 7, lower - 11), title, "white", font, anchor="lm")
    return sheet


def image_of(pixels: torch.Tensor) -> Image.Image:
    """Of 3×H×W in 0..1."""
    return Image.fromarray((pixels.movedim(0, -1) * 255).round().byte().numpy())
