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

from .errors import NSTError
from .safe_files import open_file, why_no_path, write_over

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".tif": "TIFF", ".tiff": "TIFF", ".webp": "WEBP"}
MOST_PIXELS = 2**30  # 12 GiB as float RGB: beyond any picture a person means, below what a bomb asks for
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


def read_picture(path: str | os.PathLike[str]) -> Picture:
    """Read the first frame of a picture, upright; RGB values stay in the file's own colour space."""
    path = Path(path)
    with _opened(path) as image:
        mode, icc = image.mode, image.info.get("icc_profile") or b""
        codes, top = _codes(image, icc, path)
    planes = torch.from_numpy(np.divide(codes, top, dtype=np.float32)).permute(2, 0, 1)[None].clamp_(0, 1)
    colours = planes.shape[1] // 3 * 2 + 1  # 1 to 4 planes: grey, grey + alpha, RGB, RGB + alpha
    pixels = planes[:, :colours].expand(-1, 3, -1, -1).contiguous()
    if colours == 1 and icc[16:20] == b"GRAY":
        # A grey profile is only a tone curve: a ramp sent through it serves every depth, where littleCMS gives 8 bits.
        ramp = _to_srgb(Image.frombytes("L", (256, 1), bytes(range(256))), icc)
        for plane, curve in zip(pixels[0].numpy(), np.asarray(ramp)[0].T if ramp else (), strict=False):
            plane[:] = np.interp(plane, np.linspace(0, 1, 256), curve / 255)
    alpha = planes[:, colours:].contiguous() if planes.shape[1] > colours else None
    fits = icc[16:20] == b"RGB " and mode not in ("CMYK", "LAB")
    return Picture(pixels, alpha, icc if fits else None, 8 if codes.dtype == np.uint8 else 16, path)


def read_settings(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """What `write_picture` was given as `settings`, or None where a picture carries none."""
    with _opened(Path(path)) as image:
        note = str(image.getexif().get(_DESCRIPTION, ""))
        text = image.info.get("nst", note[4:] if note.startswith("nst ") else "")
    with contextlib.suppress(ValueError, TypeError):
        settings = json.loads(text)
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
    """Write a finished picture, and where that fails, on a full disk for instance, in another folder: hours of work are
    not lost. Where it is, and why if it is elsewhere."""
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
def _opened(path: Path) -> Iterator[ImageFile.ImageFile]:
    try:
        open_file(path).close()  # Pillow would wait for what comes out of a pipe
        with _opening:  # Pillow's limit is a global of its module: ours holds for the header only, then theirs again
            usual, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, MOST_PIXELS
            try:
                image = Image.open(path)
            finally:
                Image.MAX_IMAGE_PIXELS = usual
        with image:
            if image.width * image.height > MOST_PIXELS:
                raise Image.DecompressionBombError
            yield image
    except (PictureError, MemoryError):
        raise
    except Exception as err:  # damaged files leave Pillow's decoders as a dozen unrelated exception classes
        found = f"the picture is cut short or damaged ({err or type(err).__name__}); fetch or export it again"
        if not path.is_file():
            found = "this is a folder; name a picture in it" if path.is_dir() else "no such file; check its name"
            if path.exists() and not path.is_dir():
                found = "this is a pipe or a device; name a picture's file"
        elif isinstance(err, PermissionError):
            found = "this file may not be read; change its permissions or copy it elsewhere"
        elif isinstance(err, Image.DecompressionBombError | Image.DecompressionBombWarning):
            found = f"the picture claims more than {MOST_PIXELS} pixels; scale it down with another program first"
        elif isinstance(err, UnidentifiedImageError):
            found = f"no picture of a known kind, or one without size ({path.stat().st_size} bytes); use PNG or JPEG"
        raise PictureError(f"{path}: {found}") from err


def _codes(image: ImageFile.ImageFile, icc: bytes, path: Path) -> tuple[NDArray[Any], float]:
    """Height x width x (grey, grey + alpha, RGB or RGBA) as stored, and the value that stands for 1."""
    args = image.tile[0][3] if image.tile else ""
    raw = str(args[0] if isinstance(args, tuple) and args else args)
    tags, key, top = getattr(image, "tag_v2", {}), image.info.get("transparency"), 65535.0
    if tags.get(284) == 2 and 16 in tags[258] and len(tags[258]) > 1:  # Pillow takes such planes for 8-bit ones
        raise PictureError(f"{path}: 16-bit TIFF with separate colour planes; save it with interleaved (chunky) pixels")
    name, _, half = raw.partition(";")
    if name in ("RGB", "RGBX", "RGBA") and half in _OTHER_HALF and image.format in ("PNG", "TIFF"):
        # Pillow keeps the high byte of each sample. Told the opposite byte order, it keeps the low one instead.
        with _opened(path) as twin:
            codes = _upright(twin, f"{name};{_OTHER_HALF[half]}") | _upright(image).astype(np.uint16) << 8
    elif raw == "LA;16B" and image.mode == "RGBA":  # two 16-bit samples, taken as four bytes so that none is dropped
        codes = _upright(image, "RGBA").view(">u2")
    elif image.mode.startswith("I") or image.mode == "F":
        codes = _upright(image)
        low, high = float(codes.min()), float(codes.max())
        slack, tops = (0.01, (1.0, 255.0, top)) if image.mode == "F" else (0.0, (top,))  # resampled reals overshoot
        top = next((top for top in tops if -slack * top <= low and high <= (1 + slack) * top), 0.0)
        if not top:
            raise PictureError(f"{path}: pixel values from {low:g} to {high:g} fit no 16-bit range; save it as 16-bit")
        top = 4095.0 if raw == "I;12" else top
        codes = top - codes if tags.get(262) == 0 else codes  # Pillow leaves deep white-is-zero TIFFs negative
    else:
        _upright(image)
        alpha = "A" if image.has_transparency_data else ""
        flat = image.convert("L" + alpha) if image.mode in ("1", "L", "LA", "La") else None
        if image.mode == "LAB" or (image.mode == "CMYK" and icc[16:20] == b"CMYK"):
            flat = _to_srgb(image, icc)
        return np.asarray(flat or image.convert("RGB" + alpha)).reshape(image.height, image.width, -1), 255.0
    if key is not None and codes.shape[2] in (1, 3):
        opaque = (codes != np.asarray(key)).any(-1, keepdims=True)
        codes = np.concatenate((codes, opaque * codes.dtype.type(top)), -1)
    return codes, top


def _upright(image: ImageFile.ImageFile, raw: str = "") -> NDArray[Any]:
    if raw:
        args = [(raw, *t[3][1:]) if isinstance(t[3], tuple) else raw for t in image.tile]
        make: Any = getattr(type(image.tile[0]), "_make", tuple)  # Pillow before 11 has plain tuples
        image.tile = [make((*t[:3], new)) for t, new in zip(image.tile, args, strict=True)]
    image.load()
    with contextlib.suppress(SyntaxError, ValueError, TypeError, struct.error):  # broken EXIF beside sound pixels
        ImageOps.exif_transpose(image, in_place=True)
    return np.asarray(image).reshape(image.height, image.width, -1)


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
