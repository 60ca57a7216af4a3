"""From numbers to a picture file, band by band."""

import struct
import zlib
from collections.abc import Iterator
from itertools import accumulate
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin, TiffImagePlugin

DESCRIPTION = 0x010E  # the one text tag that EXIF and TIFF share and every viewer shows
Bands = Iterator[NDArray[Any]]


def bands_of(pixels: torch.Tensor, alpha: torch.Tensor | None, bits: int, flat: bool) -> Bands:
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


def save_lossy(
    handle: IO[bytes], bands: Bands, icc: bytes | None, text: str, size: list[int], kind: str, quality: int
) -> None:
    (planes, height, width), y = size, 0
    image, exif = Image.new("RGBA"[:planes], (width, height)), Image.Exif()
    for band in bands:
        image.paste(Image.fromarray(band), (0, y))
        y += len(band)
    if text:
        exif[DESCRIPTION] = f"nst {text}"
    subsampling = 0 if quality >= 90 else -1  # 0 keeps fine colour edges
    notes = exif if text else b""
    image.save(handle, kind, icc_profile=icc, exif=notes, quality=quality, subsampling=subsampling)


def save_png(handle: IO[bytes], bands: Bands, icc: bytes | None, text: str, size: list[int], bits: int) -> None:
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


def save_tiff(handle: IO[bytes], bands: Bands, icc: bytes | None, text: str, size: list[int], bits: int) -> None:
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
    directory.update(({34675: icc} if icc else {}) | ({DESCRIPTION: f"nst {text}"} if text else {}))
    directory.save(handle)
    handle.writelines(strips)
