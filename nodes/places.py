"""Files as graphs name them: which one a name stands for, and new ones that overwrite nothing."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path, PureWindowsPath

from ..nst_engine import NSTError
from ..nst_engine.saved import SUFFIX, looks_saved


def target(folder: Path, prefix: str) -> Path:
    """`folder/prefix`, which may lead into folders below but never out."""
    root = os.path.abspath(folder)
    path = os.path.abspath(os.path.join(root, os.path.dirname(os.path.normpath(prefix))))
    if "\0" in prefix or (path != root and not path.startswith(root.rstrip(os.sep) + os.sep)):
        raise NSTError(f"{prefix!r} leads out of the folder {folder}; give a name, or a name in folders below it.")
    return Path(path) / os.path.basename(os.path.normpath(prefix))


def below(folder: Path, name: str) -> Path:
    """The same for files that people exchange: a name that every system understands, and no link that leads out."""
    # Windows' rules for separators and drives, wherever this runs: graphs are exchanged, too.
    parts = PureWindowsPath(name).parts
    if not parts or ".." in parts or re.search(r"^[\\/]|[:\x00-\x1f]", name):
        raise NSTError(
            f"{name!r} does not name a file in or below the folder {folder}, or not on every system; write for "
            "instance nst/style."
        )
    path = Path(folder, *parts)
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
        raise NSTError(f"{name!r} is a link that leads out of the folder {folder}; put the file itself there.")
    return path


def fill_in(prefix: str, width: int = 0, height: int = 0) -> str:
    """The names between percent signs that the host knows."""
    prefix = prefix.replace("%width%", str(width)).replace("%height%", str(height))
    times = {"year": "%Y", "month": "%m", "day": "%d", "hour": "%H", "minute": "%M", "second": "%S"}
    for name, code in times.items():
        prefix = prefix.replace(f"%{name}%", time.strftime(code))
    return prefix


def reserve(folder: Path, name: str, suffix: str) -> Path:
    """A new and empty file in `folder`, numbered on from what is there as the host does it."""
    numbered = re.compile(re.escape(name) + r"_(\d+)")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        taken = [int(match[1]) for file in os.listdir(folder) if (match := numbered.match(file))]
        counter = max(taken, default=0) + 1
        while True:
            path = folder / f"{name}_{counter:05}_{suffix}"
            try:
                path.open("xb").close()
                return path
            except FileExistsError:  # somebody else was quicker
                counter += 1
    except OSError as error:
        raise NSTError(f"{folder}: no file can be written there ({error.strerror or error}).") from error


def styles_in(folder: Path) -> list[str]:
    """The saved styles in a folder and those below it, by their names from there."""
    found = (Path(at, file) for at, _, files in os.walk(folder) for file in files if file.endswith(SUFFIX))
    return sorted(path.relative_to(folder).as_posix() for path in found if looks_saved(path))
