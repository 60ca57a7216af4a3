"""Clips in a batch: each becomes a job for every shot, and the shots, once they are made, a clip again.

Shots are found here, before the work is shared out. What workers make of them lies in a hidden folder beside the clip
to come, which goes when the clip is whole.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from ...errors import NSTError
from ...system.locks import locked
from ...system.safe_files import move_over
from ...video.encode import Encoding, check_clip, write_clip
from ...video.flow import dis_flow
from ...video.job import Job as Frames
from ...video.shots import Shot, find_shots
from ...video.source import Part, Shown, Source, open_source
from ..video import encoding_of
from .jobs import Job, is_clip
from .outcome import FAILED, KEPT, MADE, Outcome
from .output import temporary_path
from .report import Console
from .resume import KEY, asked, made_before
from .shots import frames_folder, keep_shots, kept_shots, shot_folder
from .worker import Stopped, ends_all, in_words

SECONDS_BETWEEN_SHOWS = 0.5
AT_ONCE = min(8, os.cpu_count() or 1)  # clips that are looked through


@dataclass
class _Clip:
    job: Job
    source: Source
    encoding: Encoding
    shots: list[Shot]
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    failed: bool = False


class Clips:
    """Between a list of jobs and those who do it on the one side, and the report on the other."""

    def __init__(self, work: Path, report: Callable[[Outcome], bool], console: Console) -> None:
        self.work, self.report, self.console = work, report, console
        self.clips: dict[str, _Clip] = {}
        self.found: dict[tuple[str, bool], Future[list[Shot]]] = {}
        self.lock = threading.Lock()
        self.shown = 0.0
        self.locks: dict[Path, IO[bytes]] = {}
        self.joiner = ThreadPoolExecutor(1, "nst-joiner")
        self.stopping = False

    def __enter__(self) -> Clips:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stopping = self.stopping or kind is not None
        self.joiner.shutdown(cancel_futures=self.stopping)
        for folder in list(self.locks):
            self._unlock(folder)

    # --- into shots ---

    def into_shots(self, jobs: list[Job]) -> list[Job]:
        """With a job for every shot in the place of each clip."""
        clips = [job for job in jobs if is_clip(job.content)]
        with ThreadPoolExecutor(AT_ONCE, "nst-finder") as finders:
            try:
                parts = dict(zip(clips, finders.map(self._into_shots, clips), strict=True))
            except BaseException:
                self.stopping = True
                raise
        return [] if self.stopping else [part for job in jobs for part in parts.get(job, (job,))]

    def _into_shots(self, job: Job) -> list[Job]:
        if self.stopping:
            return []
        try:
            return list(self._shots_of(job))
        except Stopped:
            return []
        except Exception as error:
            self._tell(Outcome(job, FAILED, error=in_words(error), ends_all=ends_all(error)))
            return []

    def _shots_of(self, job: Job) -> Iterator[Job]:
        args, out = job.args(), Path(job.out)
        wanted, folder = asked(job, args), frames_folder(out)
        if before := made_before(out, wanted):
            shutil.rmtree(folder, ignore_errors=True)
            self._tell(Outcome(job, KEPT, before.get("seconds", 0.0)))
            return iter(())
        source = open_source(Path(job.content))
        encoding = encoding_of(args, source, job.argv())
        out.parent.mkdir(parents=True, exist_ok=True)
        check_clip(out, encoding)
        self._lock(folder)
        shots = kept_shots(folder, wanted)
        if shots is None:
            for shot in folder.glob("shot-*"):  # of something else
                shutil.rmtree(shot)
            try:
                shots = self._found(job, source, args.cuts, wanted["inputs"]["content"])
                keep_shots(folder, wanted, shots)
            except BaseException:
                self._unlock(folder)
                shutil.rmtree(folder, ignore_errors=True)
                raise
        encoding.settings[KEY] = wanted
        self.clips[job.out] = _Clip(job, source, encoding, shots)
        return (replace(job, shot=number) for number in range(len(shots)))

    def _lock(self, folder: Path) -> None:
        """Two runs would append to the same lists of frames."""
        lock = locked(folder)
        if lock is None:
            raise NSTError(f"{folder}: another run is at work on this clip.")
        self.locks[folder] = lock

    def _unlock(self, folder: Path) -> None:
        """Before it is deleted: Windows deletes no file that is open."""
        if lock := self.locks.pop(folder, None):
            lock.close()

    def _found(self, job: Job, source: Source, cuts: bool, key: str) -> list[Shot]:
        """Once for a clip, however many styles it is to have."""
        found: Future[list[Shot]] = Future()
        with self.lock:
            known = self.found.setdefault((key, cuts), found)
        if known is found:
            try:
                found.set_result(find_shots(source, self._shows(job, source), dis_flow if cuts else None))
            except BaseException as error:
                found.set_exception(error)
        return known.result()

    def _shows(self, job: Job, source: Source) -> Callable[[int], None]:
        total = source.expected(Part()) or 0

        def on_frame(number: int) -> None:
            if self.stopping:
                raise Stopped
            with self.lock:
                if time.monotonic() - self.shown > SECONDS_BETWEEN_SHOWS:
                    self.shown = time.monotonic()
                    self.console.show("shots", number, max(total, number), lambda: Path(job.content).name)

        return on_frame

    # --- and together again ---

    def add(self, outcome: Outcome) -> bool:
        """Whether to go on. A clip fails with its first shot that does; those that are made wait for another run."""
        if outcome.job.shot is None:
            return self._tell(outcome)
        clip = self.clips[outcome.job.out]
        clip.outcomes[outcome.job.shot] = outcome
        if outcome.status == FAILED and not clip.failed:
            clip.failed = True
            shot = clip.shots[outcome.job.shot]
            where = f"frames {shot.first + 1} to {shot.first + shot.count}"
            return self._tell(replace(outcome, job=clip.job, error=f"{where}: {outcome.error}"))
        if not clip.failed and len(clip.outcomes) == len(clip.shots):
            self.joiner.submit(self._join, clip)
        return not self.stopping

    def _tell(self, outcome: Outcome) -> bool:
        with self.lock:
            self.stopping = self.report(outcome) is False or self.stopping
        return not self.stopping

    def _join(self, clip: _Clip) -> None:
        outcomes = [clip.outcomes[number] for number in range(len(clip.shots))]
        notes = tuple(dict.fromkeys(note for outcome in outcomes for note in outcome.notes))
        seconds = round(sum(outcome.seconds for outcome in outcomes), 3)
        try:
            notes += tuple(self._write(clip, {"seconds": seconds}))
        except Stopped:
            return
        except Exception as error:
            self._tell(Outcome(clip.job, FAILED, seconds, error=in_words(error), ends_all=ends_all(error)))
            return
        self._tell(Outcome(clip.job, MADE, seconds, where=outcomes[-1].where, notes=notes))

    def _write(self, clip: _Clip, about: dict[str, Any]) -> list[str]:
        out = Path(clip.job.out)
        part = temporary_path(self.work, out)
        encoding = replace(clip.encoding, settings={**clip.encoding.settings, **about})
        notes = write_clip(part, self._frames(clip), clip.source, Part(), encoding)
        move_over(part, out)
        self._unlock(frames_folder(out))
        shutil.rmtree(frames_folder(out), ignore_errors=True)
        return notes

    def _frames(self, clip: _Clip) -> Iterator[Shown]:
        for number in range(len(clip.shots)):
            for frame in Frames(shot_folder(replace(clip.job, shot=number))).finished():
                if self.stopping:
                    raise Stopped
                yield frame
