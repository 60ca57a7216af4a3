"""A lock on a folder that is kept from one run to the next; the system itself takes it back from the dead."""

from __future__ import annotations

from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows, where a file that is open cannot be deleted, nor its folder renamed
    fcntl = None  # type: ignore[assignment]

LOCK = "lock"
RENAMES_OPEN = fcntl is not None


def locked(folder: Path) -> IO[bytes] | None:
    """The folder's lock, or None if another run has it. Closing it, or the end of this process, gives it back."""
    folder.mkdir(parents=True, exist_ok=True)
    if fcntl is None:
        return _opened_alone(folder / LOCK)
    lock = (folder / LOCK).open("wb")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    except OSError:  # not every network drive has locks
        pass
    return lock


def _opened_alone(path: Path) -> IO[bytes] | None:
    try:
        path.unlink(missing_ok=True)
    except PermissionError:  # another run has it open
        return None
    try:
        return path.open("xb")
    except FileExistsError:  # another run was faster
        return None


def is_abandoned(folder: Path) -> bool:
    """Whether nobody who lives has its lock."""
    try:
        if fcntl is None:
            (folder / LOCK).unlink(missing_ok=True)
        else:
            with (folder / LOCK).open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except FileNotFoundError:  # half removed
        return True
    except OSError:
        return False
