"""Small files that become very large pictures: read in little memory, or refused until somebody asks for them."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from peak_memory import STATUS
from pictures import clouds
from PIL import Image

from nst_engine.cli import commands as cli
from nst_engine.pictures import decode
from nst_engine.pictures.files import picture_shape, read_picture, write_picture

ROOT = Path(__file__).resolve().parents[3]
SIDE = 6200  # just above what is read as it is: 38 megapixels


def bomb(path: Path, side: int = SIDE, planes: int = 3, bits: int = 8, rows: bool = True) -> Path:
    """A PNG of black pixels, or its beginning alone."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    squeeze, line = zlib.compressobj(1), bytes(1 + side * planes * bits // 8)
    body = b"".join(squeeze.compress(line) for _ in range(side * rows)) + squeeze.flush()
    head = struct.pack(">2I5B", side, side, bits, {1: 0, 3: 2, 4: 6}[planes], 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b""))
    return path


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    write_picture(tmp_path / "small.png", clouds(1, 48, 48))
    monkeypatch.chdir(tmp_path)
    return tmp_path


PEAK = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from nst_engine import cli
from peak_memory import peak
code = cli.main(sys.argv[1:])
print(peak())
sys.exit(code)
"""


def megabytes(*arguments: str, code: int = 0, program: str = PEAK) -> float:
    """The most memory that a process of its own has for this command."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", program, str(ROOT / "tests"), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    return float(done.stdout.splitlines()[-1])


measured = pytest.mark.skipif(not STATUS.exists(), reason="nothing tells how much memory a process has had")
STYLIZE = ["stylize", "small.png", "small.png", "-o", "out.png", "--steps", "1", "--size", "48", "--precision", "fp32"]


@measured
def test_bombs_in_every_place_take_four_bytes_a_pixel(folder):
    usual = megabytes(*STYLIZE, "--quiet")
    bomb(folder / "bomb.png")
    bomb(folder / "mask.png", planes=1)
    Image.new("RGB", (SIDE, SIDE)).save("bomb.jpg", quality=1)
    command = [STYLIZE[0], "bomb.png", "bomb.jpg", *STYLIZE[3:], "--start", "bomb.png"]
    assert all(file.stat().st_size < 1e6 for file in folder.iterdir())
    assert megabytes(*command, "--quiet") - usual < 300
    assert read_picture("out.png").pixels.shape == (1, 3, 48, 48)
    said = megabytes(*STYLIZE, "--protect", "mask.png", code=1) - usual
    assert said < 250
    assert megabytes("again", "bomb.png", code=1) < usual


@measured
@pytest.mark.parametrize(("planes", "bits", "most"), [(3, 16, 600), (4, 8, 500), (1, 16, 400)])
def test_bombs_of_other_kinds(folder, planes, bits, most):
    usual = megabytes(*STYLIZE, "--quiet")
    bomb(folder / "bomb.png", planes=planes, bits=bits)
    assert megabytes(STYLIZE[0], "bomb.png", *STYLIZE[2:], "--quiet") - usual < most


@measured
def test_a_picture_that_is_read_as_it_is_takes_little_more_than_itself(folder):
    """As nst run does, where nobody knows what it will be used for: 12 bytes a pixel, and 8 while it is read."""
    bomb(folder / "bomb.png", 4000)
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); from peak_memory import peak\n"
        "from nst_engine.pictures.files import read_picture; read_picture('small.png'); before = peak()\n"
        "read_picture('bomb.png'); print(peak() - before)"
    )
    assert megabytes(program=program) < 16 * 24


def refusal(capsys, *arguments: str) -> str:
    assert cli.main([*arguments]) == 1
    return capsys.readouterr().err


def test_more_is_refused_until_it_is_asked_for(folder, capsys):
    bomb(folder / "bomb.png", 12_000, rows=False)
    for command in (["stylize", "bomb.png", *STYLIZE[2:]], ["stylize", "small.png", "bomb.png", *STYLIZE[3:]]):
        assert "more than 134217728 pixels; give --large" in refusal(capsys, *command)
        assert "damaged" in refusal(capsys, *command, "--large")  # read now, and there is nothing in it
    for option in ("--protect", "--regions", "--style-masks", "--start"):
        assert "give --large" in refusal(capsys, *STYLIZE, option, "bomb.png")
    for loader, more in (("LoadImage", {}), ("LoadImageMask", {"channel": "red"})):
        graph = {
            "1": {"class_type": loader, "inputs": {"image": "bomb.png", **more}},
            "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0]}},
        }
        graph["2"]["inputs"]["filename_prefix"] = "copy"
        if loader == "LoadImageMask":
            style = {"vgg": ["3", 0], "style_image": ["4", 0], "weight": 1.0, "size": 48, "style_mask": ["1", 0]}
            vgg = {"weights": "vgg19-caffe", "pooling": "recipe", "padding": "recipe", "precision": "fp32"}
            graph |= {
                "2": {"class_type": "SaveStyleGrams", "inputs": {"style_grams": ["5", 0], "filename_prefix": "a"}},
                "3": {"class_type": "LoadVGGFeatures", "inputs": vgg},
                "4": {"class_type": "LoadImage", "inputs": {"image": "small.png"}},
                "5": {"class_type": "ComputeStyleGrams", "inputs": style},
            }
        Path("graph.json").write_text(json.dumps(graph))
        assert "give --large" in refusal(capsys, "run", "graph.json")
        assert "damaged" in refusal(capsys, "run", "graph.json", "--large")


@pytest.fixture
def small_bound(monkeypatch):
    """What is made smaller while it is read, in pictures that tests can afford."""
    monkeypatch.setattr(decode, "REDUCED_ABOVE", 1000)


@pytest.mark.parametrize("ending", ["png", "jpg", "tif", "webp"])
@pytest.mark.parametrize("bits", [8, 16])
def test_a_reduced_picture_is_the_picture(small_bound, ending, bits):
    if bits == 16 and ending in ("jpg", "webp"):
        pytest.skip("8 bits only")
    given = clouds(3, 250, 203)
    alpha = torch.linspace(0, 1, 203).expand(1, 1, 250, 203)
    write_picture(f"a.{ending}", given, bits=bits, alpha=None if ending == "jpg" else alpha.contiguous())
    made = read_picture(f"a.{ending}", side=10)
    assert max(made.pixels.shape) in range(40, 80) and made.bits == bits
    expected = read_picture(f"a.{ending}")
    for part in ("pixels", "alpha"):
        small, whole = getattr(made, part), getattr(expected, part)
        if whole is not None and (part == "alpha" or ending == "jpg" or bits == 16):
            wanted = torch.nn.functional.interpolate(whole, small.shape[-2:], mode="area")
            assert (small - wanted).abs().mean() < 0.02


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "I;16", "I", "F", "CMYK", "RGB", "RGBA"])
def test_every_mode_can_be_reduced(small_bound, mode):
    codes = np.tile(np.linspace(0, 65535, 200), (100, 1))
    deep = {"I;16": np.uint16, "I": np.int32, "F": np.float32}
    image = (
        Image.fromarray(codes.astype(deep[mode])) if mode in deep else Image.fromarray((codes / 257).astype(np.uint8))
    )
    (image if mode in deep else image.convert(mode)).save("a.tif")
    made = read_picture("a.tif", side=10).pixels
    assert made.shape == (1, 3, 20, 40)
    assert (made[0, 0, 10] - torch.linspace(0, 1, 40)).abs().mean() < 0.05


def test_what_is_not_known_or_not_large_is_read_as_it_is(small_bound, monkeypatch):
    write_picture("a.png", clouds(3, 250, 203))
    whole = read_picture("a.png").pixels
    assert whole.shape == (1, 3, 250, 203)
    assert torch.equal(read_picture("a.png", side=200).pixels, whole)
    monkeypatch.setattr(decode, "REDUCED_ABOVE", 250 * 203)
    assert torch.equal(read_picture("a.png", side=1).pixels, whole)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_shapes_are_upright(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (30, 20)).save("a.jpg", exif=exif)
    assert picture_shape("a.jpg") == tuple(read_picture("a.jpg").pixels.shape[-2:])
