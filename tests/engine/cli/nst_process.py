"""`nst` as a process of its own, and in this one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from nst_engine.cli import commands as cli
from nst_engine.pictures.files import read_picture

ROOT = Path(__file__).resolve().parents[3]
LAYERS = ["--style-layers", "relu1_1, relu2_1"]
PLAIN = [*LAYERS, "--precision", "fp32", "--device", "cpu"]


started: list[subprocess.Popen[str]] = []


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
    started.append(process)
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


def same_pixels(one: str, other: str) -> bool:
    return torch.equal(read_picture(one).pixels, read_picture(other).pixels)


def grey(name: str, height: int, width: int, columns: slice) -> torch.Tensor:
    """A mask of these columns, as a file and as the engine takes it."""
    mask = np.zeros((height, width), np.uint8)
    mask[:, columns] = 255
    Image.fromarray(mask).save(name)
    return torch.from_numpy(mask / np.float32(255))


def made(capsys, *arguments: object) -> torch.Tensor:
    assert cli.main([*map(str, stylize(*arguments, "--quiet"))]) == 0, capsys.readouterr().err
    return read_picture("out.png").pixels
