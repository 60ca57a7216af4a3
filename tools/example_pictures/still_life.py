"""A jug, a bowl and fruit on a cloth."""

import numpy as np

from .canvas import grid, mix, noise, ramp, sample, smooth


# Longer than a screen: one drawing from its background to its last stroke, never called in parts.
def still_life(rng):
    """Jug, bowl and fruit on a striped cloth: distance functions, sphere-traced, with soft shadows; and what is a
    thing, not wall or cloth."""
    w = h = 512
    x, y = grid(w, h)
    bumps = noise(rng, x, 30, 5)
    folds = noise(rng, x, 150, 2, 0.35, 0.6)

    def ball(p, c, r, squash=1.0):
        d = (p - np.float32(c)) / np.array((1, squash, 1), np.float32)
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
        return meld(ball(p, c, r), ball(p, c + np.array((lean, 1.22 * r, 0), np.float32), 0.5 * r), 0.75 * r)

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
        d = p - np.array((-0.95, 0, 0.75), np.float32)
        ring, up = np.hypot(d[..., 0], d[..., 2]), d[..., 1]
        outline = np.interp(up, profile_up, profile).astype(np.float32)
        hole = np.maximum(ring - outline + 0.05, 1.5 - up)
        body = np.maximum.reduce([(ring - outline) * 0.8, np.abs(up - 1.1) - 1.1, -hole])
        hx, hy = d[..., 0] + 0.5, up - 1.42
        bend = np.hypot(np.hypot(hx, hy * 0.9) - 0.47, d[..., 2]) - 0.075
        return meld(body, np.maximum(bend, hx - 0.12), 0.08)

    def bowl(p):
        d = p - np.array((0.72, 0.8, 0.25), np.float32)
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

    eye, aim = np.array((0.15, 2.5, -6.2), np.float32), np.array((0.0, 0.86, 0.0), np.float32)
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
    sun = np.array((-0.62, 0.68, -0.5), np.float32)
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
