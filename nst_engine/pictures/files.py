"""Picture files for the command line: read with nothing lost, written whole or not at all."""

import contextlib
import io
import json
import os
import struct
import sys
import tempfile
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageFile, ImageOps, PngImagePlugin, TiffImagePlugin, UnidentifiedImageError

from ..errors import NSTError
from ..system.safe_files import open_file, why_no_path, write_over
from ..system.safe_text import parse_json

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".tif": "TIFF", ".tiff": "TIFF", ".webp": "WEBP"}
MOST_PIXELS = 2**30  # 12 GiB as float RGB: beyond any picture a person means, below what a bomb asks for
MOST_PIXELS_UNASKED = 2**27  # a few hundred bytes can claim as many
# Pictures larger than cameras take are reduced while they are read, to so many times the size that is asked for.
REDUCED_ABOVE = 2**25  # pixels
REDUCED_TO = 4
_BAND = 2**20  # pixels that are converted at a time, so that no second picture stands in memory
_ORIENTATION = 0x0112
_DESCRIPTION = 0x010E  # the one text tag that EXIF and TIFF share and every viewer shows
_OTHER_HALF = {"16L": "16B", "16B": "16L", "16N": "16B" if sys.byteorder == "little" else "16L"}
_opening = threading.Lock()
_Bands = Iterator[NDArray[Any]]


class PictureError(NSTError):
    """Says which file, what was found, and what would do."""


@dataclass(frozen=True, eq=False)  # comparing tensors has no single answer, so pictures compare by identity
class Picture:
    pixels: torch.Tensor  # 1 x 3 x H x W, float32 in 0..1
    alpha: torch.Tensor | None  # 1 x 1 x H x W, float32 in 0..1, not premultiplied
    icc_profile: bytes | None  # the RGB profile that the pixels are in; None stands for sRGB
    bits: int
    path: Path


def read_picture(path: str | os.PathLike[str], *, side: int | None = None, large: bool = True) -> Picture:
    """Read the first frame of a picture, upright; RGB values stay in the file's own colour space.

    `side` is the long side at which the picture will be used, if that is known: a very large picture is reduced while
    it is read. Without `large` a picture of more than 134 megapixels is refused.
    """
    path = Path(path)
    with _opened(path, MOST_PIXELS if large else MOST_PIXELS_UNASKED) as image:
        mode, icc = image.mode, image.info.get("icc_profile") or b""
        if (factor := _factor(image, side)) > 1:
            image.draft(None, (image.width // factor, image.height // factor))  # of JPEG: less is decoded
            factor = max(1, max(image.size) // (REDUCED_TO * (side or 1)))
        codes, top = _codes(image, icc, path, factor)
    pixels, alpha = _floats(codes, top)
    if codes.shape[2] < 3 and icc[16:20] == b"GRAY":
        # A grey profile is only a tone curve: a ramp sent through it serves every depth, where littleCMS gives 8 bits.
        ramp = _to_srgb(Image.frombytes("L", (256, 1), bytes(range(256))), icc)
        for plane, curve in zip(pixels[0].numpy(), np.asarray(ramp)[0].T if ramp else (), strict=False):
            plane[:] = np.interp(plane, np.linspace(0, 1, 256), curve / 255)
    fits = icc[16:20] == b"RGB " and mode not in ("CMYK", "LAB")
    return Picture(pixels, alpha, icc if fits else None, 8 if codes.dtype == np.uint8 else 16, path)


def picture_shape(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Height and width, upright; only the file's beginning is read."""
    with _opened(Path(path)) as image:
        sideways = False
        with contextlib.suppress(SyntaxError, ValueError, TypeError, struct.error):  # broken EXIF
            sideways = _exif(image).get(_ORIENTATION) in (5, 6, 7, 8)
        width, height = image.size[::-1] if sideways else image.size
    return height, width


def read_settings(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """What `write_picture` was given as `settings`, or None where a picture carries none."""
    with _opened(Path(path)) as image:
        note = str(_exif(image).get(_DESCRIPTION, ""))
        text = image.info.get("nst", note[4:] if note.startswith("nst ") else "")
    with contextlib.suppress(ValueError, TypeError):
        settings = parse_json(text)
        return settings if isinstance(settings, dict) else None
    return None


def check_target(path: str | os.PathLike[str], bits: int = 8) -> str:
    """Raise now what `write_picture` would raise after hours of work; returns Pillow's name of the format."""
    path = Path(path)
    kind = FORMATS.get(path.suffix.lower(), "")
    if not kind:
        raise PictureError(f"{path}: cannot write a picture ending in {path.suffix!r}; use one of {' '.join(FORMATS)}")
    if bits != 8 and (bits != 16 or kind not in ("PNG", "TIFF")):
        raise PictureError(f"{path}: {kind} cannot hold {bits} bits; use 8, or 16 with an ending of .png .tif .tiff")
    if why := why_no_path(path):
        raise PictureError(f"{path}: {why}; give another name, or one in a folder higher up")
    if path.is_dir() or not path.parent.is_dir():
        found = "this is a folder" if path.is_dir() else f"there is no folder {path.parent}"
        raise PictureError(f"{path}: {found}; name a file in a folder that exists")
    return kind


def write_picture(
    path: str | os.PathLike[str],
    pixels: torch.Tensor,
    *,
    alpha: torch.Tensor | None = None,
    icc_profile: bytes | None = None,
    bits: int = 8,
    settings: dict[str, Any] | None = None,
    quality: int = 95,
) -> None:
    """Write 1x3xHxW in 0..1 (with 1x1xHxW alpha, laid on white for JPEG); the file appears complete or not at all."""
    path, kind = Path(path), check_target(path, bits)
    shapes = tuple(pixels.shape), None if alpha is None else tuple(alpha.shape)
    if shapes[0][:2] != (1, 3) or 0 in shapes[0] or shapes[1] not in (None, (1, 1, *shapes[0][2:])) or pixels.ndim != 4:
        raise PictureError(f"{path}: pixels and alpha measure {shapes}; needs 1x3xHxW and 1x1xHxW (or no alpha)")
    try:
        text = "" if settings is None else json.dumps(settings)  # pure ASCII, which every text field below can hold
        bands = _bands(pixels, alpha, bits, kind == "JPEG")
        size = [3 if alpha is None or kind == "JPEG" else 4, *pixels.shape[2:]]

        def write(handle: IO[bytes]) -> None:
            if kind == "PNG":
                _save_png(handle, bands, icc_profile, text, size, bits)
            elif kind == "TIFF":
                _save_tiff(handle, bands, icc_profile, text, size, bits)
            else:
                _save_lossy(handle, bands, icc_profile, text, size, kind, quality)

        write_over(path, write)
    except (OSError, ValueError, TypeError, KeyError, RuntimeError, struct.error) as err:
        raise PictureError(f"{path}: could not be written as {bits}-bit {kind} ({err}); nothing was changed") from err


def write_somewhere(path: str | os.PathLike[str], pixels: torch.Tensor, **options: Any) -> tuple[Path, str]:
    """Write a finished picture; where that fails, on a full disk for instance, write it into another folder, so that
    hours of work are not lost. Returns its path, and the reason if that is another one."""
    path = Path(path)
    try:
        write_picture(path, pixels, **options)
        return path, ""
    except PictureError as error:
        for folder in (tempfile.gettempdir(), Path.home()):
            other = Path(folder, f"{path.stem}-{os.urandom(3).hex()}{path.suffix}")
            with contextlib.suppress(PictureError):
                write_picture(other, pixels, **options)
                return other, str(error)
        raise


@contextlib.contextmanager
def _opened(path: Path, most: int = MOST_PIXELS) -> Iterator[ImageFile.ImageFile]:
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


def _exif(image: ImageFile.ImageFile) -> Image.Exif:
    """What is known once the file is open: of a PNG, Pillow would read all pixels in search of more."""
    return Image.Exif() if image.format == "PNG" and "exif" not in image.info else image.getexif()


def _factor(image: ImageFile.ImageFile, side: int | None) -> int:
    """By how much the picture may be reduced before it is used."""
    if side is None or image.width * image.height <= REDUCED_ABOVE:
        return 1
    return max(1, max(image.size) // (REDUCED_TO * side))


def _floats(codes: NDArray[Any], top: float) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Pixels and alpha in 0..1, a few rows at a time."""
    height, width, planes = codes.shape
    colours = planes // 3 * 2 + 1  # 1 to 4 planes: grey, grey + alpha, RGB, RGB + alpha
    pixels = torch.empty(1, 3, height, width)
    alpha = torch.empty(1, 1, height, width) if planes > colours else None
    rows = max(1, _BAND // width)
    for y in range(0, height, rows):
        band = torch.from_numpy(np.divide(codes[y : y + rows], top, dtype=np.float32)).permute(2, 0, 1).clamp_(0, 1)
        pixels[0, :, y : y + rows] = band[:colours]
        if alpha is not None:
            alpha[0, :, y : y + rows] = band[colours:]
    return pixels, alpha


def _codes(image: ImageFile.ImageFile, icc: bytes, path: Path, factor: int) -> tuple[NDArray[Any], float]:
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
        with _opened(path) as twin:
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
            flat = _to_srgb(image, icc)
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
    rows = max(1, _BAND // (high.width * factor)) * factor
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


def _to_srgb(image: Image.Image, icc: bytes) -> Image.Image | None:
    with contextlib.suppress(ImageCms.PyCMSError, ImportError, OSError, ValueError, TypeError):
        source = ImageCms.createProfile("LAB") if image.mode == "LAB" else ImageCms.ImageCmsProfile(io.BytesIO(icc))
        return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    return None


def _bands(pixels: torch.Tensor, alpha: torch.Tensor | None, bits: int, flat: bool) -> _Bands:
    """Codes, a few rows at a time so that no second picture stands in memory; in float64, which is exact at halves."""
    rows = max(1, 2**18 // pixels.shape[3])
    for y in range(0, pixels.shape[2], rows):
        band = pixels[0, :, y : y + rows].detach().cpu().double().clamp(0, 1)
        if alpha is not None:
            cover = alpha[0, :, y : y + rows].detach().cpu().double().clamp(0, 1)
            band = band * cover + (1 - cover) if flat else torch.cat((band, cover))
        if band.isnan().any():
            raise ValueError("the result holds NaN, so the run that made it went wrong")
        codes = (band * (2**bits - 1) + 0.5).floor().permute(1, 2, 0).numpy()
        yield codes.astype(np.uint8 if bits == 8 else np.uint16, order="C")


def _save_lossy(
    handle: IO[bytes], bands: _Bands, icc: bytes | None, text: str, size: list[int], kind: str, quality: int
) -> None:
    (planes, height, width), y = size, 0
    image, exif = Image.new("RGBA"[:planes], (width, height)), Image.Exif()
    for band in bands:
        image.paste(Image.fromarray(band), (0, y))
        y += len(band)
    if text:
        exif[_DESCRIPTION] = f"nst {text}"
    subsampling = 0 if quality >= 90 else -1  # 0 keeps fine colour edges
    notes = exif if text else b""
    image.save(handle, kind, icc_profile=icc, exif=notes, quality=quality, subsampling=subsampling)


def _save_png(handle: IO[bytes], bands: _Bands, icc: bytes | None, text: str, size: list[int], bits: int) -> None:
    (planes, height, width), chunk, squeeze = size, PngImagePlugin.putchunk, zlib.compressobj()
    handle.write(b"\x89PNG\r\n\x1a\n")
    chunk(handle, b"IHDR", struct.pack(">2I5B", width, height, bits, {3: 2, 4: 6}[planes], 0, 0, 0))
    if icc:
        chunk(handle, b"iCCP", b"icc\0\0" + zlib.compress(icc))
    if text:
        chunk(handle, b"tEXt", b"nst\0" + text.encode())
    pixel = planes * bits // 8
    for band in bands:
        lines = band.astype(f">u{bits // 8}").reshape(len(band), -1).view(np.uint8)
        lines[:, pixel:] -= lines[:, :-pixel].copy()  # filter 1, the difference to the pixel on the left
        chunk(handle, b"IDAT", squeeze.compress(np.insert(lines, 0, 1, axis=1).tobytes()))
    chunk(handle, b"IDAT", squeeze.flush())
    chunk(handle, b"IEND", b"")


def _save_tiff(handle: IO[bytes], bands: _Bands, icc: bytes | None, text: str, size: list[int], bits: int) -> None:
    (planes, height, width), strips, rows = size, [], 0
    for band in bands:
        rows = max(rows, len(band))
        band[:, 1:] -= band[:, :-1].copy()  # predictor 2: smooth colour squeezes better as differences
        strips.append(zlib.compress(band.astype(f"<u{bits // 8}").tobytes()))
    sizes = [len(strip) for strip in strips]
    starts = tuple(accumulate(sizes[:-1], initial=0))  # Pillow adds the length of the directory that stands before them
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    directory.update({256: width, 257: height, 258: (bits,) * planes, 259: 8, 262: 2, 277: planes, 278: rows, 317: 2})
    directory.update({273: starts, 279: tuple(sizes)} | ({338: 2} if planes == 4 else {}))
    directory.update(({34675: icc} if icc else {}) | ({_DESCRIPTION: f"nst {text}"} if text else {}))
    directory.save(handle)
    handle.writelines(strips)
