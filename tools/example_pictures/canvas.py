"""What the pictures are drawn with: noise, colour ramps, blurs; and how a canvas becomes a file."""

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

S = 2  # how many times finer a canvas is than the finished picture
LIMIT = 178_000  # bytes of a finished JPEG


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
        total += gain**octave * np.asarray(Image.fromarray(lattice).resize((w, h), Image.Resampling.BICUBIC, box=box))
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
    small = [
        channel.resize((480, 480 * both.height // both.width), Image.Resampling.LANCZOS) for channel in both.split()
    ]
    Image.merge("RGBA", small).save(Path(folder) / f"{Path(name).stem}-masked.png", optimize=True)
