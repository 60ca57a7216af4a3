"""`nst batch` over clips: a job for every shot, and a clip again."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from batch_runs import files, report
from batches import posix, start_batch, workers
from films import frames_of
from pictures import clouds
from scenes import pan, write_clip

from nst_engine.cli import commands as cli
from nst_engine.cli.batch import clips
from nst_engine.cli.batch.jobs import Job
from nst_engine.cli.batch.shots import Watch, frames_folder
from nst_engine.pictures.files import read_settings, write_picture
from nst_engine.system.locks import locked
from nst_engine.video.encode import Encoding, clip_settings
from nst_engine.video.shots import find_shots
from nst_engine.video.source import open_source

av = pytest.importorskip("av", reason="av is not installed")
pytest.importorskip("cv2", reason="opencv-python-headless is not installed")

QUICK = ("--steps", 2, "--frame-steps", 1, "--size", 64, "--precision", "fp32", "--device", "cpu")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    write_clip(tmp_path / "photos" / "film.mkv", [*pan(3), *pan(4, seed=5), *pan(2, seed=9)])
    write_picture(tmp_path / "photos" / "a.png", clouds(3, 48, 64))
    write_picture(tmp_path / "style.png", clouds(10, 48, 48))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(*arguments: object) -> list[str]:
    return ["batch", "--styles", "style.png", "-o", "out", *map(str, (*QUICK, *arguments))]


def batch(*arguments: object, code: int = 0) -> dict[str, dict[str, Any]]:
    """The report."""
    assert cli.main([*command(*arguments), "--quiet"]) == code
    return report()


def alike(one: str, other: str) -> bool:
    pairs = list(zip(frames_of(Path(one)), frames_of(Path(other)), strict=True))
    return all(a.time == b.time and (a.pixels - b.pixels).abs().max() <= 2 / 255 for a, b in pairs)


def test_a_clip_made_by_shots_is_the_clip_that_nst_video_makes(folder, capsys):
    report = batch("photos", "--codec", "ffv1")
    assert {name: line["status"] for name, line in report.items()} == {"a-style.png": "made", "film-style.mkv": "made"}
    assert files() == {"a-style.png", "film-style.mkv", "report.jsonl"}
    assert {Path(line).name for line in capsys.readouterr().out.split()} == {"a-style.png", "film-style.mkv"}
    whole = ["video", "photos/film.mkv", "style.png", "-o", "whole.mkv", "--codec", "ffv1", "--quiet"]
    assert cli.main([*whole, *map(str, QUICK)]) == 0
    assert alike("whole.mkv", "out/film-style.mkv")
    with av.open("photos/film.mkv") as before, av.open("out/film-style.mkv") as after:
        packets = [[bytes(p) for p in c.demux(c.streams.audio[0]) if p.size] for c in (before, after)]
    assert packets[1] and packets[1] == packets[0][: len(packets[1])]
    assert cli.main(["again", "out/film-style.mkv", "--from", ".", "-o", "again.mkv", "--quiet"]) == 0
    assert alike("again.mkv", "out/film-style.mkv")


def test_shots_are_found_and_read_from_where_they_begin(folder):
    write_clip(folder / "long.mp4", [frame for seed in range(3) for frame in pan(20, seed=seed)])
    for name, lengths in (("photos/film.mkv", [3, 4, 2]), ("long.mp4", [20, 20, 20])):
        source = open_source(Path(name))
        shots = find_shots(source, id)
        assert [shot.count for shot in shots] == lengths
        all_frames = frames_of(Path(name))
        for shot in shots:
            read = list(source.frames(shot.part, lambda why: pytest.fail(why)))
            assert [frame.number for frame in read] == list(range(shot.first, shot.first + shot.count))
            for frame in read:
                assert frame.time == all_frames[frame.number].time
                assert torch.equal(frame.pixels, all_frames[frame.number].pixels)
        assert [shot.count for shot in find_shots(source, id, flow=None)] == [sum(lengths)]


def test_clips_are_looked_through_once_each_however_many_styles_there_are(folder, monkeypatch):
    write_clip(folder / "photos" / "other.mkv", [*pan(2), *pan(2, seed=3)])
    write_picture(folder / "more.png", clouds(11, 48, 48))
    looked: list[str] = []
    monkeypatch.setattr(
        clips, "find_shots", lambda source, *a: (looked.append(source.path.name), find_shots(source, *a))[1]
    )
    (folder / "photos" / "a.png").unlink()
    report = batch("photos", "--styles", "style.png", "more.png")
    assert {name for name, line in report.items() if line["status"] == "made"} == {
        f"{clip}-{style}.mkv" for clip in ("film", "other") for style in ("style", "more")
    }
    assert sorted(looked) == ["film.mkv", "other.mkv"]


def test_what_is_there_is_left_alone_and_a_changed_option_makes_it_again(folder):
    clip = "photos/film.mkv"
    assert batch(clip)["film-style.mkv"]["status"] == "made"
    made = Path("out/film-style.mkv").stat().st_mtime_ns
    os.utime(clip)
    assert batch(clip)["film-style.mkv"]["status"] == "kept"
    assert batch(clip, "--crf", 30)["film-style.mkv"]["status"] == "made"
    assert Path("out/film-style.mkv").stat().st_mtime_ns != made
    settings = clip_settings(Path("out/film-style.mkv"))
    assert settings and settings["argv"][:2] == ["video", clip] and "--crf=30" in settings["argv"]


def test_names_and_tables_of_clips(folder):
    Path("jobs.csv").write_text("content,style,steps,codec,out\nphotos/film.mkv,style.png,1,ffv1,\n", encoding="utf-8")
    assert set(batch("jobs.csv", "--name", "{content}-{steps}.jpg")) == {"film-1.mkv"}
    with av.open("out/film-1.mkv") as container:
        assert container.streams.video[0].codec_context.name == "ffv1"
    Path("photos/film.mkv").rename("photos/film.avi")  # no format that is written
    assert set(batch("photos/film.avi")) == {"film-style.mp4"}


def test_what_is_no_clip_or_broken_is_a_row(folder, capsys):
    (folder / "photos" / "text.mp4").write_text("no clip")
    whole = write_clip(folder / "whole.mkv", [clouds(i, 64, 96) for i in range(8)], codec="ffv1", pixels="yuv420p")
    Path("photos/half.mkv").write_bytes(whole.read_bytes()[: whole.stat().st_size * 5 // 8])
    report = batch("photos", "--codec", "libx264", code=1)
    assert {name for name, line in report.items() if line["status"] == "made"} >= {"a-style.png", "film-style.mkv"}
    assert "cannot be read as a clip" in report["text-style.mp4"]["error"]
    made = {Path(line["output"]).name for line in report.values() if line["status"] == "made"}
    assert files() == {*made, "report.jsonl"} and "text-style.mp4" not in made
    assert report["half-style.mkv"]["status"] == "made" or not Path("out/.half-style.mkv.frames").exists()
    assert "photos/text.mp4 with style.png" in capsys.readouterr().err
    report = batch("photos/film.mkv", "--codec", "libnothing", code=1)
    assert "--codec: the PyAV installed here cannot write libnothing" in report["film-style.mkv"]["error"]
    for option, told in ((["--server", "http://127.0.0.1:1"], "--server: "), (["--ray", "--return-pictures"], "--ret")):
        capsys.readouterr()
        assert cli.main([*command("photos/film.mkv", "--crf", 9), *option, "--quiet"]) == 1
        assert capsys.readouterr().err.startswith(f"nst: {told}")
    assert cli.main([*command("photos/film.mkv"), "--seamless"]) == 1
    assert "--seamless: this is for pictures, and not for clips" in capsys.readouterr().err


def test_a_frame_that_takes_too_long_ends_its_clip_alone(folder):
    report = batch("photos", "--steps", 100000, "--time-limit", 0.5, code=1)
    assert "frames 1 to 3: --time-limit: it was not done after 0.5 seconds" in report["film-style.mkv"]["error"]
    assert report["a-style.png"]["status"] == "failed"


def test_frames_are_counted_from_one():
    shown: list[tuple[int, int]] = []
    watch = Watch(id, lambda frame, of: shown.append((frame, of)), 0.0)
    for done, total in ((0, 3), (2, 3), (3, 3), (4, 0)):
        watch.display("video", done, total)
    assert shown == [(1, 3), (3, 3), (3, 3), (5, 5)]


def test_a_dry_run_counts_frames(folder, capsys):
    assert cli.main([*command("photos/film.mkv"), "--dry-run"]) == 0
    said = capsys.readouterr()
    assert "photos/film.mkv with style.png -> out/film-style.mkv, 64×43, about 10 frames, 11 steps" in said.out
    assert "1 picture to make" in said.err and not Path("out").exists()
    assert cli.main([*command("photos/film.mkv"), "--dry-run", "--server", "http://127.0.0.1:1"]) == 1
    assert "will fail: photos/film.mkv with style.png -> out/film-style.mkv: --server" in capsys.readouterr().out


def start_clips(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    return start_batch("--styles", "style.png", *QUICK, *arguments, **options)


def lines_of_frames() -> int:
    return sum(path.read_text().count("\n") for path in Path("out").glob(".*.frames/*/.nst/frames"))


def wait_for_frames(process: subprocess.Popen[str], count: int) -> None:
    end = time.monotonic() + 120
    while lines_of_frames() < count:
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.005)


@posix
def test_killed_at_any_moment_it_goes_on_with_the_next_frame(folder):
    options = ("photos/film.mkv", "--codec", "ffv1", "--frame-steps", 6)
    drawn = random.Random(2)
    seen: dict[Path, int] = {}
    for count in (1, 4, 8):
        process = start_clips(*options)
        wait_for_frames(process, count)
        time.sleep(drawn.uniform(0, 0.3))
        process.kill()
        process.communicate()
        there = {path: path.stat().st_ino for path in Path("out").glob(".*.frames/*/*.png")}
        assert len(seen.items() - there.items()) == 0  # no frame is made again
        seen = dict(sorted(there.items())[: lines_of_frames()])
        assert not list(Path("out").glob("*.mkv"))
    process = start_clips(*options)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert files() == {"film-style.mkv", "report.jsonl"}
    assert [path.name for path in Path("out").iterdir() if path.is_dir()] == []
    whole = ["video", "photos/film.mkv", "style.png", "-o", "whole.mkv", "--quiet", *map(str, QUICK)]
    assert cli.main([*whole, "--frame-steps", "6", "--codec", "ffv1"]) == 0
    assert alike("whole.mkv", "out/film-style.mkv")


@pytest.mark.skipif(os.name == "nt", reason="sets a limit on the size of files")
def test_a_full_disk_ends_all(folder):
    # What is known of the shots fits, no frame does.
    process = start_clips("photos/film.mkv", "photos/a.png", most_in_a_file=6000)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 1 and "the others would fail likewise" in said and "Traceback" not in said
    assert not list(Path("out").glob("*.*v")) and not list(Path("out").glob("*.png"))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no locks of this kind")
def test_two_runs_do_not_make_the_same_clip(folder):
    lock = locked(Path("out/.film-style.mkv.frames"))
    assert lock
    assert "another run is at work on this clip" in batch("photos/film.mkv", code=1)["film-style.mkv"]["error"]
    lock.close()
    assert batch("photos/film.mkv")["film-style.mkv"]["status"] == "made"


@posix
def test_shots_go_to_several_processes_and_one_that_dies_loses_nothing(folder):
    process = start_clips("photos", "--devices", "cpu,cpu", "--frame-steps", 4)
    wait_for_frames(process, 2)
    os.kill(workers(process.pid)[0], signal.SIGKILL)
    _, said = process.communicate(timeout=180)
    assert process.returncode == 0, said
    assert files() == {"a-style.png", "film-style.mkv", "report.jsonl"}
    assert len(frames_of(Path("out/film-style.mkv"))) == 9
    assert sorted(report()) == ["a-style.png", "film-style.mkv"]
    settings = read_settings(Path("out/a-style.png"))
    assert settings and settings["device"] == "cpu"


def test_a_clip_is_unlocked_before_its_folder_goes(tmp_path, monkeypatch):
    """Windows deletes no file that is open."""
    free = []

    def removed(folder: Path, **_: object) -> None:
        lock = locked(folder)
        free.append(lock is not None)
        if lock is not None:
            lock.close()

    monkeypatch.setattr(clips.shutil, "rmtree", removed)
    monkeypatch.setattr(clips, "write_clip", lambda part, *_: part.touch() or [])
    job = Job("in.mkv", (), str(tmp_path / "film.mkv"), ())
    with clips.Clips(tmp_path, print, None) as found:
        found._lock(frames_folder(Path(job.out)))
        found._write(clips._Clip(job, None, Encoding(), []), {})
    assert free == [True]
