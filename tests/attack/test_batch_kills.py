"""`nst batch` and its workers killed at random moments: when it has gone on, every picture is there and whole, none was
made again once it was there, and nothing else lies in the folder."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
from batches import Watched, actors, start_batch, statuses_so_far, whole

KILLS = 10
PICTURES = 30
OPTIONS = ("photos", "--styles", "style.png", "--steps", 10, "--size", 48)
WAYS = {
    "loop": (),
    "devices": ("--devices", "cpu,cpu"),
    "ray": ("--ray", "--actors", 2, "--cpus-per-actor", 1),
}
HAS_RAY = importlib.util.find_spec("ray") is not None

if not Path("/proc/self/stat").exists():
    pytest.skip("looks for processes in /proc", allow_module_level=True)


def check(watched: Watched) -> None:
    names = {f"{i}-style.png" for i in range(PICTURES)}
    assert {path.name for path in Path("out").iterdir()} == {*names, "report.jsonl"}
    assert whole(names)
    watched.look()
    assert watched.made_more_than_once() == []


def last_written(report: Path) -> int:
    return report.stat().st_mtime_ns if report.is_file() else 0


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("way", WAYS)
def test_a_driver_killed_ten_times_makes_every_picture_once(folder_of_photos: Path, way: str) -> None:
    if way == "ray" and not HAS_RAY:
        pytest.skip("ray is not installed: pip install -e '.[cluster]'")
    command, drawn, made = (*OPTIONS, *WAYS[way]), random.Random(way), Counter[str]()
    report = Path("out/report.jsonl")
    with Watched(Path("out")) as watched:
        for kill in range(KILLS):
            before = last_written(report)
            process = start_batch(*command)
            if kill % 2:  # half at any moment, half while pictures are made
                watched.wait_for_more(process, 120)
                time.sleep(drawn.uniform(0, 2))
            else:
                time.sleep(drawn.uniform(0, 15))
            process.kill()
            process.communicate()
            if last_written(report) != before:  # killed before it began one, a run leaves the last one's
                made.update(name for name, lines in statuses_so_far(report).items() if "made" in lines)
            print(f"{way}, kill {kill + 1}: {watched.look()} pictures", flush=True)
        process = start_batch(*command)
        _, said = process.communicate(timeout=1200)
        assert process.returncode == 0, said
        made.update(name for name, lines in statuses_so_far(report).items() if lines == ["made"])
        check(watched)
    assert max(made.values()) == 1


@pytest.mark.timeout(3600)
@pytest.mark.skipif(not HAS_RAY, reason="ray is not installed: pip install -e '.[cluster]'")
def test_ten_workers_killed_lose_nothing(folder_of_photos: Path) -> None:
    drawn, kills = random.Random("workers"), 0
    with Watched(Path("out")) as watched:
        process = start_batch(*OPTIONS, *WAYS["ray"])
        while kills < KILLS and process.poll() is None:
            if kills % 2:
                watched.wait_for_more(process, 120)
            time.sleep(drawn.uniform(0, 3))
            if found := actors(process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(drawn.choice(found), signal.SIGKILL)
                    kills += 1
                    print(f"kill {kills}: {watched.look()} pictures", flush=True)
        _, said = process.communicate(timeout=1200)
        assert process.returncode == 0, said
        check(watched)
    assert kills == KILLS
    assert {len(lines) for lines in statuses_so_far(Path("out/report.jsonl")).values()} == {1}
