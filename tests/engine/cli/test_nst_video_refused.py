"""`nst video`: what cannot be read or written, and what is missing."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest
import torch
from films import QUICK, frames_of, nst_video, refused, write_folder
from pictures import clouds
from scenes import pan, write_clip

from nst_engine.cli import one_picture

av = pytest.importorskip("av", reason="av is not installed")
pytest.importorskip("cv2", reason="opencv-python-headless is not installed")


def test_what_is_no_clip_is_said(style: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = ("-o", tmp_path / "out.mp4")
    (tmp_path / "text.mp4").write_text("no clip")
    (tmp_path / "empty").mkdir()
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(torch.zeros(1, 1024).numpy(), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 48000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert "cannot be read as a clip" in refused(capsys, tmp_path / "text.mp4", style, *out)
    assert "there is no picture in this folder" in refused(capsys, tmp_path / "empty", style, *out)
    assert "there is no video in this file" in refused(capsys, tmp_path / "sound.mp4", style, *out)
    clip = write_clip(tmp_path / "in.mp4", pan(2))
    assert "nothing lies between" in refused(capsys, clip, style, *out, "--from", "5")
    assert "cannot write a clip ending in '.gif'" in refused(capsys, clip, style, "-o", tmp_path / "out.gif")
    assert "would be lost" in refused(capsys, clip, style, "-o", clip)
    assert "--codec: the PyAV installed here cannot write libnothing" in refused(
        capsys, clip, style, *out, "--codec", "libnothing"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "in.mp4", "sound.mp4", "text.mp4"]


@pytest.mark.parametrize("words", [("--from", "1e999999999"), ("--to", "0:1E-999999999"), ("--fps", "1e-999999999")])
def test_numbers_that_would_fill_the_memory_are_refused(capsys: pytest.CaptureFixture, words) -> None:
    assert f"argument {words[0]}: {words[1]!r} is not a " in refused(
        capsys, "in.mp4", "style.png", "-o", "out.mp4", *words
    )


def test_ctrl_c_is_heard_while_a_style_is_measured(
    style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    went_on = []

    def measured(*_: object) -> None:
        signal.raise_signal(signal.SIGINT)
        went_on.append(True)

    monkeypatch.setattr(one_picture, "blended", measured)
    clip = write_clip(tmp_path / "in.mp4", pan(2))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background ignores it
    try:
        assert nst_video(clip, style, "-o", tmp_path / "out.mp4", *QUICK) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert not went_on and [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_a_broken_clip_is_kept_up_to_the_break(style: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    whole = write_clip(tmp_path / "whole.mkv", [clouds(i, 64, 96) for i in range(8)], codec="ffv1", pixels="yuv420p")
    content = whole.read_bytes()
    (tmp_path / "in.mkv").write_bytes(content[: len(content) * 5 // 8])
    assert "in.mkv: it breaks off after" in refused(capsys, tmp_path / "in.mkv", style, "-o", tmp_path / "out.mkv")
    assert 2 <= len(frames_of(tmp_path / "out.mkv")) < 8


def test_a_clip_whose_size_changes_is_kept_up_to_there(
    style: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    folder = write_folder(tmp_path / "in", [*pan(2), clouds(1, 50, 60)])
    assert nst_video(folder, style, "-o", tmp_path / "out.mp4", *QUICK) == 1
    assert "frame 3 is 60×50, and it began with 96×64" in (said := capsys.readouterr().err)
    assert "2 frames so far; once that is mended, the same command goes on from there" in said
    assert len(frames_of(tmp_path / "out.mp4")) == 2
    rest = ("-o", tmp_path / "rest.mp4", "--fps", "24", "--from", "0.0833333")
    assert nst_video(folder, style, *rest, *QUICK) == 0
    assert len(frames_of(tmp_path / "rest.mp4")) == 1


def test_too_few_masks_are_counted(style: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder = write_folder(tmp_path / "in", pan(3))
    masks = write_folder(tmp_path / "masks", [torch.ones_like(frame) for frame in pan(1)])
    said = refused(capsys, folder, style, "-o", tmp_path / "out.mp4", "--protect", masks)
    assert "--protect: 1 mask for 3 frames; give one for all" in said
    assert not (tmp_path / "out.mp4.frames").exists()


def test_masks_that_end_before_the_clip_leave_a_film(
    style: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    clip, out = write_clip(tmp_path / "in.mp4", pan(6)), tmp_path / "out.mp4"
    masks = write_folder(tmp_path / "masks", [torch.ones_like(frame) for frame in pan(3)])
    said = refused(capsys, clip, style, "-o", out, "--protect", masks, "--every", "2")
    assert "--protect: 3 masks, and the clip has more frames" in said
    assert len(frames_of(out)) == 2


def test_unknown_words_point_to_the_help_of_the_command(capsys: pytest.CaptureFixture) -> None:
    assert nst_video("in.mp4", "style.png", "-o", "out.mp4", "--none") == 1
    assert "unrecognized arguments: --none; see nst video --help" in capsys.readouterr().err


def test_what_would_fail_after_a_night_is_refused_at_once(
    style: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    clip = write_clip(tmp_path / "in.mp4", pan(2))
    for codec, ending in (("prores_ks", "mp4"), ("libx264", "webm"), ("gif", "mkv")):
        said = refused(capsys, clip, style, "-o", tmp_path / f"out.{ending}", "--codec", codec)
        assert f"--codec: {codec}: a clip ending in .{ending} cannot be written so here" in said
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_zero_frames_and_what_has_no_decoder(style: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = ("-o", tmp_path / "out.mp4")
    whole = write_clip(tmp_path / "whole.mkv", pan(2), codec="ffv1").read_bytes()
    (tmp_path / "other.mkv").write_bytes(whole.replace(b"V_FFV1", b"V_NONE"))
    with av.open(str(tmp_path / "none.mkv"), "w") as container:
        video, sound = container.add_stream("libx264", rate=24), container.add_stream("aac", rate=48000, layout="mono")
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        silence = av.AudioFrame.from_ndarray(torch.zeros(1, 1024).numpy(), format="fltp", layout="mono")
        silence.sample_rate, silence.pts = 48000, 0
        container.mux(sound.encode(silence))
        container.mux(sound.encode(None))
    (tmp_path / "empty.mp4").write_bytes(b"")
    assert "there is no frame in this clip" in refused(capsys, tmp_path / "none.mkv", style, *out)
    assert "PyAV has no decoder for its video here" in refused(capsys, tmp_path / "other.mkv", style, *out)
    assert "cannot be read as a clip" in refused(capsys, tmp_path / "empty.mp4", style, *out)


@pytest.mark.parametrize("missing", ["av", "cv2"])
def test_a_missing_extra_is_said_with_the_line_that_installs_it(
    style: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    clip = write_clip(tmp_path / "in.mp4", pan(2))
    monkeypatch.setitem(sys.modules, missing, None)
    said = refused(capsys, clip, style, "-o", tmp_path / "out.mp4")
    assert "run: python -m pip install opencv-python-headless av" in said
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_a_clip_whose_size_changes_within_the_file(style: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    parts = [write_clip(tmp_path / f"{i}.h264", [clouds(i, 48 + 16 * i, 96)] * 3, sound=None) for i in (1, 2)]
    (tmp_path / "in.h264").write_bytes(b"".join(part.read_bytes() for part in parts))
    assert "is 96×80, and it began with 96×64" in refused(
        capsys, tmp_path / "in.h264", style, "-o", tmp_path / "out.mp4"
    )
    assert len(frames_of(tmp_path / "out.mp4")) == 3


def test_a_cover_picture_is_no_video(style: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with av.open(str(tmp_path / "song.m4a"), "w", format="mp4") as container:
        cover = container.add_stream("mjpeg", rate=1)
        cover.width = cover.height = 64
        cover.pix_fmt, cover.disposition = "yuvj420p", 0x400
        container.mux(cover.encode(av.VideoFrame.from_ndarray(torch.zeros(64, 64, 3).byte().numpy(), format="rgb24")))
        container.mux(cover.encode(None))
    assert "there is no video in this file" in refused(capsys, tmp_path / "song.m4a", style, "-o", tmp_path / "out.mp4")


def test_what_is_refused_leaves_no_folder(style: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    clip = write_clip(tmp_path / "in.mp4", pan(2))
    saved, weights = tmp_path / "saved.safetensors", tmp_path / "raft.pth"
    weights.write_bytes(b"no weights")
    out = ("-o", tmp_path / "out.mp4")
    assert "none.png" in refused(capsys, clip, tmp_path / "none.png", *out)
    assert "--flow: none.pth: no such file" in refused(capsys, clip, style, *out, "--flow", "none.pth")
    assert "does not hold weights" in refused(capsys, clip, style, *out, "--flow", weights)
    assert "--start: " in refused(capsys, clip, style, *out, "--start", tmp_path / "none.png")
    assert nst_video(clip, style, *out, *QUICK, "--size", "2") == 1
    measured = ("--save-style", saved, "--style-size", "48", "--pooling", "average")
    assert nst_video(clip, style, "-o", tmp_path / "other.mp4", *QUICK, *measured) == 0
    assert "Weights, pooling and padding must be the same" in refused(capsys, clip, saved, *out, "--pooling", "max")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "other.mp4", "raft.pth", saved.name]
    (tmp_path / "out.mp4.frames").write_text("mine")
    assert "out.mp4.frames: this is no folder" in refused(capsys, clip, style, *out)
