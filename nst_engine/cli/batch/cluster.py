"""The same list of jobs on Ray: actors that load network and styles once, on this machine or on many.

Ray Data hands out small blocks of jobs, starts actors again that die, and gives their blocks to others. What goes wrong
with one picture comes back as its outcome, since an error in a block would end all.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...errors import NSTError, counted
from ...system.safe_files import move_over
from .connect import check_machines, connected, installed_ray, on_every_machine
from .jobs import Job
from .outcome import FAILED, KEPT, Outcome, job_from, job_text, outcome_from, outcome_text
from .output import temporary_path
from .pool import MOST_TRIES
from .resume import asked, made_before
from .worker import Settings, Worker, in_words

JOBS_IN_A_BLOCK = 4
MOST_BLOCKS = 10_000
CPUS_OF_AN_ACTOR = 4  # where there is no GPU, and so many are in one machine
SECONDS_TO_TIDY = 30


@dataclass(frozen=True)
class Cluster:
    """What a user says of it; None leaves it to what is there."""

    address: str | None = None  # None: workers on this machine, for this run
    actors: int | None = None
    gpus: float | None = None  # for an actor
    cpus: float | None = None
    returns: bool = False  # pictures come to the driver, which alone sees the folder of the results


class Maker:
    """An actor: a worker that is called with blocks of jobs."""

    def __init__(self, settings: Settings, folder: str, returns: bool, threads: int) -> None:
        os.chdir(folder)  # paths in the list of jobs are relative to where the command was given
        if threads:
            torch.set_num_threads(threads)
        self.work = Path(settings.work)
        if returns:  # which work in a folder of this machine, shared by its actors, that has the run's own name
            self.work = Path(tempfile.gettempdir(), _name_there(self.work))
            self.work.mkdir(exist_ok=True)
            settings = replace(settings, work=str(self.work), moves=False)
        self.worker = Worker(settings)

    def __call__(self, block: dict[str, Any]) -> Iterator[dict[str, Any]]:
        outcomes: list[Outcome] = []

        def add(outcome: Outcome) -> None:
            outcomes.append(outcome)
            self._tries(outcome.job).unlink(missing_ok=True)  # whatever ends this actor, it is not this job

        self.worker.run(self._not_deadly([job_from(text) for text in block["job"]], outcomes), add)
        for outcome in outcomes:
            picture = b""
            if outcome.part is not None:
                picture = outcome.part.read_bytes()
                outcome.part.unlink()
            yield {"outcome": np.array([outcome_text(outcome)]), "picture": _column(picture)}

    def _not_deadly(self, jobs: list[Job], outcomes: list[Outcome]) -> Iterator[Job]:
        """Ray repeats a block whose actor died for ever; a picture that kills actors is not to do so."""
        for job in jobs:
            with self._tries(job).open("ab") as file:
                file.write(b".")
                tries = file.tell()
            if tries <= MOST_TRIES:
                yield job
            else:
                outcomes.append(
                    Outcome(job, FAILED, error=f"workers died {MOST_TRIES} times while they had this picture")
                )

    def _tries(self, job: Job) -> Path:
        name = job.out if job.shot is None else f"{job.out} {job.shot}"
        return self.work / f"tries-{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}"


def _column(value: bytes) -> np.ndarray:
    column = np.empty(1, dtype=object)
    column[0] = value
    return column


def run_on_ray(jobs: Sequence[Job], settings: Settings, cluster: Cluster, report: Callable[[Outcome], bool]) -> None:
    ray = installed_ray(cluster.address)
    with connected(ray, cluster.address):
        work = Path(settings.work).absolute()
        settings = replace(settings, work=str(work))
        check_machines(ray, None if cluster.returns else str(work), os.getcwd())
        placed = _placed(ray, cluster)
        if cluster.returns:
            jobs = list(_not_made_before(jobs, report))
        if not jobs:
            return
        try:
            _share_out(ray, jobs, settings, placed, report)
        finally:
            if cluster.returns:
                _remove_folders(ray, work)


def _name_there(work: Path) -> str:
    """Of a run's folder among the temporary files of machines that do not see its own."""
    return work.name.lstrip(".")


def _remove_folders(ray: Any, work: Path) -> None:
    name = _name_there(work)

    def remove() -> None:
        shutil.rmtree(Path(tempfile.gettempdir(), name), ignore_errors=True)

    with contextlib.suppress(Exception):  # of a cluster that is gone
        ray.get([answer for _, answer in on_every_machine(ray, remove)], timeout=SECONDS_TO_TIDY)


def _share_out(
    ray: Any, jobs: Sequence[Job], settings: Settings, placed: Cluster, report: Callable[[Outcome], bool]
) -> None:
    blocks = min(math.ceil(len(jobs) / JOBS_IN_A_BLOCK), MOST_BLOCKS)
    blocks = max(blocks, min(len(jobs), 4 * (placed.actors or 1)))  # so that all have something to do until the end
    given = ray.data.from_items([{"job": job_text(job)} for job in jobs], override_num_blocks=blocks)
    threads = 0 if placed.gpus else max(1, int(placed.cpus or 1))
    if not placed.gpus:
        settings = replace(settings, device="cpu")  # GPUs that Ray has not given to an actor may be seen all the same
    outcomes = given.map_batches(
        Maker,
        fn_constructor_args=(settings, os.getcwd(), placed.returns, threads),
        batch_size=None,  # a block at a time
        compute=ray.data.ActorPoolStrategy(size=placed.actors, max_tasks_in_flight_per_actor=2),
        num_cpus=placed.cpus,
        num_gpus=placed.gpus,
    )
    for row in outcomes.iter_rows():
        outcome = outcome_from(row["outcome"])
        if row["picture"]:
            outcome = _put(outcome, row["picture"], Path(settings.work))
        if report(outcome) is False:
            return


def _put(outcome: Outcome, picture: bytes, work: Path) -> Outcome:
    """A returned picture is moved to where it belongs."""
    out = Path(outcome.job.out)
    part = temporary_path(work, out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.write(picture)
            file.flush()
            os.fsync(file.fileno())
        move_over(part, out)
    except OSError as error:
        return replace(outcome, status=FAILED, error=in_words(error), ends_all=True)
    return outcome


def _not_made_before(jobs: Sequence[Job], report: Callable[[Outcome], bool]) -> Iterator[Job]:
    """Workers that do not see the folder cannot look."""
    for job in jobs:
        with contextlib.suppress(NSTError):  # the worker will say it
            if before := made_before(Path(job.out), asked(job, job.args())):
                report(Outcome(job, KEPT, before.get("seconds", 0.0), before.get("loss")))
                continue
        yield job


def _placed(ray: Any, cluster: Cluster) -> Cluster:
    """How many actors there will be, and what each has."""
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    all_cpus, all_gpus = (sum(machine.get(name, 0) for machine in machines) for name in ("CPU", "GPU"))
    gpus = (1 if all_gpus else 0) if cluster.gpus is None else cluster.gpus
    widest = max((machine.get("CPU", 0) for machine in machines), default=1)
    cpus = cluster.cpus or (1 if gpus else min(CPUS_OF_AN_ACTOR, max(1, widest)))
    # An actor's cores and GPUs are in one machine.
    most = sum(
        int(min(machine.get("CPU", 0) / cpus, machine.get("GPU", 0) / gpus if gpus else math.inf))
        for machine in machines
    )
    actors = cluster.actors or most
    if not 1 <= actors <= most:
        raise NSTError(
            f"--actors: {counted(actors, 'actor')} with {gpus:g} GPUs and {cpus:g} CPU cores each will not do: "
            f"{counted(len(machines), 'machine')} with {all_gpus:g} and {all_cpus:g} of them in all have room for "
            f"{most}. Give fewer --actors, --gpus-per-actor or --cpus-per-actor."
        )
    return replace(cluster, actors=actors, gpus=gpus, cpus=cpus)
