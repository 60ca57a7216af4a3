"""Whether other programs want the cores as well."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path


class Crowd(threading.local):
    """A program that wakes now and then, as most do, is no crowd: what counts is how often others were there of
    late."""

    SECONDS = 0.05  # between two checks, each of which takes some 20 µs
    MEMORY = 4  # checks that count

    def __init__(self) -> None:
        self.checked = 0.0
        self.share = 0.0  # of the last checks that found others

    def is_there(self, threads: int, at_work: int) -> bool:
        """Beside so many threads, of which the system may count these as running now, the calling one included."""
        now = time.monotonic()
        if now > self.checked + self.SECONDS:
            self.checked = now
            self.share += ((_running() - at_work + threads > (os.cpu_count() or 1)) - self.share) / self.MEMORY
        return self.share > 0.5


def _running() -> int:
    """How many threads of all programs run or wait for a core now, this one included; 0 where only Linux would say."""
    try:
        return int(Path("/proc/loadavg").read_text().split()[3].partition("/")[0])
    except (OSError, ValueError, IndexError):
        return 0
