"""What every command of `nst` does alike: bars, errors by the names of options, full disks, pipes; the short ones."""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
import sys

import pytest
from nst_calls import nst, refusal, stylize
from nst_process import ROOT, on_a_full_disk, shown_on, start
from pictures import clouds

from nst_engine.cli import commands as cli
from nst_engine.pictures.files import read_picture, read_settings, write_picture


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
            "nst: --content-weight, --style-weight, --tv-weight: none",
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
