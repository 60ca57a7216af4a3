"""Threads that share out the strips of a picture on a CPU.

torch's threads divide every operation in advance and wait for each other by spinning: beside another program, a thread
that has lost its core holds up all others. These threads take strips from the front of a line, each as fast as it can,
and sleep while they wait. A strip's operations run in the thread that took it and nowhere else, so that no sum depends
on the number of threads.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections.abc import Callable, Iterator, Sequence

import torch

from ..plain import CPU, Share, Task, equal_parts
from ..plain import parallel_for as serial_for
from .crowd import Crowd
from .jobs import Job, Line

# Threads more than cores beside other programs, where a thread may lose its core in the middle of a task and the others
# go on with the rest. On a quiet machine they would only be in the way. Measured on two cores: bench/RESULTS.md.
EXTRA = 2
# Tasks; more would hold memory for long, and a run could not be stopped soon. Who launches them works until there are
# half as many.
MOST_WAITING = 64


class _Helpers:
    """Threads that sleep until there is a job, shared by all runs of a process and started when first needed."""

    def __init__(self) -> None:
        self.lines: queue.SimpleQueue[Line] = queue.SimpleQueue()
        self.count = 0
        self.lock = threading.Lock()

    def call(self, line: Line, count: int, in_all: int) -> None:
        """So many more of them to this line, at which so many are to work then."""
        with self.lock:
            while self.count < in_all:
                threading.Thread(target=self._serve, name="nst-worker", daemon=True).start()
                self.count += 1
        for _ in range(count):
            self.lines.put(line)

    def _serve(self) -> None:
        _use_one_thread()
        torch.set_grad_enabled(False)
        while True:
            line = self.lines.get()
            with torch.inference_mode(line.inference):
                line.work()
            del line


class _Pool(threading.local):
    """Of the calling thread."""

    size = 1  # as many threads as torch would use
    line: Line | None = None  # what was launched
    threads = 1  # that work on it, this one included


_helpers = _Helpers()
_pool = _Pool()
_crowd = Crowd()


def _forget_threads() -> None:
    """A forked process has none of its parent's threads, and does nothing of what the parent had launched."""
    global _helpers, _pool
    _helpers, _pool = _Helpers(), _Pool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)


def _use_one_thread() -> None:
    """torch's operations in this thread use no other thread; those in other threads use as many as before."""
    usual = torch.get_num_threads()
    torch.set_num_threads(1)
    # That call also set the number for threads to come. One from another thread restores it, and leaves this one alone.
    restore = threading.Thread(target=torch.set_num_threads, args=(usual,))
    restore.start()
    restore.join()


@contextlib.contextmanager
def thread_pool(device: torch.device = CPU) -> Iterator[None]:
    """While this lasts, `parallel_for` uses as many threads as torch would, and torch's operations use one. Other
    devices divide their work themselves."""
    usual = torch.get_num_threads()
    if device.type != "cpu" or usual == 1:  # within such a pool, or as the user wishes
        try:
            yield
        except BaseException:  # whoever tries again with less memory finds none held
            _abandon()
            raise
        return
    _use_one_thread()
    _pool.size = usual
    try:
        yield
        synchronize()
    finally:
        try:
            _abandon()
        finally:
            _pool.size = 1
            torch.set_num_threads(usual)


def parallel_for(do: Callable[[Task], object], tasks: Sequence[Task]) -> None:
    """do(task) for every task, in any order and any thread; what one of them raises is raised here."""
    if len(tasks) < 2 and _pool.line is None:
        serial_for(do, tasks)
        return
    with thread_pool():
        launch(do, tasks)
        synchronize()


def launch(
    do: Callable[[Task], object],
    tasks: Sequence[Task],
    needs: Share | None = None,
    makes: Share | None = None,
    aside: bool = False,
) -> None:
    """The same some time later, when what was launched before is done, or as much of it as is needed, and by
    `synchronize` at the latest. See `Job` for `needs`, `makes` and `aside`."""
    if _pool.size == 1:
        serial_for(do, tasks)
        return
    if not tasks:
        return
    if _pool.line is not None and _pool.line.waiting > MOST_WAITING:
        _help(_pool.line, lambda line: line.work(until=MOST_WAITING // 2))
    if _pool.line is not None and _pool.line.error is not None:
        synchronize()
    if _pool.line is None:
        _pool.line, _pool.threads = Line(), 1
    extra = EXTRA if _crowd.is_there(_pool.size, 1 + _pool.line.running) else 0
    _pool.line.add(Job(do, tasks, needs, makes, aside))
    threads = min(_pool.size + extra, len(tasks))
    if threads > _pool.threads:
        _helpers.call(_pool.line, threads - _pool.threads, threads - 1)
        _pool.threads = threads


def synchronize() -> None:
    """Returns when all is done that this thread has launched; raises what a task raised."""
    line = _pool.line
    if line is None:
        return
    _pool.line = None
    _help(line, Line.finish)
    error, line.error = line.error, None
    if error is not None:
        try:
            raise error
        finally:
            del error  # which would keep this frame alive, and the frame its tensors


def _help(line: Line, work: Callable[[Line], None]) -> None:
    size, kept = _pool.size, _pool.line
    _pool.size, _pool.line = 1, None  # a task has its own tasks done where it is
    try:
        work(line)
    except BaseException as stop:  # Ctrl-C while others work
        kept = None
        line.fail(stop)
        raise
    finally:
        _pool.size, _pool.line = size, kept


def _abandon() -> None:
    """After an exception, what was launched is not to be done any more."""
    line, _pool.line = _pool.line, None
    if line is not None:
        line.fail(RuntimeError("abandoned"))
        line.finish()


def strips(height: int, numbers: int, device: torch.device, least: int = 1 << 18) -> list[slice]:
    """The rows of a tensor, each of so many numbers, in strips that a core's cache holds; whole on other devices. They
    do not depend on how many threads there are."""
    if device.type != "cpu" or height == 0:
        return [slice(0, height)]
    return equal_parts(height, min(height, even(height * numbers // least)))


def even(count: int) -> int:
    """At least so many, and such a number that two or four threads end at about the same time."""
    return max(1, count) if count < 3 else -(-count // 4) * 4
