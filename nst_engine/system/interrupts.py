"""Ctrl-C before the command line's own code runs and after it: while torch is imported, which takes a second or more,
one line instead of a traceback; while Python ends, nothing, for all is done."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path


def _quit(*_: object) -> None:
    """Nothing has begun, so nothing is lost; an exception in the middle of an import may come out as another one."""
    os.write(2, b"nst: interrupted\n")
    os._exit(130)


def _is_command_line() -> bool:
    """Whether Python was started as `nst` or as `python -m nst_engine`."""
    if sys.argv[0] == "-m":  # until the module has been found
        return "nst_engine" in sys.orig_argv
    return Path(sys.argv[0]).stem == "nst"


_main_is_ours = False  # Ctrl-C ends this process, and not a host that has one of its own


def until_main() -> None:
    global _main_is_ours
    free = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # not of a host, and not ignored
    if free and threading.current_thread() is threading.main_thread() and _is_command_line():
        signal.signal(signal.SIGINT, _quit)
        _main_is_ours = True


def main_has_begun() -> None:
    if signal.getsignal(signal.SIGINT) is _quit:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def main_has_ended() -> None:
    """What torch does as Python ends would be interrupted with a traceback."""
    if _main_is_ours:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
