"""The same list of jobs on Ray: actors that load network and styles once, on this machine or on many.

Ray Data hands out small blocks of jobs, starts actors again that die, and gives their blocks to others. What goes wrong
with one picture comes back as its outcome, since an error in a block would end all.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import logging
import math
import os
import re
import socket
import tempfile
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ... import __version__
from ...errors import NSTError, counted
from ...system.safe_files import move_over
from .jobs import Job
from .outcome import FAILED, KEPT, Outcome, job_from, job_text, outcome_from, outcome_text
from .pool import MOST_TRIES
from .resume import asked, made_before
from .worker import Settings, Worker, in_words

RAY = ((2, 50), (2, 60))  # from the one to the other, as pyproject.toml has it
INSTALL = "python -m pip install 'ray[data]>=2.50,<2.61'"
INSTALL_ENGINE = "python -m pip install -e '.[standalone,cluster]'"
JOBS_IN_A_BLOCK = 4
MOST_BLOCKS = 10_000
CPUS_OF_AN_ACTOR = 4  # where there is no GPU, and so many are in one machine
SECONDS_TO_ANSWER = 60


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
        if returns:
            settings = replace(settings, work=tempfile.mkdtemp(prefix="nst-"), moves=False)
        self.worker = Worker(settings)
        self.tries = Path(tempfile.gettempdir() if returns else settings.work)

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
        return self.tries / f"tries-{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}"


def _column(value: bytes) -> np.ndarray:
    column = np.empty(1, dtype=object)
    column[0] = value
    return column


def run_on_ray(jobs: Sequence[Job], settings: Settings, cluster: Cluster, report: Callable[[Outcome], bool]) -> None:
    ray = _ray()
    with _connected(ray, cluster.address):
        work = Path(settings.work).absolute()
        settings = replace(settings, work=str(work))
        _check_machines(ray, None if cluster.returns else str(work), os.getcwd())
        placed = _placed(ray, cluster)
        if cluster.returns:
            jobs = list(_not_made_before(jobs, report))
        if jobs:
            _share_out(ray, jobs, settings, placed, report)


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
    part = work / f"{os.urandom(8).hex()}{out.suffix}"
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


# --- Ray itself ---------------------------------------------------------------------------------------------------


def _ray() -> Any:
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # what it says there, it says of itself
    try:
        ray = importlib.import_module("ray")
        importlib.import_module("ray.data")
    except ImportError as error:
        raise NSTError(
            f"--ray: the package ray, with ray.data, is not installed here ({error}); install it with {INSTALL}."
        ) from error
    found = re.match(r"(\d+)\.(\d+)", ray.__version__)
    if found is None or not RAY[0] <= (int(found[1]), int(found[2])) <= RAY[1]:
        low, high = (".".join(map(str, version)) for version in RAY)
        raise NSTError(f"--ray: Ray {ray.__version__} is installed, and {low} to {high} would do: {INSTALL}")
    return ray


@contextlib.contextmanager
def _connected(ray: Any, address: str | None) -> Iterator[None]:
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    quiet = {"logging_level": logging.ERROR, "log_to_driver": False}
    try:
        if address is None:
            ray.init(include_dashboard=False, **quiet)
        else:
            _check_reachable(address)
            ray.init(address=address, **quiet)
    except (OSError, RuntimeError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise NSTError(
            f"--ray: there is no cluster at {address or 'this machine'} ({first}). Start one with ray start --head "
            "--port=6379, its other machines with ray start --address=HOST:6379, and give HOST:6379 here; or leave the "
            "address out for workers on this machine alone."
        ) from error
    try:
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        yield
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Ray itself would try for minutes."""
    parts = urllib.parse.urlsplit(address if "://" in address else f"tcp://{address}")
    if parts.port is not None:
        socket.create_connection((parts.hostname or "", parts.port), timeout=10).close()


def _check_machines(ray: Any, work: str | None, folder: str) -> None:
    """That all of them have this engine, and see what they need to."""

    def look() -> tuple[str, list[str]]:  # goes there as it is, for what it looks for may be missing
        import importlib
        import os

        try:
            version = importlib.import_module("nst_engine.cli.batch.cluster").__version__
        except ImportError as error:
            return f"none ({error})", []
        return version, [name for name in (folder, work) if name and not os.path.isdir(name)]

    nodes = {node["NodeID"]: node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}
    affinity = importlib.import_module("ray.util.scheduling_strategies").NodeAffinitySchedulingStrategy
    asked_of = {
        host: ray.remote(look).options(num_cpus=0, scheduling_strategy=affinity(node, soft=False)).remote()
        for node, host in nodes.items()
    }
    for host, answer in asked_of.items():
        try:
            version, unseen = ray.get(answer, timeout=SECONDS_TO_ANSWER)
        except Exception as error:
            raise NSTError(f"--ray: {host} does not answer ({str(error).splitlines()[0]}).") from error
        if version != __version__:
            raise NSTError(
                f"--ray: nst_engine {__version__} is needed on every machine of the cluster, and {host} has "
                f"{version}; in a clone of the repository there, with the Python that runs Ray: {INSTALL_ENGINE}"
            )
        if unseen:
            raise NSTError(
                f"--ray: {host} does not see the folder {unseen[0]}; share it under this path"
                + (", or give --return-pictures." if unseen == [work] else ".")
            )


def _placed(ray: Any, cluster: Cluster) -> Cluster:
    """How many actors there will be, and what each has."""
    there = ray.cluster_resources()
    all_cpus, all_gpus = there.get("CPU", 0), there.get("GPU", 0)
    gpus = (1 if all_gpus else 0) if cluster.gpus is None else cluster.gpus
    widest = max((node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]), default=1)
    cpus = cluster.cpus or (1 if gpus else min(CPUS_OF_AN_ACTOR, max(1, widest)))
    most = int(min(all_cpus / cpus, all_gpus / gpus if gpus else math.inf))
    actors = cluster.actors or most
    if not 1 <= actors <= most:
        raise NSTError(
            f"--actors: {counted(actors, 'actor')} with {gpus:g} GPUs and {cpus:g} CPU cores each will not do: the "
            f"cluster has {all_gpus:g} and {all_cpus:g} of them. Give fewer --actors, --gpus-per-actor or "
            "--cpus-per-actor."
        )
    return replace(cluster, actors=actors, gpus=gpus, cpus=cpus)
