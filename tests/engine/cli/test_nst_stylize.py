"""`nst stylize`, as a process of its own: what it writes, says and answers."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from nst_calls import LAYERS, PLAIN, grey, made, nst, refusal, same_pixels, stylize, wait_for
from nst_process import ROOT, start
from pictures import clouds
from PIL import Image, ImageCms

import nst_engine as engine
from nst_engine.cli import commands as cli
from nst_engine.pictures.files import read_picture, read_settings, write_picture

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
        "styles": [
            {"name": "style.png", "weight": 3.0, "size": 48, "copies": "none"},
            {"name": "other.png", "weight": 1.0, "size": 48, "copies": "none"},
        ],
        "network": "vgg19-caffe",
        "pooling": "average",
        "padding": "reflect",
        "precision": "fp32",
        "device": "cpu",
    }
    assert {key: settings[key] for key in expected} == expected
    assert len(settings["levels"]) == 2


def test_every_way_to_go_about_it_arrives(folder):
    protect = grey("protect.png", 64, 80, slice(30))
    _, said = nst(
        *stylize(*PLAIN, "--content-layers", "relu3_1", "--style-size", 48, "--protect", "protect.png"),
        *["--strength", 1.5, "--statistic", "mean-std", "--shift", -1, "--normalise-gradients", "--averaging", 0.5],
        *["--tv-weight", 1, "--tv-kind", "l1-nine", "--start", "style-noise", "--start-mix", 0.25, "--seamless"],
        *["--protect-mode", "content", "--protect-weight", 7, "--content-measure", "laplacian", "--octaves", 2],
        *["--style-copies", "mirrored"],
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
        "content_measure": "laplacian",
        "octaves": 2,
    }
    settings = read_settings("out.png")
    assert settings and {key: settings[key] for key in choices} == choices

    # What the settings do not say, the picture does.
    vgg = engine.load_vgg("vgg19-caffe", precision="fp32", device="cpu")
    layers = engine.LayerWeights({"relu1_1": 1.0, "relu2_1": 1.0}, {"relu3_1": 1.0})
    pixels = read_picture("style.png").pixels
    grams = engine.compute_style_grams(vgg, pixels, layers=layers.style, size=48, copies="mirrored")
    content = read_picture("content.png").pixels
    options = {"steps": 2, "layers": layers, "size": -1, "protect": protect, **choices}
    write_picture("expected.png", engine.stylize(vgg, content, grams, **options, protect_weight=7.0).image)
    assert same_pixels("out.png", "expected.png")
    write_picture("expected.png", engine.stylize(vgg, content, grams, **options).image)
    assert not same_pixels("out.png", "expected.png"), "as it would be with the usual weight"
    nst("again", "out.png", "--quiet")
    assert same_pixels("out.png", "out-again.png")


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
        (["--content-measure", "edges"], "--content-measure: invalid choice: 'edges'"),
        (["--octaves", 9], "--octaves: 9 is not between 1 and 8"),
        (["--style-copies", "turned"], "--style-copies: invalid choice: 'turned'"),
        (["--start", "gray"], "--start: gray: no such file, and none of content, noise, grey, style, style-noise"),
        (["--start", "."], ".: this is a folder"),
        (["--wishes", 3], "--wishes"),
    ],
)
def test_what_cannot_be_is_refused_by_name(folder, capsys, arguments, told):
    before = sorted(folder.iterdir())
    assert told in refusal(capsys, *stylize(*arguments))
    assert sorted(folder.iterdir()) == before


def test_styles_of_other_weights_are_refused_by_what_gave_them(folder, capsys):
    pictures = ("content.png", "style.png", "other.png", "-o", "out.png")
    said = refusal(capsys, "stylize", *pictures, "--recipe", "nnst", "--style-weights", 3, 1, "--steps", 1)
    assert "--style-weights: the statistic 'nearest' takes each feature" in said
    assert "style.png 3, other.png 1" in said


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
