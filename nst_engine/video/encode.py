"""Frames and the sound of their source into a file, as a stream: no more than a few frames are held."""

from __future__ import annotations

import contextlib
import json
import math
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch

from ..errors import NSTError
from ..system.safe_files import move_over, unfinished
from ..system.safe_text import parse_json
from .flow import needed
from .sound import NewClip, sound_of
from .source import Part, Shown, Source, opened

# By ending: encoders, the best first.
ENCODERS = {
    ".mp4": ("libx264", "libopenh264", "mpeg4"),
    ".m4v": ("libx264", "libopenh264", "mpeg4"),
    ".mov": ("libx264", "libopenh264", "mpeg4"),
    ".mkv": ("libx264", "libopenh264", "mpeg4", "ffv1"),
    ".webm": ("libvpx-vp9", "libsvtav1", "libaom-av1", "libvpx"),
}
# What codes a codec may have, the usual first, then with what precision is left.
SHALLOW = ("yuv420p", "yuvj420p", "yuv422p", "yuv444p", "rgb24", "bgr0", "nv12")
DEEP = ("yuv420p10le", "yuv422p10le", "yuv444p10le", "p010le", "gbrp10le")
TRIAL = (256, 256)  # no encoder finds that too small
LEAST_RATE, LARGEST_NUMBER = Fraction(1, 1_000_000), 2**31 - 1  # frames a second, and what FFmpeg's fractions hold
QUALITY = {"libx264": 17, "libx265": 19, "libvpx-vp9": 24, "libsvtav1": 24, "libaom-av1": 24}  # --crf, if not given


@dataclass(frozen=True)
class Encoding:
    """How a clip is written. None: as its ending has it."""

    codec: str | None = None
    crf: int | None = None
    bits: int = 8
    settings: dict[str, Any] = field(default_factory=dict)  # kept in the file


def check_clip(path: Path, encoding: Encoding) -> str:
    """Raise now what would be raised after a night of work; returns the encoder's name."""
    av = needed("av", "Writing a clip")
    if path.suffix.lower() not in ENCODERS:
        raise NSTError(
            f"{path}: cannot write a clip ending in {path.suffix!r}; use one of {' '.join(ENCODERS)}, or a name "
            "without an ending for a folder of frames."
        )
    if path.is_dir() or not path.parent.is_dir():
        found = "this is a folder" if path.is_dir() else f"there is no folder {path.parent}"
        raise NSTError(f"{path}: {found}; name a file in a folder that exists.")
    usual = ENCODERS[path.suffix.lower()]
    wanted = (encoding.codec,) if encoding.codec else usual
    there = [name for name in wanted if _encoder(av, name)]
    if not there:
        known = sorted({name for names in ENCODERS.values() for name in names if _encoder(av, name)})
        raise NSTError(
            f"--codec: the PyAV installed here cannot write {' or '.join(wanted)}; it has {', '.join(known) or 'none'}."
        )
    _try(path.suffix, encoding)
    return there[0]


def _try(suffix: str, encoding: Encoding) -> None:
    """One frame written: not every file holds every codec, and not every encoder that is listed works here."""
    grey = Shown(0, Fraction(0), torch.full((1, 3, *TRIAL), 0.5))
    source = Source(Path(), TRIAL, encoding.bits, Fraction(24), 1, ("trial",))
    with tempfile.TemporaryDirectory(prefix="nst-") as folder:
        try:
            write_clip(Path(folder) / f"trial{suffix}", [grey], source, Part(), replace(encoding, settings={}))
        except NSTError as error:
            named = "" if encoding.codec is None else f"--codec: {encoding.codec}: "
            why = str(error.__cause__ or error)
            raise NSTError(f"{named}a clip ending in {suffix} cannot be written so here ({why}).") from error


def clip_settings(path: Path) -> dict[str, Any] | None:
    """What `write_clip` was given as settings, or None where a clip carries none."""
    av = needed("av", "Reading a clip")
    try:
        with opened(path) as container:
            tags = {name.lower(): text for name, text in container.metadata.items()}
    except (OSError, av.error.FFmpegError) as error:
        raise NSTError(f"{path}: this cannot be read as a clip ({error}).") from error
    with contextlib.suppress(ValueError, TypeError):
        settings = parse_json(tags.get("comment", ""))
        return settings if isinstance(settings, dict) else None
    return None


def _encoder(av: Any, name: str) -> Any:
    with contextlib.suppress(ValueError, av.error.FFmpegError):
        codec = av.Codec(name, "w")
        return codec if codec.type == "video" else None
    return None


def write_clip(path: Path, frames: Iterable[Shown], source: Source, part: Part, encoding: Encoding) -> list[str]:
    """Frames with their times, and the source's sound between them; the file appears whole or not at all. Returns what
    is to be said of it."""
    av = needed("av", "Writing a clip")
    notes: list[str] = []
    source = replace(source, rate=_sound_rate(source.rate / part.every))
    incomplete = unfinished(path.parent, path.suffix)
    try:
        options = {"movflags": "use_metadata_tags+faststart"} if path.suffix.lower() in (".mp4", ".m4v", ".mov") else {}
        with av.open(str(incomplete), "w", options=options) as container:
            if encoding.settings:
                container.metadata["comment"] = json.dumps(encoding.settings)
            writer = Writer(av, container, path.suffix.lower(), source, encoding, notes)
            writer.write(frames)
        with incomplete.open("rb+") as file:
            os.fsync(file.fileno())
        move_over(incomplete, path)
    except (OSError, ValueError, av.error.FFmpegError) as error:  # ValueError: what PyAV itself finds
        raise NSTError(f"{path}: the clip could not be written ({error}).") from error
    finally:
        incomplete.unlink(missing_ok=True)
    return notes


def _sound_rate(rate: Fraction) -> Fraction:
    """As near to it as FFmpeg's fractions are."""
    rate = max(LEAST_RATE, rate)
    return rate.limit_denominator(int(LARGEST_NUMBER / max(Fraction(1), rate)))


class Writer:
    def __init__(
        self, av: Any, container: Any, ending: str, source: Source, encoding: Encoding, notes: list[str]
    ) -> None:
        self.av, self.container, self.ending, self.source, self.notes = av, container, ending, source, notes
        self.codec = next(name for name in (encoding.codec, *ENCODERS[ending]) if name and _encoder(av, name))
        self.encoding = encoding
        self.stream: Any = None
        self.format = ""

    def write(self, frames: Iterable[Shown]) -> None:
        sound: Iterator[tuple[Fraction, Callable[[], object]]] | None = None
        with contextlib.ExitStack() as stack:
            pending: tuple[Fraction, Callable[[], object]] | None = None
            began: Fraction | None = None
            for shown in frames:
                assert shown.time is not None
                if began is None:
                    began = shown.time
                    self.stream = self._video(shown.pixels)
                    sound = stack.enter_context(sound_of(self._clip(), began))
                    pending = next(sound, None)
                # Sound that is heard before this frame is shown goes first, so that players need not look ahead.
                while sound is not None and pending is not None and pending[0] <= shown.time - began:
                    pending[1]()
                    pending = next(sound, None)
                self.container.mux(self.stream.encode(self.frame(shown.pixels, shown.time - began)))
                end = shown.time - began + 1 / self.source.rate
            if self.stream is None:
                raise NSTError("there is no frame to be written.")
            self.container.mux(self.stream.encode(None))
            while sound is not None and pending is not None and pending[0] < end:
                pending[1]()
                pending = next(sound, None)

    def _clip(self) -> NewClip:
        return NewClip(self.av, self.container, self.ending, self.source, self.notes)

    def _video(self, pixels: torch.Tensor) -> Any:
        height, width = pixels.shape[-2:]
        stream = self.container.add_stream(self.codec, rate=self.source.rate)
        formats = [f.name for f in self.av.Codec(self.codec, "w").video_formats or ()]
        wanted = (*DEEP, *SHALLOW) if self.encoding.bits > 8 else (*SHALLOW, *DEEP)
        self.format = next((name for name in wanted if name in formats), formats[0] if formats else "yuv420p")
        if self.encoding.bits > 8 and self.format not in DEEP:
            self.notes.append(f"{self.codec} holds 8 bits here; the clip's other bits are lost")
        stream.pix_fmt = self.format
        stream.width, stream.height = (width + 1) // 2 * 2, (height + 1) // 2 * 2
        if (stream.height, stream.width) != (height, width):
            self.notes.append(
                f"codecs want even sides: {width}×{height} became {stream.width}×{stream.height}, "
                "by repeating the last row or column"
            )
        if self.source.aspect:
            stream.codec_context.sample_aspect_ratio = self.source.aspect
        if self.codec in QUALITY or self.encoding.crf is not None:
            stream.options = {"crf": str(QUALITY.get(self.codec) if self.encoding.crf is None else self.encoding.crf)}
        if self.codec == "libx265":  # or it talks
            stream.options |= {"x265-params": "log-level=error"}
        if "vp9" in self.codec or "aom" in self.codec:
            stream.bit_rate = 0  # or crf is only a limit
        elif self.codec in ("mpeg4", "libopenh264"):
            stream.bit_rate = int(width * height * self.source.rate // 4)
        stream.codec_context.time_base = self.base = self._clock()
        context = stream.codec_context
        colour = self.source.colour
        context.colorspace, context.color_primaries, context.color_trc = colour.space, colour.primaries, colour.transfer
        context.color_range = 1
        return stream

    def frame(self, pixels: torch.Tensor, time: Fraction) -> Any:
        frame = self._coded(pixels)
        even = round(time * self.source.rate) / self.source.rate
        if abs(even - time) <= (self.source.time_base or 0) / 2:
            time = even  # as it was before a clock of milliseconds, Matroska's, rounded it
        frame.time_base = self.base
        frame.pts = round(time / self.base)
        return frame

    def _clock(self) -> Fraction:
        """In whose ticks both the source's times and an even beat are whole numbers."""
        base, rate = self.source.time_base or 1 / self.source.rate, self.source.rate
        ticks = math.lcm(base.denominator, rate.numerator)
        if self.codec == "mpeg4" and ticks > 65535:  # MPEG-4's clock has 16 bits
            return Fraction(1, 60000)
        return Fraction(1, ticks) if ticks < 2**24 else base

    def _coded(self, pixels: torch.Tensor) -> Any:
        pixels = torch.nn.functional.pad(
            pixels, (0, self.stream.width - pixels.shape[-1], 0, self.stream.height - pixels.shape[-2]), "replicate"
        )
        deep = self.encoding.bits > 8
        codes = (pixels[0].clamp(0, 1) * (65535 if deep else 255)).round().movedim(0, -1).contiguous()
        array = codes.to(torch.int32).numpy().astype("uint16" if deep else "uint8")
        frame = self.av.VideoFrame.from_ndarray(array, format="rgb48le" if deep else "rgb24")
        space = self.source.colour.space
        frame = frame.reformat(format=self.format, dst_colorspace=space, dst_color_range=1)
        frame.colorspace, frame.color_range = space, 1
        frame.color_primaries, frame.color_trc = self.source.colour.primaries, self.source.colour.transfer
        return frame
