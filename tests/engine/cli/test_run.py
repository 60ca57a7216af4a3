"""`nst run`, `nst recipes`, and what every command does alike."""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from nst_calls import nst, refusal, same_pixels, stylize
from nst_process import ROOT, on_a_full_disk, shown_on, start
from pictures import clouds

from nst_engine.cli import commands as cli
from nst_engine.cli import workflows
from nst_engine.pictures.files import read_picture, read_settings, write_picture


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
    assert "--allow-outside" in (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")


def test_run_goes_through_a_folder(folder, capsys):
    for name in ("photos", "empty"):
        Path(name).mkdir()
    for name in ("b", "a"):
        write_picture(f"photos/{name}.png", clouds(ord(name), 40, 48))
    Path("photos/notes.txt").write_text("no picture")
    every = {"class_type": "LoadImageDataSetFromFolder", "inputs": {"folder": "photos"}}
    Path("copy.json").write_text(json.dumps(graph() | {"1": every}))
    out, _ = nst("run", "copy.json")
    for made, name in zip(out, ("a", "b"), strict=True):
        assert same_pixels(made, f"photos/{name}.png")
    assert "no picture lies in the folder empty" in refusal(capsys, "run", "copy.json", "--set", "1.folder=empty")
    assert "the folder none cannot be read" in refusal(capsys, "run", "copy.json", "--set", "1.folder=none")
    assert "does not name a file" in refusal(capsys, "run", "copy.json", "--set", "1.folder=../photos")


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
    monkeypatch.setattr(workflows, "__file__", str(folder / "site-packages" / "nst_engine" / "cli" / "workflows.py"))
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
    process = start(*stylize(), stderr=theirs)
    os.close(theirs)
    seen = shown_on(ours)
    assert process.wait(60) == 0
    assert b"stylise: 100%" in seen and b"2/2" in seen and b"loss" in seen


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs a small disk of its own to fill")
def test_a_full_disk_loses_no_finished_picture(folder, tmp_path):
    disk, refuge = tmp_path / "disk", tmp_path / "refuge"
    command = ("stylize", "content.png", "style.png", "-o", disk / "out.png", "--steps", 1, "--size", 64, "--quiet")
    done = on_a_full_disk(disk, refuge, *command)
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
