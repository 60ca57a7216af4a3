"""`nst batch --ray`, on workers of this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from batches import actors, start_batch, whole
from nst_process import ROOT
from scenes import pan, write_clip

from nst_engine import NSTError, __version__
from nst_engine.cli import commands as cli
from nst_engine.cli.batch import cluster, connect
from nst_engine.cli.batch.jobs import Job
from nst_engine.cli.batch.outcome import job_text, outcome_from
from nst_engine.cli.batch.worker import Settings
from nst_engine.pictures.files import read_picture
from nst_engine.video.source import Part, open_source

PICTURES = 9


@pytest.fixture
def folder(folder_of_photos):
    (folder_of_photos / "work").mkdir()
    return folder_of_photos


def started(*command: str) -> subprocess.Popen[str]:
    """With two workers of a core each."""
    return start_batch(*command, "--actors", 2, "--cpus-per-actor", 1)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_a_worker_that_is_killed_loses_nothing(folder):
    pytest.importorskip("ray.data", reason="ray is not installed: pip install -e '.[cluster]'")
    (folder / "photos" / "broken.png").write_bytes(b"no picture")
    command = ("photos", "--styles", "style.png", "--steps", "3", "--size", "32", "--ray")
    process = started(*command)
    assert process.stdout and process.stdout.readline()
    os.kill(actors(process.pid)[0], signal.SIGKILL)
    out, said = process.communicate(timeout=240)
    assert process.returncode == 1 and "photos/broken.png with style.png" in said, said
    assert "logging.cc" not in said  # Ray's remarks on itself
    made = {f"{i}-style.png" for i in range(PICTURES)}
    assert {path.name for path in Path("out").iterdir()} == {*made, "report.jsonl"}
    assert whole(made)
    lines = [json.loads(line) for line in Path("out/report.jsonl").read_text().splitlines()]
    assert sorted(line["content"] for line in lines) == sorted(str(path) for path in Path("photos").iterdir())
    assert len(out.splitlines()) >= 8 - 4  # those of the block that was lost may be found made


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_shots_of_a_clip_are_made_by_several_workers_one_of_which_is_killed(folder):
    pytest.importorskip("ray.data", reason="ray is not installed: pip install -e '.[cluster]'")
    pytest.importorskip("cv2", reason="opencv-python-headless is not installed")
    pytest.importorskip("av", reason="av is not installed")
    write_clip(folder / "film.mp4", [frame for seed in range(4) for frame in pan(4, seed=seed)])
    command = ("film.mp4", "--styles", "style.png", "--steps", "4", "--size", "64", "--ray")
    process = started(*command)
    end = time.monotonic() + 120
    while not list(Path("out").glob(".*.frames/*/*.png")):
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.05)
    os.kill(actors(process.pid)[0], signal.SIGKILL)
    out, said = process.communicate(timeout=240)
    assert process.returncode == 0 and "out/film-style.mp4" in out.splitlines(), said  # Ray says things there, too
    assert {path.name for path in Path("out").iterdir()} == {"film-style.mp4", "report.jsonl"}
    assert len(list(open_source(Path("out/film-style.mp4")).frames(Part(), pytest.fail))) == 16


def block(*names: str) -> dict[str, np.ndarray]:
    jobs = [Job(f"photos/{name}.png", ("style.png",), f"out/{name}.png", ("--steps=1", "--size=32")) for name in names]
    return {"job": np.array([job_text(job) for job in jobs], dtype=object)}


def test_pictures_are_returned_where_the_folder_is_not_seen(folder):
    maker = cluster.Maker(Settings(str(folder / "work")), str(folder), True, 1)
    rows = list(maker(block("1", "none", "2")))
    outcomes = [outcome_from(row["outcome"][0]) for row in rows]
    assert [outcome.status for outcome in outcomes] == ["made", "failed", "made"]
    assert not Path("out").exists()
    outcome = cluster._put(outcomes[0], rows[0]["picture"][0], folder / "work")
    assert outcome.status == "made" and read_picture("out/1.png").pixels.shape == (1, 3, 24, 32)
    assert not list(Path("work").iterdir())


@pytest.mark.skipif(os.name == "nt", reason="Ray on Windows is not tested")
def test_machines_that_return_pictures_keep_nothing(folder, monkeypatch):
    pytest.importorskip("ray.data", reason="ray is not installed: pip install -e '.[cluster]'")
    there = folder / "there"
    there.mkdir()
    monkeypatch.setenv("TMPDIR", str(there))
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")  # a short one, for sockets
    command = ("photos/1.png", "photos/2.png", "--styles", "style.png", "--steps", 1, "--size", 32)
    process = start_batch(*command, "--ray", "--return-pictures")
    _, said = process.communicate(timeout=240)
    assert process.returncode == 0 and whole({"1-style.png", "2-style.png"}), said
    assert not list(there.glob("nst-*"))


def test_a_picture_that_kills_workers_is_given_up(folder):
    settings = Settings(str(folder / "work"))
    for _ in range(cluster.MOST_TRIES):  # as if each had died before it could report
        next(cluster.Maker(settings, str(folder), False, 1)._not_deadly([job_of("1")], []))
    (row,) = cluster.Maker(settings, str(folder), False, 1)(block("1"))
    assert "workers died 5 times while they had this picture" in outcome_from(row["outcome"][0]).error
    for _ in range(cluster.MOST_TRIES + 1):  # a picture that is done each time kills nobody
        (row,) = cluster.Maker(settings, str(folder), False, 1)(block("2"))
    assert outcome_from(row["outcome"][0]).status == "kept"


def job_of(name: str) -> Job:
    return Job(f"photos/{name}.png", ("style.png",), f"out/{name}.png", ())


def refusal(capsys, *arguments: str) -> str:
    assert cli.main(["batch", "photos", "--styles", "style.png", "-o", "out", "--quiet", *arguments]) == 1
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return said


def test_the_range_of_ray_is_the_one_that_is_installed():
    told = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    low, high = connect.RAY
    wanted = f"ray[data]>={low[0]}.{low[1]},<{high[0]}.{high[1] + 1}"
    assert f'cluster = ["{wanted}"]' in told and wanted in connect.INSTALL


def test_what_stands_in_the_way_is_said(folder, capsys, monkeypatch):
    class Ray:
        __version__ = "1.13.0"

    monkeypatch.setitem(sys.modules, "ray", None)
    assert "install it with python -m pip install 'ray[data]" in refusal(capsys, "--ray")
    monkeypatch.setitem(sys.modules, "ray", Ray)
    monkeypatch.setitem(sys.modules, "ray.data", Ray)
    assert "Ray 1.13.0 is installed, and 2.50 to 2.60 would do: python -m pip install" in refusal(capsys, "--ray")


def test_a_cluster_that_is_not_there_is_said_at_once(folder, capsys):
    pytest.importorskip("ray.data", reason="ray is not installed: pip install -e '.[cluster]'")
    assert "there is no cluster at 127.0.0.1:1" in refusal(capsys, "--ray", "127.0.0.1:1")


class Cluster:
    """What is asked of Ray about a cluster."""

    def __init__(self, version: object, unseen: list[str], **resources: float) -> None:
        self.answer = version, unseen
        self.resources = resources or {"CPU": 8.0, "GPU": 2.0}

    def nodes(self) -> list[dict]:
        node = {"NodeManagerAddress": "192.0.2.7", "Alive": True, "Resources": self.resources}
        return [{"NodeID": name * 28, **node} for name in ("ab", "cd")]

    def remote(self, _: object = None) -> Cluster:
        return self

    def options(self, **_: object) -> Cluster:
        return self

    def get(self, *_: object, timeout: float) -> object:
        return self.answer


@pytest.mark.parametrize(
    ("version", "unseen", "told"),
    [
        ("none (No module named 'nst_engine')", [], "192.0.2.7 has none (No module"),
        ("0.0.1", [], "192.0.2.7 has 0.0.1; in a clone of the repository there"),
        (__version__, ["/work"], "does not see the folder /work; share it under this path, or give --return-"),
        (__version__, ["/here"], "does not see the folder /here; share it under this path."),
    ],
)
def test_machines_that_lack_something_are_named(version, unseen, told):
    pytest.importorskip("ray.data", reason="ray is not installed: pip install -e '.[cluster]'")
    with pytest.raises(NSTError, match="--ray") as error:
        connect.check_machines(Cluster(version, unseen), "/work", "/here")
    assert told in str(error.value)


def test_actors_are_as_many_as_there_is_room_for():
    ray = Cluster("", [])
    placed = cluster._placed(ray, cluster.Cluster())
    assert (placed.actors, placed.gpus, placed.cpus) == (4, 1, 1)
    placed = cluster._placed(ray, cluster.Cluster(gpus=0))
    assert (placed.actors, placed.cpus) == (4, 4)
    with pytest.raises(NSTError, match="--actors: 5 actors with 1 GPUs"):
        cluster._placed(ray, cluster.Cluster(actors=5))
    assert cluster._placed(Cluster("", [], CPU=6.0), cluster.Cluster()).actors == 2  # two cores of each are too few
