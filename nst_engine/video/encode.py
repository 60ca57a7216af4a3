"""Frames and the sound of their source into a file, as a stream: no more than a few frames are held."""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch

from ..errors import NSTError
from ..system.texts import parse_json
from .flow import needed
from .source import Part, Shown, Source, opened

# By ending: encoders, the best first, and the sound that goes in as it is.
ENCODERS = {
    ".mp4": ("libx264", "libopenh264", "mpeg4"),
    ".m4v": ("libx264", "libopenh264", "mpeg4"),
    ".mov": ("libx264", "libopenh264", "mpeg4"),
    ".mkv": ("libx264", "libopenh264", "mpeg4", "ffv1"),
    ".webm": ("libvpx-vp9", "libsvtav1", "libaom-av1", "libvpx"),
}
SOUND = {
    ".mp4": ("aac", "mp3", "ac3", "eac3", "alac", "opus", "flac"),
    ".m4v": ("aac", "mp3", "ac3", "eac3", "alac"),
    ".mov": ("aac", "mp3", "ac3", "eac3", "alac", "pcm_s16le", "pcm_s24le", "pcm_f32le"),
    ".mkv": ("aac", "mp3", "ac3", "eac3", "alac", "opus", "flac", "vorbis", "dts", "pcm_s16le", "pcm_s24le"),
    ".webm": ("opus", "vorbis"),
}
SOUND_ENCODER = {".webm": "libopus"}
# What codes a codec may have, the usual first, then with what precision is left.
SHALLOW = ("yuv420p", "yuvj420p", "yuv422p", "yuv444p", "rgb24", "bgr0", "nv12")
DEEP = ("yuv420p10le", "yuv422p10le", "yuv444p10le", "p010le", "gbrp10le")
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
    return there[0]


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
    source = replace(source, rate=source.rate / part.every)
    unfinished = path.with_name(f".nst-{os.urandom(8).hex()}.part{path.suffix}")
    try:
        options = {"movflags": "use_metadata_tags+faststart"} if path.suffix.lower() in (".mp4", ".m4v", ".mov") else {}
        with av.open(str(unfinished), "w", options=options) as container:
            if encoding.settings:
                container.metadata["comment"] = json.dumps(encoding.settings)
            writer = _Writer(av, container, path.suffix.lower(), source, encoding, notes)
            writer.write(frames)
        with unfinished.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except (OSError, av.error.FFmpegError) as error:
        raise NSTError(f"{path}: the clip could not be written ({error}).") from error
    finally:
        unfinished.unlink(missing_ok=True)
    return notes


class _Writer:
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
                    sound = stack.enter_context(_sound(self, began))
                    pending = next(sound, None)
                # Sound that is heard before this frame is shown goes first, so that players need not look ahead.
                while sound is not None and pending is not None and pending[0] <= shown.time - began:
                    pending[1]()
                    pending = next(sound, None)
                self.container.mux(self.stream.encode(self._frame(shown.pixels, shown.time - began)))
                end = shown.time - began + 1 / self.source.rate
            if self.stream is None:
                raise NSTError("there is no frame to be written.")
            self.container.mux(self.stream.encode(None))
            while sound is not None and pending is not None and pending[0] < end:
                pending[1]()
                pending = next(sound, None)

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

    def _frame(self, pixels: torch.Tensor, time: Fraction) -> Any:
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


# --- sound --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _sound(writer: _Writer, began: Fraction) -> Iterator[Iterator[tuple[Fraction, Callable[[], object]]]]:
    """When each piece of the source's sound is heard, from the first frame on, and what writes it."""
    source, av = writer.source, writer.av
    if source.names:
        yield iter(())
        return
    with opened(source.path) as container:
        heard = next((stream for stream in container.streams.audio if stream.codec_context is not None), None)
        if heard is None:
            yield iter(())
            return
        first = _start_of(container) + began
        if heard.codec_context.codec.canonical_name in SOUND[writer.ending]:
            yield _copied(writer, container, heard, writer.container.add_stream_from_template(heard), first)
        else:
            name = SOUND_ENCODER.get(writer.ending, "aac")
            writer.notes.append(f"the sound, {heard.codec_context.name}, was made {name}, which {writer.ending} holds")
            yield _transcoded(av, writer, container, heard, name, first)


def _start_of(container: Any) -> Fraction:
    """Seconds at which its video begins: what times of frames are counted from."""
    stream = container.streams.video[0]
    return Fraction(0) if stream.start_time is None else stream.start_time * stream.time_base


def _copied(
    writer: _Writer, container: Any, heard: Any, stream: Any, first: Fraction
) -> Iterator[tuple[Fraction, Callable[[], object]]]:
    start = _start_of(container)
    shift = round(first / heard.time_base)
    for packet in container.demux(heard):
        if packet.dts is None or packet.pts is None:
            continue
        # What comes before the first sample fills the decoder, and goes with the beginning.
        if first > start and packet.pts < shift:
            continue
        at = packet.pts * heard.time_base - first

        def write(packet: Any = packet) -> None:
            packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, stream
            writer.container.mux(packet)

        yield at, write


def _transcoded(
    av: Any, writer: _Writer, container: Any, heard: Any, name: str, first: Fraction
) -> Iterator[tuple[Fraction, Callable[[], object]]]:
    rate = 48000 if name == "libopus" else heard.rate
    stream = writer.container.add_stream(name, rate=rate, layout=heard.layout.name)
    resampler = av.AudioResampler(stream.codec_context.format, stream.codec_context.layout, rate)
    count = 0
    at = Fraction(0)

    def write(frames: list[Any]) -> None:
        nonlocal count
        for frame in frames:
            frame.pts, frame.time_base = count, Fraction(1, rate)
            count += frame.samples
            writer.container.mux(stream.encode(frame))

    for frame in container.decode(heard):
        if frame.pts is None or frame.pts * frame.time_base < first:
            continue
        at = frame.pts * frame.time_base - first
        if count == 0:
            count = round(at * rate)  # sound that begins later than the picture

        def write_resampled(frame: Any = frame) -> None:
            write(resampler.resample(frame))

        yield at, write_resampled

    def flush() -> None:
        write(resampler.resample(None))
        writer.container.mux(stream.encode(None))

    yield at, flush
