"""Whose a folder is, by locks and by Windows' rule that a file which is open cannot be deleted."""

from __future__ import annotations

from pathlib import Path
from typing import IO

import pytest

from nst_engine.system import locks


@pytest.fixture(params=["locks", "Windows"])
def opened(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[IO[bytes]]:
    """What is open, for a system that looks at it before it deletes."""
    files: list[IO[bytes]] = []
    if request.param == "locks":
        pytest.importorskip("fcntl")
        return files
    unlink = Path.unlink

    def refused_while_open(path: Path, missing_ok: bool = False) -> None:
        if any(not file.closed and Path(file.name) == path for file in files):
            raise PermissionError(13, "The process cannot access the file because it is being used", str(path))
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(locks, "fcntl", None)
    monkeypatch.setattr(Path, "unlink", refused_while_open)
    return files


def test_of_two_runs_one_has_the_folder(tmp_path: Path, opened: list[IO[bytes]]) -> None:
    first = locks.locked(tmp_path / "work")
    assert first is not None
    opened.append(first)
    assert locks.locked(tmp_path / "work") is None
    assert not locks.is_abandoned(tmp_path / "work")
    first.close()
    second = locks.locked(tmp_path / "work")
    assert second is not None
    second.close()


def test_what_a_dead_run_left_is_nobodys(tmp_path: Path, opened: list[IO[bytes]]) -> None:
    (tmp_path / "lock").touch()
    assert locks.is_abandoned(tmp_path)
    lock = locks.locked(tmp_path)
    assert lock is not None
    lock.close()


def test_who_is_slower_by_a_moment_is_told(tmp_path: Path, opened: list[IO[bytes]], monkeypatch) -> None:
    """Another run opens the file after this one has looked."""
    first = locks.locked(tmp_path)
    assert first is not None
    monkeypatch.setattr(Path, "unlink", lambda *_, **__: None)
    assert locks.locked(tmp_path) is None
    first.close()
