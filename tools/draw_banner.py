"""Make banner.jpg for the registry, 21:9: one landscape in slanting strips, each in another style.

python tools/draw_banner.py
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw, ImageOps

ROOT = Path(__file__).resolve().parent.parent
SIZE = (1050, 450)
SLANT, LINE = 70, 4  # pixels: how far an edge leans, how wide it is
# The photograph first, and then what workflows made of it.
STRIPS = [
    ROOT / "nodes" / "examples" / "content-landscape.jpg",
    *(
        ROOT / "docs" / "gallery" / f"{name}.jpg"
        for name in ("quickstart", "two-styles", "scales-four-levels", "regions")
    ),
]


def banner() -> Image.Image:
    width, height = SIZE
    whole = Image.new("RGB", SIZE)
    for i, file in enumerate(STRIPS):
        with Image.open(file) as picture:
            fitted = ImageOps.fit(picture.convert("RGB"), SIZE, Image.Resampling.LANCZOS, centering=(0.5, 0.7))
        left, right = (width * edge // len(STRIPS) for edge in (i, i + 1))
        lean = (SLANT // 2) * (i > 0), (SLANT // 2) * (i + 1 < len(STRIPS))
        corners = [(left + lean[0], 0), (right + lean[1], 0), (right - lean[1], height), (left - lean[0], height)]
        strip = Image.new("L", SIZE)
        ImageDraw.Draw(strip).polygon(corners, 255)
        whole.paste(fitted, mask=strip)
        if i:
            ImageDraw.Draw(whole).line([corners[0], corners[3]], "white", LINE)
    return whole


if __name__ == "__main__":
    banner().save(ROOT / "banner.jpg", quality=90, optimize=True)
