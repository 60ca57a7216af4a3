"""What a GPU makes of the engine, in one call of a bounded time: `bench/on_a_gpu.sh`.

python -m bench.gpu                                        everything, in nine minutes at most
python -m bench.gpu --device cpu --sizes 64,96 --large 128 a trial without a GPU

Parts are done in order of worth, each in a process of its own: one that dies or hangs takes only its row with it.
Every row is in the folder's results.md and results.json as soon as it is measured; what there was no time for is
named there.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import gc
import logging
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import torch

import nst_engine as nst
from nst_engine.objective.objective import Objective
from nst_engine.run.cuda_graphs import WARM_UP, Evaluation, Recorded, capture_cuda_graph
from nst_engine.system.devices import best_device, release
from nst_engine.system.out_of_memory import is_out_of_memory

from . import programs
from .__main__ import contestants, high_water, pictures, processor
from .__main__ import machine as about
from .report import IN_WORK, MEASURED, Report
from .scale import forget_peak, square, style

ROOT = Path(__file__).resolve().parent.parent
PRECISIONS = ("fp32", "bf16", "fp16")
TESTS = (
    "tests/engine/test_where_tensors_lie.py",
    "tests/engine/network/test_fp32_is_exact.py",
    "tests/engine/test_on_a_gpu.py",
)

SECONDS = 540  # in all
LIMITS = {"agreement": 75, "tests": 75, "steps": 85, "large": 110}  # of a part, where that much is left
LEAST = 10  # a part is not begun with less, which starting a process may take
GRACE = 15  # for the row in work when a part's time is over
STARTS = 3  # of a part whose process dies

PATIENCE = 1.0  # seconds for which a program is timed, after warming up for five times that at the most
WARM = 4  # steps that warm up: by the fourth the engine has made its recording
MOST_STEPS = 100
MANY = 10_000  # steps asked of the engine, which is stopped when it was timed

Measure = Callable[[], dict[str, Any]]


# --- what is measured ---------------------------------------------------------------------------------------------


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


# --- one part, in a process of its own ----------------------------------------------------------------------------


class Warnings(logging.Handler):
    """What the engine says meanwhile, such as that a step could not be recorded."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


def work(part: str, folder: Path, device: str, seconds: float, patience: float) -> None:
    """Measures what the report does not have yet. Once the time is over, the rest is left out by name."""
    ends = time.monotonic() + seconds
    report = Report(folder)
    warnings = Warnings()
    logging.getLogger("nst_engine").addHandler(warnings)
    if device.startswith("cuda"):
        ones = torch.ones(64, 64, device=device)
        torch.mm(ones, ones)  # what is made once, such as cuBLAS's workspace, is no row's
    for name, measure in rows_of(part, folder, device, patience).items():
        if name in report.outcomes(part):
            continue
        if time.monotonic() > ends:
            report.put(part, name, "left out: no time")
            continue
        report.put(part, name, IN_WORK)
        warnings.said.clear()
        outcome, values = attempted(measure)
        if device.startswith("cuda") and outcome != MEASURED:
            torch.cuda.synchronize()  # after an error of the device itself every call fails: a new process goes on
        # After the exception is gone, for its traceback holds tensors.
        gc.collect()
        release(torch.device(device))
        said = "; ".join(filter(None, [values.pop("note", ""), *warnings.said]))
        report.put(part, name, outcome, **values, **({"note": said} if said else {}))


def attempted(measure: Measure) -> tuple[str, dict[str, Any]]:
    """Its outcome and what it measured: lack of memory and other errors are a row's result, not the end of the part."""
    try:
        return MEASURED, measure()
    except Exception as error:
        if is_out_of_memory(error):
            return "out of memory", {}
        return f"{type(error).__name__}: {error}", {"traceback": without_folders(traceback.format_exc())}


def without_folders(text: str) -> str:
    """Files named from the project or from where packages are on: results are kept where others read them."""
    return re.sub(r'File ".*site-packages/', 'File "', text.replace(f"{ROOT}{os.sep}", ""))


# --- all parts ----------------------------------------------------------------------------------------------------


def parts_of(sizes: list[int], large: int) -> list[str]:
    """In order of worth."""
    return [f"agreement {sizes[0]}", "tests", *(f"steps {size}" for size in sizes), f"large {large}"]


def run_part(part: str, report: Report, device: str, ends: float, patience: float) -> Report:
    """In a process of its own, again when it died, as long as there is time. Every row has an outcome in the end."""
    for _ in range(STARTS):
        limit = min(LIMITS[part.split()[0]], ends - time.monotonic() - 1)
        if limit < LEAST:
            break
        command = [sys.executable, "-m", "bench.gpu", "--part", part, "--device", device, "--patience", str(patience)]
        command += ["--out", str(report.folder), "--seconds", f"{max(1, limit - GRACE):.0f}"]
        ended, said = in_time(command, limit)
        report = Report(report.folder)
        for name, outcome in report.outcomes(part).items():
            if outcome == IN_WORK:
                outcome = "stopped: took too long" if ended is None else f"its process died ({ended})"
                report.put(part, name, outcome, note=said)
        if ended in (0, None):
            break
    for name in rows_of(part, report.folder, device):
        if name not in report.outcomes(part):
            report.put(part, name, "left out: no time")
    return report


def in_time(command: list[str], seconds: float) -> tuple[int | None, str]:
    """How it ended, None if it was stopped, and the last that it said on stderr."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        process = subprocess.Popen(command, cwd=ROOT, stderr=said, start_new_session=True)
        try:
            ended = process.wait(seconds)
        except subprocess.TimeoutExpired:
            ended = None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)  # with what it has started
                process.wait()
        said.seek(0)
        lines = said.read().strip().splitlines()
    return ended, lines[-1] if lines else ""


def described(device: str) -> dict[str, str]:
    """The machine, as far as it says."""
    machine = {"device": processor(), "machine": about(device), "torch": torch.__version__}
    if device.startswith("cuda"):
        properties = torch.cuda.get_device_properties(device)
        machine |= {
            "device": properties.name,
            "memory": f"{properties.total_memory / 2**30:.1f} GiB, {properties.multi_processor_count} multiprocessors",
            "CUDA": f"{torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}",
            "driver": driver(),
        }
    return machine


def driver() -> str:
    try:
        asked = ["nvidia-smi", "--query-gpu=driver_version,power.limit,clocks.max.sm", "--format=csv,noheader"]
        return subprocess.run(asked, capture_output=True, text=True, timeout=20).stdout.strip().splitlines()[0]
    except (OSError, IndexError, subprocess.TimeoutExpired):
        return "unknown"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=__doc__)
    parser.add_argument("--device", default=str(best_device()))
    parser.add_argument("--sizes", default="512,1024,2048,4096")
    parser.add_argument("--large", type=int, default=8192, help="side of the square done in one pass and by tiles")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="in all; default: %(default)s")
    parser.add_argument("--only", default=",".join(LIMITS), help="parts; default: %(default)s")
    parser.add_argument("--patience", type=float, default=PATIENCE, help="seconds for a program; default: %(default)s")
    parser.add_argument("--out", type=Path, help="default: bench/gpu/<device name>")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part:
        work(args.part, args.out, args.device, args.seconds, args.patience)
        return
    ends = time.monotonic() + args.seconds
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the part in work is ended, too
    machine = described(args.device)
    folder = args.out or ROOT / "bench" / "gpu" / re.sub(r"[^\w.-]+", "-", machine["device"]).strip("-")
    report = Report(folder.absolute(), machine)
    report.write()
    for part in parts_of([int(size) for size in args.sizes.split(",")], args.large):
        if part.split()[0] not in args.only.split(","):
            continue
        report = run_part(part, report, args.device, ends, args.patience)
        print(f"{part}: {ends - time.monotonic():.0f} s left", file=sys.stderr, flush=True)
    print(report.text())


if __name__ == "__main__":
    main()
