"""What a GPU makes of the engine, in one call of a bounded time: `bench/on_a_gpu.sh`.

python -m bench.gpu                                        everything, in nine minutes at most
python -m bench.gpu --device cpu --sizes 64,96 --large 128 a trial without a GPU

Parts are done in order of worth, each in a process of its own: one that dies or hangs takes only its row with it.
Every row is in the folder's results.md and results.json as soon as it is measured; what there was no time for is
named there.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

import torch

from nst_engine.system.devices import best_device, release
from nst_engine.system.out_of_memory import is_out_of_memory

from .__main__ import machine as about
from .__main__ import processor
from .gpu_rows import PATIENCE, ROOT, Measure, rows_of
from .report import IN_WORK, MEASURED, Report

SECONDS = 540  # in all
LIMITS = {"agreement": 75, "tests": 75, "steps": 85, "large": 110}  # of a part, where that much is left
LEAST = 10  # a part is not begun with less, which starting a process may take
GRACE = 15  # for the row in work when a part's time is over
STARTS = 3  # of a part whose process dies


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
