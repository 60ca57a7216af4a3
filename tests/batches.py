"""`nst batch` in a process of its own, which can be killed, and what its folder holds meanwhile."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def start_batch(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "nst_engine", "batch", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def actors(parent: int) -> list[int]:
    """Ray's among a process's children and theirs."""
    families: dict[int, list[int]] = {}
    names: dict[int, bytes] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, IndexError):
            pid, ppid = int(stat.parent.name), int(stat.read_text().rpartition(")")[2].split()[1])
            names[pid] = (stat.parent / "cmdline").read_bytes()
            families.setdefault(ppid, []).append(pid)
    found, below = [], [parent]
    while below:
        below = [child for pid in below for child in families.get(pid, ())]
        found += [pid for pid in below if b"MapWorker" in names[pid]]
    return found


class Watched:
    """A folder of results, looked at many times a second: which files have ever had a result's name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, set[tuple[int, int]]] = {}
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Watched:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.thread.join()

    def _watch(self) -> None:
        while not self.ended.wait(0.02):
            self.look()

    def look(self) -> int:
        """How many results there are."""
        if self.folder.is_dir():
            for entry in os.scandir(self.folder):
                if entry.name.endswith(".png"):
                    found = entry.stat()
                    self.files.setdefault(entry.name, set()).add((found.st_ino, found.st_mtime_ns))
        return len(self.files)

    def wait_for_more(self, process: subprocess.Popen[str], seconds: float) -> None:
        before, end = len(self.files), time.monotonic() + seconds
        while len(self.files) == before and process.poll() is None and time.monotonic() < end:
            time.sleep(0.02)

    def made_more_than_once(self) -> list[str]:
        return [name for name, files in self.files.items() if len(files) > 1]


def statuses(report: Path) -> dict[str, list[str]]:
    """By output; a line that was cut off by a kill does not count."""
    found: dict[str, list[str]] = {}
    for text in report.read_text(encoding="utf-8").splitlines() if report.is_file() else ():
        with contextlib.suppress(ValueError):
            line = json.loads(text)
            found.setdefault(Path(line["output"]).name, []).append(line["status"])
    return found
