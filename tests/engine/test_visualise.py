"""Looking inside: what the sheets show is what the network computes, and a layer alone pulls noise towards it."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from pictures import clouds

import nst_engine as nst
from nst_engine.pictures.plot import BACKGROUND
from nst_engine.recipes import network_for
from nst_engine.statistics.measure import whole_maps
from nst_engine.visualise import CELL, COLD, GAP, GRAM_SIDE, LINE, WARM, feature_sheet, gram_sheet, reconstruct


@pytest.fixture(scope="module")
def picture() -> torch.Tensor:
    return clouds(5, 48, 64)


def features(vgg, picture, tap):
    return network_for(vgg, nst.RECIPES["balanced"]).features(picture, (tap,))[tap][0]


def colours(shown: torch.Tensor) -> np.ndarray:
    return (shown * 255).round().to(torch.int64).numpy()


def maps_of(sheet: torch.Tensor, columns: int, count: int, shape: tuple[int, int]) -> list[np.ndarray]:
    """The maps of a contact sheet, cut out of it."""
    h, w = shape
    found = []
    for i in range(count):
        x, y = GAP + i % columns * (w + GAP), GAP + LINE + i // columns * (LINE + h + GAP) + LINE
        found.append(colours(sheet[y : y + h, x : x + w]))
    return found


def test_a_sheet_shows_the_maps_in_the_order_of_their_energy(vgg, picture):
    tap, f = "relu2_1", features(vgg, picture, "relu2_1")
    sheet = feature_sheet(vgg, picture, tap, count=6, size=0)
    assert sheet.shape[0] == 1 and sheet.shape[3] == 3 and sheet.dtype == torch.float32
    assert sheet.shape[1:3] == (GAP + LINE + 2 * (LINE + 120 + GAP), GAP + 3 * (CELL + GAP))
    ranked = f.square().sum((1, 2)).argsort(descending=True)
    for channel, shown in zip(ranked, maps_of(sheet[0], 3, 6, (120, CELL)), strict=False):
        # Where a map is largest its square has the brightest colour, and where it is nothing the darkest.
        position = np.unravel_index(int(f[channel].argmax()), f[channel].shape)
        assert tuple(shown[position[0] * 5 + 2, position[1] * 5 + 2]) == WARM[-1]
        nothing = (f[channel] == 0).nonzero()
        if len(nothing):
            assert tuple(shown[int(nothing[0][0]) * 5 + 2, int(nothing[0][1]) * 5 + 2]) == WARM[0]


def test_a_sheet_in_the_networks_order_and_values_below_nothing(vgg, picture):
    f = features(vgg, picture, "conv3_1")
    shown = maps_of(feature_sheet(vgg, picture, "conv3_1", count=4, order="channel", size=0)[0], 2, 4, (120, CELL))
    for channel, one in enumerate(shown):
        low = int(f[channel].argmin())
        expected = COLD[-1] if -f[channel].min() >= f[channel].max() else None
        assert expected is None or tuple(one[low // 16 * 10 + 5, low % 16 * 10 + 5]) == expected
    assert any(-f[i].min() >= f[i].max() for i in range(4))


def test_large_maps_are_reduced_and_labels_are_drawn(vgg):
    sheet = feature_sheet(vgg, clouds(3, 200, 340), "relu1_1", count=2, size=0)
    h = round(200 * CELL / 340)
    assert sheet.shape[1:3] == (GAP + LINE + LINE + h + GAP, GAP + 2 * (CELL + GAP))
    titles, labels = colours(sheet[0, : GAP + LINE]), colours(sheet[0, GAP + LINE : GAP + LINE + LINE])
    for text in (titles, labels):
        assert (np.abs(text - np.array(BACKGROUND)).max(-1) > 100).sum() > 30
    # The picture is reduced before the network sees it.
    small = feature_sheet(vgg, clouds(3, 200, 340), "relu1_1", count=2, size=170)
    assert small.shape == sheet.shape and not torch.equal(small, sheet)


def test_every_picture_of_a_batch_has_a_sheet_and_one_map_is_enough(vgg, picture):
    batch = torch.cat([picture, picture.flip(3)])
    sheets = feature_sheet(vgg, batch, "relu4_1", count=1)
    assert sheets.shape[0] == 2 and not torch.equal(sheets[0], sheets[1])
    assert torch.equal(sheets[:1], feature_sheet(vgg, picture, "relu4_1", count=1))
    everything = feature_sheet(vgg, picture, "relu1_1", count=500, size=32)
    assert everything.shape[1] > 8 * 100  # all 64, no more
    black = feature_sheet(vgg, torch.zeros(1, 3, 16, 16), "pool1", count=3)
    assert torch.isfinite(black).all()


def test_a_gram_is_shown_as_it_is(vgg, style):
    grams = nst.compute_style_grams(vgg, style, size=64)
    moment = next(s.moment for (_, tap, shape), s in grams.styles[0].memo.items() if tap == "relu1_1" and 64 in shape)
    top, left = LINE + 2 * GAP, GAP
    for order, ranks in (("channel", torch.arange(64)), ("strongest", moment.diag().argsort(descending=True))):
        sheet = gram_sheet(vgg, grams, "relu1_1", order=order, scale="sqrt")
        shown = colours(sheet[0, top : top + GRAM_SIDE, left : left + GRAM_SIDE])[4::8, 4::8]
        assert shown.shape == (64, 64, 3)
        assert np.array_equal(shown, shown.transpose(1, 0, 2))
        bright = shown.sum(-1)
        expected = moment[ranks][:, ranks]
        assert np.unravel_index(bright.argmax(), bright.shape) == np.unravel_index(int(expected.argmax()), (64, 64))
        # Brighter where it is larger, everywhere.
        by_size = bright.reshape(-1)[expected.reshape(-1).argsort().numpy()]
        assert (np.diff(by_size) >= 0).mean() > 0.99
    assert not torch.equal(sheet, gram_sheet(vgg, grams, "relu1_1", scale="log"))


@pytest.mark.parametrize("scale", ["log", "sqrt"])
def test_a_gram_before_the_relu_has_two_colours(vgg, style, scale):
    grams = nst.compute_style_grams(vgg, style, size=64)
    sheet = gram_sheet(vgg, grams, "conv2_1", order="channel", scale=scale)
    top = LINE + 2 * GAP
    shown = colours(sheet[0, top : top + GRAM_SIDE, GAP : GAP + GRAM_SIDE])[2::4, 2::4]
    network = network_for(vgg, nst.RECIPES["balanced"])
    moment = grams.blend(network, ("conv2_1",), (64, 64))["conv2_1"].moment.numpy()
    below, strong = moment < 0, abs(moment) > 1e-3 * abs(moment).max()
    assert 0.1 < below.mean() < 0.9
    assert np.array_equal((shown[..., 1] > shown[..., 0])[strong], below[strong])


def test_a_gram_of_a_blend_of_a_size_of_none_and_of_a_file(vgg, style, tmp_path):
    sized, other = (
        nst.compute_style_grams(vgg, style, size=64),
        nst.compute_style_grams(vgg, clouds(9, 64, 64), size=64),
    )
    assert not torch.equal(gram_sheet(vgg, sized + other, "relu2_1"), gram_sheet(vgg, sized, "relu2_1"))
    assert gram_sheet(vgg, nst.compute_style_grams(vgg, style), "relu1_1").shape[0] == 1
    sized.save(tmp_path / "s.safetensors")
    loaded = nst.StyleGrams.load(tmp_path / "s.safetensors")
    with pytest.raises(nst.NSTError, match="was loaded from a file and lacks relu3_3"):
        gram_sheet(vgg, loaded, "relu3_3")
    assert torch.equal(gram_sheet(vgg, loaded, "relu3_1"), gram_sheet(vgg, sized, "relu3_1"))


@pytest.mark.parametrize(("part", "tap"), [("content", "relu2_2"), ("style", "relu2_1")])
def test_one_layer_alone_lowers_its_own_loss_and_no_other_counts(vgg, part, tap):
    picture = clouds(7, 40, 56)
    result = reconstruct(vgg, picture, tap, part, steps=40, size=0)
    first, last = result.history[0], result.history[-1]
    assert getattr(last, part) < 0.1 * getattr(first, part)
    assert getattr(last, {"content": "style", "style": "content"}[part]) == 0
    assert last.tv < 0.1 * first.total
    assert list(result.settings["layers"][part]) == [tap]
    assert result.image.shape == picture.shape
    away = (result.image - picture).abs().mean()
    noise = reconstruct(vgg, picture, tap, part, steps=0, size=0).image
    if part == "content":
        assert away < 0.5 * (noise - picture).abs().mean()
    else:  # not where it was
        assert away > 0.1
    assert float(noise.std()) < 0.1
    assert not torch.equal(noise, reconstruct(vgg, picture, tap, part, steps=0, size=0, seed=1).image)


def test_a_batch_is_reconstructed_picture_by_picture(vgg):
    pictures = clouds(8, 32, 40, count=2)
    told = []
    both = reconstruct(
        vgg, pictures, "relu1_1", "style", steps=2, size=0, on_step=lambda p: told.append((p.picture, p.step))
    )
    assert told == [(0, 1), (0, 2), (1, 1), (1, 2)]
    assert len(both.histories) == 2 and both.image.shape == (2, 3, 32, 40)
    assert torch.equal(both.image[1:], reconstruct(vgg, pictures[1:], "relu1_1", "style", steps=2, size=0).image)
    stopped = reconstruct(vgg, pictures, "relu1_1", "style", steps=9, size=0, on_step=lambda _: nst.STOP)
    assert len(stopped.histories) == 1 and stopped.settings["stopped_early"]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda v, p, g: feature_sheet(v, p, "relu9_1"), "tap: vgg19 has no layer 'relu9_1'"),
        (lambda v, p, g: feature_sheet(v, p, "relu1_1", order="weakest"), "order: 'weakest' is not one of"),
        (lambda v, p, g: feature_sheet(v, p, "relu1_1", count=0), "count: 0"),
        (lambda v, p, g: feature_sheet(v, p, "relu5_1", size=8), "too few for relu5_1"),
        (lambda v, p, g: gram_sheet(v, g, "relu1_1", scale="linear"), "scale: 'linear' is not one of"),
        (lambda v, p, g: gram_sheet(v, g, "relu1_9"), "tap: vgg19 has no layer"),
        (lambda v, p, g: reconstruct(v, p, "relu1_1", "both"), "part: 'both' is not one of"),
        (lambda v, p, g: reconstruct(v, p, "relu1_9", "style"), "vgg19 has no layer"),
    ],
)
def test_what_cannot_be_shown_is_refused_by_name(vgg, picture, grams, call, says):
    with pytest.raises(nst.NSTError, match=says):
        call(vgg, picture, grams)


def test_looking_changes_nothing_and_works_under_the_hosts_inference_mode(vgg):
    with torch.inference_mode():
        picture = clouds(6, 32, 32)
        before = picture.clone()
        sheet = feature_sheet(vgg, picture, "relu1_1", count=2)
        grams = nst.compute_style_grams(vgg, picture, size=32)
        shown = gram_sheet(vgg, grams, "relu1_1")
        made = reconstruct(vgg, picture, "relu1_1", "content", steps=1, size=0).image
    assert torch.equal(picture, before)
    assert not any(t.requires_grad for t in (sheet, shown, made))


def test_a_stop_in_the_second_picture_is_told(vgg):
    def on_step(progress: nst.Progress) -> object:
        return nst.STOP if progress.picture == 1 else None

    pictures = clouds(5, 32, 32, count=3)
    result = reconstruct(vgg, pictures, "relu1_1", "content", size=32, steps=2, on_step=on_step)
    assert result.settings["stopped_early"] is True
    assert [len(history) for history in result.histories] == [2, 1]
    whole = reconstruct(vgg, pictures, "relu1_1", "content", size=32, steps=1)
    assert whole.settings["stopped_early"] is False


def test_large_pictures_are_looked_at_in_pieces_of_which_nothing_is_seen(vgg):
    large = clouds(7, 560, 1100)
    network = network_for(vgg, nst.RECIPES["balanced"])
    for tap, scale in (("relu3_1", 1), ("relu1_1", 1100 / 512)):
        whole, maps = features(vgg, large, tap), whole_maps(network, large, tap)
        assert (maps.largest - whole.abs().amax((1, 2))).abs().max() < 1e-3
        assert (maps.energy / whole.square().mean((1, 2)) - 1).abs().max() < 1e-3
        assert maps.values.shape == (len(whole), *(round(side / scale) for side in whole.shape[1:]))
        if scale == 1:
            assert (maps.values - whole).abs().max() < 1e-3
        else:  # every value is a mean of those that lie there
            rows, columns = (
                torch.arange(a) * b // a for a, b in zip(whole.shape[1:], maps.values.shape[1:], strict=True)
            )
            for y, x in ((0, 0), (100, 300), (maps.values.shape[1] - 1, 511)):
                there = whole[:, rows == y][:, :, columns == x].mean((1, 2))
                assert (maps.values[:, y, x] - there).abs().max() < 1e-3


@pytest.mark.skipif(sys.platform == "win32", reason="peak memory is asked for as POSIX has it")
def test_a_sheet_of_any_size_takes_bounded_memory():
    code = """
import resource, sys, torch, nst_engine as nst
from nst_engine.visualise import feature_sheet
vgg = nst.load_vgg("vgg19-caffe", precision="fp32", device="cpu")
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 1024**2)
feature_sheet(vgg, torch.rand(1, 3, 512, 512), "relu1_2", count=1, size=0)
before = peak()
feature_sheet(vgg, torch.rand(1, 3, 1536, 2048), "relu1_2", count=1, size=0)
print(peak() - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 500  # MB; whole, the maps of one layer are 768 and there are two at a time
