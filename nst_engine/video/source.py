"""Where frames come from: a clip, decoded as a stream, or a folder of numbered pictures."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

from ..errors import NSTError
from ..pictures.files import MOST_PIXELS_UNASKED, PICTURES, read_picture
from ..pictures.images import shape_of
from ..system.safe_files import open_file
from .flow import needed

# In swscale's and FFmpeg's numbers. Where a clip does not say, high definition is taken for BT.709, as players do.
BT709, UNKNOWN_SPACES, HIGH_DEFINITION = 1, (0, 2), 720
SEEK_EARLIER = 1  # seconds

# What a clip may be, by FFmpeg's names. No list of other files or addresses, such as HLS or concat, which a stranger's
# file may be under any name: what it names would be read, or fetched, as a part of it.
CONTAINERS = (
    *("mov", "mp4", "matroska", "webm", "avi", "mpeg", "mpegts", "mpegvideo", "ogg", "flv", "asf", "mxf", "gxf", "nut"),
    *("dv", "gif", "apng", "ivf", "obu", "av1", "h264", "hevc", "vvc", "m4v", "mjpeg", "vc1", "yuv4mpegpipe", "rm"),
)
# And how the names of such files end, where a folder has others as well.
CLIPS = (
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".m2v", ".vob", ".ts", ".mts", ".m2ts", ".ogv"),
    *(".flv", ".f4v", ".wmv", ".asf", ".mxf", ".gxf", ".nut", ".dv", ".3gp", ".y4m", ".ivf", ".rm", ".rmvb"),
)
ONLY_ITSELF = {"format_whitelist": ",".join(CONTAINERS), "protocol_whitelist": "file"}
ATTACHED_PICTURE = 0x400  # FFmpeg's number
CUT_OFF = 2  # frames that may be missing at the end of a whole file: some count them, and never show them


@dataclass(frozen=True, eq=False)
class Shown:
    """A frame and when it is shown."""

    number: int  # in the source, from 0
    time: Fraction | None  # seconds since the beginning; None where the source has no clock
    pixels: torch.Tensor  # 1x3xHxW
    alpha: torch.Tensor | None = None


@dataclass(frozen=True)
class Part:
    """What of a source is taken: from one time to another, in seconds, every so many frames, counted from the first of
    them. `first` is the number of the frame at `start`, where it is known: then what comes before need not be read."""

    start: Fraction | None = None
    end: Fraction | None = None
    every: int = 1
    first: int = 0

    def taken(self) -> Callable[[Fraction], bool]:
        """Whether a frame of this time is taken; to be asked of every frame once, in order."""
        counted = itertools.count()
        return lambda time: (self.start is None or time >= self.start) and next(counted) % self.every == 0

    def ended(self, time: Fraction) -> bool:
        return self.end is not None and time >= self.end


@dataclass(frozen=True)
class Colour:
    """How a clip's codes stand for colours, as numbers of the H.273 tables."""

    space: int = BT709
    primaries: int = BT709
    transfer: int = BT709


@dataclass(frozen=True)
class Source:
    """A clip or a folder, and what is known of it before it has been read."""

    path: Path | IO[bytes]
    shape: tuple[int, int]  # height and width, upright
    bits: int
    rate: Fraction  # frames a second
    count: int | None  # of all frames; None where only reading tells
    names: tuple[str, ...] = ()  # of a folder's files
    time_base: Fraction | None = None
    aspect: Fraction | None = None  # of a pixel
    colour: Colour = Colour()
    length: Fraction | None = None  # seconds, where the file itself says how long its video is

    def expected(self, part: Part) -> int | None:
        """How many frames there will be, more or less."""
        if self.count is None:
            return None
        end = self.count if part.end is None else min(self.count, round(part.end * self.rate))
        start = 0 if part.start is None else min(end, round(part.start * self.rate))
        return max(1, -(-(end - start) // part.every))

    def frames(self, part: Part, on_break: Callable[[str], object]) -> Iterator[Shown]:
        """Those of the part, in order. Where the source cannot be read any further, `on_break` is told why."""
        reader = _of_folder(self, part, on_break) if self.names else _of_clip(self, part, on_break)
        shape: tuple[int, int] | None = None
        for shown in reader:
            h, w = shape_of(shown.pixels)
            shape = shape or (h, w)
            if (h, w) != shape:
                was = f"it began with {shape[1]}×{shape[0]}"
                on_break(f"frame {shown.number + 1} is {w}×{h}, and {was}; what comes after needs a run of its own")
                return
            yield shown


def open_source(path: Path, rate: Fraction | None = None) -> Source:
    """`rate` is for what has none of its own."""
    return _open_folder(path, rate or Fraction(24)) if path.is_dir() else open_clip(path)


# --- folders ------------------------------------------------------------------------------------------------------


def _open_folder(path: Path, rate: Fraction) -> Source:
    files = [file.name for file in path.iterdir() if file.suffix.lower() in PICTURES and not file.name.startswith(".")]
    if not files:
        raise NSTError(f"{path}: there is no picture in this folder; its frames are files such as frame_0001.png.")
    names = tuple(sorted(files, key=_by_number))
    first = read_picture(path / names[0])
    return Source(path, shape_of(first.pixels), first.bits, rate, len(names), names)


def _by_number(name: str) -> list[tuple[int, int | str]]:
    """frame2 before frame10."""
    return [
        (0, int(part)) if part.isdecimal() else (1, part.casefold()) for part in re.split(r"([0-9]+)", name) if part
    ]


def _of_folder(source: Source, part: Part, on_break: Callable[[str], object]) -> Iterator[Shown]:
    assert isinstance(source.path, Path)
    takes = part.taken()
    for number, name in enumerate(source.names):
        time = number / source.rate
        if part.ended(time):
            return
        if takes(time):
            try:
                picture = read_picture(source.path / name)
            except NSTError as error:
                on_break(str(error))
                return
            yield Shown(number, time, picture.pixels, picture.alpha)


# --- clips --------------------------------------------------------------------------------------------------------


def open_clip(path: Path | IO[bytes]) -> Source:
    av = needed("av", "Reading a clip")
    try:
        with opened(path) as container:
            stream = video_of(container, path)
            check_size(stream.codec_context.width, stream.codec_context.height, path)
            first = next(container.decode(stream), None)
            if first is None:
                raise NSTError(f"{_called(path)}: there is no frame in this clip.")
            rate = stream.average_rate or stream.guessed_rate or Fraction(25)
            count = stream.frames or _by_length(container, stream, rate)
            colour = _colour_of(first)
            bits = max((component.bits for component in first.format.components), default=8)
            height, width = first.height, first.width
            if _turns(first) % 2:
                height, width = width, height
            aspect = stream.sample_aspect_ratio or None
            base, length = stream.time_base, _length(stream)
    except (OSError, av.error.FFmpegError) as error:
        raise NSTError(f"{_called(path)}: this cannot be read as a clip ({_why(error)}).") from error
    if aspect is not None and _turns(first) % 2:
        aspect = 1 / aspect
    deep = 8 if bits <= 8 else 16
    return Source(path, (height, width), deep, Fraction(rate), count, (), base, aspect, colour, length)


def opened(path: Path | IO[bytes]) -> Any:
    av = needed("av", "Reading a clip")
    if isinstance(path, Path):
        open_file(path).close()  # FFmpeg would wait for what comes out of a pipe
        return av.open(os.path.abspath(path), options=ONLY_ITSELF)  # never an address, whatever its name
    path.seek(0)
    return av.open(path, options=ONLY_ITSELF)


def _called(path: Path | IO[bytes]) -> str:
    return str(path) if isinstance(path, Path) else "the clip"


def _why(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def video_of(container: Any, path: Path | IO[bytes]) -> Any:
    stream = next((stream for stream in container.streams.video if not _is_cover(stream)), None)
    if stream is None:
        raise NSTError(f"{_called(path)}: there is no video in this file.")
    if stream.codec_context is None:
        raise NSTError(f"{_called(path)}: PyAV has no decoder for its video here.")
    # Never frame by frame: a thread that decodes ahead may want to log, for which PyAV takes Python's lock, while a
    # reader that stops early holds that lock and waits for the thread. Decoding is not what takes time here.
    stream.thread_type = "SLICE"
    return stream


def check_size(width: int, height: int, path: Path | IO[bytes]) -> None:
    """A small file can fill the memory with a frame."""
    if width * height > MOST_PIXELS_UNASKED:
        raise NSTError(
            f"{_called(path)}: its frames claim {width}×{height} pixels, and {MOST_PIXELS_UNASKED} in all are the most "
            "that is read; scale it down with another program first."
        )


def _is_cover(stream: Any) -> bool:
    """A picture that goes with music is a stream of video, too."""
    return bool(int(getattr(stream, "disposition", 0)) & ATTACHED_PICTURE)


def _by_length(container: Any, stream: Any, rate: Fraction) -> int | None:
    if stream.duration is not None:
        seconds: Fraction = stream.duration * stream.time_base
        return max(1, round(seconds * rate))
    return max(1, round(Fraction(container.duration, 1_000_000) * rate)) if container.duration else None


def _length(stream: Any) -> Fraction | None:
    """What an index of all frames, or Matroska's tag, says; not what was guessed from the sound."""
    if stream.frames and stream.duration:
        return Fraction(stream.duration * stream.time_base)
    told = re.fullmatch(r"(\d{1,6}):(\d\d):(\d\d\.\d{1,9})", stream.metadata.get("DURATION", ""))
    if told is None:
        return None
    end = Fraction(int(told[1]) * 3600 + int(told[2]) * 60) + Fraction(told[3])
    return end - (stream.start_time or 0) * Fraction(stream.time_base)


def _of_clip(source: Source, part: Part, on_break: Callable[[str], object]) -> Iterator[Shown]:
    av = needed("av", "Reading a clip")
    number, end, times, takes = 0, Fraction(0), Times(1 / source.rate), part.taken()
    try:
        with opened(source.path) as container:
            stream = video_of(container, source.path)
            sought = _sought(container, stream, part, times) if part.first else None
            number = part.first if sought is not None else 0
            for frame in container.decode(stream) if sought is None else sought:
                time = times.of(None if frame.pts is None else frame.pts * frame.time_base)
                if part.ended(time):
                    return
                if takes(time):
                    check_size(frame.width, frame.height, source.path)
                    yield Shown(number, time, _pixels(frame))
                number += 1
                end = time + (frame.duration * frame.time_base if frame.duration else times.usual)
    except (OSError, av.error.FFmpegError) as error:
        on_break(f"it cannot be read beyond frame {number} ({_why(error)})")
        return
    if source.length is not None and end + CUT_OFF / source.rate < source.length:
        on_break(f"it breaks off after {float(end):.3g} s, and is to last {float(source.length):.3g} s")


@dataclass
class Times:
    """When frames are shown, from the first on, in times that only rise."""

    usual: Fraction  # seconds from one frame to the next
    last: Fraction = Fraction(-1)
    shift: Fraction | None = None

    def of(self, given: Fraction | None) -> Fraction:
        if self.shift is None:
            self.shift = -(given or Fraction(0))
            self.last = Fraction(0)
            return self.last
        # A frame without a time follows the one before at the usual distance, and so does one that lies before it:
        # of clips that were joined, each may count from its own beginning.
        after = self.last + self.usual
        time = after if given is None else given + self.shift
        if time <= self.last:
            self.shift += after - time
            time = after
        self.last = time
        return time


def _sought(container: Any, stream: Any, part: Part, times: Times) -> Iterator[Any] | None:
    """Frames from the part's first one on, by going there at once. None, and back at the beginning, where that does not
    lead to exactly this frame: not every file has an index, and not every frame a time."""
    av = needed("av", "Reading a clip")
    assert part.start is not None
    first = next(container.decode(stream), None)
    if first is not None and first.pts is not None:
        began = first.pts * first.time_base
        at = began + part.start
        with contextlib.suppress(av.error.FFmpegError):
            # A little earlier, because an index goes by the order of decoding.
            container.seek(int((at - SEEK_EARLIER) / stream.time_base), stream=stream)
            frames = container.decode(stream)
            for frame in frames:
                if frame.pts is None or frame.pts * frame.time_base > at:
                    break
                if frame.pts * frame.time_base == at:
                    times.shift, times.last = -began, part.start - times.usual
                    return itertools.chain([frame], frames)
    container.seek(0)
    return None


def _pixels(frame: Any) -> torch.Tensor:
    deep = any(component.bits > 8 for component in frame.format.components)
    colour = _colour_of(frame)
    codes = frame.reformat(format="rgb48le" if deep else "rgb24", src_colorspace=colour.space).to_ndarray()
    upright = np.moveaxis(np.rot90(codes, _turns(frame)), -1, 0)[None]
    return torch.from_numpy(upright.astype("float32", order="C")).div_(65535 if deep else 255)


def _turns(frame: Any) -> int:
    """Quarter turns against the clock that make it upright."""
    return round(getattr(frame, "rotation", 0) / 90) % 4


def _colour_of(frame: Any) -> Colour:
    space, primaries, transfer = (
        int(getattr(frame, name, 2)) for name in ("colorspace", "color_primaries", "color_trc")
    )
    if space in UNKNOWN_SPACES:
        space = BT709 if frame.height >= HIGH_DEFINITION else 5
    known = Colour()
    return replace(
        known,
        space=space,
        primaries=known.primaries if primaries in UNKNOWN_SPACES else primaries,
        transfer=known.transfer if transfer in UNKNOWN_SPACES else transfer,
    )
