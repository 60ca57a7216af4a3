"""`nst batch --devices`: a process for each, one that dies, and one that cannot be used."""

from __future__ import annotations

import json
import os
import random
import signal
from pathlib import Path

import pytest
from batch_runs import QUICK, files
from batches import start_batch, whole, workers
from pictures import clouds

from nst_engine.pictures.files import write_picture


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_a_process_of_a_device_that_dies_loses_nothing(folder):
    for i in range(10):
        write_picture(f"photos/{i}.png", clouds(i, 40, 40))
    process = start_batch("photos", "--styles", "styles/one.png", "--steps", 3, "--size", 32, "--devices", "cpu,cpu")
    assert process.stdout and process.stdout.readline()
    os.kill(random.Random(1).choice(workers(process.pid)), signal.SIGKILL)
    _, said = process.communicate(timeout=180)
    assert process.returncode == 0, said
    made = {*(f"{i}-one.png" for i in range(10)), "a-one.png", "b-one.png", "below/a-one.png"}
    assert files() == {*made, "report.jsonl"} and whole(files())
    lines = [json.loads(line) for line in Path("out/report.jsonl").read_text().splitlines()]
    assert sorted(line["output"] for line in lines) == sorted(f"out/{name}" for name in made)


def test_one_device_that_cannot_be_used_leaves_the_work_to_the_others(folder):
    process = start_batch("photos", "--styles", "styles/one.png", *QUICK[:-1], "--devices", "cpu,cuda:99")
    _, said = process.communicate(timeout=180)
    assert process.returncode == 0 and "--devices: 'cuda:99' cannot be used" in said
    assert files() == {"a-one.png", "b-one.png", "below/a-one.png", "report.jsonl"}


def test_fail_fast_ends_all_devices(folder):
    for i in range(20):
        write_picture(f"photos/{i}.png", clouds(i, 40, 40))
    (folder / "photos" / "0.png").write_bytes(b"no picture")  # comes first
    process = start_batch("photos", "--styles", "styles/one.png", *QUICK[:-1], "--devices", "cpu,cpu", "--fail-fast")
    _, said = process.communicate(timeout=180)
    assert process.returncode == 1 and "not done (--fail-fast)" in said and "Traceback" not in said
    assert len(files()) < 20


def test_devices_that_cannot_be_used_are_refused(folder):
    process = start_batch("photos", "--styles", "styles", "--devices", "cpu,nonsense")
    _, said = process.communicate(timeout=180)
    assert process.returncode == 1 and "Traceback" not in said
    assert "--devices: 'nonsense' cannot be used" in said and len(said.splitlines()) == 1
    assert not Path("out").exists()
