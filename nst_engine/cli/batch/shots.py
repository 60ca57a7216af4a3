"""A shot of a clip, as a worker makes it: frames in a folder of its own, which go on where they were."""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from ...errors import NSTError
from ...network.vgg import VGGFeatures
from ...pictures.files import Picture
from ...styles.grams import StyleGrams
from ...system.safe_files import write_over
from ...video.shots import Shot
from ..inputs import Inputs
from ..video import Listener, VideoCommand
from .jobs import Job
from .outcome import KEPT, MADE, Outcome

FOUND = "shots.json"  # the shots of a clip, and what they are made of
FINISHED = "finished.json"  # beside the frames of a shot


def frames_folder(out: Path) -> Path:
    """Of a clip that is not finished."""
    return out.with_name(f".{out.name}.frames")


def shot_folder(job: Job) -> Path:
    return frames_folder(Path(job.out)) / f"shot-{job.shot or 0:05}"


# --- what is known of a clip --------------------------------------------------------------------------------------


def keep_shots(folder: Path, wanted: dict[str, Any], shots: list[Shot]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    told = [{**asdict(shot), "start": str(shot.start), "end": shot.end and str(shot.end)} for shot in shots]
    text = json.dumps({"wanted": wanted, "shots": told})
    write_over(folder / FOUND, lambda file: file.write(text.encode()))


def kept_shots(folder: Path, wanted: dict[str, Any]) -> list[Shot] | None:
    """None, where none are kept of a clip that is made of the same."""
    try:
        kept = json.loads((folder / FOUND).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return [_shot(told) for told in kept["shots"]] if kept["wanted"] == wanted else None


def _shot(told: dict[str, Any]) -> Shot:
    end = told["end"]
    return Shot(told["first"], told["count"], Fraction(told["start"]), end and Fraction(end))


# --- one of them --------------------------------------------------------------------------------------------------


@dataclass
class Watch:
    """Hears how far a result is, and may raise what ends it; `began` is when its picture or frame was begun."""

    check: Callable[[], object]
    show: Callable[[int, int], object]
    began: float
    frame: int = 0

    def on_frame(self, number: int) -> None:
        if number != self.frame:
            self.frame, self.began = number, time.perf_counter()

    def display(self, _: str, done: int, total: int, __: object = None) -> None:
        frame = min(done + 1, total) if total else done + 1  # in work; of a stream the total is not known
        self.show(frame, max(frame, total))

    def is_to_stop(self) -> bool:
        self.check()
        return False


def read_shot(
    job: Job, args: argparse.Namespace, wanted: dict[str, Any], read: Callable[..., Picture]
) -> tuple[VideoCommand, Inputs] | Outcome:
    """What it is made from; or, once it is finished, that it is."""
    folder = shot_folder(job)
    if (folder / FINISHED).is_file():
        told = json.loads((folder / FINISHED).read_text(encoding="utf-8"))
        return Outcome(job, KEPT, told["seconds"], notes=tuple(told["notes"]))
    shots = kept_shots(folder.parent, wanted)
    if shots is None or job.shot is None:
        raise NSTError(f"{folder.parent}: this folder is not seen here, or another run has taken it.")
    args.out = str(folder)
    command = VideoCommand(args, job.argv(), shots[job.shot].part)
    command.job.begin({"shot": job.shot, **wanted})
    return command, command.inputs(read)


def make_shot(
    job: Job, command: VideoCommand, vgg: VGGFeatures, grams: StyleGrams, inputs: Inputs, watch: Watch
) -> Outcome:
    began = time.perf_counter()
    if not command.run(vgg, grams, inputs, Listener(watch.display, watch.is_to_stop, watch.on_frame)):
        raise NSTError("; ".join((*command.failures, *command.notes)))
    seconds = round(time.perf_counter() - began, 3)
    text = json.dumps({"seconds": seconds, "notes": command.notes})
    write_over(command.folder / FINISHED, lambda file: file.write(text.encode()))
    command.job.forget(-1)  # nothing goes on from it
    shutil.rmtree(command.job.passes, ignore_errors=True)
    return Outcome(job, MADE, seconds, where=str(vgg.device), notes=tuple(command.notes))
