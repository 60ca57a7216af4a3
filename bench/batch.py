"""Many pictures: `nst batch` against a shell loop over `nst stylize`, and what Ray adds.

python -m bench.batch                       everything: about half an hour on two cores
python -m bench.batch --parts loop          the loop against the shell, and whether memory grows
python -m bench.batch --parts defaults,ray  the same at the default number of steps; Ray's workers and what they cost

Pictures are crops of an example picture. What a picture takes once all is running is read from when the files appeared.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

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
    first: float  # until the first is there
    memory: list[float]  # of the process in MB, by time


def crops(folder: Path, count: int, size: int) -> None:
    """So many different pictures of size × 3/4 size."""
    whole = resize(read_picture(EXAMPLES / "content-landscape.jpg").pixels, (size * 3 // 2, size * 2))
    folder.mkdir()
    for number in range(count):
        y, x = number * 7 % (size * 3 // 4), number * 13 % size
        write_picture(folder / f"{number:04}.png", whole[..., y : y + size * 3 // 4, x : x + size])


def watched(command: list[str], out: Path) -> Run:
    began_at, began = time.time(), time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    memory: list[float] = []

    def watch() -> None:
        of = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                memory.append(of.memory_info().rss / 2**20)
            except psutil.Error:
                return
            time.sleep(0.5)

    threading.Thread(target=watch, daemon=True).start()
    if process.wait():
        raise SystemExit(f"failed: {' '.join(command)}")
    seconds = time.perf_counter() - began
    written = sorted(path.stat().st_mtime for path in out.rglob("*.png"))
    each = (written[-1] - written[0]) / max(1, len(written) - 1)
    return Run(seconds, each, written[0] - began_at, memory)


def batch(contents: list[Path], out: Path, *options: str) -> Run:
    shutil.rmtree(out, ignore_errors=True)
    style = str(EXAMPLES / "style-strokes.jpg")
    return watched([*NST, "batch", *map(str, contents), "--styles", style, "-o", str(out), "--quiet", *options], out)


def shell(contents: list[Path], out: Path, *options: str) -> float:
    """Seconds for one picture."""
    out.mkdir(exist_ok=True)
    style = str(EXAMPLES / "style-strokes.jpg")
    began = time.perf_counter()
    for content in contents:
        command = [*NST, "stylize", str(content), style, "-o", str(out / content.name), "--quiet", *options]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - began) / len(contents)


def against_the_shell(folder: Path, count: int, sample: int, rounds: int, *options: str) -> list[str]:
    """The batch over all pictures; the shell over a few of them, before and after it."""
    crops(folder / "contents", count, 128)
    contents = sorted((folder / "contents").iterdir())
    by_shell, by_batch = [], []
    for number in range(rounds):
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


def ray(folder: Path, count: int, size: int, rounds: int, steps: int) -> list[list[str]]:
    """The loop and Ray's workers, alternately."""
    crops(folder / "contents", count, size)
    contents = sorted((folder / "contents").iterdir())
    ways = {
        "loop": [],
        "Ray, 1 worker with 2 cores": ["--ray", "--actors", "1", "--cpus-per-actor", "2"],
        "Ray, 2 workers with 1 core": ["--ray", "--actors", "2", "--cpus-per-actor", "1"],
        "Ray, 3 workers with ⅔ of a core": ["--ray", "--actors", "3", "--cpus-per-actor", "0.66"],
    }
    runs: dict[str, list[Run]] = {way: [] for way in ways}
    for _, (way, options) in itertools.product(range(rounds), ways.items()):
        runs[way].append(batch(contents, folder / "out", "--steps", str(steps), *options))
        print(way, json.dumps([round(x, 2) for x in (runs[way][-1].each, runs[way][-1].first)]), file=sys.stderr)
    each = {way: statistics.median(run.each for run in found) for way, found in runs.items()}
    first = {way: statistics.median(run.first for run in found) for way, found in runs.items()}
    return [[way, f"{each[way]:.2f}", f"{each[way] / each['loop']:.3f}", f"{first[way]:.1f}"] for way in ways]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.batch", description=__doc__)
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--count", type=int, default=200, help="pictures of the loop")
    parser.add_argument("--sample", type=int, default=5, help="of them that the shell makes in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ray-count", type=int, default=12, help="pictures of Ray")
    parser.add_argument("--size", type=int, default=512, help="of Ray's pictures")
    parser.add_argument("--steps", type=int, default=10, help="of Ray's pictures")
    args = parser.parse_args()
    parts = args.parts.split(",")
    print(f"{machine('cpu')}\n")
    rows = []
    with tempfile.TemporaryDirectory() as name:
        if "loop" in parts:
            rows.append(against_the_shell(Path(name), args.count, args.sample, args.rounds, "--steps", "10"))
        if "defaults" in parts:
            rows.append(against_the_shell(Path(name), max(4, args.count // 10), 2, args.rounds))
        if rows:
            print(table(["pictures", "shell, s each", "batch, s each", "ratio", "MB early", "MB late"], rows))
        if "ray" in parts:
            rows = ray(Path(name), args.ray_count, args.size, args.rounds, args.steps)
            print(table(["way", "s each", "of the loop's", "s until the first"], rows))


if __name__ == "__main__":
    main()
