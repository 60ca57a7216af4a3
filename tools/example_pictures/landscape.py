"""A valley with firs, a lake and a house."""

import numpy as np
from PIL import Image, ImageDraw

from .canvas import S, blur, grid, mix, noise, ramp, sample, smooth


def fir(canvas, rng, foot, tall, colour, haze, behind=None):
    """One fir tree: a jagged cone of branches, lit from the left, painted into its own little window.

    `behind` is a mask of what the tree stands in front of; the tree is taken out of it.
    """
    cx, base = foot
    half = tall * rng.uniform(0.2, 0.26)
    x0, x1, y0, y1 = (int(v * S) for v in (cx - half - 2, cx + half + 2, base - tall - 2, base + 1))
    x0, x1, y0, y1 = max(x0, 0), min(x1, canvas.shape[1]), max(y0, 0), min(y1, canvas.shape[0])
    if x1 - x0 < 2 or y1 - y0 < 2:
        return
    y, x = np.mgrid[y0:y1, x0:x1].astype(np.float32) / S
    t = (y - base + tall) / tall
    side = (x - cx) / half
    whorls = 8 + tall / 9
    droop = t * whorls + rng.uniform() - 0.9 * np.abs(side)
    frac = droop - np.floor(droop)
    n = noise(rng, x, 1 + tall / 30, 3, 0.8, 0.6)
    reach = (0.06 + 0.94 * t) * (0.66 + 0.36 * frac) * (1 + 0.2 * n) * smooth(1.0, 0.95, t)
    cover = np.maximum(smooth(0.05, -0.05, np.abs(side) - reach), (np.abs(side) < 0.06) & (t > 0.5) & (t < 1))
    light = 0.5 - 0.42 * side / (0.2 + t) - 0.36 * frac + 0.2 * n
    leaf = np.asarray(colour, np.float32) * (0.45 + 0.9 * np.clip(light, 0, 1.2))[..., None]
    leaf = mix(leaf, (0.74, 0.8, 0.86), np.full(t.shape, haze))
    canvas[y0:y1, x0:x1] = mix(canvas[y0:y1, x0:x1], leaf, cover)
    if behind is not None:
        behind[y0:y1, x0:x1] *= 1 - cover


# Longer than a screen: one drawing from its background to its last stroke, never called in parts.
def landscape(rng):
    """Mountains (a ray-cast height field), a lake that mirrors them, firs and a house on the near bank; and its sky."""
    w, h, horizon, focal, eye = 768, 512, 286.0, 768.0, 0.36
    x, y = grid(w, h)
    sun = np.hypot((x - 170) / 1.25, y - 150)
    sky = ramp(y / horizon, [(0, (0.16, 0.36, 0.68)), (0.5, (0.45, 0.66, 0.88)), (1, (0.97, 0.87, 0.72))])
    sky = mix(sky, (1.0, 0.9, 0.66), 0.75 * np.exp(-sun / 85))
    puffs = noise(rng, x, 110, 8, 0.55, 1.9) + 0.5 * np.sin(x / 140 + 0.6) - 0.15
    depth = smooth(0.0, 1.5, puffs)
    toward = sample(blur(depth, 4), (x - 9) * S, (y - 5) * S)
    lit = np.clip(0.72 + 0.9 * (depth - toward) - 0.25 * depth + 0.35 * np.exp(-sun / 160), 0, 1)
    sky = mix(sky, ramp(lit, [(0.2, (0.5, 0.53, 0.66)), (0.65, (0.92, 0.86, 0.84)), (1, (1, 0.98, 0.9))]), depth**0.7)
    sky = mix(sky, (1, 0.98, 0.86), smooth(22, 17, sun) * (1 - 0.6 * depth))

    # The land: heights on a plan of 24 x 24 units (100 cells each), mountains rising behind the lake.
    plan = np.zeros((2400, 2400), np.float32)
    wz, wx = np.mgrid[0:2400, 0:2400].astype(np.float32) / 100
    wx -= 12
    ridges = 1 - np.abs(noise(rng, plan, 230, 3, 0.45)) * 0.8
    detail = noise(rng, plan, 75, 7, 0.52)
    peaks = 2.9 * np.exp(-(((wx + 3.6) / 2.6) ** 2) - ((wz - 15) / 3) ** 2)
    peaks += 4.0 * np.exp(-(((wx - 3.4) / 2.8) ** 2) - ((wz - 17.5) / 3.2) ** 2) + 1.1 * smooth(10, 20, wz)
    hills = 0.75 * smooth(6.2, 9.5, wz + 0.22 * np.abs(wx) + 0.6 * np.sin(wx * 1.3))
    hills *= 0.55 + 0.45 * np.sin(wx * 0.9 + 2)
    plan = peaks * (0.62 + 0.38 * ridges) + detail * (0.03 + 0.11 * peaks) + hills - 0.06
    plan += 0.1 * smooth(5.5, 7, wz + 0.35 * np.abs(wx))
    gz, gx = np.gradient(plan, 0.01)
    wide_z, wide_x = np.gradient(blur(plan, 9), 0.01)  # large facets carry the light, the fine ones only texture it
    gz, gx = 0.6 * gz + 0.8 * wide_z, 0.6 * gx + 0.8 * wide_x
    bright = (0.72 * gx + 0.42 + 0.22 * gz) / np.sqrt(1 + gx**2 + gz**2)
    zs = np.geomspace(1.2, 23, 1500).astype(np.float32)
    cols = (np.arange(w * S, dtype=np.float32) / S - w / 2) / focal
    px, pz = 100 * (zs[:, None] * cols + 12), np.repeat(100 * zs[:, None], w * S, 1)
    rows = horizon - (sample(plan, px, pz) - eye) * focal / zs[:, None]
    rows[zs < 5.2] = 9e9
    crest = np.minimum.accumulate(rows, 0)
    seen = np.stack([np.searchsorted(-crest[:, c], -y[:, c]) for c in range(w * S)], 1)
    land = seen < len(zs)
    seen = np.minimum(seen, len(zs) - 1)
    z = zs[seen]
    at = (100 * (z * cols + 12), 100 * z)
    tall, shade, slope = sample(plan, *at), sample(bright, *at), sample(np.hypot(gx, gz), *at)
    fine, woods = noise(rng, x, 7, 4, 0.6), noise(rng, x, 3, 3, 0.7, 0.6)
    rock = ramp(0.5 + 0.09 * fine + 0.1 * woods, [(0, (0.3, 0.28, 0.29)), (1, (0.58, 0.52, 0.47))])
    ground = mix(
        rock,
        ramp(0.5 + 0.08 * fine + 0.2 * woods, [(0, (0.08, 0.17, 0.09)), (1, (0.34, 0.41, 0.15))]),
        smooth(1.5, 0.7, tall + 0.35 * slope + 0.1 * fine),
    )
    ground = mix(ground, (0.96, 0.97, 1.0), smooth(1.9, 2.5, tall - 0.22 * slope + 0.12 * fine))
    sunlit = smooth(0.15, 0.85, shade + 0.02 * fine)
    ground = ground * mix(np.full_like(ground, 1) * (0.34, 0.42, 0.62), (1.4, 1.22, 0.95), sunlit)
    ground = mix(ground, (0.72, 0.78, 0.87), 0.72 * smooth(4, 26, z) + 0.12 * smooth(0.9, 0, tall) * smooth(8, 14, z))
    view = mix(sky, ground, land)
    open_sky = 1 - land.astype(np.float32)
    for _ in range(260):  # a dark belt of firs along the far shore gives the lake its edge
        cx = rng.uniform(-10, w + 10)
        wide = np.abs(cx - w / 2) / w
        shore = horizon + 44 + 16 * wide + rng.uniform(-9, 3)
        fir(view, rng, (cx, shore), rng.uniform(9, 20) + 12 * wide, (0.2, 0.32, 0.17), rng.uniform(0.02, 0.16))

    # The lake: the view mirrored about the shore, broken by ripples that grow towards us.
    edge = horizon + 45 + 17 * np.abs(x - w / 2) / w + 0.8 * noise(rng, x, 20, 3)
    near = np.maximum(y - edge, 0)
    ripple = 0.55 * (noise(rng, x, 3.2, 3, 0.6, 9) * (0.25 + near / 26) + noise(rng, x, 12, 3, 0.5, 6) * near / 60)
    mirror = sample(view, (x + 0.5 * ripple) * S, np.clip(edge - 1.9 * near + ripple * 1.6, 0, h) * S)
    water = mix(mirror * (0.82, 0.9, 0.96), (0.06, 0.22, 0.36), 0.1 + 0.25 * smooth(0, 190, near))
    water = water + 0.08 * np.clip(ripple / (1 + near / 26), -1, 2)[..., None] * smooth(0, 60, near)[..., None]
    glitter = np.exp(-(((x - 172) / (14 + near / 4)) ** 2)) * smooth(0.2, 1.1, ripple / (0.4 + near / 26))
    water = mix(water, (1, 0.93, 0.72), 0.75 * glitter)
    view = mix(view, water, smooth(-0.5, 0.5, y - edge))

    # The near bank: two grassy shoulders; every blade is a short stroke, drawn from far to near.
    bank = 470 - 95 * smooth(410, 800, x) - 50 * smooth(230, -60, x) + 5 * noise(rng, x, 60, 4)[:1] + 8 * np.sin(x / 45)
    turf = noise(rng, x, 40, 6, 0.6)
    soil = ramp(0.5 + 0.22 * turf, [(0, (0.12, 0.2, 0.06)), (0.5, (0.33, 0.42, 0.12)), (1, (0.6, 0.6, 0.22))])
    view = mix(view, soil, smooth(-0.6, 0.6, y - bank))
    layer = Image.fromarray((np.clip(view, 0, 1) * 255).astype(np.uint8))
    pen = ImageDraw.Draw(layer)
    house(pen, 588, 435)
    view = np.asarray(layer, np.float32) / 255
    firs = ((655, 120), (700, 165), (748, 215), (540, 62), (676, 92), (727, 128), (24, 150), (62, 98), (92, 60))
    for cx, size in firs:
        foot = float(bank[0, int(np.clip(cx * S, 0, w * S - 1))]) + 6 + size / 14
        fir(view, rng, (cx, foot), size, (0.26, 0.4, 0.2), 0.02, open_sky)
    layer = Image.fromarray((np.clip(view, 0, 1) * 255).astype(np.uint8))
    pen = ImageDraw.Draw(layer)
    place = rng.uniform(0, 1, (26000, 2))
    place[:, 0] *= w
    place[:, 1] = 360 + place[:, 1] * 165
    for bx, by in place[np.argsort(place[:, 1])]:
        col = int(np.clip(bx, 0, w - 1) * S)
        if by < bank[0, col] + 1 or (by < 443 and 552 < bx < 644):
            continue
        size = 3 + (by - 360) / 12 * rng.uniform(0.5, 1.2)
        tip = bx + rng.normal(0.15, 0.35) * size
        tone = 0.5 + 0.25 * turf[min(int(by * S), h * S - 1), col] + rng.normal(0, 0.16)
        c = ramp(tone, [(0, (0.1, 0.18, 0.05)), (0.5, (0.34, 0.45, 0.13)), (1, (0.78, 0.76, 0.34))])
        pen.line([bx * S, by * S, tip * S, (by - size) * S], tuple((c * 255).astype(int)), 2)
        if rng.uniform() < 0.02 and by > 440:
            c = ((214, 60, 44), (244, 208, 72), (245, 240, 232))[rng.integers(3)]
            r = size / 7 * S
            pen.ellipse([tip * S - r, (by - size) * S - r, tip * S + r, (by - size) * S + r], c)
    return np.asarray(layer, np.float32) / 255, open_sky


def house(pen, x, y):
    """A small white house with a red roof; the left gable is in the sun, the long side in shade."""

    def area(points, colour):
        pen.polygon([((x + a) * S, (y + b) * S) for a, b in points], tuple(colour))

    area([(-30, 0), (-30, -30), (-13, -52), (4, -30), (4, 3)], (250, 236, 208))
    area([(4, 3), (4, -30), (52, -28), (52, 0)], (176, 164, 160))
    for k in range(12):  # the roof in strips, so that the courses of tiles show
        a, b = k / 12, (k + 1) / 12
        strip = [(-13 + 21 * a, -54 + 26 * a), (38 + 18 * a, -51 + 25 * a)]
        strip += [(38 + 18 * b, -51 + 25 * b), (-13 + 21 * b, -54 + 26 * b)]
        area(strip, (196 - 5 * (k % 2) * 5, 66 + 3 * k // 2 - 14 * (k % 2), 44))
    area([(-13, -54), (-34, -28), (-32, -26), (-13, -50)], (150, 48, 34))
    area([(24, -50), (24, -64), (32, -64), (32, -50)], (150, 96, 80))
    for a, b in ((-22, -22), (-9, -22)):
        area([(a, b), (a + 7, b), (a + 7, b + 10), (a, b + 10)], (70, 84, 104))
    for a in (14, 30, 42):
        area([(a, -21), (a + 6, -21), (a + 6, -11), (a, -11)], (58, 62, 78))
    area([(-15, 1), (-15, -10), (-8, -10), (-8, 2)], (112, 66, 42))
