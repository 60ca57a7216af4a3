"""The nodes for moving pictures, as the host calls them."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import re
from pathlib import Path

import pytest
import torch
from node_calls import call

av = pytest.importorskip("av", reason="av is not installed")
pytest.importorskip("cv2", reason="opencv-python-headless is not installed")

QUICK = {"recipe": "balanced", "steps": 2, "frame_steps": 1, "size": 64}


@pytest.fixture(scope="module")
def vgg(pack):
    return call(pack, "LoadVGGFeatures", weights="vgg19-caffe", precision="fp32")[0]


@pytest.fixture(scope="module")
def clip(pack) -> torch.Tensor:
    return call(pack, "NSTExampleClip", frames=4)[0]


@pytest.fixture(scope="module")
def grams(pack, vgg, clip):
    return call(pack, "ComputeStyleGrams", vgg=vgg, style_image=clip[:1], size=48)[0]


@pytest.fixture
def told(pack):
    """What the host would show: value and total of the bar."""
    host = importlib.import_module(f"{pack.__name__}.nodes.host")
    seen = []
    token = host.listener.set(lambda value, total, picture: seen.append((value, total)))
    yield seen
    host.listener.reset(token)


@pytest.fixture
def root(pack, tmp_path: Path):
    host = importlib.import_module(f"{pack.__name__}.nodes.host")
    token = host.stand_alone_input_and_output.set((tmp_path, tmp_path))
    yield tmp_path
    host.stand_alone_input_and_output.reset(token)


def test_the_example_clip(pack) -> None:
    frames, rate = call(pack, "NSTExampleClip")
    assert frames.shape == (24, 160, 240, 3)
    assert rate == 12
    assert (frames[1] - frames[0]).abs().mean() > 0.01


def test_a_batch_of_frames(pack, vgg, grams, clip, told) -> None:
    mask = torch.zeros(4, 160, 240)
    mask[1, :80] = 1
    with torch.inference_mode():
        frames, history = call(
            pack, "NSTVideoTransfer", vgg=vgg, frames=clip, style_grams=grams, protect_mask=mask, **QUICK
        )
    assert frames.shape == (4, 43, 64, 3)
    assert [len(steps) for steps in history.histories] == [2, 1, 1, 1]
    assert {total for _, total in told} == {4}
    assert [value for value, _ in told] == sorted(value for value, _ in told)
    small = torch.nn.functional.interpolate(
        clip[1:2].movedim(-1, 1), size=(43, 64), mode="bicubic", antialias=True
    ).movedim(1, -1)
    assert (frames[1] - small[0])[:20].abs().max() < 1e-5
    assert (frames[2] - small[0])[:20].abs().max() > 0.1


def test_masks_for_other_than_all_frames_are_refused(pack, vgg, grams, clip) -> None:
    nst = importlib.import_module(f"{pack.__name__}.nst_engine")
    with pytest.raises(nst.NSTError, match="protect_mask: 3 masks for 4 frames"):
        call(
            pack,
            "NSTVideoTransfer",
            vgg=vgg,
            frames=clip,
            style_grams=grams,
            protect_mask=torch.ones(3, 160, 240),
            **QUICK,
        )


def film(pack, clip: torch.Tensor, folder: Path):
    """As the host's Create Video gives one."""
    headless = importlib.import_module(f"{pack.__name__}.nodes.headless")
    return headless.CreateVideo(headless.Folders(folder, folder)).create(clip, 12.0)[0]


class OfFrames:
    """A film that the host has as frames, and encodes anew for whoever asks, never to the same bytes."""

    def __init__(self, path: str) -> None:
        self.content = Path(path).read_bytes()

    def get_stream_source(self) -> io.BytesIO:
        return io.BytesIO(self.content + b"\xec\x84" + os.urandom(4))  # Matroska's element for nothing


@pytest.mark.parametrize("of_frames", [False, True])
def test_a_film_is_streamed_and_goes_on_after_a_cancel(
    pack, vgg, grams, clip, root, of_frames: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = importlib.import_module(f"{pack.__name__}.nodes.host")
    video = film(pack, clip, root)
    if of_frames:
        video = OfFrames(video.get_stream_source())
        monkeypatch.setattr(host, "frames_in_memory", lambda _: clip)
    inputs = {"vgg": vgg, "video": video, "style_grams": grams, "filename_prefix": "nst/film", **QUICK}

    class Cancelled(BaseException):
        pass

    def cancel(value: float, total: int, picture: object) -> None:
        if value > 2:  # within the third frame
            raise Cancelled

    token = host.listener.set(cancel)
    with pytest.raises(Cancelled):
        call(pack, "NSTStyliseVideo", **inputs)
    host.listener.reset(token)
    (unfinished,) = (root / "nst").glob("*-unfinished.mp4")
    with av.open(str(unfinished)) as container:
        assert len(list(container.decode(video=0))) == 2
    (folder,) = (root / "nst").glob("*.frames")
    first = (folder / "frame_000001.png").stat().st_mtime_ns

    seen = []
    token = host.listener.set(lambda value, total, picture: seen.append(value))
    answer = call(pack, "NSTStyliseVideo", **inputs)
    host.listener.reset(token)
    assert min(seen) >= 2 and first  # the frames before were not made again
    path = Path(answer["result"][0].get_stream_source())
    assert answer["ui"]["images"] == [{"filename": path.name, "subfolder": "nst", "type": "output"}]
    with av.open(str(path)) as container:
        assert len(list(container.decode(video=0))) == 4
        assert container.streams.video[0].average_rate == 12
    assert sorted(file.name for file in (root / "nst").iterdir()) == [path.name]


@pytest.fixture
def finishes(pack, monkeypatch):
    """As if the user pressed Finish now when the bar had come so far."""
    host = importlib.import_module(f"{pack.__name__}.nodes.host")
    monkeypatch.setattr(host, "running", lambda: host.Running("prompt", "7"))
    monkeypatch.setattr(host, "canvas", lambda: None)

    @contextlib.contextmanager
    def at(so_far: float):
        def look(value: float, total: int, picture: object) -> None:
            if value > so_far:
                assert host.finish("prompt", "7")

        token = host.listener.set(look)
        before = host.short_runs()
        yield
        host.listener.reset(token)
        assert host.short_runs() == before + 1  # the host will not take it for the whole

    return at


@pytest.mark.parametrize(("passes", "so_far", "count"), [(1, 2, 2), (2, 2, 2), (1, 0, 1), (2, 0, 1)])
def test_finish_now_passes_on_the_frames_so_far(pack, vgg, grams, clip, finishes, passes, so_far, count) -> None:
    inputs = {**QUICK, "steps": 4, "frame_steps": 3, "passes": passes}
    with finishes(so_far):
        frames, history = call(pack, "NSTVideoTransfer", vgg=vgg, frames=clip, style_grams=grams, **inputs)
    assert len(frames) == len(history.histories) == count


@pytest.mark.parametrize("passes", [1, 2])
def test_finish_now_gives_a_film_and_the_next_run_goes_on(pack, vgg, grams, clip, root, finishes, passes) -> None:
    video = film(pack, clip, root)
    inputs = {"vgg": vgg, "video": video, "style_grams": grams, "filename_prefix": "nst/film", **QUICK}
    inputs |= {"steps": 4, "frame_steps": 3, "passes": passes}

    def frames_of(answer) -> int:
        with av.open(answer["result"][0].get_stream_source()) as container:
            return len(list(container.decode(video=0)))

    with finishes(0):  # in the first frame: it is shown as it is, and not gone on from
        assert frames_of(call(pack, "NSTStyliseVideo", **inputs)) == 1
    assert [*(root / "nst").glob("*.frames/*.png")] == []
    with finishes(2):
        assert frames_of(call(pack, "NSTStyliseVideo", **inputs)) == 2
    (folder,) = (root / "nst").glob("*.frames")
    assert len([*folder.glob("*.png")] if passes == 1 else [*folder.glob(".nst/passes/forward-*")]) == 2
    assert frames_of(call(pack, "NSTStyliseVideo", **inputs)) == 4
    assert not folder.exists()


def test_a_cancel_in_the_first_of_two_passes_loses_nothing(pack, vgg, grams, clip, root) -> None:
    host = importlib.import_module(f"{pack.__name__}.nodes.host")
    inputs = {"vgg": vgg, "video": film(pack, clip, root), "style_grams": grams, "filename_prefix": "nst/film"}

    def cancel(value: float, total: int, picture: object) -> None:
        if value > 2:
            raise KeyboardInterrupt

    token = host.listener.set(cancel)
    with pytest.raises(KeyboardInterrupt):
        call(pack, "NSTStyliseVideo", **inputs, **QUICK, passes=2)
    host.listener.reset(token)
    (unfinished,) = (root / "nst").glob("*-unfinished.mp4")
    with av.open(str(unfinished)) as container:
        assert len(list(container.decode(video=0))) == 2
    seen = []
    token = host.listener.set(lambda value, total, picture: seen.append(value))
    call(pack, "NSTStyliseVideo", **inputs, **QUICK, passes=2)
    host.listener.reset(token)
    assert seen[0] > 2


class Killed(BaseException):
    pass


@pytest.mark.parametrize("node", ["NSTStyliseVideo", "SaveVideo"])
def test_no_film_has_its_name_before_it_is_whole(pack, vgg, grams, clip, root, monkeypatch, node) -> None:
    encode = importlib.import_module(f"{pack.__name__}.nst_engine.video.encode")
    source, seen = film(pack, clip, root), []
    real = encode.Writer.frame

    def look(writer, pixels, time):
        seen.append([file.name for file in (root / "out").glob("*.mp4") if re.fullmatch(r"film_.*", file.name)])
        if writer.source.names == ("trial",):
            return real(writer, pixels, time)
        raise Killed

    monkeypatch.setattr(encode.Writer, "frame", look)
    with pytest.raises(Killed):
        if node == "SaveVideo":
            headless = importlib.import_module(f"{pack.__name__}.nodes.headless.stand_ins")
            folders = importlib.import_module(f"{pack.__name__}.nodes.headless.folders").Folders(root, root)
            headless.SaveVideo(folders).save(source, "out/film", "auto", "auto")
        else:
            call(pack, node, vgg=vgg, video=source, style_grams=grams, filename_prefix="out/film", **QUICK)
    assert seen and not any(seen)
    assert [file.name for file in (root / "out").glob("film_*")] == []


def test_what_is_no_video_is_refused(pack, vgg, grams) -> None:
    nst = importlib.import_module(f"{pack.__name__}.nst_engine")
    with pytest.raises(nst.NSTError, match="video: takes VIDEO"):
        call(pack, "NSTStyliseVideo", vgg=vgg, video="film.mp4", style_grams=grams, recipe="balanced")


@pytest.mark.parametrize("length", [230, 240])
def test_a_name_is_refused_that_what_lies_beside_it_could_not_have(pack, vgg, grams, root, length) -> None:
    prefix = "x" * length
    assert "longer than the 255" in pack.NODE_CLASS_MAPPINGS["NSTStyliseVideo"].VALIDATE_INPUTS(prefix)
    film = importlib.import_module(f"{pack.__name__}.nodes.host").VideoFile(str(root / "none.mp4"))
    with pytest.raises(pack.nodes.host.NSTError, match="longer than the 255"):
        call(pack, "NSTStyliseVideo", vgg=vgg, video=film, style_grams=grams, filename_prefix=prefix, **QUICK)
