"""Picture files for the command line: read with nothing lost, written whole or not at all."""

import contextlib
import json
import os
import re
import secrets
import struct
import sys
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageFile, ImageOps, PngImagePlugin, TiffImagePlugin, UnidentifiedImageError

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".tif": "TIFF", ".tiff": "TIFF", ".webp": "WEBP"}
MOST_PIXELS = 2**30  # 12 GiB as float RGB: beyond any picture a person means, below what a bomb asks for
_DESCRIPTION = 0x010E  # the one text tag that EXIF and TIFF share and every viewer shows
_OTHER_HALF = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}
_opening = threading.Lock()


class PictureError(ValueError):
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
    colours = planes.shape[1] // 3 * 2 + 1  # of 1 to 4 planes, an even count ends in alpha
    pixels = planes[:, :colours].expand(-1, 3, -1, -1).contiguous()
    if colours == 1 and icc[16:20] == b"GRAY":
        # A grey profile is only a tone curve: a ramp sent through it serves every depth, where littleCMS gives 8 bits.
        ramp = _to_srgb(Image.frombytes("L", (256, 1), bytes(range(256))), icc)
        for plane, curve in zip(pixels[0].numpy(), np.asarray(ramp)[0].T if ramp else (), strict=False):
            plane[:] = np.interp(plane, np.linspace(0, 1, 256), curve / 255)
    alpha = planes[:, colours:].contiguous() if planes.shape[1] > colours else None
    fits = icc[16:20] == b"RGB " and mode not in ("CMYK", "LAB")
    return Picture(pixels, alpha, icc if fits else None, 8 if top == 255 else 16, path)


def read_settings(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """What `write_picture` was given as `settings`, or None where a picture carries none."""
    with _opened(Path(path)) as image:
        text = image.info.get("nst") or str(image.getexif().get(_DESCRIPTION, "")).removeprefix("nst ")
    with contextlib.suppress(ValueError, TypeError):
        settings = json.loads(text)
        return settings if isinstance(settings, dict) else None
    return None


def check_target(path: str | os.PathLike[str], bits: int = 8) -> str:
    """Raise now what `write_picture` would raise after hours of work; returns Pillow's name of the format."""
    path = Path(path)
    kind, known = FORMATS.get(path.suffix.lower()), " ".join(FORMATS)
    if kind is None:
        raise PictureError(f"{path}: cannot write a picture with the ending {path.suffix!r}; use one of {known}")
    if bits != 8 and (bits != 16 or kind not in ("PNG", "TIFF")):
        raise PictureError(f"{path}: {kind} cannot hold {bits} bits; use 8, or 16 with an ending of .png .tif .tiff")
    if path.is_dir() or not path.parent.is_dir():
        found = "this is a folder" if path.is_dir() else f"there is no folder {path.parent}"
        raise PictureError(f"{path}: {found}; name a file in a folder that exists")
    return kind


def write_picture(path: str | os.PathLike[str], pixels: torch.Tensor, *, alpha: torch.Tensor | None = None,
                  icc_profile: bytes | None = None, bits: int = 8, settings: dict[str, Any] | None = None,
                  quality: int = 95) -> None:  # fmt: skip
    """Write 1x3xHxW in 0..1 (and 1x1xHxW alpha, laid on white for JPEG); the file appears complete or not at all."""
    path, kind = Path(path), check_target(path, bits)
    size = tuple(pixels.shape[2:])
    if pixels.shape[:2] != (1, 3) or 0 in size or (alpha is not None and alpha.shape != (1, 1, *size)):
        shapes = f"pixels {tuple(pixels.shape)}, alpha {None if alpha is None else tuple(alpha.shape)}"
        raise PictureError(f"{path}: cannot write {shapes}; needs 1x3xHxW, and 1x1xHxW alpha of the same size")
    part = path.with_name(f".nst-{secrets.token_hex(8)}.part")
    try:
        text = "" if settings is None else json.dumps(settings)  # pure ASCII, which every text field below can hold
        with part.open("x+b") as handle:
            save = _save8 if bits == 8 else _save16_png if kind == "PNG" else _save16_tiff
            save(handle, pixels, alpha, icc_profile, text, kind, quality)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(part, path)
    except (OSError, ValueError, TypeError, KeyError, struct.error) as err:
        raise PictureError(f"{path}: could not be written as {bits}-bit {kind} ({err}); nothing was changed") from err
    finally:
        part.unlink(missing_ok=True)
