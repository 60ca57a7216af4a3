"""Washes of watercolour."""

import numpy as np

from .canvas import grid, mix, noise, relief, smooth


# Longer than a screen: one drawing from its background to its last stroke, never called in parts.
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
    flowers: list = []
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
