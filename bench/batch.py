"""Many pictures: `nst batch` against a shell loop over `nst stylize`, and what Ray adds.

python -m bench.batch                       everything: about half an hour on two cores
python -m bench.batch --parts loop          the loop against the shell, and whether memory grows
python -m bench.batch --parts defaults      the same at the default number of steps
python -m bench.batch --parts ray --workers 1 --rounds 5   what Ray costs at 512 pixels: ten minutes on two cores
python -m bench.batch --parts ray --workers 1 --cores 1    the same with a core to spare for Ray's own processes

Pictures are crops of an example picture. What a picture takes once all is running is read from when the files appeared,
and its CPU time from all processes of the command between these moments, which other programs change little. No part
begins a round that would take it beyond --minutes.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from nst_engine.pictures.files import read_picture, write_picture
from nst_engine.pictures.images import resize

from .__main__ import EXAMPLES, machine, table

PARTS = ("loop", "defaults", "ray")
NST = [sys.executable, "-m", "nst_engine"]


@dataclass(frozen=True)
class Run:
    seconds: float  # of the whole command
    each: float  # between one picture and the next, once the first is there
    cpu: float  # seconds of all cores for one of them
    first: float  # until the first is there
    memory: list[float]  # of the process in MB, by time


def crops(folder: Path, count: int, size: int) -> None:
    """So many different pictures of size × 3/4 size."""
    whole = resize(read_picture(EXAMPLES / "content-landscape.jpg").pixels, (size * 3 // 2, size * 2))
    folder.mkdir()
    for number in range(count):
        y, x = number * 7 % (size * 3 // 4), number * 13 % size
        write_picture(folder / f"{number:04}.png", whole[..., y : y + size * 3 // 4, x : x + size])


class Family:
    """What a process and those that it started take, looked at twice a second."""

    def __init__(self, pid: int) -> None:
        self.process = psutil.Process(pid)
        self.memory: list[float] = []  # of the process alone, in MB
        self.cpu: list[tuple[float, float]] = []  # of all: when, and seconds until then
        self.spent: dict[int, float] = {}

    def watch(self, popen: subprocess.Popen[bytes]) -> None:
        while popen.poll() is None:
            with contextlib.suppress(psutil.Error):
                self.memory.append(self.process.memory_info().rss / 2**20)
                for one in (self.process, *self.process.children(recursive=True)):
                    with contextlib.suppress(psutil.Error):
                        times = one.cpu_times()
                        self.spent[one.pid] = times.user + times.system
                self.cpu.append((time.time(), sum(self.spent.values())))
            time.sleep(0.5)

    def cpu_at(self, moment: float) -> float:
        return float(np.interp(moment, *zip(*self.cpu, strict=True)))


def watched(command: list[str], out: Path, **variables: str) -> Run:
    began_at, began = time.time(), time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, **variables})
    family = Family(process.pid)
    threading.Thread(target=family.watch, args=(process,), daemon=True).start()
    if process.wait():
        raise SystemExit(f"failed: {' '.join(command)}")
    seconds = time.perf_counter() - began
    written = sorted(path.stat().st_mtime for path in out.rglob("*.png"))
    first, last, count = written[0], written[-1], max(1, len(written) - 1)
    cpu = (family.cpu_at(last) - family.cpu_at(first)) / count
    return Run(seconds, (last - first) / count, cpu, first - began_at, family.memory)


def batch(contents: list[Path], out: Path, *options: str, **variables: str) -> Run:
    shutil.rmtree(out, ignore_errors=True)
    style = str(EXAMPLES / "style-strokes.jpg")
    command = [*NST, "batch", *map(str, contents), "--styles", style, "-o", str(out), "--quiet", *options]
    return watched(command, out, **variables)


def shell(contents: list[Path], out: Path, *options: str) -> float:
    """Seconds for one picture."""
    out.mkdir(exist_ok=True)
    style = str(EXAMPLES / "style-strokes.jpg")
    began = time.perf_counter()
    for content in contents:
        command = [*NST, "stylize", str(content), style, "-o", str(out / content.name), "--quiet", *options]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - began) / len(contents)


def bounded(rounds: int, minutes: float) -> Iterator[int]:
    """As many rounds as there is time for, at least one."""
    began = time.perf_counter()
    for number in range(rounds):
        yield number
        if (time.perf_counter() - began) * (number + 2) / (number + 1) > 60 * minutes:
            print(f"no time for more than {number + 1} of {rounds} rounds", file=sys.stderr)
            return


def against_the_shell(folder: Path, count: int, sample: int, rounds: Iterable[int], *options: str) -> list[str]:
    """The batch over all pictures; the shell over a few of them, before each time."""
    crops(folder / "contents", count, 128)
    contents = sorted((folder / "contents").iterdir())
    by_shell, by_batch = [], []
    for number in rounds:
        by_shell.append(shell(contents[number * sample : (number + 1) * sample], folder / "shell", *options))
        by_batch.append(batch(contents, folder / "out", *options))
    one, many = statistics.median(by_shell), statistics.median(run.seconds / count for run in by_batch)
    memory = by_batch[-1].memory
    quarter = max(1, len(memory) // 4)
    early, late = max(memory[quarter : 2 * quarter]), max(memory[-quarter:])
    shutil.rmtree(folder / "contents")
    return [
        f"{count} at 128 px {' '.join(options)}",
        f"{one:.2f}",
        f"{many:.2f}",
        f"{one / many:.2f}",
        f"{early:.0f}",
        f"{late:.0f}",
    ]


def ray(
    folder: Path, count: int, size: int, rounds: Iterable[int], steps: int, workers: Sequence[int], cores: int
) -> list[list[str]]:
    """The loop with so many cores and Ray's workers, which share as many, alternately."""
    crops(folder / "contents", count, size)
    contents = sorted((folder / "contents").iterdir())
    ways: dict[str, list[str]] = {"loop": []}
    for number in workers:
        each = f"{100 * cores // number / 100:g}"  # rounded down, or there would be no room for the last
        ways[f"Ray, {number} with {each} cores each"] = ["--ray", "--actors", str(number), "--cpus-per-actor", each]
    runs: dict[str, list[Run]] = {way: [] for way in ways}
    for _, (way, options) in itertools.product(rounds, ways.items()):
        threads = {"OMP_NUM_THREADS": str(cores)} if way == "loop" else {}
        runs[way].append(batch(contents, folder / "out", "--steps", str(steps), *options, **threads))
        print(way, runs[way][-1].each, runs[way][-1].cpu, runs[way][-1].first, file=sys.stderr)
    rows = []
    for way, found in runs.items():
        row = [way]
        for name in ("each", "cpu"):
            here, loop = (statistics.median(getattr(run, name) for run in some) for some in (found, runs["loop"]))
            row += [f"{here:.2f}", f"{here / loop:.3f}"]
        rows.append([*row, f"{statistics.median(run.first for run in found):.1f}", str(len(found))])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.batch", description=__doc__)
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--count", type=int, default=200, help="pictures of the loop")
    parser.add_argument("--sample", type=int, default=5, help="of them that the shell makes in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=11, help="for a part")
    parser.add_argument("--workers", default="1,2,3", help="of Ray")
    parser.add_argument("--cores", type=int, default=os.cpu_count(), help="that the loop has, and all workers of Ray")
    parser.add_argument("--ray-count", type=int, default=12, help="pictures of Ray")
    parser.add_argument("--size", type=int, default=512, help="of Ray's pictures")
    parser.add_argument("--steps", type=int, default=10, help="of Ray's pictures")
    args = parser.parse_args()
    parts = args.parts.split(",")
    print(f"{machine('cpu')}\n")
    rows = []

    def rounds() -> Iterator[int]:
        return bounded(args.rounds, args.minutes)

    with tempfile.TemporaryDirectory() as name:
        if "loop" in parts:
            rows.append(against_the_shell(Path(name), args.count, args.sample, rounds(), "--steps", "10"))
        if "defaults" in parts:
            rows.append(against_the_shell(Path(name), max(4, args.count // 10), 2, rounds()))
        if rows:
            print(table(["pictures", "shell, s each", "batch, s each", "ratio", "MB early", "MB late"], rows))
        if "ray" in parts:
            workers = [int(word) for word in args.workers.split(",")]
            rows = ray(Path(name), args.ray_count, args.size, rounds(), args.steps, workers, args.cores)
            print(f"{args.ray_count} at {args.size} px, {args.steps} steps\n")
            heads = ["way", "s each", "of the loop's", "CPU s each", "of the loop's", "s until the first", "rounds"]
            print(table(heads, rows))


if __name__ == "__main__":
    main()
