"""What is said of a batch: a line of JSON for every picture, one line for each that failed, how far it all is."""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from ...errors import NSTError, counted
from .jobs import Job, folded
from .outcome import FAILED, KEPT, MADE, UNDONE, Outcome
from .worker import in_words

NAME = "report.jsonl"
LONGEST_LINE = 1 << 20


@dataclass(frozen=True)
class Console:
    """How a command speaks to its user."""

    say: Callable[[str], object]
    tell: Callable[[object], object]  # what other programs read: where a picture is
    show: Callable[[str, int, int, Callable[[], str]], object]  # how far it is
    quiet: bool = False


class Report:
    """A line for every job. It is written again by every run, line by line, so that one that is killed leaves what is
    known of it."""

    def __init__(self, path: Path, jobs: list[Job]) -> None:
        if {folded(str(path))} & {folded(name) for job in jobs for name in (job.content, *job.styles, job.out)}:
            raise NSTError(f"--report: {path} is one of the pictures; name another file.")
        self.missing = {job.out: job for job in jobs}  # of which there is no line yet
        try:
            if not _may_be_replaced(path):
                raise NSTError(f"--report: {path} is there and is no report of nst batch; name another file.")
            path.open("wb").close()
            # At its end, whoever else writes there: of two runs at once the lines stay whole.
            # Of names that are no text, JSON's own way of writing halves of characters.
            self.file: IO[str] = path.open("a", encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise NSTError(f"--report: {path} cannot be written ({error.strerror or error}).") from error

    def __enter__(self) -> Report:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.file.close()

    def add(self, outcome: Outcome) -> None:
        job = outcome.job
        self.missing.pop(job.out, None)
        line: dict[str, Any] = {
            "content": job.content,
            "styles": list(job.styles),
            "output": job.out,
            "status": outcome.status,
            "seconds": outcome.seconds,
            "loss": outcome.loss,
            "error": outcome.error or None,
        }
        line |= {name: value for name, value in (("options", list(job.options)), ("where", outcome.where)) if value}
        self.file.write(json.dumps(line, ensure_ascii=False) + "\n")
        self.file.flush()

    def add_missing(self, why: str) -> None:
        for job in list(self.missing.values()):
            self.add(Outcome(job, UNDONE, error=why))


def _may_be_replaced(path: Path) -> bool:
    """Whether there is nothing, or a report of an earlier run. Nobody waits for who reads a pipe."""
    if path.is_fifo():
        return False
    if not path.is_file() or path.stat().st_size == 0:
        return True
    with path.open("rb") as file, contextlib.suppress(ValueError, RecursionError):
        line = json.loads(file.readline(LONGEST_LINE))
        return isinstance(line, dict) and {"output", "status"} <= line.keys()
    return False


@dataclass
class Tally:
    """Takes every outcome: into the report, onto the screen, and into the counts. At the end, for whatever reason it
    comes, it says what has been done and what has not."""

    total: int
    report: Report
    console: Console
    fail_fast: bool = False
    counts: Counter[str] = field(default_factory=Counter)
    ended: str = ""  # why not all has been done
    cause: str = ""  # the failure that ended it
    began: float = field(default_factory=time.monotonic)
    first_made: float = 0.0  # when
    first_took: float = 0.0

    def __enter__(self) -> Tally:
        self.show()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is not None and not self.ended:
            self.ended = "interrupted" if isinstance(error, KeyboardInterrupt) else in_words(error)
        with contextlib.suppress(OSError, ValueError):  # the disk is full, or the report is closed
            self.report.add_missing(": ".join(filter(None, (self.ended, self.cause))))
        if not self.console.quiet:
            self.console.say(self.summary())

    def add(self, outcome: Outcome) -> bool:
        """Whether to go on."""
        self.counts[outcome.status] += 1
        if outcome.status == MADE and self.counts[MADE] == 1:
            self.first_made, self.first_took = time.monotonic(), outcome.seconds
        try:
            self.report.add(outcome)
        except (OSError, ValueError):  # the disk is full; the picture's own line says so
            self.ended = "the report could not be written"
        if outcome.status == MADE:
            self.console.tell(Path(outcome.job.out))
        elif outcome.status == FAILED:
            styles = " + ".join(outcome.job.styles)
            failure = f"{outcome.job.content} with {styles}: {outcome.error}"
            self.console.say(f"nst: {failure}")
            if (outcome.ends_all or self.fail_fast) and not self.ended:
                self.ended = "the others would fail likewise" if outcome.ends_all else "--fail-fast"
                self.cause = failure
        self.show()
        return not self.ended

    def show(self, now: str = "") -> None:
        def note() -> str:
            failed = f"{self.counts[FAILED]} failed" if self.counts[FAILED] else ""
            return ", ".join(filter(None, (now, failed, self.left())))

        self.console.show("batch", self.done, self.total, note)

    @property
    def done(self) -> int:
        return sum(self.counts.values())

    def left(self) -> str:
        """The time, by that of the pictures since the first one, which has waited for all to start."""
        count = self.counts[MADE]
        if not count:
            return ""
        each = (time.monotonic() - self.first_made) / (count - 1) if count > 1 else self.first_took
        return f"{in_time(each * (self.total - self.done))} left"

    def summary(self) -> str:
        finished, kept, failed = (self.counts[status] for status in (MADE, KEPT, FAILED))
        parts = [f"{counted(finished, 'picture')} made in {in_time(time.monotonic() - self.began)}"]
        parts += [f"{kept} left alone"] * bool(kept) + [f"{failed} failed"] * bool(failed)
        if missing := self.total - self.done:
            parts.append(f"{missing} not done{f' ({self.ended})' if self.ended else ''}")
        return f"batch: {', '.join(parts)}; the report is {self.report.file.name}"


def in_time(seconds: float) -> str:
    for unit, name in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.1f} {name}"
    return f"{seconds:.0f} s"
