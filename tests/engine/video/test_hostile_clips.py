"""Files from strangers that say they are clips: nothing but themselves is read, soon, and within memory."""

from __future__ import annotations

import contextlib
import io
import os
import socket
import struct
import threading
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from pictures import clouds
from scenes import pan, write_clip

from nst_engine import NSTError
from nst_engine.pictures.files import write_picture
from nst_engine.video.coherence import Coherence
from nst_engine.video.encode import Encoding, clip_settings
from nst_engine.video.encode import write_clip as write_frames
from nst_engine.video.raft import raft_flow
from nst_engine.video.source import Part, Shown, Source, _length, open_clip, open_source
from nst_engine.video.spool import Spool

av = pytest.importorskip("av", reason="av is not installed")

HLS = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:1.0,\n{}\n#EXT-X-ENDLIST\n"
CONCAT = "ffconcat version 1.0\nfile {}\n"


@pytest.mark.parametrize("text", [HLS, CONCAT], ids=["hls", "concat"])
@pytest.mark.parametrize("name", ["list.mp4", "list.m3u8", "list.ffconcat", "list.mkv"])
def test_a_list_of_other_files_is_no_clip(tmp_path: Path, text: str, name: str) -> None:
    write_clip(tmp_path / "secret.ts", pan(2), codec="mpeg4", sound=None)
    path = tmp_path / name
    path.write_text(text.format("secret.ts"))
    for given in (path, io.BytesIO(path.read_bytes())):
        with pytest.raises(NSTError, match=r"cannot be read as a clip"):
            open_clip(given)


def test_nothing_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"127.0.0.1:{listening.getsockname()[1]}/x.ts"
        Path("list.m3u8").write_text(HLS.format(f"http://{address}"))
        for name in ("list.m3u8", f"http://{address}", f"http:{address}", f"tcp://{address}"):
            with pytest.raises(NSTError, match=r"cannot be read as a clip"):
                open_clip(Path(name))
        listening.settimeout(0.2)
        with pytest.raises(TimeoutError):
            listening.accept()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_nobody_waits_for_a_pipe(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo.mp4"
    os.mkfifo(fifo)
    told: list[str] = []

    def read() -> None:
        for reader in (open_clip, clip_settings, flow_by_raft):
            with contextlib.suppress(NSTError):
                reader(fifo)
            told.append(reader.__name__)

    reading = threading.Thread(target=read, daemon=True)
    reading.start()
    reading.join(60)
    waiting = reading.is_alive()
    with open(os.open(fifo, os.O_RDWR | os.O_NONBLOCK), "wb"):  # lets go whoever waits for a writer
        fifo.unlink()
    assert not waiting and told == ["open_clip", "clip_settings", "flow_by_raft"]


def flow_by_raft(weights: Path) -> None:
    pytest.importorskip("torchvision", reason="torchvision is not installed")
    raft_flow(weights, torch.device("cpu"))


def test_a_name_that_no_system_has_is_told(tmp_path: Path) -> None:
    with pytest.raises(NSTError, match=r"cannot be read as a clip \(no name has a null character\)"):
        open_clip(tmp_path / "x\0.mkv")


def test_frames_that_would_fill_the_memory_are_refused(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "in.avi", [clouds(1, 48, 64)], codec="rawvideo", pixels="yuv420p", sound=None)
    data, size = path.read_bytes(), struct.pack("<II", 64, 48)
    assert data.count(size) >= 1
    path.write_bytes(data.replace(size, struct.pack("<II", 16000, 16000)))
    with pytest.raises(NSTError, match=r"its frames claim 16000×16000 pixels, and 134217728 in all are the most"):
        open_clip(path)


@pytest.mark.parametrize("ending", ["mp4", "mkv", "webm", "avi", "ts"])
def test_a_clip_cut_or_bent_anywhere_is_told_in_words(tmp_path: Path, ending: str) -> None:
    codec, sound = {"webm": ("libvpx-vp9", "libopus"), "avi": ("mpeg4", "ac3")}.get(ending, ("libx264", "aac"))
    data = write_clip(tmp_path / f"in.{ending}", pan(4), codec=codec, sound=sound).read_bytes()
    path = tmp_path / f"spoilt.{ending}"
    for percent in range(0, 100, 4):
        at = len(data) * percent // 100
        for spoilt in (data[:at], data[:at] + bytes(64) + data[at + 64 :], data[:at] + b"\xff" * 9 + data[at + 9 :]):
            path.write_bytes(spoilt)
            broken: list[str] = []
            try:
                source = open_clip(path)
                shapes = [tuple(shown.pixels.shape[2:]) for shown in source.frames(Part(), broken.append)]
            except NSTError:
                continue
            assert set(shapes) <= {source.shape}


def test_a_length_of_a_thousand_digits_is_none() -> None:
    told = {"DURATION": f"{'9' * 5000}:00:00.0"}
    assert _length(SimpleNamespace(frames=0, duration=None, metadata=told)) is None


def test_frames_are_numbered_in_plain_figures(tmp_path: Path) -> None:
    for name in ("1²", "²1", "²2"):
        write_picture(tmp_path / f"{name}.png", clouds(1, 8, 8))
    assert open_source(tmp_path).names == ("1².png", "²1.png", "²2.png")


def test_one_frame_in_ever_so_many_is_written(tmp_path: Path) -> None:
    """FFmpeg's fractions have 32 bits."""
    source = Source(tmp_path, (48, 64), 8, Fraction(30000, 1001), 1, ("frame",))
    frame = Shown(0, Fraction(0), clouds(1, 48, 64))
    write_frames(tmp_path / "out.mkv", [frame], source, Part(every=2**62), Encoding("ffv1"))
    assert open_clip(tmp_path / "out.mkv").shape == (48, 64)


def test_no_more_frames_are_kept_than_memory_has() -> None:
    with pytest.raises(NSTError, match=r"^back: "):
        Coherence(back=(1, 2**63))


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"\x80\x04cos\nsystem\n."])
def test_damaged_work_of_two_passes_is_told(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "forward-000000.npz").write_bytes(data)
    for read in (Spool(tmp_path).given, lambda number: Spool(tmp_path).frame("forward", number)):
        with pytest.raises(NSTError, match="what was kept to go on from is damaged"):
            read(0)
