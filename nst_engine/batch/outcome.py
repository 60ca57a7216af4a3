"""What became of a job."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .jobs import Job

MADE, KEPT, FAILED = "made", "kept", "failed"


@dataclass(frozen=True)
class Outcome:
    job: Job
    status: str
    seconds: float = 0.0  # of measuring and of steps; reading and writing go on beside those of other pictures
    loss: float | None = None  # of the last step
    error: str = ""
    ends_all: bool = False  # the others would fail like this one: the disk is full
    where: str = ""  # the device or host
    notes: tuple[str, ...] = ()
    part: Path | None = None  # the finished file, where somebody else is to move it to its place
