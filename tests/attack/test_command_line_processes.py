"""Hostile command lines as processes of their own, and processes with nowhere to write or no memory to work in."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hostile_lines import LIMIT, S, problem_with, words
from nst_process import ROOT

PROCESSES = [
    "",
    "nonsense",
    f"{S} --size nan",
    "stylize fifo.png style.png --out out.png",
    "stylize bomb.png style.png --out out.png --steps 1 --size 48",
    "stylize content.png many.safetensors --out out.png --steps 1 --size 48",
    "stylize content.png deep.safetensors --out out.png --steps 1 --size 48",
    "stylize content.png fifo.safetensors --out out.png --steps 1 --size 48",
    "again again-deep.png",
    "again again-argv-huge.png",
    "again again-argv-secret.png",
    "run deep.json",
    "run fifo.json",
    "run reads-fifo.json",
    "run escape.json",
    "run outside.json",
]


def start(argv: list[Any], folder: Path, **options: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "nst_engine", *argv],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
    )


@pytest.mark.parametrize("line", PROCESSES)
def test_as_a_process_of_its_own(broken_files: Path, line: str) -> None:
    process = start(words(line), broken_files)
    try:
        _, said = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        pytest.fail(f"took more than {LIMIT} s")
    assert problem_with(process.returncode, said.decode("utf-8", "replace")) is None


@pytest.mark.skipif(os.name == "nt", reason="names there are text")
def test_a_name_that_is_no_text(broken_files: Path) -> None:
    for argv in ([b"stylize", b"\xff\xfe.png", b"style.png", b"-o", b"out.png"], [b"run", b"\xff.json"]):
        process = start(argv, broken_files)
        _, said = process.communicate(timeout=LIMIT)
        assert process.returncode == 1 and said.startswith(b"nst: ") and b"Traceback" not in said


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_an_output_that_takes_nothing(broken_files: Path) -> None:
    with open("/dev/full", "wb") as full:
        process = start(["recipes"], broken_files, stdout=full)
        _, said = process.communicate(timeout=LIMIT)
    assert process.returncode != 0 and b"Traceback" not in said
    reader, writer = os.pipe()
    os.close(reader)
    process = start(["recipes"], broken_files, stdout=writer)
    os.close(writer)
    _, said = process.communicate(timeout=LIMIT)
    assert b"Traceback" not in said


@pytest.mark.skipif(sys.platform != "linux", reason="a limit on a process's memory")
def test_a_process_without_memory_says_so(broken_files: Path) -> None:
    import resource

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))

    argv = words("stylize content.png style.png --out out.png --steps 1 --size 9000 --tile off")
    process = start(argv, broken_files, preexec_fn=limit)
    try:
        _, said = process.communicate(timeout=3 * LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        pytest.fail("took too long")
    assert process.returncode in (0, 1) and b"Traceback" not in said, said.decode()
