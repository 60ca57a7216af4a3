"""`nst video`: clips and folders in and out, their sound and their times."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from films import QUICK, frames_of, nst_video, times, write_folder
from PIL import Image
from scenes import pan, write_clip

from nst_engine.cli.commands import main
from nst_engine.pictures.files import read_picture, write_picture
from nst_engine.video.source import open_source

av = pytest.importorskip("av", reason="av is not installed")
pytest.importorskip("cv2", reason="opencv-python-headless is not installed")


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
    assert times(out) == [0, 0.083, 0.167]  # frames 3, 5 and 7, from 0
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


def test_times_are_read_as_people_write_them() -> None:
    from nst_engine.cli.arguments import parser

    args = parser().parse_args(["video", "a", "b", "-o", "c.mp4", "--from", "1:15", "--to", "0:02:00.5"])
    assert (args.begin, args.end) == (75, Fraction(241, 2))


def test_joined_clips_of_which_each_counts_from_its_beginning(style: Path, tmp_path: Path) -> None:
    once = write_clip(tmp_path / "once.ts", pan(4)).read_bytes()
    (tmp_path / "in.ts").write_bytes(2 * once)
    assert nst_video(tmp_path / "in.ts", style, "-o", tmp_path / "out.mkv", *QUICK) == 0
    found = times(tmp_path / "out.mkv")
    assert len(found) == 8
    assert [b - a for a, b in itertools.pairwise(found)] == pytest.approx([1 / 24] * 7, abs=2e-3)


@pytest.mark.parametrize("ending", ["mkv", "webm"])  # sound as it is, and made anew
def test_the_sound_of_joined_clips_goes_on(style: Path, tmp_path: Path, ending: str) -> None:
    once = write_clip(tmp_path / "once.ts", pan(12)).read_bytes()
    (tmp_path / "in.ts").write_bytes(2 * once)
    out = tmp_path / f"out.{ending}"
    assert nst_video(tmp_path / "in.ts", style, "-o", out, *QUICK, "--every", "4") == 0
    with av.open(str(out)) as container:
        heard = [(float(frame.time), frame.samples / frame.rate) for frame in container.decode(audio=0)]
    assert sum(length for _, length in heard) == pytest.approx(1, abs=0.15)
    assert all(b - a == pytest.approx(length, abs=0.06) for (a, length), (b, _) in itertools.pairwise(heard))


def test_a_film_says_how_it_was_made(style: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    clip = write_clip(tmp_path / "in.mp4", pan(3))
    assert nst_video(clip, style, "-o", tmp_path / "out.mp4", *QUICK) == 0
    capsys.readouterr()
    assert main(["again", "--from", str(style.parent), str(tmp_path / "out.mp4"), "--every", "2"]) == 0
    answer = capsys.readouterr()
    assert answer.out.strip() == str(tmp_path / "out-again.mp4")
    assert "96×64 pixels" not in answer.err and "64×43 pixels in 3 steps" in answer.err
    assert times(tmp_path / "out-again.mp4") == [0, 0.083]
    far = ["--look-back", *map(str, range(1, 10))]
    assert main(["again", "--from", str(style.parent), str(tmp_path / "out.mp4"), *far]) == 1
    assert "9 earlier frames to look back at (more than 8); give --yes" in capsys.readouterr().err
    write_clip(tmp_path / "other.mp4", pan(2))
    assert main(["again", str(tmp_path / "other.mp4")]) == 1
    assert "does not say how it was made" in capsys.readouterr().err


def test_again_with_a_flow_of_its_own(style: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    models = pytest.importorskip("torchvision.models.optical_flow", reason="torchvision is not installed")
    clip, weights = write_clip(tmp_path / "in.mp4", pan(2)), tmp_path / "raft.pth"
    torch.manual_seed(0)
    torch.save(models.raft_small(weights=None).state_dict(), weights)
    assert nst_video(clip, style, "-o", tmp_path / "out.mp4", *QUICK, "--no-cuts", "--flow", weights) == 0
    again = ["again", "--from", str(style.parent), str(tmp_path / "out.mp4")]
    capsys.readouterr()
    assert main(again) == 0
    answer = capsys.readouterr()
    assert "raft.pth" in answer.err  # among what it reads
    assert len(frames_of(tmp_path / "out-again.mp4")) == 2
    weights.rename(tmp_path / "elsewhere.pth")
    assert main([*again, "--restart"]) == 1
    assert "--flow: " in capsys.readouterr().err
    assert main([*again, "--restart", "--flow", str(tmp_path / "elsewhere.pth")]) == 0


def test_every_kind_of_picture_is_a_frame_or_a_mask(style: Path, tmp_path: Path) -> None:
    frames = [(frame[0].movedim(0, -1) * 255).round().byte().numpy() for frame in pan(2)]
    (tmp_path / "in").mkdir()
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / "in" / f"{number}.bmp")
    Image.fromarray(255 * np.ones_like(frames[0])).save(tmp_path / "mask.bmp")
    words = (tmp_path / "in", style, "-o", tmp_path / "out", *QUICK, "--size", "0", "--protect", tmp_path / "mask.bmp")
    assert nst_video(*words) == 0
    for number, frame in enumerate(frames):
        made = read_picture(tmp_path / "out" / f"{number}.png").pixels[0].movedim(0, -1)
        assert np.abs(made.numpy() * 255 - frame).max() < 1


def test_every_so_many_counts_from_the_first_of_the_part(style: Path, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "in", pan(6))
    words = ("--fps", "10", "--from", "0.1", "--every", "3")
    assert nst_video(folder, style, "-o", tmp_path / "out", *QUICK, *words) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["shot12.png", "shot9.png"]


def test_a_film_without_alpha_says_so(style: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "in").mkdir()
    for number, frame in enumerate(pan(2)):
        write_picture(tmp_path / "in" / f"{number}.png", frame, alpha=torch.full_like(frame[:, :1], 0.5))
    assert nst_video(tmp_path / "in", style, "-o", tmp_path / "out.mp4", *QUICK) == 0
    assert "clips hold no alpha" in capsys.readouterr().err


@pytest.mark.parametrize("passes", [1, 2])
def test_progress_counts_every_pass_to_its_end(
    style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, passes: int
) -> None:
    shown: list[tuple[int, int]] = []

    def display(self: object, title: str, value: int, total: int, note: object = None) -> None:
        if title == "video":
            shown.append((value, total))

    monkeypatch.setattr("nst_engine.cli.terminal.ProgressDisplay.__call__", display)
    clip = write_clip(tmp_path / "in.mp4", pan(3))
    assert nst_video(clip, style, "-o", tmp_path / "out.mp4", *QUICK, "--no-cuts", "--passes", passes) == 0
    values = list(dict.fromkeys(value for value, _ in shown))
    assert values == ([0, 1, 2, 3] if passes == 1 else [0, 1, 2, 4, 5, 6])  # the last frame has no second pass
    assert {total for _, total in shown} == {3 * passes}


def test_a_folder_of_frames_is_not_made_again(style: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder = write_folder(tmp_path / "in", pan(1))
    assert nst_video(folder, style, "-o", tmp_path / "out", *QUICK) == 0
    assert main(["again", str(tmp_path / "out")]) == 1
    assert "a folder of frames does not say how it was made" in capsys.readouterr().err
    assert main(["again", str(tmp_path / "out" / "shot8.png")]) == 1
    assert "frames in a folder do not" in capsys.readouterr().err
