"""What the host's names of files stand for."""

from __future__ import annotations

import os
import time
from pathlib import Path

from ..nst_engine.saved import SUFFIX, looks_saved


def fill_in(prefix: str, width: int = 0, height: int = 0) -> str:
    """The names between percent signs that the host knows."""
    prefix = prefix.replace("%width%", str(width)).replace("%height%", str(height))
    times = {"year": "%Y", "month": "%m", "day": "%d", "hour": "%H", "minute": "%M", "second": "%S"}
    for name, code in times.items():
        prefix = prefix.replace(f"%{name}%", time.strftime(code))
    return prefix


def styles_in(folder: Path) -> list[str]:
    """The saved styles in a folder and those below it, by their names from there."""
    found = (Path(at, file) for at, _, files in os.walk(folder) for file in files if file.endswith(SUFFIX))
    return sorted(path.relative_to(folder).as_posix() for path in found if looks_saved(path))
