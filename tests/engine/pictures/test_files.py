"""Tests through real files; what the module writes is also taken apart by hand, not only by its own reader."""

import dataclasses
import io
import json
import os
import struct
import warnings
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageCms, ImageFile, ImageOps, PngImagePlugin, features

from nst_engine.pictures import files
from nst_engine.pictures.files import PictureError, check_target, read_picture, read_settings, write_picture
from nst_engine.system import safe_files

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


# ---------------------------------------------------------------------------------------------- reading


def test_rgb_comes_in_as_floats_of_the_right_shape_and_kind(tmp_path):
    want = codes(5, 7, 3)
    Image.fromarray(want).save(tmp_path / "a.png")
    picture = read_picture(str(tmp_path / "a.png"))
    assert picture.pixels.shape == (1, 3, 5, 7) and picture.pixels.dtype == torch.float32
    assert picture.pixels.is_contiguous() and torch.equal(picture.pixels, tensor(want))
    assert (picture.alpha, picture.icc_profile, picture.bits, picture.path) == (None, None, 8, tmp_path / "a.png")
    with pytest.raises(AttributeError):
        picture.bits = 16


def held(ending: str, mode: str) -> bool:
    """Whether this Pillow can put such a picture into such a file and read it again."""
    file = io.BytesIO()
    try:
        Image.new("RGBA", (4, 4)).convert(mode).save(file, Image.registered_extensions()[ending])
        Image.open(file).convert("RGBA")
    except (OSError, ValueError):
        return False
    return True


MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "RGBX")
HOLDERS = (".png", ".tif", ".gif", ".bmp", ".jpg", ".webp")


@pytest.mark.parametrize(("ending", "mode"), [(e, m) for e in HOLDERS for m in MODES if held(e, m)])
def test_every_mode_comes_out_as_rgb(tmp_path, mode, ending):
    path = tmp_path / f"a{ending}"
    Image.fromarray(codes(6, 9, 4)).convert(mode).save(path)
    with Image.open(path) as opened:
        want = np.asarray(opened.convert("RGBA"))
        clear = opened.has_transparency_data
    picture = read_picture(path)
    assert picture.bits == 8 and np.array_equal(back(picture.pixels, 8), want[..., :3])
    assert (picture.alpha is not None) == clear
    if clear:
        assert picture.alpha.shape == (1, 1, 6, 9) and np.array_equal(back(picture.alpha, 8), want[..., 3:])


def test_palette_grey_and_rgb_with_one_clear_colour_give_alpha(tmp_path):
    indices = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)
    image = Image.fromarray(indices).convert("P")
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    image.save(tmp_path / "p.png", transparency=bytes([0, 128, 255]))
    picture = read_picture(tmp_path / "p.png")
    assert np.array_equal(back(picture.alpha, 8)[..., 0], np.array([0, 128, 255])[indices])
    assert np.array_equal(back(picture.pixels, 8)[0, 1], [40, 50, 60])
    Image.fromarray(indices).save(tmp_path / "l.png", transparency=1)
    assert np.array_equal(back(read_picture(tmp_path / "l.png").alpha, 8)[..., 0], np.where(indices == 1, 0, 255))
    Image.fromarray(indices.repeat(3).reshape(2, 3, 3)).save(tmp_path / "c.png", transparency=(2, 2, 2))
    assert np.array_equal(back(read_picture(tmp_path / "c.png").alpha, 8)[..., 0], np.where(indices == 2, 0, 255))


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("planes", [1, 2, 3, 4])
def test_16_bit_png_keeps_every_code(tmp_path, planes, interlaced):
    want = codes(11, 13, planes, 16)
    png16(tmp_path / "a.png", want, interlaced=interlaced)
    picture = read_picture(tmp_path / "a.png")
    colours = want[..., : 1 if planes < 3 else 3]
    assert picture.bits == 16
    assert np.array_equal(back(picture.pixels, 16), np.broadcast_to(colours, (11, 13, 3)))
    if planes in (2, 4):
        assert np.array_equal(back(picture.alpha, 16), want[..., -1:])
    else:
        assert picture.alpha is None


def test_16_bit_png_with_one_clear_colour(tmp_path):
    want = codes(4, 4, 3, 16)
    want[1, 2] = 256, 2, 3
    want[0, 0] = 257, 2, 3  # the same in its high bytes, so a reader of 8 bits would make this one clear too
    png16(tmp_path / "c.png", want, extra=[(b"tRNS", struct.pack(">3H", 256, 2, 3))])
    alpha = back(read_picture(tmp_path / "c.png").alpha, 16)[..., 0]
    assert alpha[1, 2] == 0 and (alpha == 65535).sum() == 15
    grey = np.arange(16, dtype=np.uint16).reshape(4, 4, 1) * 4000
    png16(tmp_path / "g.png", grey, extra=[(b"tRNS", struct.pack(">H", 8000))])
    picture = read_picture(tmp_path / "g.png")
    assert np.array_equal(back(picture.alpha, 16), np.where(grey == 8000, 0, 65535))
    assert np.array_equal(back(picture.pixels, 16)[..., 2:], grey)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("deflate", [False, True])
@pytest.mark.parametrize(("planes", "extra"), [(1, None), (3, None), (4, 2), (4, 0)])
def test_16_bit_tiff_keeps_every_code(tmp_path, order, deflate, planes, extra):
    want = codes(6, 5, planes, 16)
    tiff16(tmp_path / "a.tif", want, order=order, deflate=deflate, photometric=1 if planes == 1 else 2, extra=extra)
    picture = read_picture(tmp_path / "a.tif")
    assert picture.bits == 16
    assert np.array_equal(back(picture.pixels, 16), np.broadcast_to(want[..., :3], (6, 5, 3)))
    assert (picture.alpha is not None) == (extra == 2)  # 0 means a plane of unknown use, which is not transparency
    if extra == 2:
        assert np.array_equal(back(picture.alpha, 16), want[..., 3:])


def test_16_bit_tiff_where_0_is_white(tmp_path):
    want = codes(3, 3, 1, 16)
    tiff16(tmp_path / "a.tif", want, photometric=0)
    assert np.array_equal(back(read_picture(tmp_path / "a.tif").pixels, 16)[..., :1], 65535 - want)


def test_premultiplied_16_bit_tiff_is_read_in_8_bits_and_says_so(tmp_path):
    want = np.full((2, 2, 4), 40000, np.uint16)
    tiff16(tmp_path / "a.tif", want, extra=1)
    picture = read_picture(tmp_path / "a.tif")
    assert picture.bits == 8 and torch.equal(picture.pixels, torch.ones(1, 3, 2, 2))
    assert np.array_equal(back(picture.alpha, 8)[..., 0], np.full((2, 2), 156))


@pytest.mark.parametrize("deflate", [False, True])
def test_16_bit_tiff_in_separate_planes_is_refused_with_a_way_out(tmp_path, deflate):
    tiff16(tmp_path / "a.tif", codes(3, 3, 3, 16), planar=2, deflate=deflate)
    with pytest.raises(PictureError, match=r"a\.tif.*separate.*interleaved"):
        read_picture(tmp_path / "a.tif")


@pytest.mark.parametrize("ending", [".png", ".tif", ".pgm"])
def test_16_bit_grey_is_not_clipped(tmp_path, ending):
    want = codes(5, 4, 1, 16)
    Image.fromarray(want[..., 0]).save(tmp_path / f"a{ending}", **({"format": "PPM"} if ending == ".pgm" else {}))
    picture = read_picture(tmp_path / f"a{ending}")
    assert picture.bits == 16 and np.array_equal(back(picture.pixels, 16), want.repeat(3, 2))


@pytest.mark.parametrize(("kind", "top"), [("F", 1), ("F", 255), ("F", 65535), ("I", 65535)])
def test_32_bit_grey_is_scaled_by_what_it_holds(tmp_path, kind, top):
    want = np.linspace(0, top, 12).reshape(3, 4).astype(np.float32 if kind == "F" else np.int32)
    Image.fromarray(want).save(tmp_path / "a.tif")
    picture = read_picture(tmp_path / "a.tif")
    assert picture.bits == 16
    np.testing.assert_allclose(picture.pixels[0, 1].numpy(), want / top, rtol=1e-6)


def test_float_grey_a_little_outside_its_range_is_not_taken_for_another_range(tmp_path):
    Image.fromarray(np.array([[-0.004, 0.5, 1.004]], np.float32)).save(tmp_path / "a.tif")
    assert read_picture(tmp_path / "a.tif").pixels[0, 0, 0].tolist() == [0, 0.5, 1]


@pytest.mark.parametrize("values", [np.int32([[0, 70000]]), np.int32([[-5, 9]]), np.float32([[0, 1e6]])])
def test_grey_of_no_known_range_is_refused(tmp_path, values):
    Image.fromarray(values).save(tmp_path / "a.tif")
    with pytest.raises(PictureError, match=r"a\.tif: pixel values from .* to .*save it as 16-bit"):
        read_picture(tmp_path / "a.tif")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "tif", "png16", "grey16"])
def test_exif_orientation_is_applied(tmp_path, orientation, kind):
    path = tmp_path / f"a.{kind.removesuffix('16').replace('grey', 'png')}"
    want = codes(4, 6, 1 if kind == "grey16" else 3, 16)
    if kind == "png":
        want = (want >> 8).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    if kind.endswith("16"):
        png16(path, want, extra=[(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))])
    else:
        want = (want >> 8).astype(np.uint8) if want.dtype == np.uint16 else want
        Image.fromarray(want).save(path, exif=exif, **({"lossless": True} if kind == "webp" else {}))
    bits = 16 if kind.endswith("16") else 8
    got = back(read_picture(path).pixels, bits)
    if kind == "jpg":
        with Image.open(path) as image:
            want = np.asarray(image)
            assert np.array_equal(got, np.asarray(ImageOps.exif_transpose(image)))
    turned = {
        1: want,
        2: want[:, ::-1],
        3: want[::-1, ::-1],
        4: want[::-1],
        5: want.transpose(1, 0, 2),
        6: np.rot90(want, -1),
        7: want[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(want),
    }[orientation]
    assert np.array_equal(got, np.broadcast_to(turned, got.shape))


def test_broken_exif_does_not_cost_the_picture(tmp_path):
    want = codes(3, 3, 3)
    Image.fromarray(want).save(tmp_path / "a.png", exif=b"Exif\0\0no such thing at all")
    assert torch.equal(read_picture(tmp_path / "a.png").pixels, tensor(want))


def test_an_animation_gives_its_first_frame(tmp_path):
    first, second = (Image.fromarray(codes(4, 4, 3)) for _ in range(2))
    first.save(tmp_path / "a.png", save_all=True, append_images=[second])
    assert np.array_equal(back(read_picture(tmp_path / "a.png").pixels, 8), np.asarray(first))


# ---------------------------------------------------------------------------------------------- profiles


@pytest.mark.parametrize("ending", ENDINGS)
def test_rgb_profile_is_kept_byte_for_byte_and_colours_are_left_alone(tmp_path, ending):
    want = codes(8, 8, 3)
    write_picture(tmp_path / f"a{ending}", tensor(want), icc_profile=SRGB)
    picture = read_picture(tmp_path / f"a{ending}")
    assert picture.icc_profile == SRGB
    if ending in (".png", ".tif", ".tiff"):
        assert torch.equal(picture.pixels, tensor(want))
    write_picture(tmp_path / f"b{ending}", tensor(want))
    assert read_picture(tmp_path / f"b{ending}").icc_profile is None


@pytest.mark.parametrize("ending", [".png", ".tif"])
@pytest.mark.parametrize("planes", [3, 4])
def test_profile_of_a_16_bit_picture(tmp_path, ending, planes):
    want = tensor(codes(4, 4, planes, 16))
    write_picture(
        tmp_path / f"a{ending}", want[:, :3], alpha=want[:, 3:] if planes == 4 else None, icc_profile=SRGB, bits=16
    )
    picture = read_picture(tmp_path / f"a{ending}")
    assert picture.icc_profile == SRGB and picture.bits == 16 and torch.equal(picture.pixels, want[:, :3])


@pytest.mark.parametrize("deep", [False, True])
def test_grey_profile_is_worked_into_the_pixels_and_dropped(tmp_path, deep):
    values = np.linspace(0, 65535 if deep else 255, 64).astype(np.uint16 if deep else np.uint8).reshape(8, 8)
    Image.fromarray(values).save(tmp_path / "a.png", icc_profile=grey_profile(1))
    picture = read_picture(tmp_path / "a.png")
    linear = values / (65535 if deep else 255)
    want = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    assert picture.icc_profile is None and picture.bits == (16 if deep else 8)
    for plane in picture.pixels[0].numpy():
        inner = linear > 0.02  # the ramp has 256 steps, too few for the steep start of so extreme a profile
        np.testing.assert_allclose(plane[inner], want[inner], atol=0.006)
        assert plane[0, 0] == 0 and plane[-1, -1] == 1


def test_grey_with_alpha_and_profile(tmp_path):
    image = Image.merge("LA", [Image.new("L", (2, 2), 64), Image.new("L", (2, 2), 100)])
    image.save(tmp_path / "a.png", icc_profile=grey_profile(1))
    picture = read_picture(tmp_path / "a.png")
    assert picture.icc_profile is None and (back(picture.alpha, 8) == 100).all()
    assert abs(int(back(picture.pixels, 8)[0, 0, 0]) - 137) <= 1


@pytest.mark.parametrize("ending", [".jpg", ".tif"])
def test_cmyk_goes_through_its_profile(tmp_path, ending):
    image = Image.new("CMYK", (16, 16), (200, 20, 30, 0))
    image.save(tmp_path / f"a{ending}", icc_profile=cmyk_profile((137, 208, 195)))  # Lab 54 80 67, close to pure red
    picture = read_picture(tmp_path / f"a{ending}")
    red, green, blue = back(picture.pixels, 8)[8, 8]
    assert picture.icc_profile is None and red > 245 and green < 40 and blue < 40


@pytest.mark.parametrize("junk", [b"", b"none", *(bytes(16) + space + bytes(200) for space in (b"CMYK", b"GRAY"))])
def test_useless_profiles_are_dropped_and_the_picture_still_read(tmp_path, junk):
    Image.new("CMYK", (4, 4), (0, 255, 255, 0)).save(tmp_path / "a.tif", icc_profile=junk)
    picture = read_picture(tmp_path / "a.tif")
    assert picture.icc_profile is None and back(picture.pixels, 8)[0, 0].tolist() == [255, 0, 0]
    Image.new("L", (4, 4), 99).save(tmp_path / "b.png", icc_profile=junk)
    picture = read_picture(tmp_path / "b.png")
    assert picture.icc_profile is None and (back(picture.pixels, 8) == 99).all()


def test_grey_picture_with_an_rgb_profile_keeps_it(tmp_path):
    Image.new("L", (4, 4), 99).save(tmp_path / "a.png", icc_profile=SRGB)
    picture = read_picture(tmp_path / "a.png")
    assert picture.icc_profile == SRGB and (back(picture.pixels, 8) == 99).all()


def test_lab_becomes_srgb(tmp_path):
    Image.new("LAB", (4, 4), (137, 208, 195)).save(tmp_path / "a.tif")
    red, green, blue = back(read_picture(tmp_path / "a.tif").pixels, 8)[0, 0]
    assert red > 240 and green < 60 and blue < 60


# ---------------------------------------------------------------------------------------------- writing

SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([3, 4]))


@settings(max_examples=60, deadline=None)
@given(
    want=st.sampled_from([np.uint8, np.uint16]).flatmap(lambda kind: hnp.arrays(kind, SHAPES)),
    ending=st.sampled_from([".png", ".tif", ".PNG", ".TIFF"]),
)
def test_codes_survive_the_round_trip(tmp_path_factory, want, ending):
    bits = want.dtype.itemsize * 8
    path = tmp_path_factory.mktemp("trip") / f"a{ending}"
    full = tensor(want)
    write_picture(path, full[:, :3], alpha=full[:, 3:] if want.shape[2] == 4 else None, bits=bits)
    picture = read_picture(path)
    assert picture.bits == bits and np.array_equal(back(picture.pixels, bits), want[..., :3])
    if want.shape[2] == 4:
        assert torch.equal(picture.alpha, full[:, 3:])
    else:
        assert picture.alpha is None


@pytest.mark.parametrize("planes", [3, 4])
def test_16_bit_png_taken_apart_by_hand(tmp_path, monkeypatch, planes):
    want = codes(700, 1100, planes, 16)  # large enough for several bands, and so several IDAT chunks
    full, path = tensor(want), tmp_path / "a.png"
    write_picture(
        path, full[:, :3], alpha=full[:, 3:] if planes == 4 else None, icc_profile=SRGB, bits=16, settings=SETTINGS
    )
    parts = chunks(path.read_bytes())
    kinds = [kind for kind, _ in parts]
    assert kinds[:3] == [b"IHDR", b"iCCP", b"tEXt"] and set(kinds[3:-1]) == {b"IDAT"} and len(kinds) > 6
    assert parts[0][1] == struct.pack(">2I5B", 1100, 700, 16, 6 if planes == 4 else 2, 0, 0, 0)
    name, _, packed = parts[1][1].partition(b"\0")
    assert 1 <= len(name) <= 79 and packed[:1] == b"\0" and zlib.decompress(packed[1:]) == SRGB
    key, _, text = parts[2][1].partition(b"\0")
    assert key == b"nst" and json.loads(text) == SETTINGS
    raw = np.frombuffer(zlib.decompress(b"".join(body for kind, body in parts if kind == b"IDAT")), np.uint8)
    lines = raw.reshape(700, 1 + 1100 * planes * 2)
    assert (lines[:, 0] == 1).all()
    plain = np.add.accumulate(lines[:, 1:].reshape(700, 1100, planes * 2), axis=1, dtype=np.uint8)
    assert np.array_equal(np.ascontiguousarray(plain).view(">u2"), want)
    with Image.open(path) as image:  # an independent reader, which keeps 8 of the 16 bits
        assert np.array_equal(np.asarray(image), (want >> 8).astype(np.uint8))
    assert torch.equal(read_picture(path).pixels, full[:, :3])


@pytest.mark.parametrize("planes", [3, 4])
def test_16_bit_tiff_of_several_strips(tmp_path, planes):
    want = codes(700, 1100, planes, 16)
    full, path = tensor(want), tmp_path / "a.tif"
    write_picture(path, full[:, :3], alpha=full[:, 3:] if planes == 4 else None, bits=16, settings=SETTINGS)
    blob = path.read_bytes()
    with Image.open(path) as image:
        tags = dict(image.tag_v2)
        assert image.mode == ("RGBA" if planes == 4 else "RGB")
        assert np.array_equal(np.asarray(image), (want >> 8).astype(np.uint8))
    assert tags.get(338) == ((2,) if planes == 4 else None)  # alpha that the colours are not multiplied with
    assert len(tags[273]) > 2 and len(tags[273]) == len(tags[279]) and tags[273][-1] + tags[279][-1] == len(blob)
    rows = []
    for start, size in zip(tags[273], tags[279], strict=True):
        strip = np.frombuffer(zlib.decompress(blob[start : start + size]), "<u2").reshape(-1, 1100, planes)
        rows.append(np.add.accumulate(strip, axis=1, dtype=np.uint16))
        assert len(strip) == tags[278] or len(rows) == len(tags[273])
    assert np.array_equal(np.concatenate(rows), want)
    picture = read_picture(path)
    assert torch.equal(picture.pixels, full[:, :3]) and read_settings(path) == SETTINGS


@pytest.mark.parametrize("bits", [8, 16])
def test_rounding_is_to_the_nearest_code_after_clamping(tmp_path, bits):
    top = 2**bits - 1
    values = np.linspace(-0.2, 1.2, 3 * 40 * 50).reshape(1, 3, 40, 50)
    values[0, 0, 0, :6] = [-np.inf, np.inf, 0.5 / top, 1.5 / top, 0.499 / top, 1 - 0.501 / top]
    write_picture(tmp_path / "a.png", torch.from_numpy(values), bits=bits)
    want = np.floor(np.clip(values[0], 0, 1) * top + 0.5).transpose(1, 2, 0)
    assert want[0, 2, 0] == 1 and want[0, 4, 0] == 0 and want[0, 5, 0] == top - 1
    assert np.array_equal(back(read_picture(tmp_path / "a.png").pixels, bits), want)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_float_kinds_and_tensors_with_gradients_can_be_written(tmp_path, kind):
    pixels = torch.tensor([0.0, 0.5, 1.0], dtype=kind).reshape(1, 3, 1, 1).requires_grad_()
    write_picture(tmp_path / "a.png", pixels)
    assert back(read_picture(tmp_path / "a.png").pixels, 8)[0, 0].tolist() == [0, 128, 255]


def test_the_tensor_given_is_left_as_it_was(tmp_path):
    pixels = torch.linspace(-1, 2, 3 * 5 * 5).reshape(1, 3, 5, 5)
    before = pixels.clone()
    for name, bits in (("a.png", 16), ("a.tif", 16), ("a.png", 8), ("a.jpg", 8)):
        write_picture(tmp_path / name, pixels, alpha=pixels[:, :1], bits=bits)
        assert torch.equal(pixels, before)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 3000), (3000, 1), (3, 300_000)])
def test_odd_sizes(tmp_path, height, width):
    want = codes(height, width, 3, 16)
    for name in ("a.png", "a.tif"):
        write_picture(tmp_path / name, tensor(want), bits=16)
        assert np.array_equal(back(read_picture(tmp_path / name).pixels, 16), want)


def test_alpha_lies_on_white_in_jpeg(tmp_path):
    alpha = torch.tensor([0.0, 1.0]).repeat_interleave(16).expand(1, 1, 32, 32)
    write_picture(tmp_path / "a.jpg", torch.zeros(1, 3, 32, 32), alpha=alpha)
    picture = read_picture(tmp_path / "a.jpg")
    assert picture.alpha is None
    assert picture.pixels[..., :12].min() > 0.97 and picture.pixels[..., 20:].max() < 0.03


def test_webp_keeps_alpha(tmp_path):
    alpha = tensor(codes(20, 20, 1))
    write_picture(tmp_path / "a.webp", torch.full((1, 3, 20, 20), 0.5), alpha=alpha)
    assert torch.equal(read_picture(tmp_path / "a.webp").alpha, alpha)


@pytest.mark.parametrize("ending", [".jpg", ".webp"])
def test_quality_is_passed_on(tmp_path, ending):
    pixels = tensor(codes(64, 64, 3))
    for quality in (20, 95):
        write_picture(tmp_path / f"{quality}{ending}", pixels, quality=quality)
    assert (tmp_path / f"95{ending}").stat().st_size > 2 * (tmp_path / f"20{ending}").stat().st_size


# ---------------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize(("ending", "bits"), [*((e, 8) for e in ENDINGS), (".png", 16), (".tif", 16)])
def test_settings_come_back(tmp_path, ending, bits):
    path = tmp_path / f"a{ending}"
    write_picture(path, torch.rand(1, 3, 8, 8), settings=SETTINGS, bits=bits)
    assert read_settings(path) == SETTINGS
    write_picture(path, torch.rand(1, 3, 8, 8), settings={}, bits=bits)
    assert read_settings(path) == {}
    write_picture(path, torch.rand(1, 3, 8, 8), bits=bits)
    assert read_settings(path) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@settings(max_examples=50, deadline=None)
@given(
    values=st.dictionaries(st.text(), JSON, max_size=4),
    form=st.sampled_from([("png", 16), ("png", 8), ("jpg", 8), ("webp", 8), ("tif", 8), ("tif", 16)]),
)
def test_any_settings_come_back(tmp_path_factory, values, form):
    path = tmp_path_factory.mktemp("any") / f"a.{form[0]}"
    write_picture(path, torch.zeros(1, 3, 2, 2), settings=values, bits=form[1])
    assert read_settings(path) == values


def test_foreign_texts_are_no_settings(tmp_path):
    note, exif = PngImagePlugin.PngInfo(), Image.Exif()
    note.add_text("nst", "neither JSON")
    exif[0x010E] = "A holiday in Arles"
    Image.new("RGB", (2, 2)).save(tmp_path / "a.png", pnginfo=note)
    Image.new("RGB", (2, 2)).save(tmp_path / "b.jpg", exif=exif)
    exif[0x010E] = '{"not": "ours"}'
    Image.new("RGB", (2, 2)).save(tmp_path / "c.jpg", exif=exif)
    exif[0x010E] = 'mine{"not": "ours"}'
    Image.new("RGB", (2, 2)).save(tmp_path / "d.jpg", exif=exif)
    Image.new("RGB", (2, 2)).save(tmp_path / "e.gif")
    assert [read_settings(path) for path in sorted(tmp_path.iterdir())] == [None] * 5


def test_settings_that_cannot_be_stored_are_refused_and_nothing_is_left(tmp_path):
    for name, values in (("a.png", {"x": object()}), ("a.jpg", {"x": "y" * 70_000})):
        with pytest.raises(PictureError, match=r"a\.(png|jpg): could not be written"):
            write_picture(tmp_path / name, torch.zeros(1, 3, 2, 2), settings=values)
    assert leftovers(tmp_path) == []


# ---------------------------------------------------------------------------------------------- atomicity


@pytest.mark.parametrize(("name", "bits"), [("a.png", 8), ("a.png", 16), ("a.tif", 16), ("a.jpg", 8), ("a.webp", 8)])
@pytest.mark.parametrize("broken", ["replace", "fsync", "nan"])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, name, bits, broken):
    (tmp_path / name).write_bytes(b"the old picture")
    pixels = torch.rand(1, 3, 600, 600)

    def fail(*_):
        raise OSError("no space left")

    if broken == "nan":
        pixels[0, 1, 599, 3] = torch.nan  # in the last band, when most of the file is written already
    elif broken == "fsync":
        monkeypatch.setattr(os, "fsync", fail)
    else:
        monkeypatch.setattr(safe_files, "HERE", dataclasses.replace(safe_files.HERE, move=fail))
    with pytest.raises(PictureError, match="NaN" if broken == "nan" else "no space left") as caught:
        write_picture(tmp_path / name, pixels, bits=bits)
    assert name in str(caught.value) and "nothing was changed" in str(caught.value)
    assert (tmp_path / name).read_bytes() == b"the old picture" and leftovers(tmp_path) == [name]


def test_an_interrupted_write_leaves_nothing(tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(safe_files, "HERE", dataclasses.replace(safe_files.HERE, move=stop))
    with pytest.raises(KeyboardInterrupt):
        write_picture(tmp_path / "a.png", torch.zeros(1, 3, 2, 2))
    assert leftovers(tmp_path) == []


def test_the_temporary_file_stands_beside_the_target_and_goes_away(tmp_path, monkeypatch):
    seen = []
    genuine = os.replace

    def spy(source, target):
        seen.append((os.path.dirname(source), os.path.getsize(source)))
        genuine(source, target)

    monkeypatch.setattr(safe_files, "HERE", dataclasses.replace(safe_files.HERE, move=spy))
    write_picture(tmp_path / "a.png", torch.zeros(1, 3, 2, 2))
    assert seen == [(str(tmp_path), (tmp_path / "a.png").stat().st_size)] and leftovers(tmp_path) == ["a.png"]
    write_picture(tmp_path / "a.png", torch.ones(1, 3, 2, 2))
    assert read_picture(tmp_path / "a.png").pixels.min() == 1


@pytest.mark.skipif(os.name != "posix", reason="permission bits")
def test_the_result_has_the_permissions_of_any_new_file(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    write_picture(tmp_path / "a.png", torch.zeros(1, 3, 2, 2))
    assert (tmp_path / "a.png").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_relative_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_picture("a.png", torch.ones(1, 3, 2, 2), settings=SETTINGS)
    assert read_picture("a.png").pixels.min() == 1 and read_settings("a.png") == SETTINGS


# ---------------------------------------------------------------------------------------------- messages


def said(call, *args, **options):
    with pytest.raises(PictureError) as caught:
        call(*args, **options)
    return str(caught.value)


@pytest.mark.parametrize("reader", [read_picture, read_settings])
def test_what_cannot_be_opened(tmp_path, reader):
    assert "none.png" in said(reader, tmp_path / "none.png") and "no such file" in said(reader, tmp_path / "none.png")
    assert "folder" in said(reader, tmp_path)
    (tmp_path / "empty.png").write_bytes(b"")
    assert "empty.png" in said(reader, tmp_path / "empty.png") and "0 bytes" in said(reader, tmp_path / "empty.png")
    (tmp_path / "text.jpg").write_text("Dear diary")
    assert "no picture of a known kind" in said(reader, tmp_path / "text.jpg")


@pytest.mark.parametrize("form", ["png", "jpg", "webp", "tif", "gif", "png16", "tif16"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_truncated_pictures_are_refused(tmp_path, form, share):
    if form.endswith("16"):
        path = tmp_path / f"a.{form[:3]}"
        write_picture(path, torch.rand(1, 3, 64, 64), bits=16)
    else:
        path = tmp_path / f"a.{form}"
        Image.fromarray(codes(64, 64, 3)).save(path)
    blob = path.read_bytes()
    path.write_bytes(blob[: int(len(blob) * share)])
    text = said(read_picture, path)
    assert path.name in text and ("cut short or damaged" in text or "no picture of a known kind" in text)
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


@settings(max_examples=150, deadline=None)
@given(data=st.data(), form=st.sampled_from(["png", "jpg", "tif", "webp", "png16", "tif16"]))
def test_damage_gives_a_picture_or_a_picture_error_and_nothing_else(tmp_path_factory, data, form):
    path = tmp_path_factory.mktemp("harm") / f"a.{form.removesuffix('16')}"
    write_picture(
        path,
        tensor(np.arange(300, dtype=np.uint16).reshape(10, 10, 3) * 200),
        settings=SETTINGS,
        icc_profile=SRGB,
        bits=16 if form.endswith("16") else 8,
    )
    blob = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        blob[data.draw(st.integers(0, len(blob) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(blob)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for reader in (read_picture, read_settings):
            try:
                reader(path)
            except PictureError as error:
                assert str(path) in str(error)


def test_a_picture_without_size(tmp_path):
    claim(tmp_path / "a.png", 0)
    assert "without size" in said(read_picture, tmp_path / "a.png")


def claim(path, side):
    """A PNG whose header claims side x side pixels."""
    png16(path, np.zeros((1, 1, 3), np.uint16))
    blob = bytearray(path.read_bytes())
    blob[16:24] = struct.pack(">2I", side, side)
    blob[29:33] = struct.pack(">I", zlib.crc32(bytes(blob[12:29])))
    path.write_bytes(blob)


def test_large_pictures_pass_and_bombs_do_not_and_pillows_limit_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    want = codes(20, 20, 3, 16)
    png16(tmp_path / "large.png", want)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(back(read_picture(tmp_path / "large.png").pixels, 16), want)
    assert Image.MAX_IMAGE_PIXELS == 10
    for side in (33_000, 40_000, 2_000_000):
        claim(tmp_path / "bomb.png", side)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            text = said(read_picture, tmp_path / "bomb.png")
        assert "bomb.png" in text and str(files.MOST_PIXELS) in text and Image.MAX_IMAGE_PIXELS == 10


def test_limit_is_put_back_after_a_failure(tmp_path):
    before = Image.MAX_IMAGE_PIXELS
    said(read_picture, tmp_path / "none.png")
    assert before == Image.MAX_IMAGE_PIXELS and ImageFile.LOAD_TRUNCATED_IMAGES is False


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path):
    (tmp_path / "a.png").touch(0o000)
    assert "permissions" in said(read_picture, tmp_path / "a.png")


def test_running_out_of_memory_is_not_called_damage(tmp_path, monkeypatch):
    Image.new("RGB", (2, 2)).save(tmp_path / "a.png")

    def starve(*_):
        raise MemoryError

    monkeypatch.setattr(files, "_codes", starve)
    with pytest.raises(MemoryError):
        read_picture(tmp_path / "a.png")


def test_targets_that_cannot_be(tmp_path):
    pixels = torch.zeros(1, 3, 2, 2)
    for call in (check_target, lambda path, bits=8: write_picture(path, pixels, bits=bits)):
        missing = said(call, tmp_path / "no" / "a.png")
        assert "a.png" in missing and f"no folder {tmp_path / 'no'}" in missing
        for name in ("a.xyz", "a"):
            text = said(call, tmp_path / name)
            assert all(ending in text for ending in ENDINGS) and name in text
        for name in ("a.jpg", "a.webp"):
            assert "16" in said(call, tmp_path / name, bits=16) and ".png" in said(call, tmp_path / name, bits=16)
        assert "12 bits" in said(call, tmp_path / "a.png", bits=12)
        (tmp_path / "dir.png").mkdir(exist_ok=True)
        assert "this is a folder" in said(call, tmp_path / "dir.png")
    assert leftovers(tmp_path) == ["dir.png"]
    assert [check_target(tmp_path / f"a{e}") for e in ENDINGS] == ["PNG", "JPEG", "JPEG", "TIFF", "TIFF", "WEBP"]


@pytest.mark.parametrize("shape", [(3, 4, 4), (2, 3, 4, 4), (1, 1, 4, 4), (1, 3, 0, 4), (1, 3, 4, 0), (1, 3, 4, 4, 4)])
def test_pixels_of_another_shape_are_refused(tmp_path, shape):
    assert str(shape) in said(write_picture, tmp_path / "a.png", torch.zeros(shape))
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("shape", [(1, 1, 4, 5), (1, 3, 4, 4), (4, 4)])
def test_alpha_of_another_shape_is_refused(tmp_path, shape):
    text = said(write_picture, tmp_path / "a.png", torch.zeros(1, 3, 4, 4), alpha=torch.zeros(shape))
    assert str(shape) in text and leftovers(tmp_path) == []


@pytest.mark.skipif(not features.check("webp"), reason="Pillow without WebP")
def test_what_the_format_cannot_hold_is_said_by_name(tmp_path):
    text = said(write_picture, tmp_path / "a.webp", torch.zeros(1, 3, 1, 17_000))
    assert "a.webp" in text and "WEBP" in text and leftovers(tmp_path) == []
