"""Draw the example pictures of the pack, and masks of two of them: python tools/draw_examples.py [folder] [name ...]

Everything is computed here from seeded noise and distance functions, so that the pictures are ours to give away.
Colours are floats in 0..1, lengths are pixels of the finished picture; canvases are S times finer and averaged down.
"""

import io
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageOps

S = 2
LIMIT = 178_000


def grid(w, h):
    """Pixel coordinates of the fine canvas, in finished pixels."""
    y, x = np.mgrid[0 : h * S, 0 : w * S].astype(np.float32)
    return x / S, y / S


def noise(rng, like, cell, octaves=5, gain=0.5, stretch=1.0):
    """Fractal noise (zero mean, unit deviation) shaped like `like`; `stretch` widens its features sideways."""
    h, w = like.shape[:2]
    total = np.zeros((h, w), np.float32)
    for octave in range(octaves):
        size = max(cell * S / 2**octave, 1.0)
        gw, gh = w / size / stretch, h / size
        lattice = rng.standard_normal((int(gh) + 4, int(gw) + 4)).astype(np.float32)
        box = (1.2, 1.2, 1.2 + gw, 1.2 + gh)
        total += gain**octave * np.asarray(Image.fromarray(lattice).resize((w, h), Image.BICUBIC, box=box))
    return (total - total.mean()) / (total.std() + 1e-6)


def smooth(low, high, v):
    t = np.clip((v - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def mix(a, b, t):
    return a + (np.asarray(b, np.float32) - a) * np.asarray(t, np.float32)[..., None]


def ramp(v, stops):
    """Colour ramp: stops are (position, (r, g, b))."""
    at = [p for p, _ in stops]
    return np.stack([np.interp(v, at, [c[k] for _, c in stops]) for k in range(3)], -1).astype(np.float32)


def sample(field, x, y):
    """Bilinear look-up of `field` at (fractional) array indices, clamped at the border."""
    h, w = field.shape[:2]
    x, y = np.clip(x, 0, w - 1.001), np.clip(y, 0, h - 1.001)
    i, j = y.astype(int), x.astype(int)
    u, v = x - j, y - i
    if field.ndim == 3:
        u, v = u[..., None], v[..., None]
    top = field[i, j] * (1 - u) + field[i, j + 1] * u
    return top * (1 - v) + (field[i + 1, j] * (1 - u) + field[i + 1, j + 1] * u) * v


def blur(a, radius):
    """Three box blurs, close to a Gaussian; radius in finished pixels."""
    r = max(int(radius * S), 1)
    for axis in (0, 1) * 3:
        pad = [(0, 0)] * a.ndim
        pad[axis] = (r + 1, r)
        c = np.cumsum(np.pad(a, pad, mode="edge"), axis=axis, dtype=np.float64)
        n = a.shape[axis]
        a = ((c.take(range(2 * r + 1, 2 * r + 1 + n), axis) - c.take(range(n), axis)) / (2 * r + 1)).astype(np.float32)
    return a


def relief(height, strength):
    """Brightness factor of a surface with this height, lit from the upper left."""
    gy, gx = np.gradient(height)
    return 1 + np.clip(strength * (gx + gy), -0.5, 0.6)


def average(canvas):
    """The finished picture: every pixel the mean of its part of the canvas."""
    h, w = canvas.shape[0] // S, canvas.shape[1] // S
    small = np.clip(canvas, 0, 1).reshape(h, S, w, S, *canvas.shape[2:]).mean((1, 3))
    return Image.fromarray((small * 255 + 0.5).astype(np.uint8))


def save(folder, name, canvas, mask=None):
    """Average the canvas down and write a JPEG of the best quality that stays below the limit; a mask beside it."""
    picture = average(canvas)
    w, h = picture.size
    for quality in range(93, 40, -2):
        data = io.BytesIO()
        picture.save(data, "JPEG", quality=quality, optimize=True)
        if data.tell() < LIMIT:
            break
    (Path(folder) / name).write_bytes(data.getvalue())
    print(f"{name}: {w}x{h}, quality {quality}, {data.tell()} bytes", flush=True)
    if mask is not None:
        # As sharp as the picture itself, and a little softer, as a mask that is cut out by hand would be.
        average(blur(mask, 0.5)).save(Path(folder) / f"{Path(name).stem}-mask.png", optimize=True)
        save_masked(folder, name)


def save_masked(folder, name):
    """Picture and mask in one file, as ComfyUI's mask editor leaves it: transparent where the mask is. Smaller."""
    with Image.open(Path(folder) / name) as picture, Image.open(Path(folder) / f"{Path(name).stem}-mask.png") as mask:
        both = picture.convert("RGB")
        both.putalpha(ImageOps.invert(mask.convert("L")))
    small = [channel.resize((480, 480 * both.height // both.width), Image.LANCZOS) for channel in both.split()]
    Image.merge("RGBA", small).save(Path(folder) / f"{Path(name).stem}-masked.png", optimize=True)


# ---------------------------------------------------------------------------------------------------- content


def fir(canvas, rng, cx, base, tall, colour, haze, behind=None):
    """One fir tree: a jagged cone of branches, lit from the left, painted into its own little window.

    `behind` is a mask of what the tree stands in front of; the tree is taken out of it.
    """
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
        fir(view, rng, cx, shore, rng.uniform(9, 20) + 12 * wide, (0.2, 0.32, 0.17), rng.uniform(0.02, 0.16))

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
        fir(view, rng, cx, foot, size, (0.26, 0.4, 0.2), 0.02, open_sky)
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


def still_life(rng):
    """Jug, bowl and fruit on a striped cloth: distance functions, sphere-traced, with soft shadows; and what is a
    thing, not wall or cloth."""
    w = h = 512
    x, y = grid(w, h)
    bumps = noise(rng, x, 30, 5)
    folds = noise(rng, x, 150, 2, 0.35, 0.6)

    def ball(p, c, r, squash=1.0):
        d = (p - np.float32(c)) / np.float32((1, squash, 1))
        return (np.sqrt((d * d).sum(-1)) - r) * min(squash, 1)

    def apple(p, c, r):
        d = p - np.float32(c)
        ring = np.hypot(d[..., 0], d[..., 2])
        # A revolved circle whose centre lies off the axis leaves the dimples at stalk and blossom.
        return np.hypot(ring - 0.24 * r, d[..., 1] * (0.93 - 0.1 * d[..., 1] / r)) - 0.78 * r

    def meld(a, b, k):
        t = np.clip(0.5 + 0.5 * (b - a) / k, 0, 1)
        return b + (a - b) * t - k * t * (1 - t)

    def pear(p, c, r, lean):
        c = np.float32(c)
        return meld(ball(p, c, r), ball(p, c + np.float32((lean, 1.22 * r, 0)), 0.5 * r), 0.75 * r)

    def stalk(p, a, b, r):
        a, b = np.float32(a), np.float32(b)
        t = np.clip(((p - a) @ (b - a)) / ((b - a) @ (b - a)), 0, 1)
        d = p - a - t[..., None] * (b - a)
        return np.sqrt((d * d).sum(-1)) - r

    # The jug's outline: a few radii, rounded off by averaging so that no facets show.
    profile_up = np.linspace(0, 2.2, 200)
    profile = np.interp(
        profile_up,
        (0, 0.1, 0.45, 0.85, 1.3, 1.65, 1.95, 2.1, 2.2),
        (0.42, 0.5, 0.7, 0.77, 0.61, 0.38, 0.34, 0.39, 0.47),
    )
    for _ in range(4):
        profile = np.convolve(np.pad(profile, 7, mode="edge"), np.full(15, 1 / 15), "valid")

    def jug(p):
        d = p - np.float32((-0.95, 0, 0.75))
        ring, up = np.hypot(d[..., 0], d[..., 2]), d[..., 1]
        outline = np.interp(up, profile_up, profile).astype(np.float32)
        hole = np.maximum(ring - outline + 0.05, 1.5 - up)
        body = np.maximum.reduce([(ring - outline) * 0.8, np.abs(up - 1.1) - 1.1, -hole])
        hx, hy = d[..., 0] + 0.5, up - 1.42
        bend = np.hypot(np.hypot(hx, hy * 0.9) - 0.47, d[..., 2]) - 0.075
        return meld(body, np.maximum(bend, hx - 0.12), 0.08)

    def bowl(p):
        d = p - np.float32((0.72, 0.8, 0.25))
        r = np.sqrt((d * d).sum(-1))
        shell = np.maximum(np.abs(r - 0.86) - 0.035, d[..., 1] + 0.12)
        foot = np.maximum(np.hypot(d[..., 0], d[..., 2]) - 0.36, np.abs(d[..., 1] + 0.76) - 0.06)
        return meld(shell, foot, 0.06)

    def cloth(p):
        fold = sample(folds, (p[..., 0] + 3) * 150, (p[..., 2] + 3) * 150)
        return (p[..., 1] - 0.03 * fold * smooth(0.5, -1.2, p[..., 2] + 0.25 * p[..., 0]) + 0.03) * 0.85

    fruits = (
        lambda p: apple(p, (0.42, 0.93, 0.05), 0.42),
        lambda p: ball(p, (1.1, 0.9, 0.02), 0.39),
        lambda p: pear(p, (0.8, 0.98, 0.62), 0.37, 0.08),
        lambda p: apple(p, (-0.42, 0.3, -0.75), 0.4),
        lambda p: ball(p, (-1.35, 0.35, -0.55), 0.38),
        lambda p: ball(p, (0.45, 0.27, -1.15), 0.3, 0.94),
    )
    stalks = (
        stalk,
        ((0.42, 1.14, 0.05), (0.5, 1.5, 0.0)),
        ((-0.42, 0.5, -0.75), (-0.34, 0.82, -0.78)),
        ((0.88, 1.55, 0.62), (0.98, 1.88, 0.6)),
    )
    parts = (cloth, jug, bowl, *fruits, lambda p: np.minimum.reduce([stalk(p, a, b, 0.025) for a, b in stalks[1:]]))

    def scene(p):
        return np.minimum.reduce([part(p) for part in parts])

    def march(origin, ray, far, steps):
        """Distance to the first hit along each ray, and how close each ray came to anything (for penumbras)."""
        n = len(ray)
        t, closest, live = np.full(n, 0.02, np.float32), np.ones(n, np.float32), np.arange(n)
        for _ in range(steps):
            d = scene(origin[live] + ray[live] * t[live, None])
            closest[live] = np.minimum(closest[live], 9 * d / t[live])
            closest[live[d < 0.0015]] = 0
            t[live] += np.maximum(0.9 * d, 0.002)
            live = live[(d > 0.0015) & (t[live] < far)]
            if not len(live):
                break
        return t, np.clip(closest, 0, 1)

    eye, aim = np.float32((0.15, 2.5, -6.2)), np.float32((0.0, 0.86, 0.0))
    ahead = (aim - eye) / np.linalg.norm(aim - eye)
    right = np.cross((0, 1, 0), ahead)
    right /= np.linalg.norm(right)
    up = np.cross(ahead, right)
    u, v = (x.ravel() - w / 2) / w * 0.62, (h / 2 - y.ravel()) / w * 0.62
    ray = (ahead + u[:, None] * right + v[:, None] * up).astype(np.float32)
    ray /= np.linalg.norm(ray, axis=1, keepdims=True)
    start = np.broadcast_to(eye, ray.shape)
    t, _ = march(start, ray, 12, 90)
    hit = start + ray * t[:, None]
    solid = (t < 12) & (hit[:, 2] < 2.6)

    # The wall: warm and mottled, with a pool of light on the right.
    wall = ramp(0.5 + 0.1 * bumps + 0.16 * folds, [(0, (0.2, 0.17, 0.14)), (1, (0.5, 0.4, 0.26))])
    wall = wall * (0.45 + 0.95 * np.exp(-(((x - 330) / 230) ** 2) - ((y - 130) / 210) ** 2))[..., None]
    out = wall.reshape(-1, 3)
    p = hit[solid]
    what = np.argmin([part(p) for part in parts], 0)
    things = np.zeros(x.size, np.float32)
    things[solid] = what > 0  # the cloth is the first part
    e = 0.002
    normal = np.stack([scene(p + e * k) - scene(p - e * k) for k in np.eye(3, dtype=np.float32)], -1)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-9
    sun = np.float32((-0.62, 0.68, -0.5))
    sun /= np.linalg.norm(sun)
    _, shadow = march(p + normal * 0.01, np.broadcast_to(sun, p.shape), 4, 45)
    hollow = sum((0.1 * k - scene(p + normal * 0.1 * k)) / 2**k for k in (1, 2, 3, 4))
    open_ = np.clip(1 - 3.2 * hollow, 0.12, 1)

    def skin(k, centre, scale_u, scale_v):
        """Noise wrapped around a fruit by longitude and height."""
        d = p[what == k] - np.float32(centre)
        turn = np.arctan2(d[:, 2], d[:, 0])
        return sample(bumps, (turn + np.pi) * scale_u, (d[:, 1] + 1) * scale_v), d

    colour = np.zeros_like(p)
    gloss = np.full(len(p), 0.12, np.float32)
    q = p[what == 0]
    stripe = np.abs(((q[:, 0] * 0.9 + 0.35 * q[:, 2]) / 0.62) % 1 - 0.5)
    weave = 1 + 0.03 * np.sin(q[:, 0] * 190) * np.sin(q[:, 2] * 190)
    linen = mix(np.ones((len(q), 3)) * (0.93, 0.89, 0.8), (0.2, 0.34, 0.6), smooth(0.13, 0.11, stripe))
    linen = mix(linen, (0.75, 0.2, 0.16), smooth(0.02, 0.012, np.abs(stripe - 0.17)))
    colour[what == 0] = linen * weave[:, None]
    n, d = skin(1, (-0.95, 0, 0.75), 150, 150)
    glaze = ramp(0.5 + 0.1 * n, [(0, (0.72, 0.76, 0.75)), (1, (0.93, 0.93, 0.88))])
    turn = np.arctan2(d[:, 2], d[:, 0])
    band = smooth(0.02, 0.0, np.abs(d[:, 1] - 0.95 - 0.1 * np.sin(9 * turn)) - 0.05)
    for at, half in ((0.62, 0.025), (1.28, 0.025), (1.36, 0.01), (2.1, 0.06), (0.1, 0.06)):
        band = np.maximum(band, smooth(0.012, 0, np.abs(d[:, 1] - at) - half))
    colour[what == 1] = mix(glaze, (0.1, 0.2, 0.5), 0.9 * band)
    n, d = skin(2, (0.72, 0.8, 0.25), 150, 200)
    colour[what == 2] = ramp(0.5 + 0.15 * n + 0.5 * d[:, 1], [(0, (0.1, 0.34, 0.34)), (0.6, (0.16, 0.52, 0.5))])
    for k, centre in ((3, (0.42, 0.93, 0.05)), (6, (-0.42, 0.3, -0.75))):
        n, d = skin(k, centre, 160, 22)
        red = smooth(-1.2, 1.0, 0.7 * n + 1.6 - 3.6 * np.abs(d[:, 1] - 0.02) + 1.2 * d[:, 0] * (1 if k == 3 else -1))
        colour[what == k] = ramp(red, [(0, (0.86, 0.74, 0.2)), (0.5, (0.85, 0.36, 0.12)), (1, (0.68, 0.06, 0.07))])
    for k, centre in ((4, (1.1, 0.9, 0.02)), (7, (-1.35, 0.35, -0.55))):
        n, _ = skin(k, centre, 160, 300)
        colour[what == k] = ramp(0.5 + 0.22 * n, [(0, (0.88, 0.4, 0.03)), (1, (1.0, 0.62, 0.1))])
    n, d = skin(5, (0.8, 0.98, 0.62), 160, 160)
    blush = [(0, (0.8, 0.5, 0.14)), (0.5, (0.74, 0.72, 0.2)), (1, (0.5, 0.6, 0.16))]
    colour[what == 5] = ramp(0.35 + 0.13 * n - 0.6 * d[:, 0], blush)
    n, d = skin(8, (0.45, 0.27, -1.15), 160, 60)
    colour[what == 8] = ramp(0.5 + 0.2 * n, [(0, (0.2, 0.08, 0.26)), (1, (0.42, 0.16, 0.36))])
    colour[what == 9] = (0.3, 0.2, 0.1)
    gloss[what == 0] = 0
    gloss[what == 1] = 0.75
    gloss[what == 2] = 0.6
    gloss[np.isin(what, (3, 6))] = 0.5
    gloss[np.isin(what, (4, 5, 7))] = 0.22
    lambert = np.clip(normal @ sun, 0, 1) * shadow
    half_way = sun - ray[solid]
    half_way /= np.linalg.norm(half_way, axis=1, keepdims=True)
    shine = gloss * (np.clip((normal * half_way).sum(1), 0, 1) ** 60) * shadow
    sky = 0.5 + 0.5 * normal[:, 1]
    light = lambert[:, None] * (1.12, 1.04, 0.9) + (open_ * (0.12 + 0.24 * sky))[:, None] * (0.85, 0.95, 1.15)
    light += (open_ * 0.14 * np.clip(-normal[:, 1] + 0.3, 0, 1))[:, None] * (1.1, 0.95, 0.75)
    out[solid] = colour * light + shine[:, None]
    return 1 - np.exp(-1.9 * out.reshape((*x.shape, 3)) ** 1.08), things.reshape(x.shape)


# ----------------------------------------------------------------------------------------------------- styles


def strokes(rng):
    """Thick, curved brush strokes that follow a field of vortices: night blues around yellow and orange lights."""
    w, h = 640, 512
    x, y = grid(w, h)
    whirls = (
        (190, 150, 95, 1),
        (455, 112, 62, -1),
        (385, 262, 80, 1),
        (585, 235, 52, 1),
        (60, 290, 55, -1),
        (250, 30, 38, -1),
    )
    wobble = noise(rng, x, 160, 2)
    vx, vy = 1 + 0 * x, 0.35 * np.sin(x / 70 + y / 90) + 0.25 * wobble
    glow, phase = np.zeros_like(x), (y + 22 * np.sin(x / 75 + y / 160)) / 26 + 0.6 * wobble
    for cx, cy, r, spin in whirls:
        dx, dy = x - cx, y - cy
        far = np.hypot(dx, dy) + 1e-3
        pull = 5 * spin * np.exp(-((far / r) ** 2))
        vx, vy = vx - pull * dy / (far + 8), vy + pull * dx / (far + 8)
        inside = np.exp(-((far / (0.95 * r)) ** 4))
        phase = mix(phase[..., None], (far / r * 9)[..., None], inside)[..., 0]
        glow = np.maximum(glow, 1.12 * np.exp(-((far / (0.52 * r)) ** 2)) + 0.3 * inside)
    field = smooth(-14, 14, y - 400 - 26 * np.sin(x / 85) - 14 * np.sin(x / 31 + 1))
    vx, vy = mix(np.stack([vx, vy], -1), np.stack([0 * x + 1, 0.9 * np.cos(x / 85)], -1), field).transpose(2, 0, 1)
    night = ramp(
        0.5 + 0.5 * np.sin(phase),
        [(0, (0.03, 0.07, 0.26)), (0.45, (0.09, 0.22, 0.56)), (0.75, (0.2, 0.45, 0.75)), (1, (0.5, 0.76, 0.8))],
    )
    lamp = ramp(
        glow,
        [
            (0.28, (0.3, 0.62, 0.78)),
            (0.4, (0.7, 0.86, 0.66)),
            (0.55, (0.99, 0.87, 0.36)),
            (0.8, (0.99, 0.7, 0.1)),
            (1.0, (0.93, 0.4, 0.05)),
        ],
    )
    base = mix(night, lamp, smooth(0.22, 0.5, glow) * np.ones_like(x))
    base = base * (1 + 0.16 * np.sin(2 * phase) * smooth(0.3, 0.6, glow))[..., None]
    corn = ramp(
        0.5 + 0.5 * np.sin((y + 20 * np.sin(x / 85)) / 11 + wobble),
        [(0, (0.1, 0.2, 0.16)), (0.4, (0.45, 0.36, 0.1)), (0.7, (0.88, 0.55, 0.1)), (1, (0.98, 0.8, 0.3))],
    )
    base = mix(base, corn, field)
    flow = np.stack([vx, vy], -1)
    flow /= np.linalg.norm(flow, axis=2, keepdims=True) + 1e-6

    paint, height = base * 0.5, np.zeros_like(x)
    hairs = noise(rng, np.zeros((1, 4096)), 1.5, 2)[0]
    accents = np.float32(
        ((0.95, 0.55, 0.12), (0.98, 0.86, 0.45), (0.55, 0.82, 0.78), (0.04, 0.06, 0.2), (0.16, 0.4, 0.36))
    )
    for count, size, length in ((2400, 12, 66), (3600, 8, 48), (2000, 5, 32)):
        knots = 9
        path = np.zeros((count, knots, 2), np.float32)
        path[:, 0] = rng.uniform((-20, -10), (w + 20, h + 10), (count, 2))
        lengths = length * rng.uniform(0.6, 1.25, count)
        for k in range(1, knots):
            here = path[:, k - 1]
            path[:, k] = here + sample(flow, here[:, 0] * S, here[:, 1] * S) * (lengths / (knots - 1))[:, None]
        middle = path[:, knots // 2]
        tint = sample(base, middle[:, 0] * S, middle[:, 1] * S)
        tint = tint * rng.normal(1, 0.13, (count, 1)) + rng.normal(0, 0.035, (count, 3))
        odd = rng.uniform(size=count) < 0.05
        tint[odd] = mix(tint[odd], accents[rng.integers(0, len(accents), odd.sum())], np.full(odd.sum(), 0.75))
        for line, colour in zip(path, tint, strict=False):
            wide = size * rng.uniform(0.75, 1.2)
            low, high = (line.min(0) - wide) * S, (line.max(0) + wide) * S
            x0, y0 = np.maximum(low, 0).astype(int)
            x1, y1 = np.minimum(high, (w * S, h * S)).astype(int)
            if x1 - x0 < 2 or y1 - y0 < 2:
                continue
            view = np.s_[y0:y1, x0:x1]
            px, py = x[view], y[view]
            best, across, along = np.full(px.shape, 1e9, np.float32), np.zeros_like(px), np.zeros_like(px)
            for k in range(knots - 1):  # nearest piece of the path gives position along and across the stroke
                (ax, ay), (bx, by) = line[k], line[k + 1]
                ex, ey = bx - ax, by - ay
                span = ex * ex + ey * ey + 1e-6
                qx, qy = px - ax, py - ay
                t = np.clip((qx * ex + qy * ey) / span, 0, 1)
                far = (qx - t * ex) ** 2 + (qy - t * ey) ** 2
                closer = far < best
                best = np.where(closer, far, best)
                across = np.where(closer, (ex * qy - ey * qx) / np.sqrt(span), across)
                along = np.where(closer, k + t, along)
            along /= knots - 1
            swell = wide * 0.5 * np.minimum(1, 0.35 + 5 * along) * np.minimum(1, 0.3 + 2.2 * (1 - along))
            rim = np.sqrt(best) / (swell + 1e-3)
            hair = hairs[(rng.integers(4000) + (across / wide + 0.5) * 40).astype(int) % 4096]
            worn = smooth(1.0, 0.8, along + 0.1 * hair) * smooth(1.08, 0.85, rim)
            paint[view] = mix(paint[view], colour * (1 + 0.12 * hair)[..., None], worn)
            body = (0.6 + 0.4 * rim**2) * (1 + 0.3 * hair) * wide * 0.35  # paint is pushed up at the rims
            height[view] += (body + 0.25 * height[view] - height[view]) * worn
    lit = relief(blur(height, 0.5), 0.55)
    return paint * lit[..., None] + 0.5 * np.clip(lit - 1.28, 0, 1)[..., None]


def nearest_tiles(x, y, seeds, angle, step, power):
    """Voronoi cells in a metric turned by each seed's angle: index of the cell, and distance to its border."""
    owner, border = np.zeros(x.shape, int), np.zeros_like(x)
    block = 32
    for i in range(0, x.shape[0], block):
        for j in range(0, x.shape[1], block):
            view = np.s_[i : i + block, j : j + block]
            px, py = x[view], y[view]
            near = np.flatnonzero(
                (np.abs(seeds[:, 0] - px.mean()) < np.ptp(px) / 2 + 2.2 * step)
                & (np.abs(seeds[:, 1] - py.mean()) < np.ptp(py) / 2 + 2.2 * step)
            )
            dx, dy = px[..., None] - seeds[near, 0], py[..., None] - seeds[near, 1]
            c, s = np.cos(angle[near]), np.sin(angle[near])
            d = (np.abs(dx * c + dy * s) ** power + np.abs(dy * c - dx * s) ** power) ** np.float32(1 / power)
            two = np.argpartition(d, 1, axis=-1)[..., :2]
            a, b = np.take_along_axis(d, two, -1).transpose(2, 0, 1)
            owner[view] = near[np.where(a <= b, two[..., 0], two[..., 1])]
            border[view] = np.abs(b - a) / 2
    return owner, border


def mosaic(rng):
    """Stone and glass tesserae set along the outlines of a sun, waves and leaves, with dark grout between."""
    w, h, step = 640, 512, 11.5
    x, y = grid(w, h)
    wave = y - 385 - 26 * np.sin(x / 62) - 10 * np.sin(x / 27 + 1)
    sun, turn = np.hypot(x - 205, y - 185), np.arctan2(y - 185, x - 205)
    moon = np.hypot(x - 512, y - 150)
    petal = sun - 92 - 34 * np.abs(np.cos(6 * turn)) ** 0.7
    leaves = np.full_like(x, 999)
    for cx, cy, a, size in (
        (420, 300, -0.9, 78),
        (520, 310, -2.0, 82),
        (345, 70, 0.5, 62),
        (600, 300, -1.2, 70),
        (35, 330, -1.1, 75),
        (40, 50, 0.8, 60),
    ):
        u = (x - cx) * np.cos(a) + (y - cy) * np.sin(a)
        v = np.abs((y - cy) * np.cos(a) - (x - cx) * np.sin(a))
        leaves = np.minimum(leaves, np.hypot(u, v + 0.75 * size) - 1.25 * size)
    shapes = (leaves, petal, moon - 78, -wave)
    # The tiles follow whichever outline is nearest; the sign says which side we are on.
    nearest = np.argmin(np.abs(np.stack([leaves, petal, sun - 62, moon - 78, wave])), 0)
    follow = np.choose(nearest, [leaves, petal, sun, moon, wave])
    follow = blur(follow, 2)
    gy, gx = np.gradient(follow)
    flow = np.stack([gx, gy], -1)
    zone = sum((shape < 0) * 2**k for k, shape in enumerate(shapes)) + 16 * (sun < 62)
    edge = np.zeros(x.shape, bool)
    edge[1:, 1:] = (zone[1:, 1:] != zone[:-1, 1:]) | (zone[1:, 1:] != zone[1:, :-1])
    edge = blur(edge.astype(np.float32), 1.2) > 0.04

    count = int(1.06 * w * h / step**2)
    seeds = rng.uniform((0, 0), (w, h), (count, 2)).astype(np.float32)
    coarse = np.s_[::S, ::S]
    for turn_ in range(16):  # Lloyd's relaxation; the pixels of outlines do not count, so cells shrink away from them
        g = sample(flow, seeds[:, 0] * S, seeds[:, 1] * S)
        angle = np.arctan2(g[:, 1], g[:, 0])
        owner, _ = nearest_tiles(x[coarse], y[coarse], seeds, angle, 2.2 * step if turn_ < 5 else step, np.float32(4))
        weight = np.where(edge[coarse], 0.02, 1).ravel()
        total = np.bincount(owner.ravel(), weight, count) + 1e-6
        for k, axis in enumerate((x, y)):
            mean = np.bincount(owner.ravel(), weight * axis[coarse].ravel(), count) / total
            seeds[:, k] = np.where(total > 0.1, mean, seeds[:, k])
    owner, border = nearest_tiles(x, y, seeds, angle, step, np.float32(4))

    def at(f):
        return sample(f, seeds[:, 0] * S, seeds[:, 1] * S)

    pick = rng.uniform(size=count)
    wv, sn, mn, lf, pt = at(wave), at(sun), at(moon), at(leaves), at(petal)
    cobalt, teal, cream, gold = (0.07, 0.15, 0.5), (0.05, 0.5, 0.55), (0.94, 0.87, 0.7), (0.95, 0.69, 0.13)
    brick, orange, green, ink = (0.7, 0.15, 0.1), (0.92, 0.42, 0.1), (0.16, 0.42, 0.17), (0.08, 0.08, 0.16)
    colour = ramp(pick, [(0, cobalt), (0.55, (0.1, 0.25, 0.62)), (0.85, (0.16, 0.42, 0.72)), (1, (0.4, 0.62, 0.78))])

    def lay(where, first, second, share=0.7):
        where = np.asarray(where)
        colour[where] = np.where((pick < share)[where, None], first, second)

    lay(mn < 78, cream, (0.84, 0.8, 0.74))
    lay(mn < 56, brick, orange, 0.75)
    lay(mn < 34, gold, orange)
    lay(mn < 14, ink, cobalt)
    lay(pt < 0, orange, gold, 0.65)
    lay((pt < 0) & (pt > -13), brick, (0.55, 0.08, 0.1))
    lay(sn < 74, cream, (0.86, 0.76, 0.56))
    lay(sn < 60, gold, (0.98, 0.8, 0.3))
    lay(sn < 36, brick, orange, 0.6)
    lay(sn < 14, cream, gold)
    lay(lf < 0, green, (0.32, 0.56, 0.2))
    lay((lf < 0) & (lf > -11), (0.66, 0.74, 0.24), (0.8, 0.8, 0.4))
    foam = (cream, (0.8, 0.86, 0.84))
    water = (
        foam,
        (teal, (0.2, 0.66, 0.66)),
        (ink, cobalt),
        (gold, orange),
        (teal, green),
        foam,
        (brick, orange),
        (teal, cobalt),
        (gold, cream),
        (cobalt, ink),
        (teal, cream),
    )
    for k, (first, second) in enumerate(water):  # each band covers the rest of the water, the next one goes on top
        lay(wv > 13 * k, first, second)
    colour *= rng.normal(1, 0.12, (count, 1)) * rng.normal(1, 0.03, (count, 3))
    tile = colour[owner] * (1 + 0.05 * noise(rng, x, 5, 3))[..., None]
    tilt = rng.normal(0, 0.5, (count, 2)).astype(np.float32)
    local = ((x - seeds[owner, 0]) * tilt[owner, 0] + (y - seeds[owner, 1]) * tilt[owner, 1]) / step
    chip = border + 0.22 * noise(rng, x, 6, 3)
    lit = relief(blur(2.2 * smooth(0.5, 2.6, chip), 0.5), 0.42) + 0.16 * local
    grout = ramp(0.5 + 0.2 * noise(rng, x, 4, 3), [(0, (0.06, 0.05, 0.05)), (1, (0.24, 0.2, 0.17))])
    return mix(grout, tile * lit[..., None], smooth(0.7, 1.15, chip))


def hatching(rng):
    """A pen drawing: sun, clouds, crags, furrows and a tree, all toned by lines that follow the forms and cross."""
    w, h = 640, 512
    x, y = grid(w, h)
    far = np.hypot(x - 455, y - 118)
    tone = 0.78 - 0.36 * smooth(60, 420, far) + 0.05 * noise(rng, x, 120, 3)
    form = far + 7 * noise(rng, x, 110, 2)
    outline = np.zeros_like(x)

    def add(inside, shade, lines):
        """Lay a form over what is there; `inside` is a signed distance, positive within."""
        nonlocal tone, form, outline
        mask = inside > 0
        tone, form = np.where(mask, shade, tone), np.where(mask, lines, form)
        outline = np.where(mask, 0, outline)
        outline = np.maximum(outline, smooth(1.5, 0.7, np.abs(inside - 0.6) / (1 + 0.4 * np.sin(x / 9 + y / 13))))

    add(46 - far, 0.98 + 0 * x, far)
    for cx, cy, size in ((110, 110, 1.1), (310, 165, 0.8), (585, 205, 0.85), (575, 50, 0.6)):
        puffs = np.full_like(x, -999)
        for _ in range(13):
            bx, r = rng.normal(0, 46), rng.uniform(17, 34)
            far = np.hypot(x - cx - bx * size, y - cy + (30 * np.exp(-((bx / 40) ** 2)) - 8) * size)
            puffs = np.maximum(puffs, r * size - far)
        puffs = np.minimum(puffs + 1.2 * noise(rng, x, 14, 3), (26 * size + cy - y) + 2 * np.sin(x / 11))
        low = (y - cy) / (30 * size)
        shade = 0.82 - 0.42 * smooth(-0.5, 1, low) + 0.2 * smooth(12 * size, 2, puffs) * (low < 0.4)
        add(puffs, shade, y + 0.45 * puffs + 3 * np.sin(x / 13))
    for base, tall, cell, dark in ((285, 62, 130, 0.64), (330, 80, 105, 0.5)):
        ridge = base - tall * (0.5 + 0.5 * np.sin(x / (70 + 0.3 * tall) + base)) - 14 * noise(rng, x, cell, 6)[:1]
        rock = noise(rng, x, cell, 5, 0.55)
        gy, gx = np.gradient(blur(rock, 1.5))
        add(y - ridge, np.clip(dark + 9 * gx - 4 * gy, 0.02, 0.97), 0.8 * x + 0.55 * y + 12 * rock)
    for k, base in enumerate((335, 372, 425)):
        crest = base - 24 * np.sin(x / (95 + 20 * k) + 2.1 * k) - 8 * np.sin(x / 41 + k)
        down = y - crest
        lines = (x - 320 - 140 * (k - 1)) * (70 / (60 + down)) if k % 2 else down * 0.9 + 0.25 * x
        hill = 0.86 - 0.5 * smooth(0, 75, down) + 0.16 * np.cos(x / (95 + 20 * k) + 2.1 * k)
        add(down, hill + 0.08 * noise(rng, x, 60, 4), lines + 3 * noise(rng, x, 90, 2))
    trunk = 132 + 16 * np.sin(y / 70) + 4 * noise(rng, x, 60, 3)
    girth = 19 + 22 * smooth(430, 512, y) + 10 * smooth(300, 230, y)
    side = (x - trunk) / girth
    bark = noise(rng, x, 22, 4, 0.5, 0.3)
    stem = np.where(y > 225, girth - np.abs(x - trunk), -9)
    add(stem, 0.62 - 0.45 * side + 0.14 * bark, girth * side * 0.6 + 0.55 * y + 4 * bark)
    for _ in range(46):
        bx, by = 128 + rng.normal(0, 62), 205 + rng.normal(0, 44)
        r = rng.uniform(19, 36)
        turn = np.arctan2(y - by, x - bx)
        d = np.hypot(x - bx, y - by) + 2.6 * np.sin(turn * 9 + bx) + 1.5 * np.sin(turn * 17 + by)
        up = np.clip(((x - bx) * 0.75 - (y - by) * 0.7) / r, -1, 1)
        shade = np.clip(0.42 + 0.42 * up + 0.0024 * (bx - 128), 0.03, 1)
        add(r - d, shade, d * 0.8 + 2.5 * np.sin(turn * 9 + bx) + 0.4 * x)
    tone = np.clip(0.5 + 1.3 * (tone - 0.56) + 0.04 * noise(rng, x, 12, 3), 0, 1)

    coverage = outline
    lean = 7 * noise(rng, x, 140, 2)
    passes = (
        (form, 4.4, 0.95, 0.2),
        (0.85 * x - 0.53 * y + lean, 4.6, 0.66, 0.2),
        (0.45 * x + 0.89 * y - lean, 4.2, 0.44, 0.12),
        (0.97 * x + 0.25 * y + lean, 3.6, 0.28, 0.05),
    )
    for u, gap, start, end in passes:
        u = (u + 0.5 * noise(rng, x, 26, 3)) / gap
        gy, gx = np.gradient(u * gap, 1 / S)
        steep = np.clip(np.hypot(gx, gy), 0.35, 3)
        which = np.floor(u).astype(int)
        start = start + 0.07 * rng.standard_normal(997)[which % 997]  # every line begins at a tone of its own
        need = np.clip((start - tone) / (start - end + 0.25), 0, 1)
        thick = (0.5 + 1.5 * need) * (1 + 0.18 * noise(rng, x, 14, 3)) * smooth(0.0, 0.06, need)
        apart = np.abs(u - which - 0.5) * gap / steep
        ink = smooth(0.35, -0.35, apart - thick / 2 * np.minimum(1.6, 1 / steep))
        coverage = np.maximum(coverage, ink * (need > 0))
    paper = 1 + 0.022 * noise(rng, x, 3, 3) + 0.03 * noise(rng, x, 160, 3)
    paper = paper[..., None] * np.float32((0.95, 0.82, 0.58))
    return mix(paper, (0.11, 0.075, 0.09), 0.96 * coverage * (0.95 + 0.05 * noise(rng, x, 5, 2)))


def fields(rng):
    """Overlapping translucent shapes - discs, arcs, wedges, chequers - with ink contours on grainy paper."""
    w, h = 640, 512
    x, y = grid(w, h)
    wx, wy = x + 1.1 * noise(rng, x, 60, 3), y + 1.1 * noise(rng, x, 60, 3)
    red, blue, yellow, orange = (0.84, 0.13, 0.11), (0.1, 0.24, 0.62), (0.98, 0.78, 0.12), (0.95, 0.48, 0.1)
    black, teal, pink, green = (0.07, 0.06, 0.09), (0.1, 0.56, 0.58), (0.93, 0.56, 0.58), (0.3, 0.58, 0.25)
    violet, sand, sky, white = (0.38, 0.16, 0.45), (0.93, 0.82, 0.6), (0.5, 0.73, 0.86), (0.97, 0.94, 0.86)
    canvas = np.ones((*x.shape, 3), np.float32) * sand

    def disc(cx, cy, r):
        return np.hypot(wx - cx, wy - cy) - r

    def ring(cx, cy, r, wide, start=-9.0, span=99.0):
        turn = (np.arctan2(wy - cy, wx - cx) - start) % (2 * np.pi)
        cut = np.where(turn < span, -99, np.minimum(turn - span, 2 * np.pi - turn) * r)
        return np.maximum(np.abs(disc(cx, cy, r)) - wide / 2, cut)

    def polygon(*points):
        """A convex polygon, its corners in either sense."""
        sides = list(zip(points, points[1:] + points[:1], strict=False))
        sense = np.sign(sum(ax * by - bx * ay for (ax, ay), (bx, by) in sides))
        return np.maximum.reduce(
            [
                sense * ((wx - ax) * (by - ay) - (wy - ay) * (bx - ax)) / np.hypot(bx - ax, by - ay)
                for (ax, ay), (bx, by) in sides
            ]
        )

    def bar(ax, ay, bx, by, wide):
        t = np.clip(((wx - ax) * (bx - ax) + (wy - ay) * (by - ay)) / ((bx - ax) ** 2 + (by - ay) ** 2), 0, 1)
        return np.hypot(wx - ax - t * (bx - ax), wy - ay - t * (by - ay)) - wide / 2

    def put(shape, colour, cover=0.85, line=0.0):
        """Paint a shape: partly opaque, partly a glaze that tints what lies below, worn by the paper's grain."""
        rows, cols = np.flatnonzero((shape < 3).any(1)), np.flatnonzero((shape < 3).any(0))
        view = np.s_[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
        shape, below = shape[view], canvas[view]
        wash = 1 + 0.1 * noise(rng, shape, 70, 5, 0.6) + 0.06 * np.clip(shape / 40, -2, 0)
        dry = np.clip(1 + 0.13 * noise(rng, shape, 3, 3, 0.7, 1.8), 0.4, 1)
        paint = mix(below * np.float32(colour) * 1.15, colour, np.full(shape.shape, cover)) * wash[..., None]
        paint = mix(below, paint, smooth(0.6, -0.6, shape) * dry)
        canvas[view] = mix(paint, black, 0.94 * smooth(0.5, -0.5, np.abs(shape) - line / 2) * (line > 0))

    # Ground: four large fields, edge to edge.
    put(polygon((-9, -9), (-9, 300), (250, 190), (330, -9)), sky, 0.9)
    put(polygon((330, -9), (250, 190), (649, 290), (649, -9)), orange, 0.9)
    put(polygon((-9, 300), (-9, 521), (300, 521), (250, 190)), pink, 0.9)
    put(polygon((250, 190), (300, 521), (649, 521), (649, 290)), teal, 0.9)
    # Large figures.
    put(disc(205, 205, 138), yellow, 0.85, 2.5)
    put(polygon((330, 30), (150, 440), (520, 400)), (0.13, 0.34, 0.76), 0.55, 3)
    put(disc(455, 165, 104), red, 0.6, 3)
    put(disc(455, 165, 66), black, 0.8)
    put(disc(455, 165, 48), violet, 0.9, 2)
    put(disc(463, 158, 24), yellow, 0.95, 2)
    put(polygon((20, 350), (60, 500), (290, 420)), red, 0.55, 3)
    put(polygon((380, 330), (400, 500), (625, 470), (560, 300)), green, 0.4, 2.5)
    for k, colour in enumerate((white, red, blue, yellow, black)):
        put(ring(520, 512, 150 - 26 * k, 22, np.pi, np.pi), colour, 0.8, 2)
    for k, colour in enumerate((violet, orange, white, teal)):
        put(ring(0, 110, 120 - 24 * k, 18, -np.pi / 2, np.pi), colour, 0.75, 1.5)
    put(ring(205, 205, 92, 30, 2.2, 3.4), red, 0.4, 2)
    put(ring(205, 205, 48, 18, 5.4, 4.1), blue, 0.7, 2)
    put(disc(205, 205, 20), black, 0.9)
    # Chequers and fans give the middle scale.
    for i in range(6):
        for j in range(5):
            ox, oy = 292 + 17 * i - 7 * j, 410 + 7 * i + 17 * j
            colour = (black, white, white, yellow)[(i + j) % 2 + 2 * ((i * j) % 3 == 1)]
            put(polygon((ox, oy), (ox - 7, oy + 17), (ox + 10, oy + 24), (ox + 17, oy + 7)), colour, 0.9)
    for i in range(5):
        for j in range(4):
            put(disc(96 + 17 * i + 4 * j, 368 + 15 * j - 2 * i, 4.5), (white, yellow)[(i + j) % 2], 0.95, 1.2)
    for k in range(6):
        tooth = polygon((346 + 34 * k, 40), (380 + 34 * k, 40), (363 + 34 * k, 8 + 2 * k))
        put(tooth, (teal, violet, yellow)[k % 3], 0.85, 2)
        put(ring(40 + 50 * k, 506, 22, 7, np.pi, np.pi), (blue, black, teal)[k % 3], 0.85, 1.4)
    for k in range(9):
        a, b = -2.9 + 0.19 * k, -2.9 + 0.19 * k + 0.1
        tips = [(640 + 170 * np.cos(t), 330 + 170 * np.sin(t)) for t in (a, b)]
        put(polygon((640, 330), tips[1], tips[0]), (black, red, yellow)[k % 3], 0.8, 1)
    for k in range(13):
        put(bar(22 + 15 * k, 300 + 5 * k, 74 + 17 * k, 492 - 4 * k, 2.2), black, 1)
    for k in range(7):
        put(bar(300 + 9 * k, 8, 270 + 4 * k, 120 - 6 * k, 2.6), (black, blue)[k % 2], 1)
    for ends in (
        (8, 478, 560, 52, 5),
        (85, 20, 410, 500, 3.5),
        (240, 360, 636, 236, 4),
        (600, 20, 560, 300, 3),
        (330, 505, 20, 210, 2.5),
    ):
        put(bar(*ends), black, 1)
    for _ in range(46):  # small scale: dots, rings and ticks, thrown over everything
        cx, cy, r = rng.uniform(10, w - 10), rng.uniform(10, h - 10), rng.uniform(3, 10)
        colour = (red, blue, yellow, black, white, teal, orange)[rng.integers(7)]
        kind = rng.integers(3)
        if kind == 0:
            put(disc(cx, cy, r), colour, 0.9, 1.6)
        elif kind == 1:
            put(ring(cx, cy, r, 3), colour, 0.95)
        else:
            for k in range(3):
                put(bar(cx + 5 * k, cy, cx + 5 * k + 6, cy + 15, 2), colour, 1)
    grain = relief(noise(rng, x, 2.6, 3, 0.7), 0.035) + 0.025 * noise(rng, x, 1.6, 2)
    return canvas * grain[..., None]


def watercolour(rng):
    """Poppies in wet washes: pigment gathers at the edges, granulates in the paper and runs back in blooms."""
    w, h = 640, 512
    x, y = grid(w, h)
    pits = noise(rng, x, 2.8, 3, 0.65)
    canvas = np.ones((*x.shape, 3), np.float32) * (0.98, 0.965, 0.93)

    def wash(shape, colour, strength=1.0, ragged=6.0, cell=30, soft=0.7):
        """Multiply a layer of pigment in, only within the window that the shape touches."""
        nonlocal canvas
        rows, cols = np.flatnonzero((shape < 3 * ragged).any(1)), np.flatnonzero((shape < 3 * ragged).any(0))
        if not len(rows) or not len(cols):
            return
        view = np.s_[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
        d = shape[view] + ragged * noise(rng, shape[view], cell, 5, 0.55)
        pool = noise(rng, d, 2.2 * cell, 4)
        rim = np.exp(-np.abs(d + 1.2) / 1.5) + 0.5 * np.exp(np.minimum(d, 0) / 7)
        dose = smooth(soft, -soft, d) * (0.72 + 0.26 * pool + 0.45 * rim + 0.1 * pits[view])
        canvas[view] *= np.exp(np.log(np.float32(colour)) * (strength * np.clip(dose, 0, 2.2))[..., None])

    def disc(cx, cy, r, squash=1.0, a=0.0):
        u, v = (x - cx) * np.cos(a) + (y - cy) * np.sin(a), (y - cy) * np.cos(a) - (x - cx) * np.sin(a)
        return np.hypot(u, v / squash) - r

    sky, violet, rose, sun = (0.32, 0.62, 0.86), (0.5, 0.4, 0.74), (0.93, 0.56, 0.62), (0.99, 0.8, 0.34)
    greens = ((0.42, 0.6, 0.2), (0.18, 0.44, 0.24), (0.6, 0.68, 0.2), (0.12, 0.36, 0.34))
    reds = ((0.9, 0.14, 0.09), (0.94, 0.32, 0.08), (0.82, 0.06, 0.16), (0.95, 0.42, 0.2))
    glow = disc(470, 125, 105, 0.85)
    wash(np.maximum(y - 265, 20 - glow), sky, 0.8, 14, 110, 14)
    wash(glow, sun, 1.1, 14, 90, 8)
    wash(disc(470, 125, 66), (0.98, 0.66, 0.24), 0.7, 5, 40)
    wash(disc(470, 125, 38), (0.97, 0.42, 0.16), 0.9, 2.5, 30)
    for _ in range(24):
        cx, cy = rng.uniform(0, w), rng.uniform(-10, 250)
        r = rng.uniform(30, 95)
        if np.hypot(cx - 470, cy - 125) < 125 + r:  # blue over the yellow would turn to mud
            continue
        cloud = (violet, rose, sky, (0.2, 0.4, 0.75))[rng.integers(4)]
        wash(disc(cx, cy, r, 0.6), cloud, 0.62, 14, 50, rng.choice((0.8, 7)))
    wash(265 - y, (0.62, 0.75, 0.3), 0.75, 16, 90, 8)
    for _ in range(34):
        cx, cy = rng.uniform(0, w), rng.uniform(270, h)
        wash(disc(cx, cy, rng.uniform(18, 70), 0.7), greens[rng.integers(4)], 0.6, 10, 36, rng.choice((0.8, 5)))
    for _ in range(70):
        bx, by, size, bend = rng.uniform(-10, w + 10), rng.uniform(380, h + 40), rng.uniform(60, 190), rng.normal(0, 40)
        t = np.clip((by - y) / size, 0, 1)
        half = 4.2 * (1 - t) ** 0.7 + 0.4
        blade = np.maximum(np.abs(x - bx - bend * t * t) - half, np.abs(by - y - size / 2) - size / 2)
        wash(blade, greens[rng.integers(4)], 0.9, 0.8, 14)
    flowers = []
    for _ in range(400):
        cx, cy = rng.uniform(15, w - 15), 250 + (h - 270) * rng.uniform() ** 1.2
        room = 22 + 88 * (cy - 250) / 250
        if len(flowers) < 32 and all(np.hypot(cx - fx, cy - fy) > room for fx, fy in flowers):
            flowers.append((cx, cy))
    for cx, cy in sorted(flowers, key=lambda f: f[1]):
        size = 9 + 40 * (cy - 230) / 280 * rng.uniform(0.8, 1.2)
        # Lift the colour below the flower first, as a wet brush would, so that the reds stay clean.
        lift = smooth(6, -10, disc(cx, cy, 1.25 * size, 0.8) + 4 * noise(rng, x, 20, 3))
        canvas = mix(canvas, (0.99, 0.95, 0.88), 0.88 * lift)
        for k in range(5):
            a = k * 2 * np.pi / 5 + rng.normal(0, 0.25)
            petal = disc(cx + 0.55 * size * np.cos(a), cy + 0.42 * size * np.sin(a), 0.66 * size, 0.8, a)
            wash(petal, reds[rng.integers(4)], 0.85, 0.09 * size, 12)
        wash(disc(cx, cy, 0.26 * size, 0.8), (0.1, 0.06, 0.16), 1.1, 2, 6)
        for _ in range(9):
            a, r = rng.uniform(0, 6.3), rng.uniform(0.3, 0.46) * size
            wash(disc(cx + r * np.cos(a), cy + 0.8 * r * np.sin(a), 0.045 * size), (0.06, 0.04, 0.1), 1.3, 0.4, 5)
    for _ in range(150):
        colour = (*reds, *greens, violet, sky)[rng.integers(10)]
        wash(disc(rng.uniform(0, w), rng.uniform(0, h), rng.exponential(1.6) + 0.5), colour, 0.9, 0.4, 6)
    return canvas * relief(pits, 0.02)[..., None]


PICTURES = {
    "content-landscape.jpg": landscape,
    "content-still-life.jpg": still_life,
    "style-strokes.jpg": strokes,
    "style-mosaic.jpg": mosaic,
    "style-hatching.jpg": hatching,
    "style-fields.jpg": fields,
    "style-watercolour.jpg": watercolour,
}


def main(folder=Path(__file__).parents[1] / "nodes" / "examples", *names):
    Path(folder).mkdir(parents=True, exist_ok=True)
    for seed, (name, draw) in enumerate(PICTURES.items(), 11):
        if not names or name in names:
            drawn = draw(np.random.default_rng(seed))
            save(folder, name, *(drawn if isinstance(drawn, tuple) else (drawn,)))


if __name__ == "__main__":
    main(*sys.argv[1:])
