"""What is done already: a result carries what it was made of, as hashes, and with which options."""

from __future__ import annotations

import argparse
from functools import lru_cache
from pathlib import Path
from typing import Any

from ...errors import NSTError
from ...pictures.files import read_settings
from ...system.digests import digest
from ...video.encode import clip_settings
from ..inputs import files_of
from .jobs import Job, is_clip, parsed, words

KEY = "batch"  # in the settings that a picture carries
MACHINE = {"device": "auto", "tile": "auto", "models": [], "large": False}  # what makes no other picture


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


def made_before(out: Path, wanted: dict[str, Any]) -> dict[str, Any] | None:
    """The settings of a whole result that was made of the same; None if there is none."""
    if not out.is_file():
        return None
    try:
        settings = clip_settings(out) if is_clip(out.name) else read_settings(out)
    except NSTError:  # no picture, or a broken one: it is made again
        return None
    return settings if settings and settings.get(KEY) == wanted else None
