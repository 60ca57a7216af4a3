"""`nst batch --dry-run`: what would be done, and how long it would take by a trial of this machine."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import torch

from ...errors import NSTError, counted
from ...pictures.files import read_picture
from ...pictures.images import resize
from ...styles.compute import compute_style_grams
from ...stylize import stylize
from ...video.source import Part, open_source
from .. import one_picture
from ..inputs import Inputs, result_shape, work_of
from ..video import clip_work
from .jobs import Job, is_clip
from .outcome import FAILED, KEPT, MADE
from .report import Console, in_time
from .resume import asked, made_before
from .worker import in_words

TRIAL_SIDE = 256  # of the picture that the machine is tried with
TRIAL_STEPS = 3


def estimate(jobs: list[Job], faults: dict[str, str], console: Console) -> bool:
    """Whether all can be made, but for those whose `faults` are known."""
    counts: Counter[str] = Counter()
    work = 0.0
    first: Job | None = None
    words = {MADE: "to make", KEPT: "there already", FAILED: "will fail"}
    for job in jobs:
        why = faults.get(job.out)
        status, told, megapixels = (FAILED, f": {why}", 0.0) if why else _look(job)
        counts[status] += 1
        work += megapixels
        first = first or (job if megapixels else None)  # what the machine is tried with
        console.tell(f"{words[status]}: {job.content} with {' + '.join(job.styles)} -> {job.out}{told}")
    console.say(
        f"batch: {counted(counts[MADE], 'picture')} to make, {counts[KEPT]} there already, {counts[FAILED]} will fail"
    )
    if first is not None:
        console.say(_time_of(first, work))
    return not counts[FAILED]


def _time_of(first: Job, megapixels: float) -> str:
    """In words, of all jobs, by a trial of the first."""
    try:
        start, seconds = _trial(first)
    except NSTError as error:  # others may do the work, with what is not here
        return f"how long it would take cannot be tried here: {in_words(error)}"
    return (
        f"about {in_time(seconds * megapixels)} on one device like this one: {megapixels:.1f} megapixels in all steps, "
        f"{seconds:.2f} s for each by a trial; and {in_time(start)} to start"
    )


def _look(job: Job) -> tuple[str, str, float]:
    """What would become of it, in which size, and how many megapixels all its steps work on."""
    try:
        args = job.args()
        if made_before(Path(job.out), asked(job, args)):
            return KEPT, "", 0.0
        if is_clip(job.content):
            height, width, steps = clip_work(args)
            frames = open_source(Path(job.content)).expected(Part()) or 1
            told = f"about {counted(frames, 'frame')}, {counted(steps, 'step')} in all"
            return MADE, f", {width}×{height}, {told}", height * width * steps / 1e6
        shape = result_shape(args, Path(job.content))
        steps, megapixels = work_of(args, shape)
    except (NSTError, OSError) as error:
        return FAILED, f": {in_words(error)}", 0.0
    return MADE, f", {shape[1]}×{shape[0]} in {counted(steps, 'step')}", megapixels


def _content_of(job: Job, large: bool) -> torch.Tensor:
    """A picture, or a clip's first frame."""
    if not is_clip(job.content):
        return read_picture(job.content, side=TRIAL_SIDE, large=large).pixels
    return next(open_source(Path(job.content)).frames(Part(), str)).pixels


def _trial(job: Job) -> tuple[float, float]:
    """Seconds to start, and of a step for each megapixel, by a few steps with the job's options on a small copy of its
    content."""
    began = time.perf_counter()
    args = job.args()
    vgg = one_picture.network_of(args)
    content = _content_of(job, args.large)
    height, width = content.shape[-2:]
    scale = TRIAL_SIDE / max(height, width)
    content = resize(content, (max(64, round(height * scale)), max(64, round(width * scale))))
    grams = compute_style_grams(vgg, content, recipe=args.recipe, layers=one_picture.layers_of(args).style)
    small = {"size": 0, "scales": 1, "stroke_size": 0, "steps": TRIAL_STEPS + 1}
    usual = {"start": "noise", "start_image": None, "start_mix": 0.0, "strength": 1.0}
    given = {**one_picture.choices(args, Inputs(None, [], None, None)), **small, **usual}
    times: list[float] = []
    stylize(vgg, content, grams, **given, on_step=lambda _: times.append(time.perf_counter()))
    step = (times[-1] - times[0]) / TRIAL_STEPS
    return times[0] - began - step, step / (content.shape[-2] * content.shape[-1]) * 1e6
