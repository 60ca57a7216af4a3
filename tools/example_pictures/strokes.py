"""Thick strokes of paint."""

import numpy as np

from .canvas import S, blur, grid, mix, noise, ramp, relief, sample, smooth


# Longer than a screen: one drawing from its background to its last stroke, never called in parts.
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
    accents = np.array(
        ((0.95, 0.55, 0.12), (0.98, 0.86, 0.45), (0.55, 0.82, 0.78), (0.04, 0.06, 0.2), (0.16, 0.4, 0.36)), np.float32
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
