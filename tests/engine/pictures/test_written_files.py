"""Pictures written to real files, which are also taken apart by hand, not only by the module's own reader."""

import dataclasses
import json
import os
import struct
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from picture_files import (
    ENDINGS,
    SETTINGS,
    SRGB,
    back,
    chunks,
    codes,
    leftovers,
    tensor,
)
from PIL import Image, PngImagePlugin

from nst_engine.pictures.files import PictureError, read_picture, read_settings, write_picture
from nst_engine.system import safe_files

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
def test_16_bit_png_taken_apart_by_hand(tmp_path, planes):
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
