"""Plain fields of colour."""

import numpy as np

from .canvas import grid, mix, noise, relief, smooth


# Longer than a screen: one drawing from its background to its last stroke, never called in parts.
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
