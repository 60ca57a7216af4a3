"""Ray itself: that it is here, that its cluster lets us in, and that all machines there have what they need."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import platform
import re
import socket
import tempfile
import urllib.parse
from collections.abc import Callable, Iterator
from typing import IO, Any

from ... import __version__
from ...errors import NSTError

RAY = ((2, 50), (2, 60))  # from the one to the other, as pyproject.toml has it
INSTALL = "python -m pip install 'ray[data]>=2.50,<2.61'"
INSTALL_ENGINE = "python -m pip install -e '.[standalone,cluster]'"
SECONDS_TO_REACH = 10
SECONDS_TO_ANSWER = 120  # a machine that has not imported torch before
LONGEST = 400  # of Ray's own words that are repeated
REMARK = b"Set ray log level from environment variable"
DEATHS_AT_THE_START = 3  # of actors one after the other, before one has started


def installed_ray(address: str | None = None) -> Any:
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # what it says there, it says of itself
    if address is not None:  # otherwise it tries for a quarter of an hour what answers and is no cluster
        os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "3")
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
def connected(ray: Any, address: str | None) -> Iterator[None]:
    for name in ("ray", "ray.data"):  # what ends a run is said once, by us
        logging.getLogger(name).setLevel(logging.CRITICAL)
    quiet = {"logging_level": logging.CRITICAL, "log_to_driver": False}
    try:
        _join(ray, address, quiet)
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        if hasattr(context, "memory_usage_poll_interval_s"):  # reading a large process's memory map takes its time
            context.memory_usage_poll_interval_s = None
        if hasattr(context, "max_consecutive_actor_init_deaths"):  # Ray 2.60: none, unless told otherwise
            context.max_consecutive_actor_init_deaths = DEATHS_AT_THE_START
        yield
    except ray.exceptions.RayError as error:
        raise NSTError(
            f"--ray: the cluster gave up ({in_short(error)}). What is made stays; the same command goes on."
        ) from error
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Ray itself would try for minutes."""
    try:
        parts = urllib.parse.urlsplit(address if "://" in address else f"tcp://{address}")
        if parts.port is not None:
            socket.create_connection((parts.hostname or "", parts.port), SECONDS_TO_REACH).close()
        elif address not in ("auto", "local"):
            raise ValueError("a port is missing")
    except (OSError, ValueError) as error:
        raise NSTError(
            f"--ray: there is no cluster at {address} ({error}). Start one with ray start --head --port=6379, its "
            "other machines with ray start --address=HOST:6379, and give HOST:6379 here; or leave the address out "
            "for workers on this machine alone."
        ) from error


def _join(ray: Any, address: str | None, quiet: dict[str, Any]) -> None:
    if address is not None:
        _check_reachable(address)
    try:
        with _without_remark():
            if address is None:
                ray.init("local", include_dashboard=False, **quiet)  # and no cluster that happens to be here
            else:
                ray.init(address, **quiet)
    except Exception as error:  # a node that is slow to start is Ray a bare Exception
        if address is None:
            raise NSTError(f"--ray: Ray does not start on this machine ({in_short(error)}).") from error
        raise NSTError(
            f"--ray: {address} lets us into no cluster ({in_short(error)}). A whole cluster has one version of Ray and "
            f"one of Python; here they are {ray.__version__} and {platform.python_version()}. One that was started "
            "with a token wants RAY_AUTH_MODE=token here, and the same token."
        ) from error


@contextlib.contextmanager
def _without_remark() -> Iterator[None]:
    """Ray says on standard error that it has read how much it is to say there; anything else is passed on."""
    with tempfile.TemporaryFile() as said, contextlib.ExitStack() as afterwards:
        with contextlib.suppress(OSError):  # there may be none
            stderr = os.dup(2)
            afterwards.callback(_pass_on, said, stderr)
            os.dup2(said.fileno(), 2)
        yield


def _pass_on(said: IO[bytes], stderr: int) -> None:
    os.dup2(stderr, 2)
    os.close(stderr)
    said.seek(0)
    for line in said:
        if REMARK not in line:
            os.write(2, line)


def in_short(error: Exception) -> str:
    """In one line. Long ones say first what happened, and last mostly why."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    whole = " ".join(lines)
    return whole if len(whole) <= LONGEST else f"{lines[0]} … {lines[-1]}"


def check_machines(ray: Any, work: str | None, folder: str) -> None:
    """That all of them have this engine, and see what they need to."""

    def look() -> tuple[str, list[str]]:  # goes there as it is, for what it looks for may be missing
        import importlib
        import os

        try:
            importlib.import_module("nst_engine.cli.batch.cluster")  # and with it all that the work needs
            version = str(importlib.import_module("nst_engine").__version__)
        except ImportError as error:
            return f"none ({error})", []
        return version, [name for name in (folder, work) if name and not os.path.isdir(name)]

    for host, answer in on_every_machine(ray, look):
        try:
            version, unseen = ray.get(answer, timeout=SECONDS_TO_ANSWER)
        except Exception as error:
            raise NSTError(f"--ray: {host} does not answer ({in_short(error)}).") from error
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


def on_every_machine(ray: Any, function: Callable[[], object]) -> list[tuple[str, Any]]:
    """Called there, whatever works there; machines, and what Ray gives an answer for."""
    affinity = importlib.import_module("ray.util.scheduling_strategies").NodeAffinitySchedulingStrategy
    return [
        (
            node["NodeManagerAddress"],
            ray.remote(function).options(num_cpus=0, scheduling_strategy=affinity(node["NodeID"], soft=False)).remote(),
        )
        for node in ray.nodes()
        if node["Alive"]
    ]
