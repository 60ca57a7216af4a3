"""Makes pictures one after the other. The network and the styles stay loaded; while a picture is made, the next one is
read and the last one written."""

from __future__ import annotations

import argparse
import errno
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from ... import __version__
from ...errors import NSTError
from ...network.vgg import VGGFeatures
from ...pictures.files import Picture, read_picture, write_picture
from ...run.progress import Position
from ...styles.grams import StyleGrams
from ...stylize import Result
from ...system.out_of_memory import is_out_of_memory
from ...system.safe_files import move_over
from ...system.safe_text import shown
from .. import one_picture
from ..arguments import OPTIONS
from ..inputs import Inputs, StyleInput, read_inputs
from ..video import VideoCommand
from .jobs import Job
from .outcome import FAILED, KEPT, MADE, Outcome
from .output import temporary_path
from .resume import KEY, asked, made_before
from .shots import Watch, make_shot, read_shot

NETWORKS = 2  # that differ in pooling, padding and the like
STYLE_PIXELS = 1 << 28  # of style pictures that are kept
STATISTICS = 256  # of one style, by layer and size
# What fails for one picture fails for all.
DISK_IS_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)

Report = Callable[[Outcome], object]
OnProgress = Callable[[Job, int, int], object]  # steps done, of all
Done = TypeVar("Done")


class TooLong(NSTError):
    pass


class Stopped(Exception):
    """There is no use in going on with this picture."""


@dataclass
class Ready:
    """A job whose files have been read; `wanted` says what its result is made of."""

    job: Job
    args: argparse.Namespace
    inputs: Inputs
    wanted: dict[str, Any]
    shot: VideoCommand | None = None  # which then makes it


@dataclass(frozen=True)
class Settings:
    """Plain data, as jobs are."""

    work: str  # where files are written before they are moved into `out`
    device: str | None = None  # instead of the jobs'
    time_limit: float | None = None  # seconds for one picture
    moves: bool = True  # finished files into `out`; otherwise the caller does that


class Worker:
    def __init__(self, settings: Settings, on_progress: OnProgress | None = None) -> None:
        self.settings = settings
        self.on_progress = on_progress
        self.stopping = False
        self._networks: OrderedDict[tuple[object, ...], VGGFeatures] = OrderedDict()
        self._pictures: OrderedDict[tuple[object, ...], Picture] = OrderedDict()
        self._measured: WeakKeyDictionary[Picture, dict[tuple[object, ...], StyleGrams]] = WeakKeyDictionary()

    def run(self, jobs: Iterable[Job], report: Report) -> None:
        """Every job's outcome is reported, in order and from one thread. A report that returns False ends it all."""
        waiting = iter(jobs)
        self.stopping = False
        with ThreadPoolExecutor(1, "nst-reader") as reader, ThreadPoolExecutor(1, "nst-writer") as writer:
            written: Future[None] | None = None
            ahead = reader.submit(self._read_next, waiting)
            try:
                while (ready := ahead.result()) is not None and not self.stopping:
                    ahead = reader.submit(self._read_next, waiting)
                    finish = self._made(ready) if isinstance(ready, Ready) else _known(ready)
                    if written is not None:
                        written.result()  # one picture at a time waits to be written, so that memory does not grow
                    written = writer.submit(self._finish, finish, report)
                if written is not None:
                    written.result()
            except Stopped:
                pass
            finally:
                self.stopping = True

    def _finish(self, finish: Callable[[], Outcome], report: Report) -> None:
        if report(finish()) is False:
            self.stopping = True

    # --- reading ---

    def _read_next(self, jobs: Iterator[Job]) -> Ready | Outcome | None:
        if self.stopping or (job := next(jobs, None)) is None:
            return None
        return self._guarded(job, lambda: self.read(job))

    def read(self, job: Job) -> Ready | Outcome:
        args = job.args()
        args.device = self.settings.device or args.device
        wanted = asked(job, args)
        if job.shot is not None:
            found = read_shot(job, args, wanted, self._picture)
            return found if isinstance(found, Outcome) else Ready(job, args, found[1], wanted, found[0])
        out = Path(job.out)
        if self.settings.moves:
            if before := made_before(out, wanted):
                return Outcome(job, KEPT, before.get("seconds", 0.0), before.get("loss"))
            out.parent.mkdir(parents=True, exist_ok=True)
        else:
            args.out = str(Path(self.settings.work, out.name))
        return Ready(job, args, read_inputs(args, self._picture), wanted)

    def _picture(self, path: Path, *, side: int, large: bool) -> Picture:
        """Of a style; kept until others need the memory. Very large ones are read for results up to the next power of
        two, so that contents of many sizes share one."""
        side = 1 << max(0, side - 1).bit_length()
        found = path.stat()
        key = (path, found.st_mtime_ns, found.st_size, side, large)
        if key not in self._pictures:
            self._pictures[key] = read_picture(path, side=side, large=large)
        self._pictures.move_to_end(key)
        while len(self._pictures) > 1 and sum(p.pixels.numel() for p in self._pictures.values()) > STYLE_PIXELS:
            self._pictures.popitem(last=False)
        return self._pictures[key]

    # --- making ---

    def _made(self, ready: Ready) -> Callable[[], Outcome]:
        """The picture made; what is left is to write it."""
        found = self._guarded(ready.job, lambda: self.make(ready))
        return _known(found) if isinstance(found, Outcome) else found

    def make(self, ready: Ready) -> Callable[[], Outcome]:
        vgg = self.network(ready.args)  # that it is loaded is not the first picture's time
        began = time.perf_counter()
        limit = self.settings.time_limit

        def check(*_: object) -> None:
            if self.stopping:
                raise Stopped
            if limit is not None and time.perf_counter() - watch.began > limit:
                raise TooLong(
                    f"--time-limit: it was not done after {limit:g} seconds; fewer --steps or a smaller "
                    "--size take less."
                )

        def show(done: int, of: int) -> None:
            if self.on_progress:
                self.on_progress(ready.job, done, of)

        def on_step(progress: Position) -> None:
            check()
            show(progress.step, progress.steps)

        watch = Watch(check, show, began)
        grams = one_picture.blended(ready.inputs, ready.args, lambda given: self._style(vgg, given, ready))
        if ready.shot is not None:
            outcome = make_shot(ready.job, ready.shot, vgg, grams, ready.inputs, watch)
            self._trim(grams)
            return _known(outcome)
        result = one_picture.make(
            vgg, ready.inputs, grams, ready.args, on_step=on_step, on_tile=check, on_measure=check, on_layer=check
        )
        self._trim(grams)
        seconds = round(time.perf_counter() - began, 3)
        return lambda: self._guarded(ready.job, lambda: self.write(ready, result, seconds))

    def network(self, args: argparse.Namespace) -> VGGFeatures:
        key = (args.weights, args.pooling, args.padding, args.precision, args.device, args.input, tuple(args.models))
        if key not in self._networks:
            if len(self._networks) == NETWORKS:
                self._networks.popitem(last=False)
            self._networks[key] = one_picture.network_of(args)
        self._networks.move_to_end(key)
        return self._networks[key]

    def _style(self, vgg: VGGFeatures, given: StyleInput, ready: Ready) -> StyleGrams:
        """Measured once, however many pictures take it on."""
        args = ready.args
        if isinstance(given.style, StyleGrams):
            return given.style
        masks = args.style_masks or [None] * len(args.styles)
        mask = masks[ready.inputs.styles.index(given)]
        size = 0 if args.stroke_size else args.style_size
        key = (vgg.key, args.recipe, size, args.style_layers, mask, args.mask_mode, args.style_copies)
        kept = self._measured.setdefault(given.style, {})
        if key not in kept:
            kept[key] = one_picture.measure_style(vgg, given, args)
        return kept[key]

    def _trim(self, grams: StyleGrams) -> None:
        """Contents of ever new sizes would fill the memory with statistics at these sizes."""
        for style in grams.styles:
            while style.picture is not None and len(style.memo) > STATISTICS:
                del style.memo[next(iter(style.memo))]

    # --- writing ---

    def write(self, ready: Ready, result: Result, seconds: float) -> Outcome:
        job = ready.job
        history = result.histories[0]
        loss = history[-1].total if history else None
        about = {
            "content": Path(job.content).name,
            "program": f"nst {__version__}",
            "argv": job.argv(),
            "seconds": seconds,
            "loss": loss,
            KEY: ready.wanted,
        }
        part = temporary_path(Path(self.settings.work), job.out)
        writing = one_picture.writing(part, ready.inputs, result.image, ready.args)
        write_picture(part, settings={**result.settings, **about}, **writing)
        outcome = Outcome(job, MADE, seconds, loss, notes=tuple(result.notes), where=result.settings["device"])
        if not self.settings.moves:
            return replace(outcome, part=part)
        move_over(part, Path(job.out))
        return outcome

    def _guarded(self, job: Job, do: Callable[[], Done]) -> Done | Outcome:
        """What `do` gives, or how it failed: one picture is not to end the others."""
        try:
            return do()
        except Stopped:
            raise
        except Exception as error:
            return Outcome(job, FAILED, error=in_words(error), ends_all=ends_all(error))


def _known(outcome: Outcome) -> Callable[[], Outcome]:
    return lambda: outcome


def in_words(error: BaseException) -> str:
    if isinstance(error, NSTError):
        return shown(re.sub(r"\s*\n\s*", " ", str(error.called(OPTIONS))), 1000)  # in one line
    if is_out_of_memory(error):
        return "out of memory; a smaller --size or --style-size, or --precision bf16, needs less"
    if isinstance(error, OSError):
        return shown(f"{error.filename or 'a file'}: {error.strerror or error}", 1000)
    return shown(f"{type(error).__name__}: {error}", 1000)


def ends_all(error: BaseException | None) -> bool:
    """The disk is full, which the other pictures will find so as well."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in DISK_IS_FULL:
            return True
        error = error.__cause__
    return False
