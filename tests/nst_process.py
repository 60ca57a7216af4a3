"""`nst` as a process of its own, at a terminal, or where the disk is full."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent

started: list[subprocess.Popen] = []  # what a test has started, and the end of the test ends


def start(*arguments: object, most_in_a_file: int | None = None, **options: Any) -> subprocess.Popen[str]:
    """No file of the process's may get more bytes than that, as on a full disk."""

    def prepare() -> None:
        # A runner in the background may ignore SIGINT, and its children with it; what a person starts does not.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if most_in_a_file is not None:
            import resource

            resource.setrlimit(resource.RLIMIT_FSIZE, (most_in_a_file, most_in_a_file))

    process = subprocess.Popen(
        [sys.executable, "-m", "nst_engine", *map(str, arguments)],
        preexec_fn=None if os.name == "nt" else prepare,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options},
    )
    started.append(process)
    return process


def shown_on(terminal: int, answer: Callable[[bytes], None] = lambda _: None) -> bytes:
    """All that a process shows there until it ends. `answer` is called with what has been shown so far."""
    seen = b""
    try:
        while block := os.read(terminal, 4096):
            seen += block
            answer(seen)
    except OSError:  # how the end of a terminal looks on Linux
        pass
    return seen


def on_a_full_disk(disk: Path, refuge: Path, *arguments: object) -> subprocess.CompletedProcess:
    """`nst` where a disk of 8 kB is mounted, whose files it lists in the end. `refuge` is for temporary files."""
    disk.mkdir()
    refuge.mkdir()
    line = shlex.join(map(str, [sys.executable, "-m", "nst_engine", *arguments]))
    mounted = f"mount -t tmpfs -o size=8k none {disk} && {line}; code=$?; ls -A {disk}; exit $code"
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", mounted],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(refuge)},
    )
    if "unshare failed" in done.stderr or "mount:" in done.stderr:
        pytest.skip("this system lets nobody mount a disk")
    return done
