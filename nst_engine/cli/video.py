"""`nst video`: a clip, or a folder of frames, in the style of pictures."""

from __future__ import annotations

import argparse
import contextlib
import shutil
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import torch

from .. import __version__
from ..errors import NSTError, counted
from ..network.vgg import VGGFeatures
from ..pictures.files import PICTURES, Picture, read_picture, write_picture
from ..recipes import RECIPES
from ..run.levels import target_shape, usual_steps
from ..run.progress import STOP, Progress
from ..styles.grams import StyleGrams
from ..system.digests import digest
from ..system.locks import locked
from ..video.coherence import Coherence
from ..video.encode import Encoding, check_clip
from ..video.flow import opencv
from ..video.frame import Frame
from ..video.job import Job, clear, skipped
from ..video.raft import raft_flow
from ..video.source import Part, Shown, Source, open_source
from ..video.stylize import SHARE, stylize_video
from .inputs import NONE, Inputs, files_of, luma_mask, read_inputs
from .one_picture import choices

OPAQUE = "clips hold no alpha here: it is left out; a folder of frames keeps it"
FOR_EACH = "give one for all, or one for each frame"  # of masks
FRAMES = ".frames"  # beside OUT, while it is unfinished


def encoding_of(args: argparse.Namespace, source: Source, argv: list[str]) -> Encoding:
    bits = source.bits if args.bits is None else 16 if args.bits > 8 else 8
    return Encoding(args.codec, args.crf, bits, {"program": f"nst {__version__}", "argv": argv})


@dataclass
class Listener:
    """Shows the user how far the run is, and knows whether the user has asked it to stop."""

    display: Callable[..., object]
    asked_to_stop: Callable[[], bool]
    on_frame: Callable[[int], object] = id  # told the number of the frame in work, at every step


class VideoCommand:
    """One run of `nst video`: what it reads, where its frames are kept, and what it writes. `part` is for one that
    knows more of it than a user can say."""

    def __init__(self, args: argparse.Namespace, argv: list[str], part: Part | None = None) -> None:
        self.args, self.out = args, Path(args.out)
        self.part = part or Part(args.begin, args.end, args.every)
        if args.end is not None and args.end <= (args.begin or 0):
            raise NSTError("--to: nothing lies between --from and this time.")
        self.source = open_source(Path(args.content), args.fps)
        self.masks = _mask_source(args.protect)
        if self.masks is not None:
            _check_masks(self.masks, self.source, self.part)
        self.notes: list[str] = []
        self.failures: list[str] = []  # what has ended it before the end of the clip
        self.encoding = encoding_of(args, self.source, argv)
        self.into_folder = self.out.is_dir() or not self.out.suffix
        self._check_out()
        self.folder = self.out if self.into_folder else self.out.with_name(self.out.name + FRAMES)
        self.was_there = self.folder.is_dir()
        self.lock: IO[bytes] | None = None
        self.job = Job(self.folder, self.source.names if self.into_folder else (), self.encoding.bits)
        back = tuple(args.look_back)
        if args.flow is None:
            opencv()  # said now, not after a style has been measured
        elif not Path(args.flow).is_file():
            raise NSTError(f"--flow: {args.flow}: no such file.")
        self.coherence = Coherence(args.temporal_weight, args.frame_steps, back, args.passes, args.cuts)

    def _check_out(self) -> None:
        if not self.into_folder:
            check_clip(self.out, self.encoding)
        elif not self.out.parent.is_dir():
            raise NSTError(f"{self.out}: there is no folder {self.out.parent}.")
        if self.out.exists() and self.out.samefile(Path(self.args.content)):
            raise NSTError(f"{self.out}: this is what is to be read, and would be lost; give another --out.")

    def begin(self) -> int:
        """How many frames are finished already."""
        self.job.check_folder()
        unfinished = self.job.state.is_dir()
        self.lock = locked(self.job.state)
        if self.lock is None:
            raise NSTError(f"{self.out}: another nst video writes this; wait for its end, or give another --out.")
        if self.args.restart and unfinished:
            for path in self.folder.iterdir():
                if path.is_file():
                    path.unlink()
            clear(self.job.state)
        return self.job.begin(_identity(self.args))

    def __enter__(self) -> VideoCommand:
        return self

    def __exit__(self, *_: object) -> None:
        """Of a run that was refused before it had made anything, nothing is left."""
        if self.lock is None:
            return
        self._unlock()
        with contextlib.suppress(NSTError, OSError):
            if self.job.state.is_dir() and self.job.is_empty and list(self.folder.iterdir()) == [self.job.state]:
                shutil.rmtree(self.job.state)
                if not (self.into_folder and self.was_there):
                    self.folder.rmdir()

    def _unlock(self) -> None:
        if self.lock is not None:
            self.lock.close()

    def inputs(self, read: Callable[..., Picture] = read_picture) -> Inputs:
        """Styles, start and masks, read as for a picture: the first frame stands for all."""
        frame = self.job.state / "first.png"
        if not frame.is_file():
            broken: list[str] = []
            first = next(self.source.frames(self.part, broken.append), None)
            if first is None:
                raise NSTError(f"{self.args.content}: {''.join(broken) or 'nothing lies between --from and --to'}.")
            write_picture(frame, first.pixels, bits=self.source.bits)
        replaced: dict[str, Any] = {"content": str(frame), "out": str(self.job.state / "next.png"), "bits": 8}
        if self.masks:
            replaced["protect"] = None
        return read_inputs(argparse.Namespace(**{**vars(self.args), **replaced}), read)

    def run(self, vgg: VGGFeatures, grams: StyleGrams, inputs: Inputs, listener: Listener) -> bool:
        """Whether this came to the end of the clip; every finished frame is on the disk."""
        done = len(self.job.times())
        back = max(self.coherence.back)
        broken: list[str] = []
        contents, rest = skipped(self.source.frames(self.part, broken.append), done, back)
        in_work: deque[Shown] = deque()
        coherence = self.coherence
        if self.args.flow is not None:
            coherence = replace(coherence, flow=raft_flow(Path(self.args.flow), vgg.device))
        progress = _Progress(listener, self.job, self.source.expected(self.part), self.coherence.passes)
        frames = stylize_video(
            vgg,
            _pixels(rest, in_work),
            grams,
            coherence=coherence,
            protect=inputs.protect if self.masks is None else _masks(self.masks, in_work, self.args.protect),
            past=self.job.past(done, contents),
            first=done,
            spool=self.job.passes,
            on_step=progress.on_step,
            on_layer=progress.on_layer,
            **choices(self.args, inputs),
        )
        masked = self._keep(frames, in_work, back, progress)
        self.failures += [f"{self.args.content}: {why}" for why in broken]
        finished = masked and not listener.asked_to_stop() and not broken
        if finished:
            progress.end()
        return finished

    def _keep(self, frames: Iterator[Frame], in_work: deque[Shown], back: int, progress: _Progress) -> bool:
        """Every frame as it is finished. Whether there was a mask for each."""
        try:
            for frame in frames:
                if frame.settings["stopped_early"]:
                    break
                if not frame.reliable:
                    self.job.forget(frame.number)
                if frame.image.shape[1] == 4 and not self.into_folder and OPAQUE not in self.notes:
                    self.notes.append(OPAQUE)
                self.job.keep(frame.number, in_work.popleft(), frame, back)
                progress.finished(frame.number + 1)
                self.notes += [note for note in frame.notes if note not in self.notes]
        except _NoMask as error:
            if self.job.is_empty:
                raise
            self.failures.append(str(error))
            return False
        return True

    def write(self, finished: bool, goes_on: bool) -> Path:
        """What there is, as a clip; what is needed to go on stays where it is unless all is done."""
        if self.job.is_empty:
            raise KeyboardInterrupt
        if not self.into_folder:
            more = () if finished else self.job.waiting()
            self.notes += self.job.write(self.out, self.source, self.part, self.encoding, more)
        if finished:
            self._unlock()
            self.job.end(self.into_folder)
        else:
            mended = bool(self.source.names or self.masks) and not goes_on
            self.notes.append(self.kept(goes_on or mended, "once that is mended, " if mended else ""))
        return self.out

    def kept(self, goes_on: bool, condition: str = "") -> str:
        """What is said of a run that did not come to its end, and goes on there if what it reads is sound."""
        once = sum(1 for _ in self.job.waiting())
        passes = f", and {once} that the second pass has not reached" if once else ""
        said = f"{counted(len(self.job.times()), 'frame')} so far{passes}"
        if not goes_on:
            return f"{said}, kept in {self.folder}"
        return f"{said}; {condition}the same command goes on from there"


class _Progress:
    """How far it is, in frames of each pass, and how long it will take."""

    def __init__(self, listener: Listener, job: Job, expected: int | None, passes: int) -> None:
        self.listener, self.job, self.passes = listener, job, passes
        self.first = self.done = len(job.times())
        self.value = self._so_far()
        self.total = 0 if expected is None else max(passes * (expected - self.first), self.value + 1)
        self.number: int | None = None
        self.began = time.monotonic()
        self.took: deque[float] = deque(maxlen=25)

    def _so_far(self) -> int:
        """A frame that waits for its second pass counts as one, and a finished one as two."""
        waiting = sum(1 for _ in self.job.passes.glob("*.npz")) if self.passes > 1 else 0
        return self.passes * (self.done - self.first) + waiting

    def on_step(self, progress: Progress) -> object:
        number, step, steps = progress.picture, progress.step, progress.steps
        if self.number not in (None, number):
            self._next()
        self.number = number
        self.listener.on_frame(number)
        self.listener.display("video", self.value, self.total, lambda: self.note(number, step, steps))
        return STOP if self.listener.asked_to_stop() else None

    def on_layer(self) -> None:
        if self.listener.asked_to_stop() and self.job.is_empty:
            raise KeyboardInterrupt  # there is nothing yet that could be kept

    def _next(self) -> None:
        now = time.monotonic()
        self.took.append(now - self.began)
        self.began, self.value = now, self._so_far()
        if self.total:  # of a stream, it was an estimate
            self.total = max(self.total, self.value + 1)

    def finished(self, done: int) -> None:
        self.done = done

    def end(self) -> None:
        self.value = self._so_far()
        self.listener.display("video", self.value, self.value)

    def note(self, number: int, step: int, steps: int) -> str:
        text = f"frame {number + 1}, step {step} of {steps}"
        if not self.took or not self.total:
            return text
        left = statistics.median(self.took) * (self.total - self.value)
        return f"{text}, {_duration(left)} left"


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{round(seconds)} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def _pixels(frames: Iterator[Shown], in_work: deque[Shown]) -> Iterator[torch.Tensor]:
    for shown in frames:
        in_work.append(replace(shown, pixels=shown.pixels[..., :0, :0].clone(), alpha=None))  # its number and time
        yield shown.pixels if shown.alpha is None else torch.cat((shown.pixels, shown.alpha), 1)


def _mask_source(protect: str | None) -> Source | None:
    """Masks that change from frame to frame: a folder, or a clip, which a .gif is, too. A picture is one for all."""
    if protect is None or protect == NONE or (Path(protect).suffix.lower() in PICTURES and not _moves(protect)):
        return None
    return open_source(Path(protect))


def _moves(name: str) -> bool:
    return name.lower().endswith(".gif")


class _NoMask(NSTError):
    """For the frame in work; those before it are finished."""


def _masks(source: Source, in_work: deque[Shown], name: str) -> Iterator[torch.Tensor]:
    """The mask that has the number of the frame in work."""
    broken: list[str] = []
    count = 0
    for mask in source.frames(Part(), broken.append):
        count = mask.number + 1
        if mask.number == in_work[-1].number:
            yield luma_mask(mask.pixels, mask.alpha)[0, 0]
    if broken:
        raise _NoMask(f"--protect: {name}: {broken[0]}")
    raise _NoMask(f"--protect: {counted(count, 'mask')}, and the clip has more frames; {FOR_EACH}")


def _check_masks(masks: Source, source: Source, part: Part) -> None:
    """Where both counts are known, before any work."""
    if not (masks.names and source.names):
        return
    takes = part.taken()
    times = ((number, number / source.rate) for number in range(len(source.names)))
    last = max((number for number, time in times if not part.ended(time) and takes(time)), default=0)
    if last >= len(masks.names):
        counts = f"{counted(len(masks.names), 'mask')} for {counted(len(source.names), 'frame')}"
        raise NSTError(f"--protect: {counts}; {FOR_EACH}.")


def _identity(args: argparse.Namespace) -> dict[str, Any]:
    """What has to be the same for a run to go on where another ended."""
    apart = ("out", "quiet", "restart", "command", "codec", "crf", "models", "device", "tile", "large", "save_style")
    same = {name: str(value) for name, value in vars(args).items() if name not in apart}
    # Not the frames and masks of a folder: one that could not be read is mended, and the same command goes on.
    files = {name: Path(file) for name, file in (*files_of(args).items(), ("flow", args.flow)) if file is not None}
    same |= {f"SHA-256 of {name}": digest(file) for name, file in files.items() if name != "content" and file.is_file()}
    if Path(args.content).is_dir():  # its date changes with what is put beside the frames
        return same
    found = Path(args.content).stat()
    return same | {"size of the clip": found.st_size, "its date": found.st_mtime_ns}


def clip_work(args: argparse.Namespace) -> tuple[int, int, int]:
    """Height and width of the result of `nst video`, and all steps of all frames."""
    source = open_source(Path(args.content), args.fps)
    count = source.expected(Part(args.begin, args.end, args.every)) or 1
    recipe = RECIPES[args.recipe]
    height, width = target_shape(source.shape, args.size, recipe, torch.device("cuda"))
    steps = usual_steps((height, width), recipe, args.scales) if args.steps is None else args.steps
    later = round(SHARE * steps) if args.frame_steps is None else args.frame_steps
    return height, width, args.passes * (steps + later * (count - 1))
