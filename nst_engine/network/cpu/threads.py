"""Threads that share out the strips of a picture on a CPU.

torch's threads divide every operation in advance and wait for each other by spinning: beside another program, a thread
that has lost its core holds up all others. These threads take strips from one counter, each as fast as it can, and
sleep while they wait. A strip's operations run in the thread that took it and nowhere else, so that no sum depends on
the number of threads.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

from ..plain import CPU, Task, equal_parts
from ..plain import parallel_for as serial_for


class _Job:
    """Tasks that any thread may take, and the first error among them."""

    def __init__(self, do: Callable[[Task], object], tasks: Sequence[Task]) -> None:
        self.do = do
        self.tasks: Sequence[Task] = tasks
        self.inference = torch.is_inference_mode_enabled()
        self.take = itertools.count().__next__
        self.left = len(tasks)
        self.lock = threading.Lock()
        self.done = threading.Event()
        self.error: BaseException | None = None

    def work(self) -> None:
        while (number := self.take()) < len(self.tasks):
            try:
                if self.error is None:
                    self.do(self.tasks[number])
            except BaseException as error:  # raised again in `parallel_for`
                self.error = error
            with self.lock:
                self.left -= 1
                last = self.left == 0
            if last:
                self.done.set()


def _nothing(_: object) -> None:
    pass


class _Helpers:
    """Threads that sleep until there is a job, shared by all runs of a process and started when first needed."""

    def __init__(self) -> None:
        self.jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self.count = 0
        self.lock = threading.Lock()

    def call(self, job: _Job, count: int) -> None:
        with self.lock:
            while self.count < count:
                threading.Thread(target=self._serve, name="nst-worker", daemon=True).start()
                self.count += 1
        for _ in range(count):
            self.jobs.put(job)

    def _serve(self) -> None:
        _use_one_thread()
        torch.set_grad_enabled(False)
        while True:
            job = self.jobs.get()
            with torch.inference_mode(job.inference):
                job.work()
            del job  # with the tensors that it holds


_helpers = _Helpers()


def _forget_helpers() -> None:
    """A forked process has none of its parent's threads."""
    global _helpers
    _helpers = _Helpers()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_helpers)

_pool = threading.local()


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
        yield
        return
    _use_one_thread()
    _pool.size = usual
    try:
        yield
    finally:
        _pool.size = 1
        torch.set_num_threads(usual)


class _Crowd(threading.local):
    """Whether other programs want the cores as well. Then a thread may lose its core in the middle of a task, so one
    more thread than there are cores goes on with the rest; on a quiet machine it would only be in the way. A program
    that wakes now and then, as most do, is no crowd: what counts is how often others were there of late."""

    SECONDS = 0.05  # between two checks, each of which takes some 20 µs
    MEMORY = 4  # checks that count

    def __init__(self) -> None:
        self.checked = 0.0
        self.share = 0.0  # of the last checks that found others

    def is_there(self, threads: int) -> bool:
        now = time.monotonic()
        if now > self.checked + self.SECONDS:
            self.checked = now
            self.share += ((_running() - 1 + threads > (os.cpu_count() or 1)) - self.share) / self.MEMORY
        return self.share > 0.5


def _running() -> int:
    """How many threads of all programs run or wait for a core now, this one included."""
    try:
        return int(Path("/proc/loadavg").read_text().split()[3].partition("/")[0])
    except (OSError, ValueError, IndexError):  # not on Linux
        return 1 << 30


_crowd = _Crowd()


def parallel_for(do: Callable[[Task], object], tasks: Sequence[Task]) -> None:
    """do(task) for every task, in any order and any thread; what one of them raises is raised here."""
    if len(tasks) < 2:
        serial_for(do, tasks)
        return
    with thread_pool():
        job = _Job(do, tasks)
        threads = getattr(_pool, "size", 1)
        if threads > 1 and _crowd.is_there(threads):
            threads += 1
        _helpers.call(job, min(threads, len(tasks)) - 1)
        job.work()
        job.done.wait()
        job.tasks, job.do = (), _nothing  # so that a thread that wakes too late holds no tensors
    error, job.error = job.error, None
    if error is not None:
        try:
            raise error
        finally:
            del error  # which would keep this frame alive, and the frame its tensors


def strips(height: int, numbers: int, device: torch.device, least: int = 1 << 18) -> list[slice]:
    """The rows of a tensor, each of so many numbers, in strips that a core's cache holds; whole on other devices. They
    do not depend on how many threads there are."""
    if device.type != "cpu" or height == 0:
        return [slice(0, height)]
    return equal_parts(height, min(height, even(height * numbers // least)))


def even(count: int) -> int:
    """At least so many, and such a number that two or four threads end at about the same time."""
    return max(1, count) if count < 3 else -(-count // 4) * 4
