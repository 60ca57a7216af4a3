"""The kit that is run once on a GPU, tried for real without one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
TRIAL = ("--device", "cpu", "--sizes", "48", "--large", "48", "--patience", "0")

pytestmark = pytest.mark.skipif(os.name != "posix", reason="a shell script")


def kit(out, *arguments):
    environment = {**os.environ, "PYTHON": sys.executable}
    command = [ROOT / "bench" / "on_a_gpu.sh", *TRIAL, "--out", out, *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def rows(out):
    return json.loads((out / "results.json").read_text(encoding="utf-8"))["rows"]


def test_every_row_is_measured_though_a_process_dies(tmp_path):
    process = kit(tmp_path, "--only", "agreement,steps,large")
    killed = None
    while killed is None and process.poll() is None:
        time.sleep(0.2)
        if (tmp_path / "results.json").exists():
            at_work = [
                row["name"] for row in rows(tmp_path) if row["outcome"] == "in work" and row["part"] == "steps 48"
            ]
            if at_work:
                killed = at_work[0]
                for child in psutil.Process(process.pid).children():
                    child.kill()
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    outcomes = {(row["part"], row["name"]): row["outcome"] for row in rows(tmp_path)}
    assert outcomes.pop(("steps 48", killed)) == "its process died (-9)"
    assert set(outcomes.values()) == {"measured"}
    steps = {name for part, name in outcomes if part == "steps 48"} | {killed}
    assert {"engine, fp32", "engine, bf16", "engine, fp16", "engine, nnst", "floor, fp32", "pastiche"} <= steps
    assert {"engine, bf16, one pass", "engine, bf16, auto"} <= {name for part, name in outcomes if part == "large 48"}
    assert all(row["seconds"] > 0 for row in rows(tmp_path) if row["part"] != "agreement 48" and row["name"] != killed)
    agreement = {row["name"]: row for row in rows(tmp_path) if row["part"] == "agreement 48"}
    assert agreement["fp32 recorded and not"]["same_bits"] == "yes"
    table = (tmp_path / "results.md").read_text(encoding="utf-8")
    assert all(f"| {name} |" in table for _, name in outcomes)
    assert f"| {killed} |" in table


def test_what_there_is_no_time_for_is_left_out_by_name(tmp_path):
    _, said = (process := kit(tmp_path, "--seconds", "1")).communicate(timeout=120)
    assert process.returncode == 0, said
    found = rows(tmp_path)
    assert {row["outcome"] for row in found} == {"left out: no time"}
    assert {row["part"] for row in found} == {"agreement 48", "steps 48", "large 48", "tests"}


def test_lack_of_memory_and_errors_are_a_rows_result():
    code = (
        "import torch, json; from bench.gpu import attempted\n"
        "print(json.dumps([attempted(f)[0] for f in (lambda: torch.empty(1 << 55), lambda: {}[1], lambda: {})]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert json.loads(done.stdout) == ["out of memory", "KeyError: 1", "measured"], done.stderr
