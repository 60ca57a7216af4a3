"""`nst batch --ray ADDRESS`: a cluster that runs, one whose machines lack the package, and none."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from batches import Watched, start_batch, whole
from nst_process import ROOT

from nst_engine import NSTError
from nst_engine.cli.batch import connect

needs_ray = pytest.mark.skipif(
    os.name == "nt" or importlib.util.find_spec("ray") is None,
    reason="ray is not installed, or this is Windows: pip install -e '.[cluster]'",
)

PICTURES = 4
START = ["start", "--head", "--block", "--node-ip-address=127.0.0.1", "--num-cpus=2", "--include-dashboard=false"]


@pytest.fixture
def folder(folder_of_photos, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # whatever the user of this machine has
    return folder_of_photos


@contextlib.contextmanager
def cluster(python_path: str) -> Iterator[str]:
    """One machine of two cores, in a folder of its own whose name is short enough for sockets; its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    files = tempfile.mkdtemp(prefix="nst-ray-")
    head = subprocess.Popen(
        [sys.executable, "-m", "ray.scripts.scripts", *START, f"--port={port}", f"--temp-dir={files}"],
        env={**os.environ, "PYTHONPATH": python_path},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        end = time.monotonic() + 120
        while not Path(files, "ray_current_cluster").exists():  # is written when all runs
            assert head.poll() is None and time.monotonic() < end
            time.sleep(0.1)
        yield f"127.0.0.1:{port}"
    finally:
        head.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            head.wait(60)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(head.pid, signal.SIGKILL)
        shutil.rmtree(files, ignore_errors=True)


@pytest.mark.timeout(1200)
@needs_ray
def test_a_driver_that_is_killed_leaves_the_cluster_to_the_next(folder):
    command = ("photos", "--styles", "style.png", "--steps", 5, "--size", 48, "--actors", 2, "--ray")
    with cluster(str(ROOT)) as address, Watched(Path("out")) as watched:
        process = start_batch(*command, address, "--cpus-per-actor", 1)
        watched.wait_for_more(process, 120)
        process.kill()
        process.communicate()
        process = start_batch(*command, address, "--cpus-per-actor", 1)
        _, said = process.communicate(timeout=500)
        assert process.returncode == 0, said
        watched.look()
    made = {f"{i}-style.png" for i in range(PICTURES)}
    assert {path.name for path in Path("out").iterdir()} == {*made, "report.jsonl"}
    assert whole(made)
    assert watched.made_more_than_once() == []


@needs_ray
def test_machines_without_the_package_are_named_with_what_helps(folder):
    with cluster("") as address:
        process = start_batch("photos", "--styles", "style.png", "--quiet", "--ray", address)
        out, said = process.communicate(timeout=500)
    last = said.splitlines()[-1]
    assert process.returncode == 1 and out == "" and "Traceback" not in said
    assert "is needed on every machine of the cluster" in last and "has none (No module named 'nst_engine')" in last
    assert last.endswith("python -m pip install -e '.[standalone,cluster]'")
    assert {path.name for path in Path("out").iterdir()} == {"report.jsonl"}


class Ray:
    """One that does not let anybody in."""

    __version__ = "2.55.0"

    class exceptions:
        RayError = type("RayError", (Exception,), {})

    def __init__(self, error: Exception) -> None:
        self.error = error

    def init(self, *_: object, **__: object) -> None:
        raise self.error

    def shutdown(self) -> None:
        pass


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ConnectionError(), "lets us into no cluster (ConnectionError). A whole cluster has one version of Ray"),
        (RuntimeError("Version mismatch:\n  Ray: 2.50.0\n"), "(Version mismatch: Ray: 2.50.0)"),
        (Ray.exceptions.RayError("No token"), "(No token)"),
    ],
)
def test_a_cluster_that_does_not_let_us_in_is_said(error, told):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(NSTError, match="--ray: ") as raised, connect.connected(Ray(error), address):
            pass
    assert told in str(raised.value) and "here they are 2.55.0 and 3." in str(raised.value)
    assert "RAY_AUTH_MODE=token" in str(raised.value)


def test_ray_that_does_not_start_here_is_said():
    with (
        pytest.raises(NSTError, match="--ray: Ray does not start") as raised,
        connect.connected(Ray(OSError("no")), None),
    ):
        pass
    assert "on this machine (no)" in str(raised.value)


def test_an_address_without_a_port_is_no_cluster():
    with pytest.raises(NSTError, match="a port is missing") as raised, connect.connected(Ray(OSError()), "127.0.0.1"):
        pass
    assert "there is no cluster at 127.0.0.1 (" in str(raised.value)


def test_what_ray_says_while_it_starts_is_passed_on_but_for_a_remark_on_itself(capfd):
    class Talks(Ray):
        def init(self, *_: object, **__: object) -> None:
            os.write(
                2, b"[I 1] logging.cc:303: Set ray log level from environment variable RAY_BACKEND_LOG_LEVEL to 3\n"
            )
            os.write(2, b"[E 1] gcs.cc:7: out of memory\n")
            raise self.error

    with pytest.raises(NSTError, match="Ray does not start"), connect.connected(Talks(OSError("no")), None):
        pass
    os.write(2, b"afterwards\n")
    assert capfd.readouterr().err == "[E 1] gcs.cc:7: out of memory\nafterwards\n"
