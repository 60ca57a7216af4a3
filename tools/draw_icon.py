"""Draw icon.png: one scene, on the left as a photograph, on the right in brush strokes.

python tools/draw_icon.py
"""

from __future__ import annotations

import math
import random
from itertools import pairwise
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter

TARGET = Path(__file__).resolve().parent.parent / "icon.png"
SIDE, FINER = 400, 3  # drawn three times as large, then reduced: smooth edges
S = SIDE * FINER
SUN, SUN_RADIUS = (0.53, 0.37), 0.17
FAR = [(0.0, 0.62), (0.16, 0.50), (0.30, 0.60), (0.44, 0.53), (0.60, 0.64), (0.80, 0.47), (1.0, 0.58)]
NEAR = [(0.0, 0.74), (0.20, 0.70), (0.45, 0.80), (0.72, 0.70), (1.0, 0.78)]
SKY = [(0.0, (20, 44, 108)), (0.35, (58, 108, 176)), (0.62, (244, 176, 128)), (1.0, (244, 176, 128))]
PLAIN = {"sun": (255, 226, 130), "far": (72, 66, 120), "near": (24, 70, 78)}
PAINTED = {"sun": (255, 190, 40), "far": (112, 58, 140), "near": (14, 112, 104)}
BACK_TO_FRONT = ("sky", "sun", "far", "near")

Colour = tuple[int, int, int]


def mix(a: Colour, b: Colour, t: float) -> Colour:
    return tuple(round(p + (q - p) * t) for p, q in zip(a, b, strict=True))  # type: ignore[return-value]


def along(points: list, at: float):
    """The value at `at` on a line through (position, value) points."""
    for (x0, v0), (x1, v1) in pairwise(points):
        if at <= x1:
            t = (at - x0) / (x1 - x0)
            return mix(v0, v1, t) if isinstance(v0, tuple) else v0 + (v1 - v0) * t
    return points[-1][1]


def part(x: float, y: float) -> str:
    if y > along(NEAR, x):
        return "near"
    if y > along(FAR, x):
        return "far"
    return "sun" if math.dist((x, y), SUN) < SUN_RADIUS else "sky"


def circle(x: float, y: float, r: float) -> list[float]:
    return [(x - r) * S, (y - r) * S, (x + r) * S, (y + r) * S]


def photograph() -> Image.Image:
    image = Image.new("RGB", (S, S))
    draw = ImageDraw.Draw(image)
    for row in range(S):
        draw.line((0, row, S, row), along(SKY, row / S))
    x, y = SUN
    glow = Image.new("L", (S, S))
    ImageDraw.Draw(glow).ellipse(circle(x, y, SUN_RADIUS * 1.15), 190)
    image.paste((255, 214, 150), mask=glow.filter(ImageFilter.GaussianBlur(0.07 * S)))
    draw.ellipse(circle(x, y, SUN_RADIUS), PLAIN["sun"])
    for ridge, name in ((FAR, "far"), (NEAR, "near")):
        draw.polygon([(px * S, py * S) for px, py in [*ridge, (1, 1), (0, 1)]], PLAIN[name])
    return image


def direction(x: float, y: float, where: str) -> float:
    """The angle of a stroke: around the sun in the sky, along the slope on land."""
    if where in ("sun", "sky"):
        return math.atan2(y - SUN[1], x - SUN[0]) + math.pi / 2 + 0.25
    ridge, e = (NEAR, 0.03) if where == "near" else (FAR, 0.03)
    return math.atan2(along(ridge, min(1, x + e)) - along(ridge, max(0, x - e)), 2 * e)


def painting(rng: random.Random) -> Image.Image:
    image = Image.new("RGB", (S, S), (16, 36, 90))
    draw = ImageDraw.Draw(image)
    for count, width, length in ((700, 0.062, 0.20), (800, 0.040, 0.15)):
        places = [(rng.uniform(0.2, 1.05), rng.uniform(-0.05, 1.05)) for _ in range(count)]
        known = [(part(min(max(x, 0), 1), y), x, y) for x, y in places]
        for where, x, y in sorted(known, key=lambda k: BACK_TO_FRONT.index(k[0])):
            if where == "sky":
                # Rings of light and dark around the sun, as a painter would exaggerate them.
                away = math.dist((x, y), SUN)
                warm = mix((255, 216, 96), (120, 196, 240), min(1, (away - SUN_RADIUS) / 0.3))
                colour = warm if math.sin(away * 38 - 5.2) > 0.3 else mix((24, 62, 168), (40, 110, 190), y)
            else:
                colour = PAINTED[where]
            colour = mix(colour, (255, 255, 255) if rng.random() < 0.5 else (10, 20, 50), rng.uniform(0, 0.22))
            stroke(draw, (x, y), where, width, length * (0.6 if where == "sun" else 1), colour, rng)
    return image


def stroke(
    draw: ImageDraw.ImageDraw,
    at: tuple[float, float],
    where: str,
    width: float,
    length: float,
    colour: Colour,
    rng: random.Random,
) -> None:
    x, y = at
    path, steps = [], 14
    for _ in range(steps):
        path.append((x, y))
        angle = direction(x, y, where)
        x, y = x + math.cos(angle) * length / steps, y + math.sin(angle) * length / steps
    for hair in range(-2, 3):  # five hairs of a brush, each a little lighter or darker
        offset = hair * width / 5
        tone = mix(colour, (255, 255, 255) if hair < 0 else (0, 0, 20), abs(hair) * rng.uniform(0.02, 0.09))
        first, last = rng.randrange(0, 3), steps - rng.randrange(0, 4)  # a brush leaves ragged ends
        points = []
        for px, py in path[first:last]:
            angle = direction(px, py, where) + math.pi / 2
            points.append(((px + math.cos(angle) * offset) * S, (py + math.sin(angle) * offset) * S))
        thick = round(width / 4 * S)
        draw.line(points, tone, thick, joint="curve")
        for px, py in (points[0], points[-1]):
            draw.ellipse([px - thick / 2, py - thick / 2, px + thick / 2, py + thick / 2], tone)


def seam(y: float) -> float:
    """Where photograph turns into painting: an S through the sun."""
    return 0.50 + 0.075 * math.sin((y - 0.06) * 2 * math.pi)


def main() -> None:
    edge = [(seam(i / 200) * S, i / 200 * S) for i in range(201)]
    painted = Image.new("L", (S, S), 0)
    ImageDraw.Draw(painted).polygon([*edge, (S, S), (S, 0)], 255)
    picture = Image.composite(painting(random.Random(7)), photograph(), painted)  # noqa: S311 (a drawing)
    ImageDraw.Draw(picture).line(edge, (255, 250, 240), round(0.018 * S), joint="curve")

    corners = Image.new("L", (S, S), 0)
    ImageDraw.Draw(corners).rounded_rectangle([0, 0, S - 1, S - 1], 0.16 * S, 255)
    picture.putalpha(corners)
    picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS).save(TARGET, optimize=True)


if __name__ == "__main__":
    main()
