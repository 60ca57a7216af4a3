"""Results of strangers made again: shown first, with files from where they may come from, no more work than said."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import torch
from nst_process import shown_on, start
from pictures import clouds

from nst_engine.cli import commands as cli
from nst_engine.cli.again import repeat
from nst_engine.pictures.files import read_picture, read_settings, write_picture

ROOT = Path(__file__).resolve().parents[3]
QUICK = ["--steps", "1", "--size", "48", "--precision", "fp32", "--device", "cpu", "--style-layers", "relu1_1"]
COMMAND = ["stylize", "content.png", "style.png", "-o", "x.png", *QUICK]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The stranger's picture lies in `theirs`; what is the user's own lies elsewhere."""
    for name in ("theirs", "mine", "elsewhere"):
        (tmp_path / name).mkdir()
    for number, name in enumerate(("content", "style"), 1):
        write_picture(tmp_path / "theirs" / f"{name}.png", clouds(number, 48, 48))
        write_picture(tmp_path / "mine" / f"secret-{name}.png", clouds(number, 48, 48))
    monkeypatch.chdir(tmp_path / "mine")
    return tmp_path


def forged(folder: Path, *argv: str) -> Path:
    path = folder / "theirs" / "result.png"
    write_picture(path, clouds(9, 8, 8), settings={"argv": list(argv)})
    return path


def again(capsys, *arguments: object, code: int = 0) -> str:
    """What is said."""
    assert cli.main(["again", *map(str, arguments)]) == code, capsys.readouterr().err
    return capsys.readouterr().err


def test_it_is_said_what_will_be_done(folder, capsys):
    said = again(capsys, forged(folder, *COMMAND), "--steps", 2)
    assert "again: stylize content.png style.png -o x.png --steps 1" in said
    assert str(folder / "theirs" / "content.png") in said and "48×48 pixels in 2 steps with balanced" in said
    assert f"writes {folder / 'theirs' / 'result-again.png'}" in said
    assert again(capsys, forged(folder, *COMMAND, "--quiet")) != ""  # that wish was somebody else's
    assert again(capsys, forged(folder, *COMMAND), "--quiet") == ""
    said = again(capsys, forged(folder, *COMMAND, "--style-layers", "\x1b[2J" + "x" * 100_000), code=1)
    assert "\x1b" not in said and len(said) < 10_000


@pytest.mark.parametrize(
    "changes",
    [
        {1: "secret-content.png"},
        {1: "{mine}/secret-content.png"},
        {1: "../mine/secret-content.png"},
        {1: "~/secret-content.png"},
        {1: "linked.png"},
        {2: "secret-style.png"},
        {2: "{mine}/secret.safetensors"},
        {5: "--start={mine}/secret-content.png"},
        {5: "--protect={mine}/secret-content.png"},
        {5: "--style-masks={mine}/secret-content.png"},
        {5: "--regions=secret-content.png"},
        {5: "--weights={mine}/secret.safetensors"},
    ],
)
def test_no_file_is_read_but_from_beside_the_picture_or_where_the_user_says(folder, capsys, changes):
    (folder / "mine" / "secret.safetensors").write_bytes(b"secret")
    (folder / "theirs" / "linked.png").symlink_to(folder / "mine" / "secret-content.png")
    argv = list(COMMAND)
    for at, word in changes.items():
        word = word.format(mine=folder / "mine")
        argv[at : at + (at < 5)] = [word]
    result = forged(folder, *argv)
    said = again(capsys, result, code=1)
    assert "does not lie beside" in said and "--from" in said
    assert "secret" in said or "linked" in said
    if "linked.png" not in changes.values():  # now it is found, whatever is then made of it
        cli.main(["again", str(result), "--from", "."])
        assert "does not lie beside" not in capsys.readouterr().err


def test_files_of_the_users_own_are_taken_by_name(folder, capsys):
    result = forged(folder, *COMMAND, "--start", "noise")
    (folder / "theirs" / "beside.png").write_bytes((folder / "theirs" / "style.png").read_bytes())
    for begin in ("secret-content.png", folder / "mine" / "secret-content.png", "beside.png", "grey"):
        again(capsys, result, "--start", begin, "-o", "out.png")
        settings = read_settings("out.png")
        assert settings and settings["start"] == ("grey" if begin == "grey" else "image")


def test_only_the_user_says_where_to_write_and_where_weights_lie(folder, capsys):
    elsewhere = folder / "elsewhere"
    stored = [*COMMAND, "--out", str(elsewhere / "o.png"), "--style-size", "48"]
    stored += ["--save-style", str(elsewhere / "s.safetensors"), "--models", str(elsewhere), "--large"]
    again(capsys, forged(folder, *stored))
    assert list(elsewhere.iterdir()) == []
    assert (folder / "theirs" / "result-again.png").exists()
    again(capsys, forged(folder, *stored), "-o", "mine.png", "--save-style", "mine.safetensors")
    assert Path("mine.png").exists() and Path("mine.safetensors").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--size", "16384"], "16384 pixels a side (more than 4096)"),
        (["--style-size", "8000"], "8000 pixels a side"),
        (["--steps", str(10**9)], "2304000 megapixels in all steps (more than 4000)"),
        (["--size", "4000", "--steps", "3000"], "megapixels in all steps (more than 4000)"),
        (["--weights", "vgg16-torchvision"], "the weights vgg16-torchvision from the internet"),
    ],
)
def test_costly_work_wants_a_yes(folder, capsys, monkeypatch, words, told):
    monkeypatch.setenv("TORCH_HOME", str(folder / "elsewhere"))  # where nothing has been downloaded
    result = forged(folder, *COMMAND, *words)
    said = again(capsys, result, code=1)
    assert told in said and "give --yes" in said
    # The user's own choices stand in the place of the stranger's.
    again(capsys, result, "--size", 48, "--steps", 1, "--style-size", 48, "--weights", "vgg19-caffe")


def test_the_default_at_4096_pixels_is_made_unasked(folder):
    """Most of its steps are on smaller levels."""
    result = forged(folder, "stylize", "content.png", "style.png", "-o", "x.png", "--size", "4096")
    assert repeat(result, [], []).costs == []


def test_many_styles_want_a_yes(folder, capsys):
    result = forged(folder, "stylize", "content.png", *["style.png"] * 17, "-o", "x.png", *QUICK)
    assert "17 styles (more than 16); give --yes" in again(capsys, result, code=1)
    again(capsys, result, "--yes")
    again(capsys, "--yes", result)


@pytest.mark.parametrize("words", [["--help"], ["--hel"], ["-h"]])
def test_a_command_that_makes_nothing_is_none(folder, capsys, words):
    assert "does not say how it was made" in again(capsys, forged(folder, *COMMAND, *words), code=1)


@pytest.mark.parametrize(("answer", "code"), [(b"y\n", 0), (b"n\n", 1), (b"\n", 1)])
def test_a_person_at_a_terminal_is_asked(folder, answer, code):
    pty = pytest.importorskip("pty")
    result = forged(folder, "stylize", "content.png", *["style.png"] * 17, "-o", "x.png", *QUICK)
    ours, theirs = pty.openpty()
    process = start("again", result, stdin=theirs, stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    answers = [answer]

    def reply(seen: bytes) -> None:
        if answers and b"Go on? (y/n)" in seen:
            os.write(ours, answers.pop())

    seen = shown_on(ours, reply)
    assert process.wait(60) == code and b"17 styles" in seen
    assert (folder / "theirs" / "result-again.png").exists() == (code == 0)


def test_a_picture_made_elsewhere_is_made_again_with_its_folder_named(folder, capsys):
    """As usual: contents and results in folders of their own."""
    (folder / "mine" / "photos").mkdir()
    os.rename("secret-content.png", "photos/content.png")
    command = ["stylize", "photos/content.png", "secret-style.png", "-o", "../elsewhere/made.png", *QUICK]
    assert cli.main(command) == 0
    assert "does not lie beside" in again(capsys, "../elsewhere/made.png", code=1)
    again(capsys, "../elsewhere/made.png", "--from", ".")
    again(capsys, "../elsewhere/made-again.png", "--from=photos", "--from=.", "-o", "third.png")
    first = read_picture("../elsewhere/made.png").pixels
    assert torch.equal(read_picture("../elsewhere/made-again.png").pixels, first)
    assert torch.equal(read_picture("third.png").pixels, first)
