"""What a step and the quick start take while other programs run: beside ComfyUI, a user always has a browser."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest.mock import patch

import torch

import nst_engine as nst
from nst_engine.network import pooling
from nst_engine.network.cpu.winograd import in_loops
from nst_engine.network.precision import name_of, resolve

from . import programs

ROOT = Path(__file__).resolve().parent.parent
STEPS = 20
CPU = torch.device("cpu")


@contextmanager
def busy(count: int) -> Iterator[None]:
    """So many programs, each of which would have a core to itself."""
    beside = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        time.sleep(0.5)
        yield
    finally:
        for program in beside:
            program.kill()
            program.wait()


@contextmanager
def without_loops() -> Iterator[None]:
    """As where llvmlite is not installed."""
    with ExitStack() as stack:
        for module, name in ((in_loops, "can"), (pooling, "max_pool_rows"), (pooling, "max_pool_backward_rows")):
            stack.enter_context(patch.object(module, name, lambda *_: None))
        yield


def steps(pictures: Callable[[int], tuple[torch.Tensor, torch.Tensor]], rounds: int) -> list[list[str]]:
    """Per program and number of busy programs: the median of a step, times idle, and the worst of 20 steps."""
    content, style = pictures(512)
    vgg = nst.load_vgg("vgg19-caffe", device="cpu")
    objective = nst.objective(vgg, content, nst.compute_style_grams(vgg, style, recipe="classic"), recipe="classic")
    floor = programs.floor(nst.load_vgg("vgg19-caffe", precision="fp32", device="cpu"), content, resolve("auto", CPU))

    def by_torch() -> None:
        with without_loops():
            objective.value_and_grad(content)

    contestants: dict[str, Callable[[], object]] = {"engine, torch's operations": by_torch}
    if in_loops.can(resolve("auto", CPU), 64, 64):
        contestants = {"engine, loops": lambda: objective.value_and_grad(content), **contestants}
    contestants[f"floor, {name_of(resolve('auto', CPU))}"] = floor.step
    numbers = sorted({0, 1, os.cpu_count() or 1})
    taken: dict[tuple[str, int], list[float]] = {(name, n): [] for name in contestants for n in numbers}
    for step in contestants.values():
        step()
    for _ in range(rounds):
        for n in numbers:
            with busy(n):
                for name, step in contestants.items():
                    step()
                    for _ in range(-(-STEPS // rounds)):
                        began = time.perf_counter()
                        step()
                        taken[name, n].append(time.perf_counter() - began)
    rows = []
    for name in contestants:
        idle = statistics.median(taken[name, 0])
        cells = []
        for n in numbers:
            median, worst = statistics.median(taken[name, n]), max(taken[name, n])
            cells.append(f"{median:.3f} ({median / idle:.2f} of idle, worst {worst / median:.2f} of median)")
        rows.append([name, *cells])
    return [["seconds per step at 512×384", *(f"{n} busy" for n in numbers)], *rows]


def quick_start() -> tuple[str, dict[str, float]] | None:
    """How the network is computed in a real ComfyUI, and seconds without and with the canvas open in a real browser;
    None where either is missing."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-c",
        "tests/pytest.ini",
        "-q",
        "-s",
        "tests/browser/time_quick_start.py",
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    found = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if not found:
        return None
    told = json.loads(found[-1])
    return told["way"], told["seconds"]
