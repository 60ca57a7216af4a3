"""Ink hatching."""

import numpy as np

from .canvas import S, blur, grid, mix, noise, smooth


# Longer than a screen: one drawing from its background to its last stroke, never called in parts.
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
    paper = paper[..., None] * np.array((0.95, 0.82, 0.58), np.float32)
    return mix(paper, (0.11, 0.075, 0.09), 0.96 * coverage * (0.95 + 0.05 * noise(rng, x, 5, 2)))
