"""Jobs in a line, for threads that take their tasks from the front of it.

Were every job to wait until the one before is done, all threads would wait for the last task of each: a moment on a
quiet machine, but beside another program until the thread that has the task gets its core back. So a task begins as
soon as that part of the picture is there that it reads, and whoever finds nothing left of one job goes on to the next.
Jobs that none of these waits for, such as the sums of a tap's features, are done meanwhile.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from typing import Any

import torch

from ..plain import Share


class Job:
    """Tasks that any thread may take, in their order. `needs` is how much of the picture has to be there before one may
    begin: all, if it is not given; `makes` is how much is there when it is done, with those before it. What is made
    `aside` is needed by no later job, except by one made aside without `needs`, which waits for all before it."""

    def __init__(
        self,
        do: Callable[[Any], object],
        tasks: Sequence[Any],
        needs: Share | None = None,
        makes: Share | None = None,
        aside: bool = False,
    ) -> None:
        self.do, self.tasks, self.needs, self.makes, self.aside = do, tasks, needs, makes, aside
        self.begun = 0
        self.done = [False] * len(tasks)
        self.first = 0  # that is not done

    @property
    def whole(self) -> bool:
        return self.first == len(self.tasks)

    @property
    def needed(self) -> float:
        """How much of the picture the next task needs."""
        return math.inf if self.needs is None else self.needs(self.tasks[self.begun])

    @property
    def share(self) -> float:
        """That is there for later jobs."""
        if self.whole or self.aside:
            return math.inf
        return 0.0 if self.makes is None or self.first == 0 else self.makes(self.tasks[self.first - 1])

    def end(self, number: int) -> bool:
        """Notes that this task is done; says whether more of the picture is there."""
        self.done[number] = True
        before = self.first
        while not self.whole and self.done[self.first]:
            self.first += 1
        return self.first > before


class Line:
    """Jobs that one thread adds and several work on."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []  # not all of whose tasks are done
        self.waiting = 0  # tasks that nobody has begun
        self.running = 0  # tasks that somebody does now
        self.closed = False  # no jobs will be added any more
        self.error: BaseException | None = None  # the first that a task raised
        self.inference = torch.is_inference_mode_enabled()
        self.changed = threading.Condition(threading.Lock())

    def add(self, job: Job) -> None:
        with self.changed:
            if self.error is not None:
                return
            self.waiting += len(job.tasks)
            self.jobs.append(job)
            self.changed.notify_all()

    def work(self, until: int | None = None) -> None:
        """Until no task is left that a thread could begin and none will be added; or until so few wait."""
        while self._do_one(until):
            pass

    def finish(self) -> None:
        """Works until all is done."""
        with self.changed:
            self.closed = True
            self.changed.notify_all()
        self.work()
        with self.changed:
            while self.running:
                self.changed.wait()

    def fail(self, error: BaseException) -> None:
        """No task is begun any more, and what they work on is let go."""
        with self.changed:
            self.error = self.error or error
            self.closed = True
            self.jobs.clear()
            self.waiting = 0
            self.changed.notify_all()

    def _do_one(self, until: int | None) -> bool:
        # In a function of its own: a thread that waits holds no job, and so none of the tensors that it works on.
        begun = self._begin(until)
        if begun is None:
            return False
        job, number = begun
        try:
            job.do(job.tasks[number])
        except BaseException as error:  # raised again where the jobs came from
            self.fail(error)
        self._end(job, number)
        return True

    def _begin(self, until: int | None) -> tuple[Job, int] | None:
        with self.changed:
            while not self._is_over(until):
                if (job := self._next()) is not None:
                    job.begun += 1
                    self.waiting -= 1
                    self.running += 1
                    return job, job.begun - 1
                self.changed.wait()
            return None

    def _is_over(self, until: int | None) -> bool:
        return self.closed and not self.waiting if until is None else self.waiting <= until

    def _next(self) -> Job | None:
        """The first job with a task that nobody has begun, if what that task reads is there; until it is, the first of
        those made aside before it of which that is true."""
        there, meanwhile = math.inf, None
        for place, job in enumerate(self.jobs):
            if job.begun == len(job.tasks):
                there = min(there, job.share)
                continue
            all_before = job.aside and job.needs is None
            ready = place == 0 if all_before else job.needed <= there
            if not job.aside:
                return job if ready else meanwhile
            if ready and meanwhile is None:
                meanwhile = job
        return meanwhile

    def _end(self, job: Job, number: int) -> None:
        with self.changed:
            self.running -= 1
            more = job.end(number)
            if job.whole and job in self.jobs:  # `fail` empties the line; else it would hold what the job worked on
                self.jobs.remove(job)
            if more or not self.running:
                self.changed.notify_all()
