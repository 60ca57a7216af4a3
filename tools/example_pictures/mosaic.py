"""Stone and glass tesserae."""

import numpy as np

from .canvas import S, blur, grid, mix, noise, ramp, relief, sample, smooth


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


# Longer than a screen: one drawing from its background to its last stroke, never called in parts.
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
