"""The folder of the results: what is being written lies in a folder of this run inside it, and goes with the run.

A run that was killed leaves that folder behind; the next one removes it. Whether a run still lives shows in a lock that
the system itself takes back from the dead.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from ...errors import NSTError
from ...system.locks import RENAMES_OPEN, is_abandoned, locked
from ...system.safe_files import ABANDONED

_WORKING = re.compile(r"\.nst-batch-[0-9a-f]{16}(\.new)?")


@contextlib.contextmanager
def working_folder(out: Path) -> Iterator[Path]:
    """Where files are written before they are moved into `out`."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(out)
        work, lock = _locked_folder(out)
    except OSError as error:
        raise NSTError(f"--out: {out} cannot be written to ({error.strerror or error}).") from error
    try:
        yield work
    finally:
        lock.close()
        shutil.rmtree(work, ignore_errors=True)


def temporary_path(work: Path, out: str | Path) -> Path:
    """Where in a run's folder a result is written before it is moved to `out`."""
    return work / f"{os.urandom(8).hex()}{Path(out).suffix}"


def _locked_folder(out: Path) -> tuple[Path, IO[bytes]]:
    """It has its name only once it is locked, so that nobody takes it for one of a dead run."""
    work = out / f".nst-batch-{os.urandom(8).hex()}"
    new = work.with_suffix(".new") if RENAMES_OPEN else work
    lock = locked(new)
    assert lock is not None  # a name that nobody else has
    if new != work:
        new.rename(work)
    return work, lock


def _remove_abandoned(out: Path) -> None:
    with os.scandir(out) as entries:
        found = [Path(entry.path) for entry in entries if _WORKING.fullmatch(entry.name) and entry.is_dir()]
    for folder in found:
        with contextlib.suppress(FileNotFoundError):
            if _is_abandoned(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _is_abandoned(folder: Path) -> bool:
    if folder.suffix == ".new":
        return time.time() - folder.stat().st_mtime > ABANDONED
    return is_abandoned(folder)
