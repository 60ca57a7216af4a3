"""`nst video` that is interrupted: a night's work that nothing undoes."""

from __future__ import annotations

import errno
import os
import random
import re
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch
from films import QUICK, frames_of, nst_video, refused, wait_for, wait_for_frames, write_folder
from nst_calls import nst
from nst_process import start
from pictures import clouds
from scenes import HEIGHT, WIDTH, pan, write_clip

from nst_engine.cli.arguments import parser
from nst_engine.cli.video import VideoCommand
from nst_engine.pictures.files import write_picture

pytest.importorskip("av", reason="av is not installed")
pytest.importorskip("cv2", reason="opencv-python-headless is not installed")

KILLS = int(os.environ.get("NST_KILLS", "2"))  # each takes the start of a process


def test_a_killed_run_goes_on_and_ends_as_if_nothing_had_been(style: Path, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "in.mp4", pan(6))
    slower = (*QUICK, "--frame-steps", "4")
    assert nst_video(clip, style, "-o", tmp_path / "whole.mkv", *slower, "--codec", "ffv1") == 0
    out = tmp_path / "out.mkv"
    words = (clip, style, "-o", out, *slower, "--codec", "ffv1")
    process = start("video", *words)
    wait_for_frames(tmp_path / "out.mkv.frames", 2, process)
    process.kill()
    process.communicate()
    assert not out.exists()
    kept = (tmp_path / "out.mkv.frames" / "frame_000001.png").stat().st_mtime_ns
    with (tmp_path / "out.mkv.frames" / ".nst" / "frames").open("a") as file:
        file.write("7 1/")  # as a kill in the middle of writing leaves it
    _, said = nst("video", *words, "--seed", "5", code=1)
    assert "begun with other settings" in said
    assert (tmp_path / "out.mkv.frames" / "frame_000001.png").stat().st_mtime_ns == kept
    assert nst_video(*words) == 0
    for a, b in zip(frames_of(tmp_path / "whole.mkv"), frames_of(out), strict=True):
        assert a.time == b.time
        assert (a.pixels - b.pixels).abs().max() <= 2 / 255  # two processes, two orders of sums


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signal that one process can send another alone")
def test_ctrl_c_leaves_a_clip_that_plays_and_the_same_command_goes_on(style: Path, tmp_path: Path) -> None:
    clip, out = write_clip(tmp_path / "in.mp4", pan(8)), tmp_path / "out.mp4"
    words = (clip, style, "-o", out, *QUICK, "--frame-steps", "6")
    process = start("video", *words)
    wait_for_frames(tmp_path / "out.mp4.frames", 2, process)
    process.send_signal(signal.SIGINT)
    told, said = process.communicate(timeout=300)
    assert process.returncode == 130
    assert told.strip() == str(out)
    assert "the same command goes on" in said
    count = len(frames_of(out))
    assert 2 <= count < 8
    assert nst_video(*words) == 0
    assert len(frames_of(out)) == 8
    assert not (tmp_path / "out.mp4.frames").exists()


def test_ctrl_c_in_the_first_of_two_passes_leaves_a_clip_and_the_work(style: Path, tmp_path: Path) -> None:
    clip, out = write_clip(tmp_path / "in.mp4", pan(8)), tmp_path / "out.mp4"
    words = (clip, style, "-o", out, *QUICK, "--frame-steps", "6", "--passes", "2")
    process = start("video", *words)
    waiting = tmp_path / "out.mp4.frames" / ".nst" / "passes"
    end = time.monotonic() + 300
    while not (waiting / "forward-000002.npz").exists():
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "0 frames so far, and" in said and "the same command goes on" in said
    count = len(frames_of(out))
    assert 3 <= count < 8
    process = start("video", *words)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0
    assert re.match(rf"video: {count} of 16 frame {count + 1},", said)  # none was made again
    assert len(frames_of(out)) == 8


def test_a_kill_at_any_moment_loses_at_most_the_frame_in_work(style: Path, tmp_path: Path) -> None:
    clip, out = write_clip(tmp_path / "in.mp4", pan(KILLS + 2)), tmp_path / "out.mp4"
    words, moments = (clip, style, "-o", out, *QUICK), random.Random(1)
    folder = tmp_path / "out.mp4.frames"

    def finished() -> list[int]:
        """When the picture of each frame that counts was written."""
        path = folder / ".nst" / "frames"
        count = path.read_text().count("\n") if path.is_file() else 0
        return [file.stat().st_mtime_ns for file in sorted(folder.glob("*.png"))[:count]]

    kept: list[int] = []
    for _ in range(KILLS):
        process = start("video", *words)
        so_far = len(kept)
        wait_for(lambda so_far=so_far: len(finished()) > so_far, process)
        time.sleep(moments.uniform(0, 0.3))
        before = finished()
        process.kill()
        process.communicate()
        if out.exists():
            break
        assert finished()[: len(before)] == before
        assert before[: len(kept)] == kept  # none is made again
        kept = finished()
    assert nst_video(*words) == 0
    assert len(frames_of(out)) == KILLS + 2
    assert not folder.exists()


@pytest.mark.parametrize("into", ["out.mp4", "out"])
def test_what_a_kill_at_the_very_end_leaves_is_begun_anew(style: Path, tmp_path: Path, into: str) -> None:
    clip, out = write_clip(tmp_path / "in.mp4", pan(2)), tmp_path / into
    state = (out if into == "out" else tmp_path / "out.mp4.frames") / ".nst"
    state.mkdir(parents=True)
    write_picture(state.parent / "frame_000002.png", clouds(1, HEIGHT, WIDTH))
    assert nst_video(clip, style, "-o", out, *QUICK) == 0
    assert len(list(out.glob("*.png")) if into == "out" else frames_of(out)) == 2
    assert not state.exists()


def test_the_frames_that_an_error_leaves_are_spoken_of_and_gone_on_from(
    style: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    folder, out = write_folder(tmp_path / "in", pan(4)), tmp_path / "in" / "out.mp4"  # a date that changes, too
    masks = write_folder(tmp_path / "masks", [torch.zeros_like(frame) for frame in pan(4)])
    words = (folder, style, "-o", out, "--protect", masks)
    (masks / "shot10.png").write_bytes(b"")
    said = refused(capsys, *words)
    assert re.search(r"^nst: --protect: .*masks: .*shot10\.png", said, re.MULTILINE)
    assert "2 frames so far; once that is mended, the same command goes on from there" in said
    assert len(frames_of(out)) == 2
    write_picture(masks / "shot10.png", torch.zeros(1, 3, HEIGHT, WIDTH))
    assert nst_video(*words, *QUICK) == 0
    assert len(frames_of(out)) == 4


def test_a_frame_that_cannot_be_read_ends_the_film_there(
    style: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    folder, out = write_folder(tmp_path / "in", pan(4)), tmp_path / "out.mp4"
    whole = (folder / "shot10.png").read_bytes()
    (folder / "shot10.png").write_bytes(whole[:20])
    assert re.search(r"^nst: .*shot10\.png", refused(capsys, folder, style, "-o", out), re.MULTILINE)
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


@pytest.mark.parametrize(
    ("file", "data"),
    [
        *(("frames", text) for text in (b"0 0\n1 x\n", b"0 1/0\n", b"0\n", b"\xff\n", b"0 0 0\n")),
        *(("past-000002.npy", data) for data in (b"", b"\x93NUMPY", b"\x80\x04cos\nsystem\n.", b"\xc8\xff" * 200)),
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


def test_of_two_runs_at_once_the_second_is_refused(style: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    clip, out = write_clip(tmp_path / "in.mp4", pan(3)), tmp_path / "out.mp4"
    args = parser().parse_args(["video", str(clip), str(style), "-o", str(out), *QUICK])
    with VideoCommand(args, []) as other:
        other.begin()
        assert "out.mp4: another nst video writes this" in refused(capsys, clip, style, "-o", out)
        assert "out.mp4: another nst video writes this" in refused(capsys, clip, style, "-o", out, "--restart")
    assert nst_video(clip, style, "-o", out, *QUICK) == 0
    assert len(frames_of(out)) == 3


def test_what_two_runs_have_written_is_damaged_and_begun_anew(unfinished: Path, capsys: pytest.CaptureFixture) -> None:
    listed = unfinished / "out" / ".nst" / "frames"
    listed.write_text("".join(2 * line for line in listed.read_text().splitlines(keepends=True)))
    assert "is damaged; give --restart to start over" in refused(capsys, "in", "style.png", "-o", "out")
    shutil.copy(unfinished / "in" / "shot10.png", unfinished / "in" / "shot11.png")
    assert nst_video("in", "style.png", "-o", "out", *QUICK, "--restart") == 0
    assert len(list((unfinished / "out").iterdir())) == 4


@pytest.mark.parametrize("changed", ["style.png", "mask.png"])
def test_files_that_have_changed_are_other_settings(
    style: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(style, "style.png")
    write_picture("mask.png", clouds(4, HEIGHT, WIDTH))
    broken = write_folder(tmp_path / "in", pan(3)) / "shot10.png"
    whole = broken.read_bytes()
    broken.write_bytes(whole[:20])
    words = ("in", "style.png", "-o", "out.mp4", "--protect", "mask.png")
    refused(capsys, *words)
    broken.write_bytes(whole)
    kept = Path(changed).read_bytes()
    write_picture(changed, clouds(3, HEIGHT, WIDTH))
    assert "begun with other settings" in refused(capsys, *words)
    Path(changed).write_bytes(kept)
    assert nst_video(*words, *QUICK) == 0
    assert len(frames_of(tmp_path / "out.mp4")) == 3


def test_a_full_disk_is_named(
    style: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    folder = write_folder(tmp_path / "in", pan(2))
    monkeypatch.setattr("nst_engine.video.job.np.save", full)
    assert f"{tmp_path / 'out'}: cannot be written (" in refused(capsys, folder, style, "-o", tmp_path / "out")
