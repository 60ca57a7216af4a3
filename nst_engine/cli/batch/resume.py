"""What is done already: a result carries what it was made of, as hashes, and with which options."""

from __future__ import annotations

import argparse
import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

from ...errors import NSTError
from ...pictures.files import read_settings
from ...system.safe_files import open_file
from ...video.encode import clip_settings
from .jobs import Job, files_of, is_clip, parsed, words

KEY = "batch"  # in the settings that a picture carries
MACHINE = {"device": "auto", "tile": "auto", "models": [], "large": False}  # what makes no other picture
_AT_ONCE = 1 << 20


def asked(job: Job, args: argparse.Namespace) -> dict[str, Any]:
    """The options and input hashes that a finished result must carry to count as this job's."""
    return {
        "options": list(_options(job.options, job.command)),
        "inputs": {name: digest(Path(file)) for name, file in files_of(args).items() if is_file_to_hash(name, file)},
    }


def is_file_to_hash(name: str, file: str) -> bool:
    """Weights may be named, and then lie in a folder of models."""
    return name != "weights" or Path(file).is_file()


@lru_cache(1024)
def _options(options: tuple[str, ...], command: str) -> tuple[str, ...]:
    return words(argparse.Namespace(**{**vars(parsed(options, command)), **MACHINE}), command)


def digest(path: Path) -> str:
    """SHA-256 of a file; one that has not changed since is not read again. Of a folder of masks, of all its files."""
    try:
        if path.is_dir():
            files = sorted(file for file in path.iterdir() if file.is_file() and file.name[0] != ".")
            return hashlib.sha256("".join(f"{file.name} {digest(file)} " for file in files).encode()).hexdigest()
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


def made_before(out: Path, wanted: dict[str, Any]) -> dict[str, Any] | None:
    """The settings of a whole result that was made of the same; None if there is none."""
    if not out.is_file():
        return None
    try:
        settings = clip_settings(out) if is_clip(out.name) else read_settings(out)
    except NSTError:  # no picture, or a broken one: it is made again
        return None
    return settings if settings and settings.get(KEY) == wanted else None
