"""From an opened picture file to numbers: upright, in sRGB, in as many bits as it has."""

import contextlib
import io
import struct
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageFile, ImageOps, UnidentifiedImageError

from ..errors import NSTError
from ..system.safe_files import open_file

BAND = 2**20  # pixels that are converted at a time, so that no second picture stands in memory
# Pictures larger than cameras take are reduced while they are read, to so many times the size that is asked for.
REDUCED_ABOVE = 2**25  # pixels
REDUCED_TO = 4
ORIENTATION = 0x0112
_OTHER_HALF = {"16L": "16B", "16B": "16L", "16N": "16B" if sys.byteorder == "little" else "16L"}


def exif_of(image: ImageFile.ImageFile) -> Image.Exif:
    """What is known once the file is open: of a PNG, Pillow would read all pixels in search of more."""
    return Image.Exif() if image.format == "PNG" and "exif" not in image.info else image.getexif()


def reduction(image: ImageFile.ImageFile, side: int | None) -> int:
    """By how much the picture may be reduced before it is used."""
    if side is None or image.width * image.height <= REDUCED_ABOVE:
        return 1
    return max(1, max(image.size) // (REDUCED_TO * side))


def floats(codes: NDArray[Any], top: float) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Pixels and alpha in 0..1, a few rows at a time."""
    height, width, planes = codes.shape
    colours = planes // 3 * 2 + 1  # 1 to 4 planes: grey, grey + alpha, RGB, RGB + alpha
    pixels = torch.empty(1, 3, height, width)
    alpha = torch.empty(1, 1, height, width) if planes > colours else None
    rows = max(1, BAND // width)
    for y in range(0, height, rows):
        band = torch.from_numpy(np.divide(codes[y : y + rows], top, dtype=np.float32)).permute(2, 0, 1).clamp_(0, 1)
        pixels[0, :, y : y + rows] = band[:colours]
        if alpha is not None:
            alpha[0, :, y : y + rows] = band[colours:]
    return pixels, alpha


def codes_of(image: ImageFile.ImageFile, icc: bytes, path: Path, factor: int) -> tuple[NDArray[Any], float]:
    """Height x width x (grey, grey + alpha, RGB or RGBA) as stored, and the value that stands for 1; `factor` times
    smaller."""
    args = image.tile[0][3] if image.tile else ""
    raw = str(args[0] if isinstance(args, tuple) and args else args)
    tags, key, top = getattr(image, "tag_v2", {}), image.info.get("transparency"), 65535.0
    if tags.get(284) == 2 and 16 in tags[258] and len(tags[258]) > 1:  # Pillow takes such planes for 8-bit ones
        raise PictureError(f"{path}: 16-bit TIFF with separate colour planes; save it with interleaved (chunky) pixels")
    name, _, half = raw.partition(";")
    if name in ("RGB", "RGBX", "RGBA") and half in _OTHER_HALF and image.format in ("PNG", "TIFF"):
        # Pillow keeps the high byte of each sample. Told the opposite byte order, it keeps the low one instead.
        with opened(path) as twin:
            _load_upright(twin, f"{name};{_OTHER_HALF[half]}")
            _load_upright(image)
            now, factor = (factor, 1) if key is None else (1, factor)
            codes = _joined(image, twin, now)
    elif raw == "LA;16B" and image.mode == "RGBA":  # two 16-bit samples, taken as four bytes so that none is dropped
        _load_upright(image, "RGBA")
        codes = _array(image).view(">u2")
    elif image.mode.startswith("I") or image.mode == "F":
        _load_upright(image)
        codes = _array(image)
        low, high = float(codes.min()), float(codes.max())
        slack, tops = (0.01, (1.0, 255.0, top)) if image.mode == "F" else (0.0, (top,))  # resampled reals overshoot
        top = next((top for top in tops if -slack * top <= low and high <= (1 + slack) * top), 0.0)
        if not top:
            raise PictureError(f"{path}: pixel values from {low:g} to {high:g} fit no 16-bit range; save it as 16-bit")
        top = 4095.0 if raw == "I;12" else top
        codes = top - codes if tags.get(262) == 0 else codes  # Pillow leaves deep white-is-zero TIFFs negative
    else:
        _load_upright(image)
        alpha = "A" if image.has_transparency_data else ""
        flat = _converted(image, "L" + alpha) if image.mode in ("1", "L", "LA", "La") else None
        if image.mode == "LAB" or (image.mode == "CMYK" and icc[16:20] == b"CMYK"):
            flat = to_srgb(image, icc)
        flat = flat or _converted(image, "RGB" + alpha)
        return _array(flat if factor == 1 else flat.reduce(factor)), 255.0
    if key is not None and codes.shape[2] in (1, 3):
        opaque = (codes != np.asarray(key)).any(-1, keepdims=True)
        codes = np.concatenate((codes, opaque * codes.dtype.type(top)), -1)
    return _boxes(codes, factor), top


def _array(image: Image.Image) -> NDArray[Any]:
    return np.asarray(image).reshape(image.height, image.width, -1)


def _converted(image: Image.Image, mode: str) -> Image.Image:
    return image if image.mode == mode else image.convert(mode)


def _cut(image: Image.Image, box: tuple[int, int, int, int]) -> Image.Image:
    """As Image.crop, which in Pillow 11 refuses pictures above a limit that is not ours."""
    left, top, right, bottom = box
    return image.resize((right - left, bottom - top), Image.Resampling.NEAREST, box)


def _joined(high: Image.Image, low: Image.Image, factor: int) -> NDArray[Any]:
    """16-bit codes from their high and low bytes."""
    rows = max(1, BAND // (high.width * factor)) * factor
    bands = []
    for y in range(0, high.height, rows):
        box = (0, y, high.width, min(y + rows, high.height))
        bands.append(_boxes(_array(_cut(low, box)) | _array(_cut(high, box)).astype(np.uint16) << 8, factor))
    return np.concatenate(bands)


def _boxes(codes: NDArray[Any], factor: int) -> NDArray[Any]:
    """The means of squares of factor × factor pixels, and of smaller ones at the right and at the bottom."""
    if factor == 1:
        return codes
    for axis in (0, 1):
        size = codes.shape[axis]
        starts = np.arange(0, size, factor)
        counts = np.minimum(factor, size - starts).astype(np.float32)
        sums = np.add.reduceat(codes, starts, axis, dtype=np.float32)
        codes = sums / counts.reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
    return codes


def _load_upright(image: ImageFile.ImageFile, raw: str = "") -> None:
    if raw:
        args = [(raw, *t[3][1:]) if isinstance(t[3], tuple) else raw for t in image.tile]
        make: Any = getattr(type(image.tile[0]), "_make", tuple)  # Pillow before 11 has plain tuples
        image.tile = [make((*t[:3], new)) for t, new in zip(image.tile, args, strict=True)]
    image.load()
    with contextlib.suppress(SyntaxError, ValueError, TypeError, struct.error):  # broken EXIF beside sound pixels
        ImageOps.exif_transpose(image, in_place=True)


def to_srgb(image: Image.Image, icc: bytes) -> Image.Image | None:
    with contextlib.suppress(ImageCms.PyCMSError, ImportError, OSError, ValueError, TypeError):
        source = ImageCms.createProfile("LAB") if image.mode == "LAB" else ImageCms.ImageCmsProfile(io.BytesIO(icc))
        return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    return None


MOST_PIXELS = 2**30  # 12 GiB as float RGB: beyond any picture a person means, below what a bomb asks for
_opening = threading.Lock()


class PictureError(NSTError):
    """Says which file, what was found, and what would do."""


@contextlib.contextmanager
def opened(path: Path, most: int = MOST_PIXELS) -> Iterator[ImageFile.ImageFile]:
    try:
        open_file(path).close()  # Pillow would wait for what comes out of a pipe
        with _opening:  # Pillow's limit is a global of its module: ours holds for the header only, then theirs again
            usual, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, MOST_PIXELS
            try:
                image = Image.open(path)
            finally:
                Image.MAX_IMAGE_PIXELS = usual
        with image:
            if image.width * image.height > most:
                raise Image.DecompressionBombError
            yield image
    except (PictureError, MemoryError):
        raise
    except Exception as err:  # damaged files leave Pillow's decoders as a dozen unrelated exception classes
        reason = getattr(err, "strerror", None) or str(err) or type(err).__name__
        found = f"the picture is cut short or damaged ({reason}); fetch or export it again"
        if not path.is_file():
            found = "this is a folder; name a picture in it" if path.is_dir() else "no such file; check its name"
            if path.exists() and not path.is_dir():
                found = "this is a pipe or a device; name a picture's file"
        elif isinstance(err, PermissionError):
            found = "this file may not be read; change its permissions or copy it elsewhere"
        elif isinstance(err, Image.DecompressionBombError | Image.DecompressionBombWarning):
            asked = "give --large if it is to be read all the same, or " if most < MOST_PIXELS else ""
            found = f"the picture claims more than {most} pixels; {asked}scale it down with another program first"
        elif isinstance(err, UnidentifiedImageError):
            found = f"no picture of a known kind, or one without size ({path.stat().st_size} bytes); use PNG or JPEG"
        raise PictureError(f"{path}: {found}") from err
