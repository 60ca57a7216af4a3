"""What a container, a batch system or `ulimit` leaves to this process, whatever the machine has."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import psutil

GROUPS = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")


def left_to_this_process() -> list[int]:
    """Bytes, by every limit that there is."""
    return [*(_left_in_groups() if sys.platform == "linux" else ()), *_left_by_ulimit()]


def _left_in_groups() -> Iterator[int]:
    """In this process's control groups and in those that they are part of: a service, a job, a container."""
    for folder, most, used in _own_groups():
        try:
            limit = int((folder / most).read_text())
            yield limit - int((folder / used).read_text()) + _file_cache(folder)
        except (OSError, ValueError):  # no such controller, or "max"
            continue


def _own_groups() -> Iterator[tuple[Path, str, str]]:
    try:
        lines = OWN_GROUPS.read_text().splitlines()
    except OSError:
        lines = ["0::/"]
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        # The second version has one tree of groups, the first one for each controller.
        root = GROUPS / "memory" if controllers else GROUPS
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes") if controllers else ("memory.max", "memory.current")
        folder = root / path.lstrip("/")
        for group in (folder, *folder.parents):
            if group.is_relative_to(root):
                yield group, *names


def _file_cache(group: Path) -> int:
    """Counted as used, but given up when memory is wanted."""
    lines = (group / "memory.stat").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.split()[0] in ("inactive_file", "active_file"))


def _left_by_ulimit() -> Iterator[int]:
    resource = _resource()
    if resource is None:
        return
    used = psutil.Process().memory_info()
    for kind, taken in ((resource.RLIMIT_AS, used.vms), (resource.RLIMIT_DATA, getattr(used, "data", 0))):
        soft, _ = resource.getrlimit(kind)
        if soft != resource.RLIM_INFINITY:
            yield soft - taken


def _resource() -> ModuleType | None:
    """Of POSIX alone."""
    try:
        return importlib.import_module("resource")
    except ImportError:
        return None
