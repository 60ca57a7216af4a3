"""Commands of `nst`, as processes of their own and in this one, and what they leave."""

from __future__ import annotations

import subprocess

import numpy as np
import torch
from nst_process import start
from PIL import Image

from nst_engine.cli import commands as cli
from nst_engine.pictures.files import read_picture

LAYERS = ["--style-layers", "relu1_1, relu2_1"]
PLAIN = [*LAYERS, "--precision", "fp32", "--device", "cpu"]


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
