"""Pictures read from real files: every mode, depth, orientation and profile."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import torch
from picture_files import (
    ENDINGS,
    SRGB,
    back,
    cmyk_profile,
    codes,
    grey_profile,
    png16,
    tensor,
    tiff16,
)
from PIL import Image, ImageOps

from nst_engine.pictures.files import PictureError, read_picture, write_picture


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
