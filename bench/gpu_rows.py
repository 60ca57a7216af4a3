"""What `bench.gpu` measures, row by row: each row is a name and a function that measures it."""

from __future__ import annotations

import contextlib
import functools
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import torch

import nst_engine as nst
from nst_engine.objective.objective import Objective
from nst_engine.run.cuda_graphs import WARM_UP, Evaluation, Recorded, capture_cuda_graph

from . import programs
from .__main__ import contestants, high_water, pictures
from .scale import forget_peak, square, style

ROOT = Path(__file__).resolve().parent.parent
PRECISIONS = ("fp32", "bf16", "fp16")
TESTS = (
    "tests/engine/test_where_tensors_lie.py",
    "tests/engine/network/test_fp32_is_exact.py",
    "tests/engine/test_on_a_gpu.py",
)

PATIENCE = 1.0  # seconds for which a program is timed, after warming up for five times that at the most
WARM = 4  # steps that warm up: by the fourth the engine has made its recording
MOST_STEPS = 100
MANY = 10_000  # steps asked of the engine, which is stopped when it was timed

Measure = Callable[[], dict[str, Any]]


class Clock:
    """Times of ticks: on CUDA by events in the GPU's own order of work, so that Python's head start does not count."""

    def __init__(self, device: str) -> None:
        self.on_cuda = device.startswith("cuda")
        self.ticks: list[Any] = []

    def tick(self) -> None:
        if not self.on_cuda:
            self.ticks.append(time.perf_counter())
            return
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        if self.ticks:
            self.ticks[-1].synchronize()  # at most one step ahead, or a bound on time would bound nothing
        self.ticks.append(event)

    def between(self) -> list[float]:
        """Seconds from each tick to the next."""
        pairs = list(zip(self.ticks, self.ticks[1:], strict=False))
        if self.on_cuda:
            torch.cuda.synchronize()
            return [first.elapsed_time(second) / 1000 for first, second in pairs]
        return [second - first for first, second in pairs]


def timed(program: programs.Program | programs.Engine, device: str, patience: float) -> dict[str, Any]:
    """Seconds per step, the median of as many as there is patience for."""
    clock = Clock(device)
    steps, began = 0, time.perf_counter()

    def enough() -> bool:
        nonlocal steps, began
        steps += 1
        warming = steps < WARM and time.perf_counter() - began < 5 * patience
        if not clock.ticks and warming:
            return False
        if not clock.ticks:
            began = time.perf_counter()
        clock.tick()
        return len(clock.ticks) > 1 and (len(clock.ticks) > MOST_STEPS or time.perf_counter() - began >= patience)

    values: dict[str, Any] = {}
    if isinstance(program, programs.Engine):
        result = program.run(MANY, lambda _: nst.STOP if enough() else None)
        tiles = result.settings["tiles"][-1]
        values["note"] = "; ".join([*([f"tiles of {tiles}"] if tiles else []), *result.notes])
    else:
        while True:
            program.step()
            if enough():
                break
    seconds = statistics.median(clock.between())
    return {"seconds": seconds, "per_second": 1 / seconds, "steps": len(clock.ticks) - 1, **values}


def with_peak(make: Callable[[], programs.Program | programs.Engine], device: str, patience: float) -> dict[str, Any]:
    forget_peak(device)
    before = high_water(device)
    values = timed(make(), device, patience)
    return {**values, "peak_mb": (high_water(device) - before) / 2**20}


@contextlib.contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """For the programs that go by torch's switches. By default torch rounds convolutions to TF32, but not products."""
    switches = [torch.backends.cudnn, torch.backends.cuda.matmul]
    name: str = "allow_tf32"
    value: bool | str = allowed
    if hasattr(torch.backends.cuda.matmul, "fp32_precision"):  # since torch 2.9, which refuses the old switch after it
        switches[0] = torch.backends.cudnn.conv  # type: ignore[attr-defined]
        name, value = "fp32_precision", "tf32" if allowed else "ieee"
    before = [getattr(switch, name) for switch in switches]
    for switch in switches:
        setattr(switch, name, value)
    try:
        yield
    finally:
        for switch, usual in zip(switches, before, strict=True):
            setattr(switch, name, usual)


def under_tf32(allowed: bool, measure: Measure) -> dict[str, Any]:
    with tf32(allowed):
        return measure()


def steps_rows(size: int, device: str, patience: float) -> dict[str, Measure]:
    rows: dict[str, Measure] = {}
    # What the bare network gains by a recording is of the least worth.
    for name, make in sorted(
        contestants(size, device, PRECISIONS), key=lambda named: "floor" in named[0] and "recorded" in named[0]
    ):
        measure: Measure = partial(with_peak, make, device, patience)
        if device.startswith("cuda") and name.startswith("floor, fp32"):
            rows[name] = partial(under_tf32, False, measure)
            rows[name.replace("fp32", "TF32")] = partial(under_tf32, True, measure)
        elif device.startswith("cuda") and name in ("pastiche", *programs.SEEDS):
            rows[f"{name} (torch's default: TF32 in convolutions)"] = measure
        else:
            rows[name] = measure
    rows["engine, nnst"] = partial(with_peak, partial(nearest_neighbours, size, device), device, patience)
    return rows


def nearest_neighbours(size: int, device: str) -> programs.Engine:
    """The recipe that takes the most memory: matches of every position."""
    return programs.ours(nst.load_vgg("vgg19-caffe", device=device), *(p.to(device) for p in pictures(size)), "nnst")


def large_rows(side: int, device: str, patience: float) -> dict[str, Measure]:
    """The engine, in one pass and by tiles."""
    tiles: dict[str, int | str | None] = {"auto": "auto", "one pass": None}
    tiles |= {f"tiles of {size}": size for size in (max(32, side // parts) for parts in (2, 4, 8))}

    def make(precision: str, tile: int | str | None) -> programs.Engine:
        vgg = nst.load_vgg("vgg19-caffe", precision=precision, device=device)
        return programs.ours(vgg, square(side).to(device), style().to(device), tile=tile)

    return {
        f"engine, {precision}, {name}": partial(with_peak, partial(make, precision, tile), device, patience)
        for precision in ("bf16", "fp32")
        for name, tile in tiles.items()
    }


def agreement_rows(size: int, device: str) -> dict[str, Measure]:
    """Every precision against the CPU's fp32, itself, tiles, and a recording of itself."""
    content, of_style = pictures(size)
    noise = torch.rand(content.shape, generator=torch.Generator().manual_seed(0))
    start = torch.lerp(content, noise, 0.2)
    tile = max(16, size // 4 // 16 * 16)

    def evaluated(precision: str, on: str = device, tile: int | None = None) -> Evaluation:
        return objective(precision, on, tile).value_and_grad(start.to(on))

    def objective(precision: str, on: str, tile: int | None = None) -> Objective:
        vgg = nst.load_vgg("vgg19-caffe", precision=precision, device=on)
        grams = nst.compute_style_grams(vgg, of_style, recipe="classic")
        return nst.objective(vgg, content, grams, recipe="classic", tile=tile)

    exact = functools.cache(lambda: evaluated("fp32", "cpu"))

    def recorded(precision: str) -> dict[str, Any]:
        usual = objective(precision, device).value_and_grad
        # Without CUDA nothing can be recorded: what surrounds a recording is tried with the step itself.
        record = (
            capture_cuda_graph if device.startswith("cuda") else lambda evaluate, _: lambda pixels: evaluate(pixels)
        )
        step = Recorded(usual, record)
        for k in range(WARM_UP + 1):
            step(torch.lerp(start, content, 0.2 * (k + 1)).to(device))
        values = differences(step(start.to(device)), usual(start.to(device)))
        return {**values, "note": "the recording was not used" if step.now is usual else ""}

    rows: dict[str, Measure] = {}
    for p in PRECISIONS if device.startswith("cuda") else PRECISIONS[:2]:  # a CPU takes long over fp16
        rows[f"{p} and the CPU's fp32"] = lambda p=p: differences(evaluated(p), exact())
        rows[f"{p} and the same again"] = lambda p=p: differences(evaluated(p), evaluated(p))
        rows[f"{p} recorded and not"] = partial(recorded, p)
        rows[f"{p} by tiles of {tile} and in one pass"] = lambda p=p: differences(evaluated(p, tile=tile), evaluated(p))
        rows[f"{p}, 16 steps recorded and not"] = partial(recorded_run, p, content, of_style, device)
    return rows


def recorded_run(precision: str, content: torch.Tensor, of_style: torch.Tensor, device: str) -> dict[str, Any]:
    vgg = nst.load_vgg("vgg19-caffe", precision=precision, device=device)
    made = [programs.ours(vgg, content, of_style, recorded=recorded).run(16, None) for recorded in (False, True)]
    usual, other = (result.image for result in made)
    losses = [result.history[-1].total for result in made]
    return {
        "loss": abs(losses[1] / losses[0] - 1),
        "pixels": float((usual - other).abs().max()),
        "same_bits": "yes" if torch.equal(usual, other) else "no",
    }


def differences(found: Evaluation, expected: Evaluation) -> dict[str, Any]:
    (terms, gradient), (other_terms, other) = found, expected
    gradient, other = gradient.cpu(), other.cpu()
    return {
        "loss": abs(float(terms.total) / float(other_terms.total) - 1),
        "gradient": float((gradient - other).norm() / other.norm()),
        "same_bits": "yes" if torch.equal(gradient, other) else "no",
    }


def tests_rows(folder: Path, device: str) -> dict[str, Measure]:
    return {test: partial(tests_of, test, folder, device) for test in TESTS}


def tests_of(file: str, folder: Path, device: str) -> dict[str, Any]:
    """Those tests of a file that a GPU is for; what they say is in the folder, too."""
    name = Path(file).stem
    xml_file = folder / f"{name}.xml"
    command = [sys.executable, *f"-m pytest -c tests/pytest.ini {file} -k on_a_gpu -p no:cacheprovider".split()]
    with open(folder / f"{name}.txt", "w", encoding="utf-8") as said:
        environment = {**os.environ, "NST_TEST_DEVICE": device}
        done = subprocess.run([*command, f"--junitxml={xml_file}"], cwd=ROOT, stdout=said, stderr=said, env=environment)
    if not xml_file.exists():
        raise RuntimeError(f"pytest ended with {done.returncode}; see {name}.txt")
    cases = list(ElementTree.parse(xml_file).iter("testcase"))
    failed = [
        case.get("name", "") for case in cases if any(case.find(kind) is not None for kind in ("failure", "error"))
    ]
    skipped = sum(case.find("skipped") is not None for case in cases)
    passed = len(cases) - len(failed) - skipped
    return {"passed": passed, "failed": len(failed), "skipped": skipped, "note": ", ".join(failed)}


def rows_of(part: str, folder: Path, device: str, patience: float = PATIENCE) -> dict[str, Measure]:
    """Names, and what measures them."""
    kind, _, size = part.partition(" ")
    if kind == "tests":
        return tests_rows(folder, device)
    if kind == "agreement":
        return agreement_rows(int(size), device)
    return {"steps": steps_rows, "large": large_rows}[kind](int(size), device, patience)
