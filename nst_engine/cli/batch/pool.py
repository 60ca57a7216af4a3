"""One list of jobs for several that work on it: who is free takes the next one, and what one leaves undone when it dies
is done by the others."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Protocol

from ...errors import NSTError
from .jobs import Job
from .outcome import FAILED, Outcome
from .worker import in_words

MOST_TRIES = 5  # of a job in whose hands workers die
SECONDS_BETWEEN_LOOKS = 0.2  # for Ctrl-C, which reaches no thread that waits


class Pool:
    """Jobs that wait, and jobs under way, which may come back."""

    def __init__(self, jobs: Sequence[Job], report: Callable[[Outcome], bool]) -> None:
        self.report = report
        self.changed = threading.Condition()
        self.waiting = deque(jobs)
        self.under_way = 0
        self.tries: Counter[Job] = Counter()
        self.stopped = False

    def take(self, wait: bool = True) -> Job | None:
        """The next job, if need be once one comes back; None when there is nothing more to do, or nothing now."""
        with self.changed:
            while wait and not self.waiting and self.under_way and not self.stopped:
                self.changed.wait()
            if self.stopped or not self.waiting:
                return None
            self.under_way += 1
            return self.waiting.popleft()

    def add(self, outcome: Outcome) -> None:
        with self.changed:
            self.under_way -= 1
            if self.report(outcome) is False:
                self.stopped = True
            self.changed.notify_all()

    def give_back(self, jobs: Sequence[Job], why: str) -> None:
        """Return a dead worker's jobs. The first may have killed it, so it goes to the end of the queue, and fails when
        MOST_TRIES workers have died of it."""
        if not jobs or self.stopped:
            return
        first, *others = jobs
        with self.changed:
            self.under_way -= len(others)
            self.waiting.extendleft(reversed(others))
            self.tries[first] += 1
            if self.tries[first] < MOST_TRIES:
                self.under_way -= 1
                self.waiting.append(first)
                self.changed.notify_all()
                return
        self.add(Outcome(first, FAILED, error=f"{why}, {MOST_TRIES} times"))

    def stop(self) -> None:
        with self.changed:
            self.stopped = True
            self.changed.notify_all()


class Lane(Protocol):
    """One that takes jobs from the pool until none is left. An NSTError says why it can take no more."""

    def work(self, pool: Pool) -> None: ...

    def end(self) -> None:
        """At once, from another thread."""


def share_out(
    jobs: Sequence[Job], lanes: Sequence[Lane], report: Callable[[Outcome], bool], say: Callable[[str], object]
) -> None:
    pool = Pool(jobs, report)
    said: set[str] = set()

    def work(lane: Lane) -> None:
        try:
            lane.work(pool)
        except Exception as error:
            reason = in_words(error)
            with pool.changed:
                if reason not in said and not pool.stopped:  # two lanes of one host say the same
                    say(f"nst: {reason}")
                said.add(reason)

    threads = [threading.Thread(target=work, args=(lane,), daemon=True) for lane in lanes]
    for thread in threads:
        thread.start()
    try:
        while any(thread.is_alive() for thread in threads) and not pool.stopped:
            threads[0].join(SECONDS_BETWEEN_LOOKS)
            time.sleep(SECONDS_BETWEEN_LOOKS * (not threads[0].is_alive()))
        if pool.waiting and not pool.stopped:
            raise NSTError("batch: nobody is left to go on with it.")
    finally:
        pool.stop()
        for lane in lanes:
            lane.end()
        for thread in threads:
            thread.join()
