"""Pictures as tensors: the host's BHWC and the engine's NCHW, channels, sizes, and what cannot be a picture."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
import torch.nn.functional as F

from ..errors import NSTError, TooSmall
from ..network.architecture import layer_names, smallest_side, stride
from ..system.devices import kind_of

Shape = tuple[int, int]  # height and width
# Of a picture or a style: far beyond what can be computed, and the end of the nodes' sliders.
LARGEST_SIDE = 16384
# Of a pixel, where 1 is white: lights in rendered scenes come to thousands; the loss of larger values overflows.
FARTHEST = 1e4


def check_picture(picture: torch.Tensor, name: str) -> torch.Tensor:
    """An Nx3xHxW float32 CPU copy of a picture with 1, 3 or 4 channels; alpha is dropped here."""
    if not isinstance(picture, torch.Tensor) or picture.ndim != 4:
        shape = tuple(picture.shape) if isinstance(picture, torch.Tensor) else type(picture).__name__
        raise NSTError(f"{name}: expected a batch of pictures (N×C×H×W), got {shape}.")
    n, c, h, w = picture.shape
    if n == 0:
        raise NSTError(f"{name}: the batch is empty; give at least one picture.")
    if c not in (1, 3, 4):
        raise NSTError(f"{name}: a picture with {c} channels; 1 (grey), 3 (RGB) or 4 (RGB and alpha) will do.")
    if h == 0 or w == 0:
        raise NSTError(f"{name}: a picture of {w}×{h} pixels holds nothing.")
    if picture.dtype == torch.uint8:
        picture = picture / 255
    if not picture.is_floating_point():
        raise NSTError(f"{name}: pixels of type {picture.dtype}; floating-point numbers in 0..1 (or uint8) will do.")
    # clone: under the host's inference mode `.to` alone would pass on the host's tensor itself.
    pixels = picture.detach().clone().to("cpu", torch.float32)
    if not torch.isfinite(pixels).all():
        bad = int((~torch.isfinite(pixels)).any(1).sum())
        raise NSTError(f"{name}: {bad:,} of {n * h * w:,} pixels are NaN or infinite; repair the picture first.")
    if (far := pixels.abs() > FARTHEST).any():
        value = float(pixels.flatten()[pixels.abs().argmax()])
        raise NSTError(
            f"{name}: {int(far.any(1).sum()):,} of {n * h * w:,} pixels are far outside of 0..1, as far as {value:g}; "
            "bring the picture's values into 0..1 first."
        )
    return (pixels.expand(-1, 3, -1, -1) if c == 1 else pixels[:, :3]).contiguous()


def alpha_of(picture: torch.Tensor) -> torch.Tensor | None:
    """The transparency of a picture that has passed `check_picture`."""
    if picture.shape[1] != 4:
        return None
    alpha = picture.detach().clone()[:, 3:4]
    return (alpha / 255 if alpha.dtype == torch.uint8 else alpha).to("cpu", torch.float32).clamp(0, 1)


def from_host(image: torch.Tensor) -> torch.Tensor:
    """BHWC (or HWC, or a grey BHW as masks are) to BCHW."""
    if image.ndim == 3:
        image = image.unsqueeze(0) if image.shape[-1] in (1, 3, 4) else image.unsqueeze(-1)
    return image.movedim(-1, 1) if image.ndim == 4 else image


def to_host(image: torch.Tensor) -> torch.Tensor:
    return image.movedim(1, -1).contiguous()


def shape_of(pixels: torch.Tensor) -> Shape:
    """Height and width."""
    return pixels.shape[-2], pixels.shape[-1]


def resize(pixels: torch.Tensor, shape: Shape, wraps: bool = False) -> torch.Tensor:
    """To height × width, anti-aliased; the same tensor comes back when it has that size. With `wraps` the picture is
    seamless, and stays so."""
    if shape_of(pixels) == shape:
        return pixels
    if wraps:
        for dim, size in zip((2, 3), shape, strict=True):
            pixels = _resize_around(pixels, dim, size)
        return pixels.clamp(0, 1)
    return _interpolate(pixels, shape).clamp(0, 1)


def small_copy(pixels: torch.Tensor, side: int) -> torch.Tensor:
    """A copy on the CPU, no larger than `side`. Other devices reduce the picture before they hand it over, by a whole
    factor, which every device can do."""
    height, width = shape = shape_of(pixels)
    factor = max(shape) // side
    if factor > 1 and not kind_of(pixels.device).is_cpu:
        pixels = F.avg_pool2d(pixels, (min(factor, height), min(factor, width)))
    pixels = pixels.cpu()
    return pixels.clone() if max(shape) <= side else F.interpolate(pixels, size=fit_long(shape, side), mode="area")


def _interpolate(pixels: torch.Tensor, shape: Shape) -> torch.Tensor:
    return F.interpolate(pixels, size=shape, mode="bicubic", antialias=True, align_corners=False)


def _resize_around(pixels: torch.Tensor, dim: int, size: int) -> torch.Tensor:
    """One side of a picture that continues on the other; the border added to it is whole pixels at both sizes."""
    length = pixels.shape[dim]
    step = length // math.gcd(length, size)
    border = math.ceil(3 * max(1, length / size) / step) * step
    around = torch.arange(-border, length + border, device=pixels.device) % length
    wide = pixels.index_select(dim, around)
    after = border * size // length
    shape = (size + 2 * after, pixels.shape[3]) if dim == 2 else (pixels.shape[2], size + 2 * after)
    return _interpolate(wide, shape).narrow(dim, after, size)


def fit_long(shape: Shape, long_side: float) -> Shape:
    """Height and width with this long side and the proportions kept."""
    return _scaled(shape, long_side / max(1, *shape))


def fit_short(shape: Shape, short_side: float) -> Shape:
    return _scaled(shape, short_side / max(1, min(shape)))


def fit_area(shape: Shape, pixels: float) -> Shape:
    height = max(1, round(math.sqrt(pixels * shape[0] / shape[1])))
    return height, max(1, round(height * shape[1] / shape[0]))


def _scaled(shape: Shape, factor: float) -> Shape:
    return max(1, round(shape[0] * factor)), max(1, round(shape[1] * factor))


def check_size(
    shape: Shape,
    taps: Iterable[str],
    padding: str,
    name: str,
    original: Shape | None = None,
    fraction: float = 1.0,
    largest: int = LARGEST_SIDE,
) -> None:
    """Every tap must see at least one position. `shape` is `fraction` of the final size of a picture whose size was
    `original`, and whose long side can be made as large as `largest`."""
    tap = max(taps, key=stride)
    needed = smallest_side((tap,), padding)
    if min(shape) >= needed:
        return
    level = "" if fraction == 1 else f"the smallest level, {fraction:.2g} of the final size: "
    advice = [_size_that_will_do(original or shape, needed, fraction, largest, name == "shape")]
    if level and min(shape) / fraction >= needed:
        advice.append("fewer scales")
    if deepest := [layer for layer in layer_names("vgg16") if smallest_side((layer,), padding) <= min(shape)]:
        advice.append(f"layers no deeper than {deepest[-1]}")
    raise TooSmall(
        f"{name}: {level}{shape[1]}×{shape[0]} pixels are too few for {tap}, which needs at least {needed} on each "
        f"side. {'; or '.join(advice)}."
    )


def _size_that_will_do(shape: Shape, needed: int, fraction: float, largest: int, by_sides: bool) -> str:
    for part, scales in ((fraction, ""), (1.0, " with scales 1")):
        long_side = _long_side_for(shape, needed, part)
        if long_side <= largest:
            h, w = fit_long(shape, long_side)
            return (f"{w}×{h} pixels" if by_sides else f"A size of {long_side} (the long side)") + f"{scales} would do"
    crop = "; crop it" if largest == LARGEST_SIDE else ""
    return f"No size up to {largest} would do for a picture of {shape[1]}×{shape[0]}{crop}"


def _long_side_for(shape: Shape, needed: int, fraction: float) -> int:
    """The least long side with which this fraction of a picture has the pixels that are needed on each side, however
    it is rounded."""
    long_side = max(1, math.floor((needed - 1) / min(shape) * max(shape) / fraction))

    def shortest(long_side: int) -> float:
        scaled = [max(1, round(side * fraction)) for side in fit_long(shape, long_side)]
        return min(*scaled, *fit_long(shape, max(1, round(long_side * fraction))))

    while shortest(long_side) < needed:
        long_side += 1
    return long_side
