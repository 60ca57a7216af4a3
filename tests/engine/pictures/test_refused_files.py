"""What is said of files that are no pictures, damaged or too large, and of targets that will not do."""

from __future__ import annotations

import os
import struct
import warnings
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from picture_files import (
    ENDINGS,
    SETTINGS,
    SRGB,
    back,
    codes,
    leftovers,
    png16,
    tensor,
)
from PIL import Image, ImageFile, features

from nst_engine.pictures import files
from nst_engine.pictures.files import PictureError, check_target, read_picture, read_settings, write_picture


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

    monkeypatch.setattr(files, "codes_of", starve)
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
