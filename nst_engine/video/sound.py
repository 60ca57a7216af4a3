"""The sound that goes with frames: as it is where the new file can hold it, else made what it can."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from .source import Source, opened, video_of

# By ending: what goes in as it is.
SOUND = {
    ".mp4": ("aac", "mp3", "ac3", "eac3", "alac", "opus", "flac"),
    ".m4v": ("aac", "mp3", "ac3", "eac3", "alac"),
    ".mov": ("aac", "mp3", "ac3", "eac3", "alac", "pcm_s16le", "pcm_s24le", "pcm_f32le"),
    ".mkv": ("aac", "mp3", "ac3", "eac3", "alac", "opus", "flac", "vorbis", "dts", "pcm_s16le", "pcm_s24le"),
    ".webm": ("opus", "vorbis"),
}
SOUND_ENCODER = {".webm": "libopus"}


@dataclass(frozen=True)
class NewClip:
    """A clip that is being written."""

    av: Any
    container: Any
    ending: str
    source: Source  # whose sound it gets
    notes: list[str]  # what is to be said of it


@contextlib.contextmanager
def sound_of(clip: NewClip, began: Fraction) -> Iterator[Iterator[tuple[Fraction, Callable[[], object]]]]:
    """When each piece of the source's sound is heard, from the first frame on, and what writes it."""
    source, av = clip.source, clip.av
    if source.names:
        yield iter(())
        return
    with opened(source.path) as container:
        heard = next((stream for stream in container.streams.audio if stream.codec_context is not None), None)
        if heard is None:
            yield iter(())
            return
        first = _start_of(container) + began
        if heard.codec_context.codec.canonical_name in SOUND[clip.ending]:
            yield _copied(clip, container, heard, clip.container.add_stream_from_template(heard), first)
        else:
            name = SOUND_ENCODER.get(clip.ending, "aac")
            clip.notes.append(f"the sound, {heard.codec_context.name}, was made {name}, which {clip.ending} holds")
            yield _transcoded(av, clip, container, heard, name, first)


def _start_of(container: Any) -> Fraction:
    """Seconds at which its video begins: what times of frames are counted from."""
    stream = video_of(container, Path(container.name))
    return Fraction(0) if stream.start_time is None else stream.start_time * stream.time_base


def _copied(
    clip: NewClip, container: Any, heard: Any, stream: Any, first: Fraction
) -> Iterator[tuple[Fraction, Callable[[], object]]]:
    start = _start_of(container)
    began, joined, after = round(first / heard.time_base), 0, None
    for packet in container.demux(heard):
        if packet.dts is None or packet.pts is None:
            continue
        if after is not None and packet.dts + joined < after - (packet.duration or 0):
            joined = after - packet.dts  # as `Times` has it for frames
        pts, dts = packet.pts + joined, packet.dts + joined
        after = dts + (packet.duration or 0)
        # What comes before the first sample fills the decoder, and goes with the beginning.
        if first > start and pts < began:
            continue

        def write(packet: Any = packet, pts: int = pts - began, dts: int = dts - began) -> None:
            packet.pts, packet.dts, packet.stream = pts, dts, stream
            clip.container.mux(packet)

        yield pts * heard.time_base - first, write


def _transcoded(
    av: Any, clip: NewClip, container: Any, heard: Any, name: str, first: Fraction
) -> Iterator[tuple[Fraction, Callable[[], object]]]:
    rate = 48000 if name == "libopus" else heard.rate
    stream = clip.container.add_stream(name, rate=rate, layout=heard.layout.name)
    resampler = av.AudioResampler(stream.codec_context.format, stream.codec_context.layout, rate)
    count = 0
    at = Fraction(0)

    def write(frames: list[Any]) -> None:
        nonlocal count
        for frame in frames:
            frame.pts, frame.time_base = count, Fraction(1, rate)
            count += frame.samples
            clip.container.mux(stream.encode(frame))

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
        clip.container.mux(stream.encode(None))

    yield at, flush
