"""What the user sees while `nst` works, and how Ctrl-C is heard. Here alone in the engine things are printed."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from ..system.safe_text import shown

SECONDS_BETWEEN_LINES = 5.0  # where there is no terminal to draw a bar on
SECONDS_BETWEEN_DRAWINGS = 0.25
LONGEST_LINE = 2000


def say(text: str) -> None:
    """What a stranger's file or graph says may be in it."""
    if sys.stderr is not None:  # under pythonw, print would take stdout instead
        print("\n".join(shown(line, LONGEST_LINE) for line in text.split("\n")), file=sys.stderr, flush=True)


def tell(path: object) -> None:
    """A path that others read, to the byte, whatever the terminal's alphabet."""
    try:
        print(path, flush=True)
    except UnicodeEncodeError:
        sys.stdout.buffer.write(os.fsencode(str(path)) + os.linesep.encode())
        sys.stdout.buffer.flush()


def print_nothing_more() -> None:
    """Python prints what is left when it ends, and would fail at it once more."""
    with contextlib.suppress(OSError, ValueError):  # not every sys.stdout has a file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def stops_on_ctrl_c(
    said: str = "the picture so far will be kept, once there is one (Ctrl-C again quits without it)",
) -> Iterator[Callable[[], bool]]:
    """Ctrl-C once: the yielded question is answered with yes. Twice: KeyboardInterrupt, as ever."""
    asked = False
    # Whether there is one at all: a file may have been opened with its number since.
    stderr = None if sys.stderr is None else 2

    def on_signal(*_: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        # Not print: the signal may have come in the middle of one.
        with contextlib.suppress(OSError):
            if stderr is not None:
                os.write(stderr, f"\nnst: stopping; {said}\n".encode())

    usual = {}
    if threading.current_thread() is threading.main_thread():  # no other thread may say what a signal does
        # Ctrl-Break is Windows' own; some terminals there have no other.
        stops = [getattr(signal, name) for name in ("SIGINT", "SIGBREAK") if hasattr(signal, name)]
        usual = {stop: signal.signal(stop, on_signal) for stop in stops}
    try:
        yield lambda: asked
    finally:
        for stop, handler in usual.items():
            signal.signal(stop, signal.SIG_DFL if handler is None else handler)


class ProgressDisplay:
    """A bar where stderr is a terminal and tqdm is there, a line now and then elsewhere, nothing when quiet."""

    def __init__(self, quiet: bool, tells_time: bool = True) -> None:
        self.quiet = quiet
        self.form = None if tells_time else "{l_bar}{bar}| {n_fmt} of {total_fmt}{postfix}"
        self.bar: Any = None
        self.title = ""
        self.last = float("-inf")
        self.tqdm: Any = None
        if not quiet and sys.stderr is not None and sys.stderr.isatty():
            with contextlib.suppress(ImportError):
                self.tqdm = importlib.import_module("tqdm").tqdm

    def __enter__(self) -> ProgressDisplay:
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def say(self, text: str) -> None:
        """Above the bar."""
        if self.bar is not None:
            self.bar.clear()
        say(text)

    def __call__(self, title: str, value: int, total: int, note: Callable[[], str] = str) -> None:
        """`note` is asked only when something is shown: reading a loss waits for the device."""
        now = time.monotonic()
        fresh, self.title = title != self.title, title
        interval = SECONDS_BETWEEN_DRAWINGS if self.tqdm else SECONDS_BETWEEN_LINES
        if self.quiet or not (fresh or now - self.last >= interval or (self.tqdm and 0 < total <= value)):
            return
        self.last = now
        if self.tqdm is None:
            of = f" of {total}" if total else ""
            say(f"{title}: {value}{of} {note()}".rstrip())
            return
        if fresh:
            self.__exit__()
            self.bar = self.tqdm(total=total or None, desc=title, unit_scale=total > 1_000_000, bar_format=self.form)
        self.bar.n = value
        self.bar.set_postfix_str(note(), refresh=False)
        self.bar.refresh()
