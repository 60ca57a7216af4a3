"""The command line, as a process of its own: what it writes, says and answers."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pictures import clouds
from PIL import Image, ImageCms

import nst_engine as engine
from nst_engine.cli import commands as cli
from nst_engine.cli.arguments import parser
from nst_engine.cli.inputs import read_inputs
from nst_engine.pictures.files import read_picture, read_settings, write_picture

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    write_picture(tmp_path / "content.png", clouds(1, 64, 80))
    write_picture(tmp_path / "style.png", clouds(2, 64, 64))
    write_picture(tmp_path / "other.png", clouds(3, 64, 64))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def no_process_left():
    """A test that fails midway leaves nothing running."""
    yield
    while _started:
        _started.pop().kill()


_started: list[subprocess.Popen[str]] = []


def start(*arguments: object, stdout: Any = subprocess.PIPE) -> subprocess.Popen[str]:
    # A runner in the background may ignore SIGINT, and its children with it; a program that a person starts does not.
    process = subprocess.Popen(
        [sys.executable, "-m", "nst_engine", *map(str, arguments)],
        preexec_fn=None if os.name == "nt" else lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
    )
    _started.append(process)
    return process


def nst(*arguments: object, code: int = 0) -> tuple[list[str], str]:
    """Standard output's lines, and what was said."""
    process = start(*arguments)
    out, said = process.communicate(timeout=300)
    assert process.returncode == code, said
    return out.splitlines(), said


def refusal(capsys, *arguments: object) -> str:
    """The same main() without the two seconds that a new process takes to start."""
    assert cli.main([*map(str, arguments)]) == 1
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith("nst: ") and "Traceback" not in captured.err
    return captured.err


def stylize(*arguments: object) -> list[object]:
    return ["stylize", "content.png", "style.png", "-o", "out.png", "--steps", 2, *arguments]


def wait_for(process: subprocess.Popen[str], text: str) -> None:
    """Until the process says so."""
    assert process.stderr
    for line in process.stderr:
        if text in line:
            return
    raise AssertionError(f"ended without saying {text!r}")


# --- stylize ------------------------------------------------------------------------------------------------------


def test_a_result_says_how_it_was_made_and_is_made_again(folder):
    out, said = nst(*stylize("--precision", "fp32", "--start", "noise", "--seed", 5, "--style-weight", 2))
    assert out == ["out.png"] and "stylise: 1 of 2 loss " in said
    settings = read_settings("out.png")
    assert settings is not None
    told = {key: settings[key] for key in ("recipe", "steps", "start", "seed", "style_weight", "precision", "content")}
    assert told == {
        "recipe": "balanced",
        "steps": 2,
        "start": "noise",
        "seed": 5,
        "style_weight": 2.0,
        "precision": "fp32",
        "content": "content.png",
    }
    assert settings["styles"][0]["name"] == "style.png"
    assert settings["argv"][:3] == ["stylize", "content.png", "style.png"]

    # From elsewhere: the pictures lie beside the result.
    (folder / "elsewhere").mkdir()
    os.chdir(folder / "elsewhere")
    again, said = nst("again", "../out.png", "--quiet")
    assert again == ["../out-again.png"] and said == ""
    assert torch.equal(read_picture(folder / "out-again.png").pixels, read_picture(folder / "out.png").pixels)
    changes = ["--steps", 0, "--start", "content", "--keep-colours", "luminance"]
    changed, _ = nst("again", "../out-again.png", "-o", "changed.jpg", *changes)
    assert changed == ["changed.jpg"]
    settings = read_settings("changed.jpg")
    assert settings and (settings["steps"], settings["start"], settings["seed"]) == (0, "content", 5)
    assert (settings["keep_colours"], settings["keep_colours_strength"]) == ("luminance", 1.0)


def test_depth_transparency_and_profile_are_kept(folder):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    alpha = torch.linspace(0, 1, 80).expand(1, 1, 64, 80)
    write_picture("content.png", clouds(1, 64, 80), alpha=alpha, icc_profile=profile, bits=16)
    # No steps: what comes out is what went in, so any loss of depth shows.
    nst(*stylize("--steps", 0))
    given, made = read_picture("content.png"), read_picture("out.png")
    assert made.bits == 16 and made.icc_profile == profile
    assert torch.equal(made.pixels, given.pixels) and torch.equal(made.alpha, given.alpha)
    nst("stylize", "content.png", "style.png", "-o", "out.jpg", "--steps", 0, "--size", 40, "--quality", 70)
    assert read_picture("out.jpg").pixels.shape == (1, 3, 32, 40)


def test_a_grey_16_bit_picture_becomes_a_coloured_8_bit_one(folder):
    Image.fromarray(np.linspace(0, 65535, 64 * 80).reshape(64, 80).astype(np.uint16)).save("content.png")
    nst(*stylize("--bits", 8))
    made = read_picture("out.png")
    assert made.bits == 8
    assert float((made.pixels[:, 0] - made.pixels[:, 2]).abs().max()) > 0.01


def test_every_option_arrives(folder):
    nst(
        *["stylize", "content.png", "style.png", "other.png", "-o", "out.tif", "--recipe", "gatys2017", "--steps", 3],
        *["--optimizer", "adam", "--lr", 0.01, "--content-weight", 0.5, "--style-weight", 3, "--tv-weight", 1],
        *["--start", "other.png", "--size", 64, "--style-size", 48, "--style-weights", 3, 1, "--scales", 2],
        *["--seed", 2**64 - 1, "--style-layers", "relu1_2 = 0.5, conv3_1", "--content-layers", "relu3_1=2"],
        *["--weights", "vgg19-caffe", "--pooling", "average", "--padding", "reflect", "--precision", "fp32"],
        *["--input", "auto", "--device", "cpu", "--bits", 16, "--quality", 90, "--models", folder, "--quiet"],
        *["--keep-colours", "lab=0.5"],
    )
    settings = read_settings("out.tif")
    assert settings is not None
    assert read_picture("out.tif").bits == 16
    expected = {
        "recipe": "gatys2017",
        "steps": 3,
        "optimizer": "adam",
        "learning_rate": 0.01,
        "content_weight": 0.5,
        "style_weight": 3.0,
        "tv_weight": 1.0,
        "start": "image",
        "width": 64,
        "height": 51,
        "seed": 2**64 - 1,
        "keep_colours": "lab",
        "keep_colours_strength": 0.5,
        "layers": {"style": {"relu1_2": 0.5, "conv3_1": 1.0}, "content": {"relu3_1": 2.0}},
        "styles": [{"name": "style.png", "weight": 3.0, "size": 48}, {"name": "other.png", "weight": 1.0, "size": 48}],
        "network": "vgg19-caffe",
        "pooling": "average",
        "padding": "reflect",
        "precision": "fp32",
        "device": "cpu",
    }
    assert {key: settings[key] for key in expected} == expected
    assert len(settings["levels"]) == 2


LAYERS = ["--style-layers", "relu1_1, relu2_1"]
PLAIN = [*LAYERS, "--precision", "fp32", "--device", "cpu"]


def test_every_way_to_go_about_it_arrives(folder):
    protect = grey("protect.png", 64, 80, slice(30))
    _, said = nst(
        *stylize(*PLAIN, "--content-layers", "relu3_1", "--style-size", 48, "--protect", "protect.png"),
        *["--strength", 1.5, "--statistic", "mean-std", "--shift", -1, "--normalise-gradients", "--averaging", 0.5],
        *["--tv-weight", 1, "--tv-kind", "l1-nine", "--start", "style-noise", "--start-mix", 0.25, "--seamless"],
        *["--protect-mode", "content", "--protect-weight", 7],
    )
    assert "shift: has no effect with the statistic 'mean-std'" in said
    choices = {
        "strength": 1.5,
        "statistic": "mean-std",
        "shift": -1.0,
        "normalise_gradients": True,
        "averaging": 0.5,
        "tv_weight": 1.0,
        "tv_kind": "l1-nine",
        "start": "style-noise",
        "start_mix": 0.25,
        "seamless": True,
        "protect_mode": "content",
    }
    settings = read_settings("out.png")
    assert settings and {key: settings[key] for key in choices} == choices

    # What the settings do not say, the picture does.
    vgg = engine.load_vgg("vgg19-caffe", precision="fp32", device="cpu")
    layers = engine.LayerWeights({"relu1_1": 1.0, "relu2_1": 1.0}, {"relu3_1": 1.0})
    grams = engine.compute_style_grams(vgg, read_picture("style.png").pixels, layers=layers.style, size=48)
    content = read_picture("content.png").pixels
    options = {"steps": 2, "layers": layers, "size": -1, "protect": protect, **choices}
    write_picture("expected.png", engine.stylize(vgg, content, grams, **options, protect_weight=7.0).image)
    assert same_pixels("out.png", "expected.png")
    write_picture("expected.png", engine.stylize(vgg, content, grams, **options).image)
    assert not same_pixels("out.png", "expected.png"), "as it would be with the usual weight"


def same_pixels(one: str, other: str) -> bool:
    return torch.equal(read_picture(one).pixels, read_picture(other).pixels)


@pytest.mark.parametrize("start", ["content", "noise", "grey", "style", "style-noise"])
def test_every_start_has_a_name(folder, capsys, start):
    Path(start).write_bytes(b"a file of that name is not meant")
    made(capsys, "--start", start, "--steps", 0, *LAYERS)
    settings = read_settings("out.png")
    assert settings and settings["start"] == start


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that takes nothing")
def test_an_output_that_cannot_be_printed_is_told_in_a_sentence(folder):
    with open("/dev/full", "wb") as full:
        process = start("recipes", stdout=full)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert said == "nst: the output: No space left on device\n"


def test_ctrl_c_keeps_the_picture(folder):
    process = start(*stylize("--steps", 100000, "--size", 64))
    wait_for(process, "stylise: 1 of 100000")
    process.send_signal(signal.SIGINT)
    out, said = process.communicate(timeout=60)
    assert process.returncode == 130 and out == "out.png\n"
    assert "the picture so far will be kept" in said
    settings = read_settings("out.png")
    assert settings and settings["stopped_early"] is True
    assert read_picture("out.png").pixels.shape == (1, 3, 51, 64)


def test_ctrl_c_twice_quits(folder):
    # Slow enough that the second comes within the step that the first waits for.
    write_picture("content.png", clouds(1, 384, 384))
    process = start(*stylize("--steps", 100000, "--size", 0, "--style-size", 64, "--precision", "fp32"))
    wait_for(process, "stylise: 1 of 100000")
    process.send_signal(signal.SIGINT)
    wait_for(process, "kept")
    process.send_signal(signal.SIGINT)
    out, said = process.communicate(timeout=60)
    assert process.returncode == 130 and out == "" and "Traceback" not in said
    assert not Path("out.png").exists() and not list(folder.glob(".nst*"))


def test_ctrl_c_while_a_style_is_measured_for_the_run_quits(folder):
    write_picture("content.png", clouds(1, 1100, 1100))
    process = start(*stylize("--size", 0, "--style-size", 0, "--style-layers", "relu3_1", "--scales", 1))
    wait_for(process, "measure: 1 of")
    process.send_signal(signal.SIGINT)
    out, said = process.communicate(timeout=60)
    assert process.returncode == 130 and out == "" and said.endswith("nst: interrupted\n")
    assert "stylise" not in said and not Path("out.png").exists()


def test_only_a_lack_of_memory_is_called_one(folder, capsys, monkeypatch):
    def broken(*_):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    def full(*_):
        raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")

    monkeypatch.setattr(engine.network.vgg.Network, "activations", broken)
    with pytest.raises(RuntimeError, match="illegal"):
        cli.main([*map(str, stylize())])
    capsys.readouterr()
    monkeypatch.setattr(engine.network.vgg.Network, "activations", full)
    assert "do not fit into the memory" in refusal(capsys, *stylize("--quiet"))


def test_ctrl_c_before_the_run_quits_without_a_traceback(folder):
    # A server that never answers keeps the process waiting for sure, and past its imports.
    graph = ROOT / "workflows/api/quickstart.json"
    with socket.create_server(("127.0.0.1", 0)) as server:
        process = start("run", graph, "--server", f"http://127.0.0.1:{server.getsockname()[1]}")
        server.settimeout(60)
        with server.accept()[0]:
            process.send_signal(signal.SIGINT)
            out, said = process.communicate(timeout=60)
    assert process.returncode == 130 and out == "" and said.endswith("nst: interrupted\n")


@pytest.mark.parametrize("seconds", [0.0, 0.01, 0.03, 0.1])
def test_ctrl_c_while_python_ends_says_nothing(folder, seconds):
    process = start("stylize", "nothing.png", "style.png", "-o", "out.png")
    wait_for(process, "nothing.png")
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    out, said = process.communicate(timeout=60)
    # Before the command's last word was over, or after it.
    assert (process.returncode, out, said) in ((130, "", "nst: interrupted\n"), (1, "", ""))


# --- refused, and at once -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["-o", "out.bmp"], "cannot write a picture ending in '.bmp'"),
        (["-o", "nowhere/out.png"], "there is no folder nowhere"),
        (["-o", "/proc/out.png"], "cannot be written to"),
        (["-o", "."], "cannot write a picture ending in"),
        (["-o", "a\0b.png"], "null character"),
        (["-o", "x" * 300 + ".png"], "its name has 304 bytes"),
        (["--start", "x" * 300], "File name too long"),
        (["--tv-weight", "1e308"], "--tv-weight: 1e+308 is not a multiplier; give 0 to 1e+12"),
        (["--device", "meta"], "device: 'meta' cannot be used"),
        (["-o", "./style.png"], "is one of the pictures to be read"),
        (["-o", "out.jpg", "--bits", 16], "cannot hold 16 bits"),
        (["--style-weights", 1, 2], "2 for 1 styles"),
        (["--style-weights", -1], "-1.0 is not a weight"),
        (["--style-layers", "relu9_1"], "--style-layers: vgg19 has no layer 'relu9_1'"),
        (["--content-layers", "relu4_2=much"], "'relu4_2=much' is not layer=weight"),
        (["--style-layers", "relu1_1=0"], "every weight is 0"),
        (["--start", "none.png"], "none.png: no such file"),
        (["--recipe", "balancd"], "invalid choice: 'balancd'"),
        (["--steps", "-1"], "-1 is not between 0 and"),
        (["--steps", "many"], "--steps"),
        (["--seed", 2**64], "is not between"),
        (["--device", "abacus"], "device: 'abacus' cannot be used"),
        (["--weights", "vgg11"], "no file 'vgg11'"),
        (["--size", 8], "too few"),
        (["--keep-colours", "hue"], "--keep-colours: keep_colours: 'hue' is not one of none, symmetric"),
        (["--keep-colours", "lab=much"], "--keep-colours: could not convert"),
        (["--keep-colours", "lab=nan"], "nan is not a strength"),
        (["--strength", 10.5], "strength: 10.5 is not a strength"),
        (["--start-mix", "nan"], "--start-mix: nan will not do; give 0 to 1"),
        (["--averaging", 1], "averaging: 1.0 will not do"),
        (["--shift", "inf"], "shift: inf will not do"),
        (["--protect-weight", 0.5], "--protect-weight: 0.5 will not do"),
        (["--protect-mode", "faces"], "--protect-mode: invalid choice: 'faces'"),
        (["--statistic", "median"], "--statistic: invalid choice: 'median'"),
        (["--tv-kind", "l3"], "--tv-kind: invalid choice: 'l3'"),
        (["--start", "gray"], "--start: gray: no such file, and none of content, noise, grey, style, style-noise"),
        (["--start", "."], ".: this is a folder"),
        (["--wishes", 3], "--wishes"),
    ],
)
def test_what_cannot_be_is_refused_by_name(folder, capsys, arguments, told):
    before = sorted(folder.iterdir())
    assert told in refusal(capsys, *stylize(*arguments))
    assert sorted(folder.iterdir()) == before


def test_damaged_pictures_are_refused(folder, capsys):
    Path("style.png").write_bytes(Path("style.png").read_bytes()[:200])
    assert "style.png: " in refusal(capsys, *stylize())
    assert "gone.png: no such file" in refusal(capsys, "stylize", "gone.png", "style.png", "-o", "out.png")


def test_only_own_results_can_be_made_again(folder, capsys):
    assert "does not say how it was made" in refusal(capsys, "again", "content.png")
    for argv in (["again", "x.png"], ["run", "w.json"], "stylize", ["stylize", 3], None):
        write_picture("forged.png", clouds(1, 64, 64), settings={"argv": argv})
        assert "does not say how it was made" in refusal(capsys, "again", "forged.png")
    write_picture("forged.png", clouds(1, 64, 64), settings={"argv": ["stylize", "content.png"]})
    assert "STYLE" in refusal(capsys, "again", "forged.png")


def test_the_exit_code_and_the_message_of_a_process(folder):
    out, said = nst(*stylize("--recipe", "none"), code=1)
    assert out == [] and said.startswith("nst: argument --recipe") and said.count("\n") == 1


# --- texture ------------------------------------------------------------------------------------------------------


def texture(*arguments: object) -> list[object]:
    return ["texture", "style.png", "-o", "out.png", "--width", 64, "--height", 96, *arguments]


def seam(name: str) -> float:
    """The step from the right side to the left, against steps within."""
    image = read_picture(name).pixels
    within = image.diff(dim=3).abs()[..., 3::4].mean()
    return float((image[..., 0] - image[..., -1]).abs().mean() / within)


def test_a_texture_is_seamless_unless_told_otherwise_and_made_again(folder, monkeypatch):
    out, said = nst(*texture(*PLAIN, "--steps", 30, "--start", "noise", "--style-size", 64, "--seed", 3))
    assert out == ["out.png"] and "texture: 1 of 30 loss " in said
    settings = read_settings("out.png")
    assert settings and "content" not in settings and settings["argv"][:2] == ["texture", "style.png"]
    told = {key: settings[key] for key in ("width", "height", "seamless", "start", "seed", "steps")}
    assert told == {"width": 64, "height": 96, "seamless": True, "start": "noise", "seed": 3, "steps": 30}
    assert read_picture("out.png").pixels.shape == (1, 3, 96, 64)
    assert seam("out.png") < 1.2

    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")  # the style lies beside the result
    assert cli.main(["again", "../out.png", "--quiet"]) == 0
    assert same_pixels("../out.png", "../out-again.png")
    assert cli.main(["again", "../out-again.png", "--no-seamless", "-o", "open.png", "--quiet"]) == 0
    assert seam("open.png") > 1.3


def test_a_texture_takes_several_styles_their_masks_and_a_start(folder):
    part = grey("part.png", 64, 64, slice(40))
    options = ["--style-masks", "part.png", "-", "--style-weights", 3, 1, "--start", "content.png", "--steps", 2]
    assert cli.main([*map(str, ["texture", "style.png", "other.png", *texture(*options, *PLAIN, "--quiet")[2:]])]) == 0
    vgg = engine.load_vgg("vgg19-caffe", precision="fp32", device="cpu")
    layers = engine.LayerWeights({"relu1_1": 1.0, "relu2_1": 1.0})
    style, other, begin = (read_picture(f"{name}.png").pixels for name in ("style", "other", "content"))
    one = engine.compute_style_grams(vgg, style, mask=part, weight=3.0, layers=layers.style)
    both = engine.compute_style_grams(vgg, other, blend_with=one, layers=layers.style)
    options = {"shape": (96, 64), "seamless": True, "steps": 2, "layers": layers, "start_image": begin}
    write_picture("expected.png", engine.stylize(vgg, None, both, **options).image)
    assert same_pixels("out.png", "expected.png")


def test_a_texture_has_its_styles_depth_and_profile(folder):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    write_picture("style.png", clouds(2, 64, 64), alpha=torch.full((1, 1, 64, 64), 0.5), icc_profile=profile, bits=16)
    assert cli.main([*map(str, texture("--steps", 0, "--style-size", 64, "--save-style", "kept.safetensors"))]) == 0
    made = read_picture("out.png")
    assert made.bits == 16 and made.icc_profile == profile and made.alpha is None
    assert cli.main([*map(str, ["texture", "kept.safetensors", *texture("--steps", 0)[2:]])]) == 0
    made = read_picture("out.png")
    assert made.bits == 8 and made.icc_profile is None


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--height", 0], "--height: 0 is not between 1 and"),
        (["--width", 2, "--no-seamless"], "too few"),
        (["--start", "content"], "start: 'content' needs a content picture; choose noise, grey or the style"),
        (["--keep-colours", "lab"], "unrecognized arguments: --keep-colours"),
        (["-o", "./style.png"], "is one of the pictures to be read"),
        (["--style-masks", "-", "-"], "--style-masks: 2 for 1 styles"),
    ],
)
def test_a_texture_that_cannot_be_is_refused_by_name(folder, capsys, arguments, told):
    before = sorted(folder.iterdir())
    assert told in refusal(capsys, *texture("--steps", 2, *arguments))
    assert sorted(folder.iterdir()) == before
    assert "required: --width, --height" in refusal(capsys, "texture", "style.png", "-o", "out.png")


# --- saved styles -------------------------------------------------------------------------------------------------


def test_a_saved_style_takes_the_place_of_its_picture(folder, capsys):
    def made(style: str, *options: object) -> torch.Tensor:
        arguments = ["stylize", "content.png", style, *options, "--steps", 2, "--quiet", "-o", "out.png"]
        assert cli.main([*map(str, arguments)]) == 0, capsys.readouterr().err
        return read_picture("out.png").pixels

    from_picture = made("style.png", "--style-size", 48, "--save-style", "kept.safetensors")
    Path("style.png").unlink()
    assert torch.equal(made("kept.safetensors"), from_picture)
    # What was saved then is not saved again.
    stored = Path("kept.safetensors").stat().st_mtime_ns
    Path("out.png").unlink()
    write_picture("style.png", clouds(2, 64, 64))
    made("style.png", "--style-size", 48, "--save-style", "other.safetensors")
    Path("other.safetensors").unlink()
    assert cli.main(["again", "out.png", "--quiet"]) == 0
    assert not Path("other.safetensors").exists() and Path("kept.safetensors").stat().st_mtime_ns == stored

    both = made("kept.safetensors", "other.png", "--style-size", 48, "--style-weights", 1, 0)
    assert torch.equal(both, from_picture)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--save-style", "kept.safetensors"], "give --style-size"),
        (["--save-style", "kept.png", "--style-size", 48], "name a file ending in .safetensors"),
        (["--save-style", "nowhere/kept.safetensors", "--style-size", 48], "in a folder that exists"),
        (["--save-style", "./given.safetensors", "--style-size", 48, "--start", "given.safetensors"], "would be lost"),
    ],
)
def test_a_style_that_cannot_be_saved_is_refused_at_once(folder, capsys, arguments, told):
    Path("given.safetensors").write_bytes(b"")
    before = sorted(folder.iterdir())
    assert told in refusal(capsys, *stylize(*arguments))
    assert sorted(folder.iterdir()) == before


def test_a_style_file_that_is_none_is_refused(folder, capsys):
    Path("given.safetensors").write_bytes(b"nothing")
    said = refusal(capsys, "stylize", "content.png", "given.safetensors", "-o", "out.png")
    assert "given.safetensors is not a saved style" in said


# --- masks --------------------------------------------------------------------------------------------------------


def grey(name: str, height: int, width: int, columns: slice) -> torch.Tensor:
    """A mask of these columns, as a file and as the engine takes it."""
    mask = np.zeros((height, width), np.uint8)
    mask[:, columns] = 255
    Image.fromarray(mask).save(name)
    return torch.from_numpy(mask / np.float32(255))


def made(capsys, *arguments: object) -> torch.Tensor:
    assert cli.main([*map(str, stylize(*arguments, "--quiet"))]) == 0, capsys.readouterr().err
    return read_picture("out.png").pixels


def two_styles(*arguments: object) -> list[object]:
    return ["stylize", "content.png", "style.png", "other.png", "-o", "out.png", "--steps", 2, *arguments]


@pytest.mark.parametrize("mode", ["simple", "inside"])
def test_masks_arrive_at_the_engine_each_in_its_place(folder, mode):
    part = grey("part.png", 64, 64, slice(40))
    right = grey("right.png", 64, 80, slice(40, 80))
    protect = grey("protect.png", 64, 80, slice(8))
    masks = ["--style-masks", "part.png", "-", "--regions", "-", "right.png", "--protect", "protect.png"]
    options = ["--mask-mode", mode, "--style-layers", "relu1_1, relu2_1", "--precision", "fp32", "--device", "cpu"]
    assert cli.main([*map(str, two_styles(*masks, *options, "--quiet"))]) == 0

    vgg = engine.load_vgg("vgg19-caffe", precision="fp32", device="cpu")
    layers = engine.LayerWeights(style={"relu1_1": 1.0, "relu2_1": 1.0})
    shared = {"layers": layers.style, "mask_mode": mode}
    pictures = {name: read_picture(f"{name}.png").pixels for name in ("content", "style", "other")}
    one = engine.compute_style_grams(vgg, pictures["style"], mask=part, **shared)
    both = engine.compute_style_grams(vgg, pictures["other"], region=right, blend_with=one, **shared)
    result = engine.stylize(vgg, pictures["content"], both, steps=2, layers=layers, protect=protect)
    write_picture("expected.png", result.image)
    assert torch.equal(read_picture("out.png").pixels, read_picture("expected.png").pixels)


def test_outside_of_regions_and_where_protected_the_picture_is_the_content(folder, capsys):
    grey("right.png", 64, 80, slice(40, 80))
    grey("protect.png", 64, 80, slice(60, 80))
    change = (made(capsys, "--regions", "right.png") - read_picture("content.png").pixels).abs().mean((0, 1, 2))
    assert change[40:].mean() > 0.01 and change[:40].max() == 0
    change = (made(capsys, "--protect", "protect.png") - read_picture("content.png").pixels).abs().mean((0, 1, 2))
    assert change[:60].mean() > 0.01 and change[60:].max() == 0


def test_a_mask_file_covers_what_is_white_or_else_what_is_opaque(folder):
    def read(name: str) -> torch.Tensor:
        args = parser().parse_args(["stylize", "content.png", "style.png", "-o", "out.png", "--protect", name])
        mask = read_inputs(args).protect
        assert mask is not None
        return mask

    ramp = torch.linspace(0, 1, 80).mul(65535).round().div(65535).expand(1, 1, 64, 80)
    write_picture("grey.png", ramp.expand(1, 3, 64, 80), bits=16)
    assert torch.equal(read("grey.png"), ramp)
    write_picture("opaque.png", ramp.expand(1, 3, 64, 80), alpha=torch.ones_like(ramp), bits=16)
    assert torch.equal(read("opaque.png"), ramp)
    write_picture("cut out.png", 1 - ramp.expand(1, 3, 64, 80), alpha=ramp, bits=16)
    assert torch.equal(read("cut out.png"), ramp)
    colours = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1).expand(1, 3, 64, 80)
    write_picture("red.png", colours)
    assert read("red.png").unique().tolist() == pytest.approx([0.299])


def test_again_finds_the_masks_beside_the_result(folder, monkeypatch, capsys):
    (folder / "masks").mkdir()
    grey("masks/part.png", 64, 64, slice(40))
    grey("left.png", 64, 80, slice(40))
    grey("protect.png", 64, 80, slice(20))
    first = made(capsys, "--style-masks", "masks/part.png", "--regions", "left.png", "--protect", "protect.png")
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    assert torch.equal(made_again(capsys), first)
    change = (made_again(capsys, "--protect", "-") - first).abs()
    assert change[..., :20].mean() > 0.01 and change[..., 40:].max() == 0


def made_again(capsys, *changes: object) -> torch.Tensor:
    assert cli.main(["again", "../out.png", *map(str, changes), "--quiet"]) == 0, capsys.readouterr().err
    return read_picture("../out-again.png").pixels


def test_a_saved_style_goes_to_a_region(folder, capsys):
    grey("left.png", 64, 80, slice(40))
    grey("part.png", 64, 64, slice(40))
    layers = ["--style-layers", "relu1_1, relu2_1"]
    keep = ["--style-size", 48, "--save-style", "kept.safetensors", *layers]
    from_picture = made(capsys, "--style-masks", "part.png", "--regions", "left.png", *keep)
    saved = ["stylize", "content.png", "kept.safetensors", "-o", "out.png", "--steps", 2, "--quiet", *layers]
    assert cli.main([*map(str, saved), "--regions", "left.png", "--style-masks", "-"]) == 0
    assert torch.equal(read_picture("out.png").pixels, from_picture)
    capsys.readouterr()
    said = refusal(capsys, *saved, "--style-masks", "part.png")
    assert "--style-masks: kept.safetensors has been measured already; give - for it, or its picture." in said


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--regions", "left.png", "left.png"], "--regions: 2 for 1 styles; give one for each, - for none"),
        (["--style-masks", "-", "-", "-"], "--style-masks: 3 for 1 styles"),
        (["--style-masks"], "--style-masks: expected at least one argument"),
        (["--protect", "gone.png"], "gone.png: no such file"),
        (["--regions", "gone.png"], "gone.png: no such file"),
        (["--style-masks", "damaged.png"], "damaged.png: "),
        (["--regions", "part.png"], "--regions: part.png: the mask is 64×64, which are not the proportions of 80×64"),
        (["--style-masks", "left.png"], "--style-masks: left.png: the mask is 80×64, which are not the proportions of"),
        (["--protect", "part.png"], "--protect: part.png: the mask is 64×64"),
        (["--protect", "black.png"], "--protect: black.png: the mask covers nothing"),
        (["--regions", "black.png"], "--regions: black.png: the mask covers nothing"),
        (["--mask-mode", "outside"], "--mask-mode: invalid choice: 'outside'"),
        (
            ["--mask-mode", "inside", "--style-masks", "part.png", "--style-layers", "relu5_1"],
            "--style-masks of style.png: it is too small for relu",
        ),
        (["--protect", "left.png", "-o", "./left.png"], "left.png: this is one of the pictures to be read"),
        (["--regions", "left.png", "-o", "./left.png"], "left.png: this is one of the pictures to be read"),
        (["--style-masks", "part.png", "-o", "./part.png"], "part.png: this is one of the pictures to be read"),
    ],
)
def test_a_mask_that_will_not_do_is_refused_by_name(folder, capsys, arguments, told):
    grey("left.png", 64, 80, slice(40))
    grey("part.png", 64, 64, slice(40))
    grey("black.png", 64, 80, slice(0))
    Path("damaged.png").write_bytes(Path("left.png").read_bytes()[:60])
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert told in refusal(capsys, *stylize("--quiet", *arguments))
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_regions_that_overlap_are_refused_with_how_much(folder, capsys):
    grey("left.png", 64, 80, slice(40))
    grey("more.png", 64, 80, slice(20, 80))
    said = refusal(capsys, *two_styles("--regions", "left.png", "more.png"))
    assert "regions: the masks of style.png, other.png overlap on 25.0% of the picture" in said


# --- run, recipes, version ----------------------------------------------------------------------------------------


def graph(**inputs: object) -> dict:
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": "content.png"}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "copy", **inputs}},
    }


def test_run_prints_where_each_picture_is(folder):
    Path("copy.json").write_text(json.dumps(graph()))
    out, _ = nst("run", "copy.json", "--set", "SaveImage.filename_prefix=a/b", "--set", "1.image=style.png")
    assert out == [str(folder / "output" / "a" / "b_00001_.png")]
    assert torch.equal(read_picture(out[0]).pixels, read_picture("style.png").pixels)


def test_run_stylises_with_the_packs_nodes(folder):
    quickstart = ROOT / "workflows" / "api" / "quickstart.json"
    out, said = nst("run", quickstart, "--set", "NeuralStyleTransfer.steps=2", "--set", "NeuralStyleTransfer.size=64")
    assert ": 1 of 2" in said
    assert max(read_picture(out[0]).pixels.shape[-2:]) == 64


def test_run_reads_elsewhere_only_where_that_is_allowed(folder, capsys):
    Path("in").mkdir()
    for name in ("../content.png", str(folder / "content.png")):
        Path("copy.json").write_text(
            json.dumps(graph() | {"1": {"class_type": "LoadImage", "inputs": {"image": name}}})
        )
        said = refusal(capsys, "run", "copy.json", "--input", "in")
        assert "does not name a file in or below the folder in" in said and "--allow-outside" in said
        out, _ = nst("run", "copy.json", "--input", "in", "--allow-outside")
        assert torch.equal(read_picture(out[0]).pixels, read_picture("content.png").pixels)
    assert "--allow-outside" in " ".join(nst("run", "--help")[0])
    assert "--allow-outside" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_run_refuses_by_name(folder, capsys):
    Path("bad.json").write_text(json.dumps(graph(filename_prefix="../x") | {"3": {"class_type": "KSampler"}}))
    said = refusal(capsys, "run", "bad.json")
    assert (
        "node 3 (KSampler): there is no such node here" in said
        and "does not name a file in or below the folder" in said
    )
    Path("canvas.json").write_text('{"nodes": [], "links": []}')
    assert "UI format" in refusal(capsys, "run", "canvas.json")
    assert "is not a web address" in refusal(capsys, "run", "bad.json", "--server", "ftp://x")
    assert "no input 'y'" in refusal(capsys, "run", "bad.json", "--set", "1.y=2")
    assert not Path("output").exists()


def test_run_from_an_installed_engine_alone_says_what_is_missing(folder, capsys, monkeypatch):
    monkeypatch.setattr(cli, "__file__", str(folder / "site-packages" / "nst_engine" / "cli" / "commands.py"))
    assert "Clone its repository" in refusal(capsys, "run", "copy.json")


def test_recipes_and_version(capsys):
    assert cli.main(["recipes"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == list(cli.RECIPES)
    assert nst("--version")[0] == [f"nst {cli.__version__}"]


def test_importing_the_engine_leaves_the_command_line_out():
    code = "import nst_engine, sys; sys.exit('nst_engine.cli' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)}).returncode == 0


def test_a_terminal_gets_a_bar(folder):
    fcntl, pty, termios = map(pytest.importorskip, ("fcntl", "pty", "termios"))
    pytest.importorskip("tqdm")
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, 100, 0, 0))  # without a width tqdm draws nothing
    process = subprocess.Popen(
        [sys.executable, "-m", "nst_engine", *map(str, stylize())],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    seen = b""
    try:
        while block := os.read(ours, 4096):
            seen += block
    except OSError:  # how the end of a terminal looks on Linux
        pass
    assert process.wait(60) == 0
    assert b"stylise: 100%" in seen and b"2/2" in seen and b"loss" in seen


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs a small disk of its own to fill")
def test_a_full_disk_loses_no_finished_picture(folder, tmp_path):
    disk, refuge = tmp_path / "disk", tmp_path / "refuge"
    disk.mkdir()
    refuge.mkdir()
    command = [sys.executable, "-m", "nst_engine", "stylize", "content.png", "style.png", "-o", disk / "out.png"]
    line = " ".join(shlex.quote(str(word)) for word in [*command, "--steps", "1", "--size", "64", "--quiet"])
    mounted = f"mount -t tmpfs -o size=8k none {disk} && {line}; code=$?; ls -A {disk}; exit $code"
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", mounted],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(refuge)},
    )
    if "unshare failed" in done.stderr or "mount:" in done.stderr:
        pytest.skip("this system lets nobody mount a disk")
    (saved,) = refuge.glob("out-*.png")
    assert done.returncode == 1
    assert done.stdout.split() == [str(saved)], "and nothing is left on the full disk"
    assert f"{disk / 'out.png'}: could not be written" in done.stderr and "No space left" in done.stderr
    assert f"The finished picture is {saved} instead." in done.stderr
    assert read_picture(saved).pixels.shape == (1, 3, 51, 64)
    assert read_settings(saved)["steps"] == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
@pytest.mark.parametrize("name", ["pipe.png", "pipe.safetensors", "pipe.json"])
def test_nobody_waits_for_a_pipe(folder, name):
    os.mkfifo(folder / name)
    process = start(*(["run", name] if name == "pipe.json" else ["stylize", "content.png", name, "-o", "out.png"]))
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1 and name in said and "Traceback" not in said


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--lr", "-1"], "nst: --lr: -1.0 is not a rate"),
        (["--tv-weight", "-1"], "nst: --tv-weight: -1.0 is not a multiplier"),
        (["--protect-weight", "0"], "nst: --protect-weight: 0.0 will not do"),
        (["--weights", "none.pth"], "nst: --weights: no file 'none.pth'"),
        (["--style-layers", "=1, =2"], "nst: --style-layers: '=1' names no layer"),
        (["--size", "8"], "nst: --size: 8×6 pixels are too few"),
        (["--stroke-size", "abc"], "nst: argument --stroke-size: 'abc' is not a number"),
        (["--stroke-size", "nan"], "nst: argument --stroke-size: nan is not 0 or between 0.05 and 10"),
        (["--style-size", "20000"], "nst: --style-size: 20000 is not a size"),
        (["--style-weights", "-1"], "nst: --style-weights: -1.0 is not a weight"),
        (["--style-size", "2"], "nst: STYLE of style.png: 2×2 pixels are too few"),
        (
            ["--content-weight", "0", "--style-weight", "0", "--tv-weight", "0"],
            "nst: --content-weight, --style-weight, --tv-weight: all",
        ),
        (["--tile", "64", "--statistic", "sliced"], "nst: --tile: the statistic 'sliced' sorts"),
    ],
)
def test_errors_call_the_options_by_their_names(folder, capsys, options, says):
    assert refusal(
        capsys, "stylize", "content.png", "style.png", "-o", "out.png", "--quiet", "--steps", "1", *options
    ).startswith(says)


def test_the_size_that_is_advised_is_accepted(folder, capsys):
    write_picture(folder / "narrow.png", clouds(1, 3, 60))
    narrow = ("stylize", "narrow.png", "style.png", "-o", "out.png", "--steps", "0")
    said = refusal(capsys, *narrow, "--size", "60")
    size = re.search(r"A size of (\d+)", said)[1]
    assert cli.main([*narrow, "--size", size]) == 0
    capsys.readouterr()
    texture = ("texture", "style.png", "-o", "out.png", "--steps", "0", "--no-seamless")
    said = refusal(capsys, *texture, "--width", "60", "--height", "3")
    assert said.startswith("nst: --width and --height: 60×3 pixels are too few")
    width, height = re.search(r"(\d+)×(\d+) pixels would do", said).groups()
    assert cli.main([*texture, "--width", width, "--height", height]) == 0
