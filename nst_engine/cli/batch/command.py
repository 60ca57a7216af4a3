"""`nst batch`: from what was given to a list of jobs, and through it."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from ...errors import NSTError
from .checks import Way, faults_of
from .clips import Clips
from .cluster import Cluster, run_on_ray
from .devices import device_lanes, device_names
from .estimate import estimate
from .hosts import Graphs, check_urls, host_lanes
from .jobs import Job, named, rows_of
from .outcome import FAILED, Outcome
from .output import working_folder
from .pool import share_out
from .report import NAME, Console, Report, Tally
from .tables import read_table
from .worker import Settings, Worker

DONE, SOME_FAILED = 0, 1


def batch(args: argparse.Namespace, console: Console, load_graphs: Callable[[], Graphs]) -> int:
    """`load_graphs` gives what talks to ComfyUI hosts, which is no part of the engine."""
    _check_ways(args)
    out = Path(args.out)
    jobs = named(rows_of(args, read_table), args.name, out)
    graphs = load_graphs() if args.server else None
    if graphs:
        check_urls(args.server, graphs)
    elsewhere = args.ray is not None or bool(args.server)
    faults = faults_of(jobs, Way(_no_clips(args), bool(args.server), not elsewhere, not (elsewhere or args.devices)))
    if args.dry_run:
        return DONE if estimate(jobs, faults, console) else SOME_FAILED
    _refuse_what_all_share(jobs, faults)
    with (
        working_folder(out) as work,
        Report(Path(args.report or out / NAME), jobs) as report,
        Tally(len(jobs), report, console, args.fail_fast) as tally,
        Clips(work, tally.add, console) as clips,
    ):
        failed = (Outcome(job, FAILED, error=faults[job.out]) for job in jobs if job.out in faults)
        if all(map(tally.add, failed)):
            todo = clips.into_shots([job for job in jobs if job.out not in faults])
            if todo:
                _run(args, todo, Settings(str(work), None, args.time_limit), clips.add, tally, graphs)
    return SOME_FAILED if tally.counts[FAILED] or tally.done < tally.total else DONE


def _check_ways(args: argparse.Namespace) -> None:
    """What goes together, would be of some effect, and leaves something to be done."""
    ways = [name for name in ("--devices", "--server", "--ray") if getattr(args, name[2:]) is not None]
    if len(ways) > 1:
        raise NSTError(f"{' and '.join(ways)}: only one of them can do the work.")
    if args.devices is not None:
        device_names(args.devices)
    if args.ray is None:
        for name in ("actors", "gpus_per_actor", "cpus_per_actor", "return_pictures"):
            if getattr(args, name):
                raise NSTError(f"--{name.replace('_', '-')}: this is for --ray, which is not given.")
    for name in ("time_limit", "cpus_per_actor"):
        value = getattr(args, name)
        if value is not None and not value > 0:
            raise NSTError(f"--{name.replace('_', '-')}: {value:g} will not do; give more than 0.")
    if args.gpus_per_actor is not None and not args.gpus_per_actor >= 0:
        raise NSTError(f"--gpus-per-actor: {args.gpus_per_actor:g} will not do; give 0 or more.")


def _no_clips(args: argparse.Namespace) -> str:
    """Why there can be none."""
    if args.server:
        return "--server: hosts make no clips for a batch; leave it out, or give the clip alone."
    if args.return_pictures:
        return "--return-pictures: the frames of a clip are kept in the output folder, which workers have to see."
    return ""


def _refuse_what_all_share(jobs: Sequence[Job], faults: dict[str, str]) -> None:
    """One mistake is said once, and not for every picture."""
    reasons = set(faults.values())
    if len(faults) == len(jobs) and len(reasons) == 1:
        raise NSTError(reasons.pop())


def _run(
    args: argparse.Namespace,
    jobs: list[Job],
    settings: Settings,
    report: Callable[[Outcome], bool],
    tally: Tally,
    graphs: Graphs | None,
) -> None:
    if graphs:
        share_out(jobs, host_lanes(args.server, settings, graphs), report, tally.console.say)
        return
    if args.devices:
        share_out(jobs, device_lanes(args.devices, settings), report, tally.console.say)
        return

    if args.ray is not None:
        cluster = Cluster(args.ray or None, args.actors, args.gpus_per_actor, args.cpus_per_actor, args.return_pictures)
        run_on_ray(jobs, settings, cluster, report)
        return

    def on_progress(job: Job, step: int, steps: int) -> None:
        shot = "" if job.shot is None else f", shot {job.shot + 1}, frame"
        tally.show(f"{Path(job.out).name}{shot} {step} of {steps}")

    Worker(settings, on_progress).run(jobs, report)
