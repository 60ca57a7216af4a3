"""What became of a job; jobs and outcomes as texts, for other machines."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .jobs import Job

MADE, KEPT, FAILED = "made", "kept", "failed"
UNDONE = "not done"  # because the run ended before


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


def job_text(job: Job) -> str:
    return json.dumps(asdict(job))


def job_from(text: str) -> Job:
    return _job(json.loads(text))


def outcome_text(outcome: Outcome) -> str:
    """Without `part`, which is a file of the machine that made it."""
    return json.dumps({**asdict(outcome), "part": None})


def outcome_from(text: str) -> Outcome:
    told = json.loads(text)
    return Outcome(**{**told, "job": _job(told["job"]), "notes": tuple(told["notes"])})


def _job(told: dict[str, Any]) -> Job:
    return Job(told["content"], tuple(told["styles"]), told["out"], tuple(told["options"]), told["shot"])
