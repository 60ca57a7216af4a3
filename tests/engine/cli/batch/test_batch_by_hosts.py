"""`nst batch --server` against hosts that are only played; `tests/host` has real ones."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
from pictures import clouds

from nst_engine import NSTError
from nst_engine.cli.batch import hosts
from nst_engine.cli.batch.jobs import Job
from nst_engine.cli.batch.outcome import Outcome
from nst_engine.cli.batch.pool import Pool, share_out
from nst_engine.cli.batch.worker import Settings
from nst_engine.pictures.files import write_picture

JOB = Job("photos/a.png", ("styles/one.png",), "out/a-one.png", ("--size=48",))


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Pack:
    """What talks to hosts, with an error class of its own. The host first makes others' pictures, for 50 seconds, and
    then tells so many times how far it is, every 10 seconds."""

    NSTError = type("NSTError", (ValueError,), {})
    ServerGone = type("ServerGone", (NSTError,), {})

    def __init__(self, clock: Clock, tells: int) -> None:
        self.clock, self.tells = clock, tells

    def graph_of(self, *_: object) -> dict[str, Any]:
        return {}

    def run_on_server(self, _: object, __: str, *, output_folder: Path, on_progress: Any, **___: object) -> list[Path]:
        self.clock.now += 50
        try:
            for _ in range(self.tells):
                on_progress("", 0, 0, None)
                self.clock.now += 10
        except ValueError as error:
            raise self.NSTError(f"server: it does not answer as ComfyUI does ({error})") from error
        made = output_folder / "made.png"
        write_picture(made, clouds(1, 36, 48))
        return [made]


@pytest.fixture
def work(folder):
    (folder / "work").mkdir()
    return folder / "work"


@pytest.mark.parametrize(("tells", "told"), [(2, ""), (9, "--time-limit: it was not done after 45 seconds.")])
def test_the_time_limit_is_for_a_picture_and_not_for_others_that_its_host_makes_before(work, monkeypatch, tells, told):
    clock = Clock()
    monkeypatch.setattr(hosts, "time", clock)
    outcomes: list[Outcome] = []
    pool = Pool([JOB], lambda outcome: outcomes.append(outcome) or True)
    hosts.HostLane("http://one", Settings(str(work), None, 45.0), Pack(clock, tells)).work(pool)
    assert [(outcome.status, outcome.error) for outcome in outcomes] == [("failed" if told else "made", told)]


def test_two_that_stop_for_the_same_reason_say_it_once():
    class Lane:
        def work(self, pool: Pool) -> None:
            raise NSTError("--server: http://one cannot be reached.")

        def end(self) -> None:
            pass

    said: list[str] = []
    with pytest.raises(NSTError, match="nobody is left"):
        share_out([JOB], [Lane(), Lane()], lambda _: True, said.append)
    assert said == ["nst: --server: http://one cannot be reached."]


def test_a_disk_that_is_full_here_ends_all(work):
    class Full(Pack):
        def run_on_server(self, *_: object, **__: object) -> list[Path]:
            raise self.NSTError("made.png: could not be written") from OSError(errno.ENOSPC, "No space left on device")

    outcomes: list[Outcome] = []
    pool = Pool([JOB], lambda outcome: outcomes.append(outcome) or True)
    hosts.HostLane("http://one", Settings(str(work)), Full(Clock(), 1)).work(pool)
    assert [(outcome.status, outcome.ends_all) for outcome in outcomes] == [("failed", True)]
