"""`nst batch --dry-run`: what would be done, and how long it would take by a trial of this machine."""

from __future__ import annotations

import argparse
import time
from collections import Counter
from functools import lru_cache
from pathlib import Path

import torch

from ...errors import NSTError, counted
from ...options import Options
from ...pictures.files import picture_shape, read_picture
from ...pictures.images import resize
from ...run.levels import levels_of
from ...styles.compute import compute_style_grams
from ...styles.saved import SUFFIX
from ...stylize import stylize
from ...video.source import Part, open_source
from .. import one_picture
from ..inputs import result_shape
from ..video import clip_work
from .jobs import Job, is_clip
from .outcome import FAILED, KEPT, MADE
from .report import Console, in_time
from .resume import asked, made_before
from .worker import in_words

TRIAL_SIDE = 256  # of the picture that the machine is tried with
TRIAL_STEPS = 3


def estimate(jobs: list[Job], console: Console, no_clips: str) -> None:
    """`no_clips` says why there can be none."""
    counts: Counter[str] = Counter()
    work = 0.0
    first: Job | None = None
    words = {MADE: "to make", KEPT: "there already", FAILED: "will fail"}
    for job in jobs:
        refused = no_clips if is_clip(job.content) else ""
        status, told, megapixels = (FAILED, f": {refused}", 0.0) if refused else _look(job)
        counts[status] += 1
        work += megapixels
        first = first or (job if status == MADE else None)  # what the machine is tried with
        console.tell(f"{words[status]}: {job.content} with {' + '.join(job.styles)} -> {job.out}{told}")
    console.say(
        f"batch: {counted(counts[MADE], 'picture')} to make, {counts[KEPT]} there already, {counts[FAILED]} will fail"
    )
    if first is not None:
        seconds = _seconds_per_megapixel(first)
        console.say(
            f"about {in_time(seconds * work)} on one device like this one: {work:.1f} megapixels in all steps, "
            f"{seconds:.2f} s for each by a trial"
        )


def _look(job: Job) -> tuple[str, str, float]:
    """What would become of it, in which size, and how many megapixels all its steps work on."""
    try:
        args = job.args()
        if made_before(Path(job.out), asked(job, args)):
            return KEPT, "", 0.0
        for style in job.styles:
            _check_style(style)
        if is_clip(job.content):
            height, width, steps = clip_work(args)
            frames = open_source(Path(job.content)).expected(Part()) or 1
            told = f"about {counted(frames, 'frame')}, {counted(steps, 'step')} in all"
            return MADE, f", {width}×{height}, {told}", height * width * steps / 1e6
        shape = result_shape(args, Path(job.content))
        steps, megapixels = _work(args, shape)
    except (NSTError, OSError) as error:
        return FAILED, f": {in_words(error)}", 0.0
    return MADE, f", {shape[1]}×{shape[0]} in {counted(steps, 'step')}", megapixels


@lru_cache(1024)
def _check_style(style: str) -> None:
    if not style.lower().endswith(SUFFIX):
        picture_shape(style)


def _work(args: argparse.Namespace, shape: tuple[int, int]) -> tuple[int, float]:
    recipe = Options(recipe=args.recipe, steps=args.steps, optimizer=args.optimizer).used_recipe
    levels = levels_of(shape, recipe, args.scales)
    # A step's worth for measuring at every level.
    pixels = sum(level.shape[0] * level.shape[1] * (level.steps + 1) for level in levels)
    return recipe.steps, pixels / 1e6


def _content_of(job: Job, large: bool) -> torch.Tensor:
    """A picture, or a clip's first frame."""
    if not is_clip(job.content):
        return read_picture(job.content, side=TRIAL_SIDE, large=large).pixels
    return next(open_source(Path(job.content)).frames(Part(), str)).pixels


def _seconds_per_megapixel(job: Job) -> float:
    """Of a step, by a few of them on a small copy of the content."""
    args = job.args()
    vgg = one_picture.network_of(args)
    content = _content_of(job, args.large)
    height, width = content.shape[-2:]
    scale = TRIAL_SIDE / max(height, width)
    content = resize(content, (max(64, round(height * scale)), max(64, round(width * scale))))
    grams = compute_style_grams(vgg, content, recipe=args.recipe)
    times = [time.perf_counter()]
    stylize(
        vgg,
        content,
        grams,
        recipe=args.recipe,
        steps=TRIAL_STEPS + 1,
        scales=1,
        size=0,
        on_step=lambda _: times.append(time.perf_counter()),
    )
    pixels = content.shape[-2] * content.shape[-1] * TRIAL_STEPS
    return (times[-1] - times[1]) / pixels * 1e6
