"""Picture files for the command line: read with nothing lost, written whole or not at all."""

import contextlib
import json
import os
import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from PIL import Image

from ..system.safe_files import why_no_path, write_over
from ..system.safe_text import parse_json
from .decode import (
    MOST_PIXELS,
    ORIENTATION,
    REDUCED_TO,
    PictureError,
    codes_of,
    exif_of,
    floats,
    opened,
    reduction,
    to_srgb,
)
from .encode import DESCRIPTION, bands_of, save_lossy, save_png, save_tiff

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".tif": "TIFF", ".tiff": "TIFF", ".webp": "WEBP"}
PICTURES = (*FORMATS, ".bmp", ".gif", ".pgm", ".ppm")  # what is looked for in folders
MOST_PIXELS_UNASKED = 2**27  # a few hundred bytes can claim as many


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
    with opened(path, MOST_PIXELS if large else MOST_PIXELS_UNASKED) as image:
        mode, icc = image.mode, image.info.get("icc_profile") or b""
        if (factor := reduction(image, side)) > 1:
            image.draft(None, (image.width // factor, image.height // factor))  # of JPEG: less is decoded
            factor = max(1, max(image.size) // (REDUCED_TO * (side or 1)))
        codes, top = codes_of(image, icc, path, factor)
    pixels, alpha = floats(codes, top)
    if codes.shape[2] < 3 and icc[16:20] == b"GRAY":
        # A grey profile is only a tone curve: a ramp sent through it serves every depth, where littleCMS gives 8 bits.
        ramp = to_srgb(Image.frombytes("L", (256, 1), bytes(range(256))), icc)
        for plane, curve in zip(pixels[0].numpy(), np.asarray(ramp)[0].T if ramp else (), strict=False):
            plane[:] = np.interp(plane, np.linspace(0, 1, 256), curve / 255)
    fits = icc[16:20] == b"RGB " and mode not in ("CMYK", "LAB")
    return Picture(pixels, alpha, icc if fits else None, 8 if codes.dtype == np.uint8 else 16, path)


def picture_shape(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Height and width, upright; only the file's beginning is read."""
    with opened(Path(path)) as image:
        sideways = False
        with contextlib.suppress(SyntaxError, ValueError, TypeError, struct.error):  # broken EXIF
            sideways = exif_of(image).get(ORIENTATION) in (5, 6, 7, 8)
        width, height = image.size[::-1] if sideways else image.size
    return height, width


def read_settings(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """What `write_picture` was given as `settings`, or None where a picture carries none."""
    with opened(Path(path)) as image:
        note = str(exif_of(image).get(DESCRIPTION, ""))
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
        bands = bands_of(pixels, alpha, bits, kind == "JPEG")
        size = [3 if alpha is None or kind == "JPEG" else 4, *pixels.shape[2:]]

        def write(handle: IO[bytes]) -> None:
            if kind == "PNG":
                save_png(handle, bands, icc_profile, text, size, bits)
            elif kind == "TIFF":
                save_tiff(handle, bands, icc_profile, text, size, bits)
            else:
                save_lossy(handle, bands, icc_profile, text, size, kind, quality)

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
