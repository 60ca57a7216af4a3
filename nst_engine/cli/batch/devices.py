"""Several devices of one machine, a process each: torch works in one process with one device best."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

import torch

from ...errors import NSTError
from ...system.devices import usable_device
from .jobs import Job
from .outcome import Outcome
from .pool import Pool
from .worker import Settings, Worker

AHEAD = 3  # jobs that a process has: one is read, one made, one written
MOST_DEATHS = 3  # in a row, without a picture in between


class DeviceLane:
    """A process that is started again when it dies."""

    def __init__(self, settings: Settings, threads: int) -> None:
        self.settings = settings
        self.threads = threads
        self.process: BaseProcess | None = None
        self.ended = False

    def work(self, pool: Pool) -> None:
        deaths = 0
        while deaths < MOST_DEATHS:
            pending: deque[Job] = deque()
            finished = 0
            try:
                with self._started() as connection:
                    for outcome in _outcomes(connection, pool, pending):
                        finished += 1
                        pool.add(outcome)
                    return
            except (EOFError, OSError):
                deaths = 1 if finished else deaths + 1
                pool.give_back(list(pending), f"the process for {self.settings.device} died")
            if self.ended:
                return
        raise NSTError(f"--devices: the process for {self.settings.device} dies whenever it is started.")

    @contextlib.contextmanager
    def _started(self) -> Iterator[Connection]:
        context = multiprocessing.get_context("spawn")  # a copy of a process that has used CUDA cannot use it
        ours, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, self.settings, self.threads), daemon=True)
        self.process.start()
        theirs.close()  # so that this end notices when the other is gone
        try:
            if refusal := ours.recv():
                raise NSTError(refusal)
            yield ours
        finally:
            ours.close()  # the process ends when it sees this
            self.process.join()

    def end(self) -> None:
        self.ended = True
        if self.process is not None and self.process.is_alive():
            self.process.kill()


def _outcomes(connection: Connection, pool: Pool, pending: deque[Job]) -> Iterator[Outcome]:
    """`pending` is what the process has and has not reported, oldest first."""
    while True:
        while len(pending) < AHEAD and (job := pool.take(wait=not pending)) is not None:
            pending.append(job)
            connection.send(job)
        if not pending:
            return
        outcome = connection.recv()
        pending.popleft()
        yield outcome


def _serve(connection: Connection, settings: Settings, threads: int) -> None:
    """In the process: jobs come in, outcomes go out."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends Ctrl-C to all; the parent says what comes of it
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if threads:
        torch.set_num_threads(threads)
    try:
        usable_device(settings.device or "auto")
    except NSTError as error:
        connection.send(str(error.called({"device": "--devices"})))
        return
    connection.send(None)

    def jobs() -> Iterator[Job]:
        with contextlib.suppress(EOFError, OSError):
            while True:
                yield connection.recv()

    Worker(settings).run(jobs(), connection.send)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def device_names(text: str) -> list[str]:
    """Of `cuda:0,cuda:1`; whether one can be used, its process finds out."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise NSTError("--devices: none is named; give for instance cuda:0,cuda:1.")
    for name in names:
        try:
            torch.device("cpu" if name == "auto" else name)
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            raise NSTError(f"--devices: {name!r} cannot be used ({reason}); give such as cuda:0,cuda:1.") from error
    return names


def device_lanes(names: str, settings: Settings) -> list[DeviceLane]:
    """Processes on the CPU share its cores."""
    devices = device_names(names)
    on_cpu = sum(name == "cpu" for name in devices)
    threads = max(1, torch.get_num_threads() // on_cpu) if on_cpu else 0
    return [DeviceLane(replace(settings, device=name), threads if name == "cpu" else 0) for name in devices]
