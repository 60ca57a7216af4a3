"""Hostile command lines with hostile files: `nst` answers in a sentence, soon, and within memory."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import hostile
import pytest
from hostile_lines import LIMIT, LINES, problem_with, words

from nst_engine.cli import commands as cli

MOST_MEMORY = 1200 << 20  # bytes that one command line may take beyond what the process has


@pytest.fixture
def work(broken_files: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(broken_files)
    monkeypatch.setattr("builtins.input", lambda *_: "")  # who is asked says nothing
    return broken_files


class OutOfTime(BaseException):
    pass


def problem_of(argv: list[str], capfd: pytest.CaptureFixture) -> str | None:
    """What is wrong with the answer to a command line; None when it is as it should be."""

    def on_alarm(*_: object) -> None:
        raise OutOfTime

    _forget_peak()
    before = _memory("VmRSS")
    usual = signal.signal(signal.SIGALRM, on_alarm)
    signal.alarm(LIMIT)
    try:
        status: Any = cli.main(argv)
    except SystemExit as left:  # argparse's, for --help
        status = left.code or 0
    except OutOfTime:
        return f"took more than {LIMIT} s"
    except Exception as error:
        return f"raised {type(error).__name__}: {str(error)[:200]}"
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, usual)
    said = capfd.readouterr().err
    peak = _memory("VmHWM") - before
    if peak > MOST_MEMORY:
        return f"took {peak >> 20} MB"
    return problem_with(status, said)


def _forget_peak() -> None:
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5")


def _memory(which: str) -> int:
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    return next(int(line.split()[1]) << 10 for line in status.read_text().splitlines() if line.startswith(which))


def test_there_are_enough() -> None:
    assert len({line for lines in LINES.values() for line in lines}) >= 100


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="ends what takes too long by an alarm")
@pytest.mark.parametrize("group", LINES)
def test_each_is_answered_in_a_sentence_soon_and_within_memory(work: Path, capfd, group: str) -> None:
    kept = {f.name: f.read_bytes() for f in work.iterdir() if f.is_file() and f.name != "out.png"}
    around = set(work.parent.iterdir()) | set(Path("/tmp").glob(f"*{hostile.ESCAPE}*"))
    problems = []
    for line in LINES[group]:
        begun = time.monotonic()
        if problem := problem_of(words(line), capfd):
            problems.append(f"nst {line[:120]!a}  ({time.monotonic() - begun:.1f} s)\n    {problem}")
    changed = [name for name, data in kept.items() if not (work / name).exists() or (work / name).read_bytes() != data]
    appeared = (set(work.parent.iterdir()) | set(Path("/tmp").glob(f"*{hostile.ESCAPE}*"))) - around
    problems += [f"changed: {name}" for name in changed] + [f"appeared: {path}" for path in appeared]
    if problems:
        pytest.fail(f"{len(problems)} problems:\n" + "\n".join(problems), pytrace=False)
