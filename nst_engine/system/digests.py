"""What is in a file, as a hash."""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from pathlib import Path

from ..errors import NSTError
from .safe_files import open_file

_AT_ONCE = 1 << 20


def digest(path: Path) -> str:
    """SHA-256 of a file; one that has not changed since is not read again. Of a folder of masks, of all its files."""
    try:
        if path.is_dir():
            files = sorted(file for file in path.iterdir() if file.is_file() and file.name[0] != ".")
            names = "".join(f"{file.name} {digest(file)} " for file in files)
            return hashlib.sha256(os.fsencode(names)).hexdigest()  # not every name is text
        found = path.stat()
        return _digest(path, found.st_mtime_ns, found.st_size)
    except OSError as error:
        raise NSTError(f"{path}: this file cannot be read ({error.strerror or error}).") from error


@lru_cache(4096)
def _digest(path: Path, _changed: int, _size: int) -> str:
    found = hashlib.sha256()
    with open_file(path) as file:
        while piece := file.read(_AT_ONCE):
            found.update(piece)
    return found.hexdigest()
