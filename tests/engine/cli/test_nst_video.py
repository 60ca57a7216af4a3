"""`nst video`: clips and folders in and out, their sound and times, and a night's work that nothing undoes."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from pictures import clouds
from scenes import HEIGHT, WIDTH, pan, write_clip

from nst_engine.cli.commands import main
from nst_engine.pictures.files import read_picture, write_picture
from nst_engine.video.source import Part, open_source

av = pytest.importorskip("av", reason="av is not installed")
pytest.importorskip("cv2", reason="opencv-python-headless is not installed")

QUICK = ("--steps", "2", "--frame-steps", "1", "--size", "64")


@pytest.fixture(scope="module")
def style(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("style") / "style.png"
    write_picture(path, clouds(2, 48, 64))
    return path


def nst_video(*words: object) -> int:
    return main(["video", *map(str, words)])


def frames_of(path: Path) -> list:
    broken: list[str] = []
    found = list(open_source(path).frames(Part(), broken.append))
    assert broken == []
    return found


def times(path: Path) -> list[float]:
    return [round(float(shown.time), 3) for shown in frames_of(path)]


# --- what comes through -------------------------------------------------------------------------------------------


def test_a_clip_keeps_its_sound_and_its_length(style: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    clip, out = write_clip(tmp_path / "in.mp4", pan(6)), tmp_path / "out.mp4"
    assert nst_video(clip, style, "-o", out, *QUICK) == 0
    assert capsys.readouterr().out.strip() == str(out)
    assert times(out) == times(clip)
    with av.open(str(clip)) as before, av.open(str(out)) as after:
        assert after.streams.video[0].codec_context.name == "h264"
        packets = [[bytes(p) for p in c.demux(c.streams.audio[0]) if p.size] for c in (before, after)]
    assert packets[1] == packets[0][: len(packets[1])] and len(packets[1]) >= len(packets[0]) - 2
    assert [path.name for path in tmp_path.iterdir() if path.name not in ("in.mp4", "out.mp4")] == []


def test_variable_frame_rates_keep_their_times(style: Path, tmp_path: Path) -> None:
    uneven = [0, 40, 80, 300, 340, 900]
    clip = write_clip(tmp_path / "in.mkv", pan(6), times=uneven, sound=None)
    assert nst_video(clip, style, "-o", tmp_path / "out.mkv", *QUICK) == 0
    assert times(tmp_path / "out.mkv") == [t / 1000 for t in uneven]


def test_a_part_of_a_clip(style: Path, tmp_path: Path) -> None:
    clip, out = write_clip(tmp_path / "in.mp4", pan(12)), tmp_path / "out.mp4"
    assert nst_video(clip, style, "-o", out, *QUICK, "--from", "0:00.125", "--to", "0.375", "--every", "2") == 0
    assert times(out) == [0, 0.083, 0.167]  # frames 4, 6 and 8
    with av.open(str(out)) as container:
        heard = container.streams.audio[0]
        assert float(heard.duration * heard.time_base) == pytest.approx(0.25, abs=0.05)


def test_a_turned_clip_comes_out_upright(style: Path, tmp_path: Path) -> None:
    frames = pan(2)
    clip = write_clip(tmp_path / "in.mp4", frames, rotation=90, sound=None)
    assert nst_video(clip, style, "-o", tmp_path / "out", *QUICK, "--strength", "0", "--size", "0") == 0
    upright = torch.rot90(frames[0], 1, (2, 3))
    made = read_picture(tmp_path / "out" / "frame_000001.png").pixels
    assert made.shape == upright.shape
    assert (made - upright).abs().mean() < 0.03


def test_ten_bits_stay_ten_bits(style: Path, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "in.mkv", pan(2), codec="libx265", pixels="yuv420p10le", sound=None)
    assert open_source(clip).bits == 16
    assert nst_video(clip, style, "-o", tmp_path / "out.mkv", *QUICK) == 0
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p10le"


def test_odd_sides_are_made_even_and_it_is_said(style: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder = write_folder(tmp_path / "in", [frame[..., :45, :63] for frame in pan(2)])
    assert nst_video(folder, style, "-o", tmp_path / "out.mp4", *QUICK, "--size", "0") == 0
    assert "63×45 became 64×46" in capsys.readouterr().err
    assert frames_of(tmp_path / "out.mp4")[0].pixels.shape[2:] == (46, 64)


def write_folder(path: Path, frames: list[torch.Tensor]) -> Path:
    path.mkdir()
    for number, frame in enumerate(frames, 8):  # so that 10 comes after 9
        write_picture(path / f"shot{number}.png", frame)
    return path


def test_a_folder_of_numbered_frames(style: Path, tmp_path: Path) -> None:
    frames = pan(4)
    folder = write_folder(tmp_path / "in", frames)
    same = (*QUICK, "--strength", "0", "--size", "0")
    assert nst_video(folder, style, "-o", tmp_path / "out", *same) == 0
    names = [f"shot{number}.png" for number in (8, 9, 10, 11)]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(names)
    for name, frame in zip(names, frames, strict=True):
        assert (read_picture(tmp_path / "out" / name).pixels - frame).abs().max() < 1 / 254
    assert nst_video(folder, style, "-o", tmp_path / "out.webm", *same, "--fps", "12") == 0
    assert times(tmp_path / "out.webm") == [0, 0.083, 0.167, 0.25]


def test_sound_that_a_file_cannot_hold_is_made_what_it_can(
    style: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    clip = write_clip(tmp_path / "in.mp4", pan(12))
    assert nst_video(clip, style, "-o", tmp_path / "out.webm", *QUICK, "--every", "4") == 0
    assert "aac, was made libopus" in capsys.readouterr().err
    with av.open(str(tmp_path / "out.webm")) as container:
        heard = sum(frame.samples for frame in container.decode(audio=0))
    assert heard / 48000 == pytest.approx(0.5, abs=0.05)


def test_masks_from_a_folder(style: Path, tmp_path: Path) -> None:
    frames = pan(6)
    folder = write_folder(tmp_path / "in", frames)
    masks = [torch.zeros_like(frame) for frame in frames]
    masks[2][..., :30], masks[4][..., 50:] = 1, 1
    protect = ("--protect", write_folder(tmp_path / "masks", masks), "--size", "0")
    part = ("--fps", "10", "--from", "0.2", "--every", "2")
    assert nst_video(folder, style, "-o", tmp_path / "out", *QUICK, *protect, *part) == 0
    made = [read_picture(tmp_path / "out" / f"shot{number}.png").pixels for number in (10, 12)]
    assert (made[0] - frames[2])[..., :30].abs().max() < 1 / 254
    assert (made[1] - frames[4])[..., 50:].abs().max() < 1 / 254
    assert (made[1] - frames[4])[..., :30].abs().mean() > 1 / 255


def test_frames_of_one_name_are_two_frames(style: Path, tmp_path: Path) -> None:
    frames = pan(3)
    folder = write_folder(tmp_path / "in", frames[:1])
    for name, frame in zip(("shot9.jpg", "shot9.png"), frames[1:], strict=True):
        write_picture(folder / name, frame)
    assert nst_video(folder, style, "-o", tmp_path / "out", *QUICK) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["shot8.png", "shot9.jpg.png", "shot9.png.png"]


# --- nothing is lost ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "data"),
    [
        *(("frames", text) for text in (b"0 0\n1 x\n", b"0 1/0\n", b"0\n", b"\xff\n", b"0 0 0\n")),
        *(("past-000002.npy", data) for data in (b"", b"\x93NUMPY", b"\x80\x04cos\nsystem\n.", os.urandom(400))),
        *(("job.json", data) for data in (b"{", b"\xff", b"")),
    ],
    ids=lambda value: value if isinstance(value, str) else repr(value[:9]),
)
def test_damaged_work_is_told_in_a_sentence(unfinished: Path, capsys: pytest.CaptureFixture, file, data) -> None:
    (unfinished / "out" / ".nst" / file).write_bytes(data)
    assert nst_video("in", "style.png", "-o", "out", *QUICK) == 1
    assert re.search(r"^nst: .*(damaged|other settings)", capsys.readouterr().err, re.MULTILINE)


@pytest.fixture(scope="module")
def broken_off(style: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Work that broke off at a picture that cannot be read."""
    folder = tmp_path_factory.mktemp("work")
    shutil.copy(style, folder / "style.png")
    last = write_folder(folder / "in", pan(4)) / "shot11.png"
    last.write_bytes(last.read_bytes()[:100])
    with pytest.MonkeyPatch.context() as there:
        there.chdir(folder)
        assert nst_video("in", "style.png", "-o", "out", *QUICK) == 1
    return folder


@pytest.fixture
def unfinished(broken_off: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(broken_off, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def begun(*words: object) -> subprocess.Popen:
    command = [sys.executable, "-m", "nst_engine", "video", *map(str, words)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def wait_for_frames(folder: Path, count: int, process: subprocess.Popen) -> None:
    listed = folder / ".nst" / "frames"
    end = time.monotonic() + 120
    while not listed.is_file() or listed.read_text().count("\n") < count:
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.01)


def test_a_killed_run_goes_on_and_ends_as_if_nothing_had_been(style: Path, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "in.mp4", pan(6))
    slower = (*QUICK, "--frame-steps", "4")
    assert nst_video(clip, style, "-o", tmp_path / "whole.mkv", *slower, "--codec", "ffv1") == 0
    out = tmp_path / "out.mkv"
    words = (clip, style, "-o", out, *slower, "--codec", "ffv1")
    process = begun(*words)
    wait_for_frames(tmp_path / "out.mkv.frames", 2, process)
    process.kill()
    process.communicate()
    assert not out.exists()
    kept = (tmp_path / "out.mkv.frames" / "frame_000001.png").stat().st_mtime_ns
    with (tmp_path / "out.mkv.frames" / ".nst" / "frames").open("a") as file:
        file.write("7 1/")  # as a kill in the middle of writing leaves it
    other = subprocess.run([*process.args, "--seed", "5"], capture_output=True, text=True)
    assert other.returncode == 1 and "begun with other settings" in other.stderr
    assert (tmp_path / "out.mkv.frames" / "frame_000001.png").stat().st_mtime_ns == kept
    assert nst_video(*words) == 0
    for a, b in zip(frames_of(tmp_path / "whole.mkv"), frames_of(out), strict=True):
        assert a.time == b.time
        assert (a.pixels - b.pixels).abs().max() <= 2 / 255  # two processes, two orders of sums


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signal that one process can send another alone")
def test_ctrl_c_leaves_a_clip_that_plays_and_the_same_command_goes_on(style: Path, tmp_path: Path) -> None:
    clip, out = write_clip(tmp_path / "in.mp4", pan(8)), tmp_path / "out.mp4"
    words = (clip, style, "-o", out, *QUICK, "--frame-steps", "6")
    process = begun(*words)
    wait_for_frames(tmp_path / "out.mp4.frames", 2, process)
    process.send_signal(signal.SIGINT)
    told, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert told.strip() == str(out)
    assert "the same command goes on" in said
    count = len(frames_of(out))
    assert 2 <= count < 8
    assert nst_video(*words) == 0
    assert len(frames_of(out)) == 8
    assert not (tmp_path / "out.mp4.frames").exists()


# --- what cannot be read or written -------------------------------------------------------------------------------


def test_ctrl_c_in_the_first_of_two_passes_leaves_a_clip_and_the_work(style: Path, tmp_path: Path) -> None:
    clip, out = write_clip(tmp_path / "in.mp4", pan(8)), tmp_path / "out.mp4"
    words = (clip, style, "-o", out, *QUICK, "--frame-steps", "6", "--passes", "2")
    process = begun(*words)
    waiting = tmp_path / "out.mp4.frames" / ".nst" / "passes"
    end = time.monotonic() + 120
    while not (waiting / "forward-000002.npz").exists():
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "0 frames so far, and" in said and "the same command goes on" in said
    count = len(frames_of(out))
    assert 3 <= count < 8
    process = begun(*words)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0
    assert re.match(rf"video: 0 of 8 frame {count + 1},", said)  # none was made again
    assert len(frames_of(out)) == 8


def refused(capsys: pytest.CaptureFixture, *words: object) -> str:
    assert nst_video(*words, *QUICK) == 1
    return capsys.readouterr().err


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
    assert "frame 2 is 60×50, and it began with 96×64" in capsys.readouterr().err
    assert len(frames_of(tmp_path / "out.mp4")) == 2


def test_too_few_masks_are_counted(style: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder = write_folder(tmp_path / "in", pan(3))
    masks = write_folder(tmp_path / "masks", [torch.ones_like(frame) for frame in pan(1)])
    said = refused(capsys, folder, style, "-o", tmp_path / "out.mp4", "--protect", masks)
    assert "--protect: 1 mask, and the clip has more frames" in said


def test_times_are_read_as_people_write_them() -> None:
    from nst_engine.cli.arguments import parser

    args = parser().parse_args(["video", "a", "b", "-o", "c.mp4", "--from", "1:15", "--to", "0:02:00.5"])
    assert (args.begin, args.end) == (75, Fraction(241, 2))


def test_what_would_fail_after_a_night_is_refused_at_once(
    style: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    clip = write_clip(tmp_path / "in.mp4", pan(2))
    for codec, ending in (("prores_ks", "mp4"), ("libx264", "webm"), ("gif", "mkv")):
        said = refused(capsys, clip, style, "-o", tmp_path / f"out.{ending}", "--codec", codec)
        assert f"--codec: {codec}: a clip ending in .{ending} cannot be written so here" in said
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_a_cover_picture_is_no_video(style: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with av.open(str(tmp_path / "song.m4a"), "w", format="mp4") as container:
        cover = container.add_stream("mjpeg", rate=1)
        cover.width = cover.height = 64
        cover.pix_fmt, cover.disposition = "yuvj420p", 0x400
        container.mux(cover.encode(av.VideoFrame.from_ndarray(torch.zeros(64, 64, 3).byte().numpy(), format="rgb24")))
        container.mux(cover.encode(None))
    assert "there is no video in this file" in refused(capsys, tmp_path / "song.m4a", style, "-o", tmp_path / "out.mp4")


def test_joined_clips_of_which_each_counts_from_its_beginning(style: Path, tmp_path: Path) -> None:
    once = write_clip(tmp_path / "once.ts", pan(4)).read_bytes()
    (tmp_path / "in.ts").write_bytes(2 * once)
    assert nst_video(tmp_path / "in.ts", style, "-o", tmp_path / "out.mkv", *QUICK) == 0
    found = times(tmp_path / "out.mkv")
    assert len(found) == 8
    assert [b - a for a, b in itertools.pairwise(found)] == pytest.approx([1 / 24] * 7, abs=2e-3)


def test_the_frames_that_an_error_leaves_are_spoken_of_and_gone_on_from(
    style: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    folder, out = write_folder(tmp_path / "in", pan(4)), tmp_path / "in" / "out.mp4"  # a date that changes, too
    masks = write_folder(tmp_path / "masks", [torch.zeros_like(frame) for frame in pan(2)])
    words = (folder, style, "-o", out, "--protect", masks)
    assert "2 frames so far; the same command goes on from there" in refused(capsys, *words)
    for number in (10, 11):
        write_picture(masks / f"shot{number}.png", torch.zeros(1, 3, HEIGHT, WIDTH))
    assert nst_video(*words, *QUICK) == 0
    assert len(frames_of(out)) == 4


def test_a_frame_that_cannot_be_read_ends_the_film_there(
    style: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    folder, out = write_folder(tmp_path / "in", pan(4)), tmp_path / "out.mp4"
    whole = (folder / "shot10.png").read_bytes()
    (folder / "shot10.png").write_bytes(whole[:20])
    assert "shot10.png" in refused(capsys, folder, style, "-o", out)
    assert len(frames_of(out)) == 2
    (folder / "shot10.png").write_bytes(whole)
    assert nst_video(folder, style, "-o", out, *QUICK) == 0
    assert len(frames_of(out)) == 4


def test_of_nothing_that_is_finished_other_settings_may_begin(style: Path, tmp_path: Path) -> None:
    clip, out = write_clip(tmp_path / "in.mp4", pan(6)), tmp_path / "out.mp4"
    state = tmp_path / "out.mp4.frames" / ".nst"
    state.mkdir(parents=True)
    (state / "job.json").write_text("{}")
    write_picture(state / "first.png", clouds(1, 30, 30))
    assert nst_video(clip, style, "-o", out, *QUICK, "--from", "0.125") == 0
    assert len(frames_of(out)) == 3


def test_a_film_says_how_it_was_made(style: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    clip = write_clip(tmp_path / "in.mp4", pan(3))
    assert nst_video(clip, style, "-o", tmp_path / "out.mp4", *QUICK) == 0
    capsys.readouterr()
    assert main(["again", "--from", str(style.parent), str(tmp_path / "out.mp4"), "--every", "2"]) == 0
    answer = capsys.readouterr()
    assert answer.out.strip() == str(tmp_path / "out-again.mp4")
    assert "96×64 pixels" not in answer.err and "64×43 pixels in 3 steps" in answer.err
    assert times(tmp_path / "out-again.mp4") == [0, 0.083]
    write_clip(tmp_path / "other.mp4", pan(2))
    assert main(["again", str(tmp_path / "other.mp4")]) == 1
    assert "does not say how it was made" in capsys.readouterr().err
