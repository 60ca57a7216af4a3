from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import torch

from .. import nst_engine as nst
from ..nst_engine.errors import counted
from ..nst_engine.video.encode import Encoding, check_clip
from ..nst_engine.video.job import Job, skipped
from ..nst_engine.video.source import Part, Shown, Source, open_clip
from . import checks, host, inputs, moving
from .masks import painted
from .progress_text import joined

SUFFIX = ".mp4"
LONGEST = f"-0123456789-unfinished{SUFFIX}"  # of what a film's name is followed by while it is made


class NSTStyliseVideo:
    TITLE = "NST Stylise Video"
    CATEGORY = host.CATEGORY
    DESCRIPTION = (
        "Paints a video of any length in the style of a picture, without flicker. Sound and frame rate stay. Cancel "
        "whenever you like: the same run goes on where it was."
    )
    RETURN_TYPES = ("VIDEO",)
    RETURN_NAMES = ("video",)
    OUTPUT_TOOLTIPS = ("The painted video. Its file is in the output folder.",)
    SEARCH_ALIASES = (
        *(
            "stylize video",
            "video style transfer",
            "style transfer",
            "paint video",
            "artistic video",
            "film to painting",
        ),
        *("flicker free", "painting", "movie"),
    )
    FUNCTION = "stylise"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "vgg": inputs.VGG,
                "video": (
                    "VIDEO",
                    {"tooltip": "The video to paint, from Load Video or any other node that gives one."},
                ),
                "style_grams": inputs.STYLE_GRAMS,
                "recipe": inputs.RECIPES,
                "filename_prefix": (
                    "STRING",
                    {
                        "default": "nst/video",
                        "tooltip": "Name of the file in the output folder. A number is added, so nothing is "
                        "overwritten. As long as it is unfinished, its frames are beside it.",
                    },
                ),
            },
            "optional": moving.optional()
            | {
                "every": (
                    "INT",
                    {
                        "default": 1,
                        "min": 1,
                        "max": 1000,
                        "tooltip": "Paints only one frame in so many, for a quick look. 1: all.",
                    },
                )
            },
            "hidden": {"node_id": "UNIQUE_ID"},
        }

    @classmethod
    def VALIDATE_INPUTS(
        cls,
        filename_prefix: str | None = None,
        recipe: str | None = None,
        size: int | None = None,
        layer_weights: object = checks.NOT_WIRED,
    ) -> bool | str:
        if isinstance(filename_prefix, str):
            try:
                host.output_named(filename_prefix, LONGEST)
            except nst.NSTError as error:
                return str(error)
        return checks.refusal_of_run(cls, recipe, size, layer_weights) or True

    @classmethod
    def IS_CHANGED(cls, **_: Any) -> int:
        """A film that was finished early goes on."""
        return host.short_runs()

    @moving.takes_settings
    def stylise(
        self,
        vgg: nst.VGGFeatures,
        video: Any,
        style_grams: nst.StyleGrams,
        recipe: str,
        filename_prefix: str,
        every: int = 1,
        node_id: str | None = None,
        **choices: Any,
    ) -> dict[str, Any]:
        chosen = moving.filled(choices)
        of_masks: list[str] = []
        chosen["protect_mask"] = painted(chosen["protect_mask"], "protect_mask", of_masks)
        stem = host.output_named(filename_prefix, LONGEST)
        source, part = open_video(video, every)
        checks.check_style(vgg, style_grams, source.shape, 1)
        key = fingerprint(vgg, same_clip(video, source, part), style_grams, recipe, chosen)
        job = Job(stem.with_name(f"{stem.name}-{key}.frames"), bits=source.bits)
        unfinished = stem.with_name(f"{stem.name}-{key}-unfinished{SUFFIX}")
        stem.parent.mkdir(parents=True, exist_ok=True)
        encoding = Encoding(bits=source.bits)
        check_clip(unfinished, encoding)
        job.begin({"key": key})
        need = moving.memory_needed(vgg, source.shape, style_grams, recipe, chosen)
        settings = moving.engine_choices(vgg, recipe, chosen)
        settings |= {"grams": style_grams, "protect": chosen["protect_mask"]}
        try:
            with (
                host.reserve_memory(need, vgg.device),
                moving.follow(source.expected(part), chosen["preview_every"], of_masks) as following,
            ):
                stylise = partial(nst.stylize_video, vgg, **settings, **following.arguments())
                notes, alone = frames_into(job, source, part, max(settings["coherence"].back), stylise)
                notes += job.write(unfinished, source, part, encoding, [*alone] or job.waiting())
                path = host.name_output(unfinished, filename_prefix, SUFFIX)
                following.end(len(job.times()))
        except BaseException:
            # Also where the user has cancelled: what there is can be looked at, and the same run goes on from it.
            leave(job, unfinished, source, part, encoding)
            raise
        if following.finished_early and not job.is_empty:
            notes.append(f"{so_far(job)} so far; running again goes on from there")
        else:
            job.end(keep_frames=False)
        for note in dict.fromkeys(notes):
            host.log.info("%s", note)
        name, file = host.as_output(path)
        host.show_text(joined(f"Saved as {name}", *of_masks))
        return {"ui": {"images": [file], "animated": (True,)}, "result": (host.video_file(path),)}


def leave(job: Job, unfinished: Path, source: Source, part: Part, encoding: Encoding) -> None:
    """What there is of a run that has ended before its end, as a film; nothing at all where there is no frame."""
    if job.is_empty:
        shutil.rmtree(job.folder, ignore_errors=True)
        return
    job.write(unfinished, source, part, encoding, job.waiting())
    host.log.info("%s so far are in %s; running again goes on", so_far(job), unfinished)


def so_far(job: Job) -> str:
    return counted(len(job.times()) + sum(1 for _ in job.waiting()), "frame")


def open_video(video: Any, every: int) -> tuple[Source, Part]:
    """The host's VIDEO as a source to be streamed, and the part of it that is meant."""
    if not hasattr(video, "get_stream_source"):
        raise nst.NSTError("video: takes VIDEO from another node; connect Load Video, for instance.")
    stream = video.get_stream_source()
    source = open_clip(Path(stream) if isinstance(stream, str) else stream)
    window = getattr(video, "get_active_trim_window", None)
    start, length = window() if window is not None else (0.0, 0.0)
    end = Fraction(start + length).limit_denominator(10**6) if length else None
    return source, Part(Fraction(start).limit_denominator(10**6) if start else None, end, every)


def frames_into(
    job: Job, source: Source, part: Part, back: int, stylise: Callable[..., Iterator[nst.video.Frame]]
) -> tuple[list[str], list[nst.video.Frame]]:
    """Every frame that is not finished yet. Given back: what is to be said, and a first frame that was finished early,
    which nothing may go on from."""
    done, notes = len(job.times()), list[str]()
    contents, rest = skipped(source.frames(part, notes.append), done, back)
    in_work: list[Shown] = []

    def pixels():
        for shown in rest:
            in_work.append(Shown(shown.number, shown.time, shown.pixels[..., :0]))
            yield shown.pixels

    for frame in stylise(frames=pixels(), past=job.past(done, contents), first=done, spool=job.passes):
        if frame.settings["stopped_early"]:
            return notes, [] if done else [frame]
        if not frame.reliable:
            job.forget(frame.number)
        job.keep(frame.number, in_work.pop(0), frame, back)
        notes += frame.notes
    return notes, []


def same_clip(video: Any, source: Source, part: Part) -> str:
    """What tells a clip, and the part of it that is meant, from another."""
    frames = host.frames_in_memory(video)
    if frames is not None:
        return f"{part} {source.rate} {digest_of(frames)}"
    if isinstance(source.path, Path):
        found = source.path.stat()
        return f"{part} {source.path} {found.st_size} {found.st_mtime_ns}"
    source.path.seek(0)
    return f"{part} {hashlib.sha256(source.path.read()).hexdigest()}"


def fingerprint(vgg: nst.VGGFeatures, clip: str, grams: nst.StyleGrams, recipe: str, chosen: dict[str, Any]) -> str:
    """What has to be the same for a run to go on where another ended."""
    plain: dict[str, Any] = {name: str(value) for name, value in chosen.items() if not isinstance(value, torch.Tensor)}
    plain |= {"recipe": recipe, "vgg": vgg.key, "clip": clip, "protect_mask": digest_of(chosen["protect_mask"])}
    plain["styles"] = [
        [s.name, s.weight, s.size, s.copies, *map(digest_of, (s.picture, s.mask, s.region))] for s in grams.styles
    ]
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:10]


def digest_of(tensor: torch.Tensor | None) -> str:
    digest = hashlib.sha256()
    for part in () if tensor is None else tensor:  # a copy of all frames may be too much
        digest.update(part.detach().cpu().float().contiguous().numpy())
    return "" if tensor is None else f"{tuple(tensor.shape)} {digest.hexdigest()}"
