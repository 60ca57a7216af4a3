"""Draw the example clip of the pack: python tools/draw_clip.py

The camera pans over the drawn landscape, and a balloon passes in front of it. The 24 frames go into an animated WebP,
so that nothing but Pillow is needed to read them.
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

EXAMPLES = Path(__file__).resolve().parent.parent / "nodes" / "examples"
WIDTH, HEIGHT, FRAMES, RATE = 240, 160, 24, 12
PAN = 2.3  # pixels a frame, not a whole number on purpose
FINER = 4  # the balloon is drawn so many times larger, and averaged down


def camera(wide: Image.Image, number: int) -> Image.Image:
    """What is seen of the wide picture at a frame, to a part of a pixel."""
    left = 4 + PAN * number
    box = (left, 12.0, left + WIDTH, 12.0 + HEIGHT)
    return wide.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC, box=box)


def balloon(frame: Image.Image, number: int) -> Image.Image:
    """It flies against the pan and a little upwards, and hides each place for some four frames."""
    x, y, r = 262 - 13.5 * number, 74 - 0.8 * number, 24
    large = Image.new("RGBA", (WIDTH * FINER, HEIGHT * FINER))
    pen = ImageDraw.Draw(large)

    def scaled(*values: float) -> list[float]:
        return [FINER * value for value in values]

    for i, colour in enumerate(("#b8402f", "#e9d9a8", "#b8402f", "#e9d9a8", "#b8402f")):
        w = r * (1.0, 0.78, 0.5, 0.24, 0.08)[i]
        pen.ellipse(scaled(x - w, y - r, x + w, y + 1.12 * r), fill=colour)
    for side in (-1, 1):
        pen.line(scaled(x + side * 10, y + 22, x + side * 4, y + 38), fill="#4b3626", width=FINER)
    pen.rectangle(scaled(x - 5, y + 37, x + 5, y + 44), fill="#6e4a2c")
    return Image.alpha_composite(frame.convert("RGBA"), large.resize(frame.size, Image.Resampling.BOX)).convert("RGB")


def main() -> None:
    landscape = Image.open(EXAMPLES / "content-landscape.jpg").convert("RGB")
    height = HEIGHT + 24
    wide = landscape.resize((round(height * landscape.width / landscape.height), height), Image.Resampling.LANCZOS)
    if wide.width < WIDTH + PAN * FRAMES + 8:
        wide = wide.resize((round(WIDTH + PAN * FRAMES + 8), height), Image.Resampling.LANCZOS)
    frames = [balloon(camera(wide, i), i) for i in range(FRAMES)]
    first, *others = frames
    path = EXAMPLES / "clip-balloon.webp"
    first.save(path, save_all=True, append_images=others, duration=round(1000 / RATE), loop=0, quality=76, method=6)
    print(path, path.stat().st_size, np.asarray(first).shape)


if __name__ == "__main__":
    main()
