"""The nodes for moving pictures, as the host calls them."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import torch
from test_nodes import call

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
def places(pack, tmp_path: Path):
    host = importlib.import_module(f"{pack.__name__}.nodes.host")
    token = host.stand_alone_places.set((tmp_path, tmp_path))
    yield tmp_path
    host.stand_alone_places.reset(token)


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


def test_a_film_is_streamed_and_goes_on_after_a_cancel(pack, vgg, grams, clip, places) -> None:
    host = importlib.import_module(f"{pack.__name__}.nodes.host")
    video = film(pack, clip, places)
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
    (unfinished,) = (places / "nst").glob("*-unfinished.mp4")
    with av.open(str(unfinished)) as container:
        assert len(list(container.decode(video=0))) == 2
    (folder,) = (places / "nst").glob("*.frames")
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
    assert sorted(file.name for file in (places / "nst").iterdir()) == [path.name]


def test_what_is_no_video_is_refused(pack, vgg, grams) -> None:
    nst = importlib.import_module(f"{pack.__name__}.nst_engine")
    with pytest.raises(nst.NSTError, match="video: takes VIDEO"):
        call(pack, "NSTStyliseVideo", vgg=vgg, video="film.mp4", style_grams=grams, recipe="balanced")
