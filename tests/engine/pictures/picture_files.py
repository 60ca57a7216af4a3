"""Picture files written by hand, and taken apart."""

import io
import struct
import zlib

import numpy as np
import torch
from PIL import ImageCms

RNG = np.random.default_rng(7)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
SETTINGS = {"stil": "Sternennacht – 星月夜 🌌", "steps": 500, "weights": [1.0, 0.5], "more": {"seed": None, "tv": 1e-4}}
ENDINGS = [".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp"]


def codes(height, width, planes, bits=8):
    return RNG.integers(0, 2**bits, (height, width, planes), dtype=np.uint16 if bits == 16 else np.uint8)


def tensor(array):
    top = 65535 if array.dtype == np.uint16 else 255
    return torch.from_numpy(array.astype(np.float32) / top).permute(2, 0, 1)[None]


def back(plane, bits):
    return np.rint(plane[0].permute(1, 2, 0).double().numpy() * (2**bits - 1)).astype(np.int64)


def leftovers(folder):
    return sorted(entry.name for entry in folder.iterdir())


def chunks(blob):
    """Takes a PNG apart with every length and checksum verified."""
    assert blob[:8] == b"\x89PNG\r\n\x1a\n"
    at, found = 8, []
    while at < len(blob):
        (length,) = struct.unpack(">I", blob[at : at + 4])
        kind, body = blob[at + 4 : at + 8], blob[at + 8 : at + 8 + length]
        assert struct.unpack(">I", blob[at + 8 + length : at + 12 + length])[0] == zlib.crc32(kind + body)
        found.append((kind, body))
        at += 12 + length
    assert at == len(blob) and found[0][0] == b"IHDR" and found[-1] == (b"IEND", b"")
    return found


def paeth(left, up, corner):
    guess = left + up - corner
    dl, du, dc = abs(guess - left), abs(guess - up), abs(guess - corner)
    return left if dl <= du and dl <= dc else up if du <= dc else corner


def filtered(array, filters):
    """PNG scanlines of 16-bit samples, row i with filter filters[i % n]; byte by byte as the specification words it."""
    step = array.shape[2] * 2
    rows = array.astype(">u2").reshape(len(array), -1).view(np.uint8).astype(int)
    out = bytearray()
    for y, row in enumerate(rows):
        kind = filters[y % len(filters)]
        out.append(kind)
        above = rows[y - 1] if y else np.zeros_like(row)
        for x, value in enumerate(row):
            left, up = row[x - step] if x >= step else 0, above[x]
            corner = above[x - step] if x >= step else 0
            out.append(int(value - (0, left, up, (left + up) // 2, paeth(left, up, corner))[kind]) % 256)
    return bytes(out)


def png16(path, array, *, filters=(0, 1, 2, 3, 4), interlaced=False, extra=()):
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[array.shape[2]]
    height, width = array.shape[:2]
    if interlaced:
        passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
        parts = [array[y::dy, x::dx] for y, x, dy, dx in passes]
        raw = b"".join(filtered(part, filters) for part in parts if part.size)
    else:
        raw = filtered(array, filters)
    head = struct.pack(">2I5B", width, height, 16, colour, 0, 0, int(interlaced))
    body = [(b"IHDR", head), *extra, (b"IDAT", zlib.compress(raw)), (b"IEND", b"")]
    packed = [struct.pack(">I", len(b)) + k + b + struct.pack(">I", zlib.crc32(k + b)) for k, b in body]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(packed))


def tiff16(path, array, *, order="<", photometric=2, planar=1, deflate=False, extra=None):
    """A TIFF of one strip (one per plane where planar is 2), laid out without help from Pillow."""
    height, width, planes = array.shape
    data = array.astype(order + "u2")
    strips = [data.tobytes()] if planar == 1 else [data[..., plane].tobytes() for plane in range(planes)]
    strips = [zlib.compress(strip) for strip in strips] if deflate else strips
    out = io.BytesIO()
    out.write((b"II*\0" if order == "<" else b"MM\0*") + bytes(4))
    starts = []
    for strip in strips:
        starts.append(out.tell())
        out.write(strip + bytes(len(strip) % 2))
    tags = [(256, "I", [width]), (257, "I", [height]), (258, "H", [16] * planes), (259, "H", [8 if deflate else 1])]
    tags += [(262, "H", [photometric]), (273, "I", starts), (277, "H", [planes]), (278, "I", [height])]
    tags += [(279, "I", [len(strip) for strip in strips]), (284, "H", [planar])]
    tags += [] if extra is None else [(338, "H", [extra])]
    entries = b""
    for tag, kind, values in tags:
        raw = struct.pack(f"{order}{len(values)}{kind}", *values)
        if len(raw) > 4:
            at = out.tell()
            out.write(raw)
            raw = struct.pack(order + "I", at)
        entries += struct.pack(order + "HHI", tag, {"H": 3, "I": 4}[kind], len(values)) + raw.ljust(4, b"\0")
    at = out.tell()
    out.write(struct.pack(order + "H", len(tags)) + entries + bytes(4))
    out.seek(4)
    out.write(struct.pack(order + "I", at))
    path.write_bytes(out.getvalue())


def profile(space, kind, tags):
    """A version 2 ICC profile put together by hand: Pillow makes none for grey or CMYK."""
    text = b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(78)
    table = {b"desc": text, b"cprt": b"text" + bytes(4) + b"none\0", **tags}
    at, index, data = 128 + 4 + 12 * len(table), b"", b""
    for name, body in table.items():
        index += name + struct.pack(">2I", at + len(data), len(body))
        data += body + bytes(-len(body) % 4)
    white = struct.pack(">3i", 63190, 65536, 54061)
    pcs = b"Lab " if kind == b"prtr" else b"XYZ "
    head = struct.pack(">I", at + len(data)) + bytes(4) + bytes([2, 64, 0, 0]) + kind + space + pcs
    head = (head + bytes(12) + b"acsp" + bytes(28) + white).ljust(128, b"\0")
    return head + struct.pack(">I", len(table)) + index + data


def grey_profile(gamma):
    white = b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)
    return profile(b"GRAY", b"mntr", {b"wtpt": white, b"kTRC": b"curv" + bytes(4) + struct.pack(">IH", 1, gamma * 256)})


def cmyk_profile(lab):
    """Says that all inks without black look like the one colour `lab`, which no guess without the profile would hit."""
    ramps = bytes(range(256))
    matrix = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + matrix + ramps * 4 + bytes([*lab, 0, 128, 128]) * 8 + ramps * 3
    return profile(b"CMYK", b"prtr", {b"A2B0": table})
