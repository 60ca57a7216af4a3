"""What the tests of `nst video` share."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from nst_engine.cli.commands import main
from nst_engine.pictures.files import write_picture
from nst_engine.video.source import Part, open_source

QUICK = ("--steps", "2", "--frame-steps", "1", "--size", "64")


def nst_video(*words: object) -> int:
    return main(["video", *map(str, words)])


def frames_of(path: Path) -> list:
    broken: list[str] = []
    found = list(open_source(path).frames(Part(), broken.append))
    assert broken == []
    return found


def times(path: Path) -> list[float]:
    return [round(float(shown.time), 3) for shown in frames_of(path)]


def write_folder(path: Path, frames: list[torch.Tensor]) -> Path:
    path.mkdir()
    for number, frame in enumerate(frames, 8):  # so that 10 comes after 9
        write_picture(path / f"shot{number}.png", frame)
    return path


def refused(capsys: pytest.CaptureFixture, *words: object) -> str:
    assert nst_video(*words, *QUICK) == 1
    return capsys.readouterr().err


def wait_for(happened: Callable[[], bool], process: subprocess.Popen) -> None:
    end = time.monotonic() + 300
    while not happened() and process.poll() is None:
        assert time.monotonic() < end
        time.sleep(0.01)


def wait_for_frames(folder: Path, count: int, process: subprocess.Popen) -> None:
    listed = folder / ".nst" / "frames"
    wait_for(lambda: listed.is_file() and listed.read_text().count("\n") >= count, process)
    assert process.poll() is None
