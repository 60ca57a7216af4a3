"""`nst batch` that fails, is interrupted or killed, or fills the disk: nothing half is left, and it goes on."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from batch_runs import QUICK, batch, files, report, statuses
from batches import posix, start_batch, whole
from nst_process import ROOT
from pictures import clouds

from nst_engine.cli import one_picture
from nst_engine.cli.batch import worker
from nst_engine.cli.batch.output import working_folder
from nst_engine.pictures.files import write_picture


def test_fail_fast_and_a_time_limit(folder):
    (folder / "photos" / "a.png").write_bytes(b"no picture")
    told = batch("photos", "--styles", "styles", "--fail-fast", code=1)
    assert {"failed", "not done"} <= set(statuses(told).values()) and len(told) == 6
    undone = [line for line in told.values() if line["status"] == "not done"]
    assert all(line["error"].startswith("--fail-fast: photos/a.png with styles/one.png: ") for line in undone)
    told = batch("photos/b.jpg", "--styles", "styles/one.png", "--steps", 100000, "--time-limit", 0.5, code=1)
    assert "--time-limit: it was not done after 0.5 seconds" in told["b-one.png"]["error"]
    assert not Path("out/b-one.png").exists()


def test_the_time_limit_is_for_a_picture_and_not_for_what_all_need(folder, monkeypatch):
    now = [0.0]
    load = one_picture.network_of
    monkeypatch.setattr(worker, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    monkeypatch.setattr(one_picture, "network_of", lambda args: (now.append(now.pop() + 100), load(args))[1])
    assert statuses(batch("photos/b.jpg", "--styles", "styles/one.png", "--time-limit", 50)) == {"b-one.png": "made"}


@posix
def test_a_full_disk_ends_all_and_leaves_nothing_half(folder):
    # The report fits, a picture does not.
    process = start_batch("photos", "--styles", "styles", *QUICK[:-1], most_in_a_file=3000)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 1 and "the others would fail likewise" in said and "Traceback" not in said
    assert files() == {"report.jsonl"}


# In a world of its own, where anybody may mount: a disk of 24 kB, which then grows.
SMALL_DISK = """
mkdir out && mount -t tmpfs -o size=24k none out || exit 77
"$@"; echo "ended with $?, and left" $(ls -A out)
mount -o remount,size=1m out
"$@"; echo "ended with $?, and left" $(ls -A out)
"""


@pytest.mark.parametrize("way", [(), ("--devices", "cpu,cpu")], ids=["loop", "devices"])
@pytest.mark.skipif(shutil.which("unshare") is None, reason="mounts a small disk, as only Linux lets anybody")
def test_a_disk_that_is_full_ends_all_and_goes_on_when_there_is_room(folder, way):
    alone = ["unshare", "--map-root-user", "--mount", "sh", "-c", SMALL_DISK, "sh"]
    command = [sys.executable, "-m", "nst_engine", "batch", "photos", "--styles", "styles", "-o", "out", *QUICK, *way]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([*alone, *map(str, command)], env=environment, capture_output=True, text=True, timeout=300)
    if done.returncode in (1, 77):
        pytest.skip(f"no disk may be mounted here: {done.stderr}")
    first, then = (line for line in done.stdout.splitlines() if line.startswith("ended"))
    assert "No space left on device" in done.stderr and "Traceback" not in done.stderr
    names = [f"{name}-{style}.png" for name in "ab" for style in ("one", "two")]
    assert first.startswith("ended with 1") and set(first.split()[5:]) < {*names, "below", "report.jsonl"}
    assert then.startswith("ended with 0") and set(then.split()[5:]) == {*names, "below", "report.jsonl"}


@posix
def test_ctrl_c_ends_it(folder):
    process = start_batch("photos", "--styles", "styles", "--steps", 100000, "--size", 48)
    assert process.stderr
    for line in process.stderr:
        if "1 of 100000" in line or " of 100000" in line:
            break
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and "6 not done (interrupted)" in said and "Traceback" not in said
    assert files() == {"report.jsonl"}
    lines = report().values()
    assert [(line["status"], line["error"]) for line in lines] == [("not done", "interrupted")] * 6


@posix
def test_killed_at_any_moment_it_goes_on_where_it_was(folder):
    for i in range(12):
        write_picture(f"photos/{i}.png", clouds(i, 40, 40))
    # So many steps that three times 0.8 s are not enough for all.
    command = ("photos", "--styles", "styles/one.png", "--steps", 20, "--size", 32)
    drawn = random.Random(0)
    seen: dict[str, int] = {}
    for _ in range(3):
        process = start_batch(*command)
        assert process.stdout and process.stdout.readline()  # it has begun; torch alone takes seconds
        time.sleep(drawn.uniform(0, 0.8))
        process.kill()
        process.communicate()
        there = {name: Path("out", name).stat().st_ino for name in files() if not name.startswith(".nst-batch-")}
        pictures = {name: inode for name, inode in there.items() if name.endswith(".png")}
        assert whole(set(pictures)) and seen.items() <= pictures.items()  # none is made a second time
        seen = pictures
    process = start_batch(*command)
    process.communicate(timeout=120)
    assert process.returncode == 0
    assert files() == {
        *(f"{i}-one.png" for i in range(12)),
        "a-one.png",
        "b-one.png",
        "below/a-one.png",
        "report.jsonl",
    }
    assert all(Path("out", name).stat().st_ino == inode for name, inode in seen.items())
    assert {path.name for path in Path("out").iterdir() if path.is_dir()} == {"below"}


@posix
def test_a_run_leaves_the_folder_of_another_that_lives(folder):
    with working_folder(Path("out")) as one:
        with working_folder(Path("out")) as other:
            assert one.is_dir() and other.is_dir()
        assert one.is_dir() and not other.exists()
    assert not list(Path("out").iterdir())
