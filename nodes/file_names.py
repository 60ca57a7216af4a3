"""What the host's names of files stand for."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from dataclasses import dataclass
from pathlib import Path

from ..nst_engine.styles.saved import SUFFIX, looks_saved


def fill_in(prefix: str, width: int = 0, height: int = 0) -> str:
    """The names between percent signs that the host knows."""
    prefix = prefix.replace("%width%", str(width)).replace("%height%", str(height))
    times = {"year": "%Y", "month": "%m", "day": "%d", "hour": "%H", "minute": "%M", "second": "%S"}
    for name, code in times.items():
        prefix = prefix.replace(f"%{name}%", time.strftime(code))
    return prefix


@dataclass(frozen=True)
class _Folder:
    """What was in a folder when it last changed: folders, and files that may be styles."""

    changed: int
    settled: bool  # long enough ago for a later change to have a later time
    folders: tuple[str, ...]
    files: tuple[str, ...]


# By the folder that was looked through: the host asks for the list at every check of a graph.
_folders: dict[Path, dict[str, _Folder]] = {}
_styles: dict[Path, dict[str, tuple[int, int, bool]]] = {}  # time, size, and whether it looks like a style
SETTLED = 2_000_000_000  # nanoseconds; no file system's times are coarser


def styles_in(folder: Path) -> list[str]:
    """The saved styles in a folder and those below it, by their names from there. Folders that have not changed are not
    read again, nor files that have not."""
    folders_before, styles_before = _folders.get(folder, {}), _styles.get(folder, {})
    folders: dict[str, _Folder] = {}
    styles: dict[str, tuple[int, int, bool]] = {}
    waiting = [str(folder)]
    while waiting:
        at = waiting.pop()
        with contextlib.suppress(OSError):  # gone meanwhile, or not for us to read
            folders[at] = _look(at, folders_before.get(at))
            waiting += folders[at].folders
            for path in folders[at].files:
                if (seen := _look_at_file(path, styles_before.get(path))) is not None:
                    styles[path] = seen
    _folders[folder], _styles[folder] = folders, styles
    return sorted(Path(path).relative_to(folder).as_posix() for path, (_, _, saved) in styles.items() if saved)


def _look(at: str, before: _Folder | None) -> _Folder:
    changed = os.stat(at).st_mtime_ns
    if before is not None and before.settled and before.changed == changed:
        return before
    settled = time.time_ns() - changed > SETTLED
    with os.scandir(at) as entries:
        found = [(entry.path, entry.is_dir(follow_symlinks=False)) for entry in entries]
    folders = tuple(path for path, is_folder in found if is_folder)
    files = tuple(path for path, is_folder in found if not is_folder and path.endswith(SUFFIX))
    return _Folder(changed, settled, folders, files)


def _look_at_file(path: str, before: tuple[int, int, bool] | None) -> tuple[int, int, bool] | None:
    try:
        file = os.stat(path)
    except OSError:
        return None
    if before is not None and before[:2] == (file.st_mtime_ns, file.st_size):
        return before
    return file.st_mtime_ns, file.st_size, stat.S_ISREG(file.st_mode) and looks_saved(Path(path))
