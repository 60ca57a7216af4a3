"""Processes ended at any moment: whatever then lies in the output folder under a final name is whole."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import nst_engine as nst

ROOT = Path(__file__).resolve().parents[2]

if not hasattr(os, "fork"):
    pytest.skip("ends processes by signals, and forks a warm one", allow_module_level=True)

# Loads torch once, and forks a child for every line; torch has not computed yet, so that it works in the children.
WARM = """
import json, os, signal, sys
from nst_engine import cli
print("ready", flush=True)
for line in sys.stdin:
    child = os.fork()
    if not child:
        said = os.open("said.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(said, 1), os.dup2(said, 2)
        status = 99
        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            status = cli.main(json.loads(line))
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Warm:
    """A process that has loaded torch, whose children are ended."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-c", WARM],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
        )
        assert self.line() == "ready"

    def line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def start(self, argv: list[str]) -> int:
        assert self.process.stdin
        print(json.dumps(argv), file=self.process.stdin, flush=True)
        return int(self.line())

    def status(self) -> int:
        return int(self.line())

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    folder = tmp_path_factory.mktemp("kills")
    drawn = np.random.default_rng(0)
    # Noise, because it takes long to pack: the moments of writing are to be met.
    Image.fromarray(drawn.integers(0, 256, (1400, 1400, 3), dtype=np.uint8)).save(folder / "large.png")
    Image.fromarray(drawn.integers(0, 256, (48, 64, 3), dtype=np.uint8)).save(folder / "style.png")
    for name, graph in GRAPHS.items():
        (folder / f"{name}.json").write_text(json.dumps(graph), encoding="utf-8")
    (folder / "out").mkdir()
    process = Warm(folder)
    yield process
    process.end()


def node(class_type: str, **inputs: object) -> dict:
    return {"class_type": class_type, "inputs": inputs}


GRAPHS = {
    "copy": {
        "1": node("LoadImage", image="large.png"),
        "2": node("SaveImage", images=["1", 0], filename_prefix="copy"),
    },
    "save-style": {
        "1": node("LoadImage", image="style.png"),
        "2": node("LoadVGGFeatures", weights="vgg19-caffe", pooling="recipe", padding="recipe", precision="fp32"),
        "3": node("ComputeStyleGrams", vgg=["2", 0], style_image=["1", 0], weight=1.0, size=64),
        "4": node("SaveStyleGrams", style_grams=["3", 0], filename_prefix="styles/s", thumbnail=True),
    },
}
RUN = ["--quiet", "--input", ".", "--output", "out"]
STYLIZE = ["stylize", "large.png", "style.png", "--steps", "0", "--style-size", "64", "--size", "1400", "--quiet"]
COMMANDS = {
    "nst run, SaveImage": ["run", "copy.json", *RUN],
    "nst run, SaveStyleGrams": ["run", "save-style.json", *RUN],
    "nst stylize to PNG": [*STYLIZE, "--out", "out/made.png"],
    "nst stylize to TIFF": [*STYLIZE, "--out", "out/made.tif", "--bits", "16"],
    "nst stylize and its style": [*STYLIZE, "--out", "out/made.jpg", "--save-style", "out/kept.safetensors"],
}


def whole(file: Path) -> bool:
    try:
        if file.suffix == ".safetensors":
            return bool(nst.StyleGrams.load(file).styles)
        with Image.open(file) as picture:
            picture.load()
        return True
    except Exception:
        return False


def files_in(folder: Path) -> dict[Path, tuple[int, int]]:
    found = (f for f in folder.rglob("*") if f.is_file())
    return {f: (f.stat().st_size, f.stat().st_mtime_ns) for f in found}


def kill_at(warm: Warm, command: list[str], how: signal.Signals, moment: float | None, after: float) -> int:
    """End a child `moment` seconds after its start; None: `after` seconds after it first touches the output folder."""
    out = warm.folder / "out"
    before = files_in(out)
    child = warm.start(command)
    if moment is None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and _lives(child):
            try:
                if files_in(out) != before:
                    break
            except FileNotFoundError:  # moved between being listed and being looked at
                break
        time.sleep(after)
    else:
        time.sleep(moment)
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, how)
    return warm.status()


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["kill", "ctrl-c"])
@pytest.mark.parametrize("name", COMMANDS)
def test_nothing_torn_lies_under_a_final_name(warm: Warm, name: str, how: signal.Signals) -> None:
    command, drawn, torn = COMMANDS[name], random.Random(f"{name}{how}"), []
    begun = time.monotonic()
    warm.start(command)
    assert warm.status() == 0, (warm.folder / "said.txt").read_text()
    usual = time.monotonic() - begun
    for k in range(6):  # half at any time, half while something is being written
        moment = drawn.uniform(0, usual) if k % 2 else None
        status = kill_at(warm, command, how, moment, after=drawn.uniform(0, 0.2))
        said = (warm.folder / "said.txt").read_text()
        assert status in (0, 1, 130, -how), said
        assert "Traceback" not in said
        # What is being written is told by its name: it begins with a dot, or ends in .part.
        finals = [f for f in files_in(warm.folder / "out") if f.suffix != ".part"]
        torn += [f"{f.name} ({f.stat().st_size} bytes), {status}" for f in finals if not whole(f)]
        for file in finals:
            if not whole(file):
                file.unlink()
    assert not torn, "\n".join(torn)
    warm.start(command)
    assert warm.status() == 0  # and the next one finds nothing in its way


@pytest.mark.parametrize("delay", [0.05, 0.2, 0.5, 1.0, 1.5, 2.5])
def test_ctrl_c_while_the_program_starts(tmp_path: Path, delay: float) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "nst_engine", "stylize", "no.png", "no.png", "--out", "out.png"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    # Before Python runs a line of ours, the answer is Python's own.
    assert process.returncode in (1, 130, -signal.SIGINT)
    if "nst_engine" in said:
        assert "Traceback" not in said, said
