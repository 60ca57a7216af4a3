"""`nst batch` in a process of its own, which can be killed, and what its folder holds meanwhile."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from nst_process import start

from nst_engine.pictures.files import read_picture

posix = pytest.mark.skipif(os.name == "nt", reason="sends signals")


def start_batch(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    return start("batch", *arguments, "-o", "out", **options)


def below(parent: int, word: bytes) -> list[int]:
    """Those among a process's children and theirs whose command has the word in it."""
    families: dict[int, list[int]] = {}
    names: dict[int, bytes] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, IndexError):
            pid, ppid = int(stat.parent.name), int(stat.read_text().rpartition(")")[2].split()[1])
            names[pid] = (stat.parent / "cmdline").read_bytes()
            families.setdefault(ppid, []).append(pid)
    found, level = [], [parent]
    while level:
        level = [child for pid in level for child in families.get(pid, ())]
        found += [pid for pid in level if word in names[pid]]
    return found


def actors(parent: int) -> list[int]:
    """Ray's."""
    return below(parent, b"MapWorker")


def workers(parent: int) -> list[int]:
    """One for each device."""
    return below(parent, b"spawn_main")


def whole(names: Iterable[str]) -> bool:
    """Every picture decodes to its last row."""
    return all(read_picture(Path("out", name)).pixels.isfinite().all() for name in names if name != "report.jsonl")


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


def statuses_so_far(report: Path) -> dict[str, list[str]]:
    """Of every output; a line that was cut off by a kill does not count."""
    found: dict[str, list[str]] = {}
    for text in report.read_text(encoding="utf-8").splitlines() if report.is_file() else ():
        with contextlib.suppress(ValueError):
            line = json.loads(text)
            found.setdefault(Path(line["output"]).name, []).append(line["status"])
    return found
