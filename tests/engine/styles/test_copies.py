"""Copies of a style picture that are measured with it as one style."""

from __future__ import annotations

import pytest
import torch
from pictures import clouds

import nst_engine as nst
from nst_engine.recipes import network_for
from nst_engine.styles.copies import COPIES, in_four_rotations

TAPS = ("relu1_1", "relu3_1")
SHAPE = (41, 64)


@pytest.fixture(scope="module")
def picture() -> torch.Tensor:
    """With a direction: stripes across it."""
    return (clouds(2, 82, 128) * 0.4 + 0.3 + 0.3 * torch.sin(torch.arange(82.0) * 1.5).view(1, 1, -1, 1)).clamp(0, 1)


def measured(vgg, picture, size=64, **options):
    grams = nst.compute_style_grams(vgg, picture, size=size, layers=dict.fromkeys(TAPS, 1.0), **options)
    return grams.styles[0].statistics(network_for(vgg, nst.RECIPES["balanced"]).measuring(), TAPS, SHAPE)


def mean_of(statistics, tap, part):
    return torch.stack([getattr(s[tap], part).double() for s in statistics]).mean(0).float()


@pytest.mark.parametrize(
    ("copies", "by_hand"),
    [
        ("mirrored", lambda x: [x, x.flip(3)]),
        ("rotated", lambda x: [x, x.transpose(2, 3).flip(3), x.flip((2, 3)), x.transpose(2, 3).flip(2)]),
        (
            "rotated-mirrored",
            lambda x: [y.flip(dims) for y in (x, x.transpose(2, 3)) for dims in ((), (2,), (3,), (2, 3))],
        ),
    ],
)
@pytest.mark.parametrize("masked", [False, True])
def test_the_mean_of_the_statistics_of_each(vgg, picture, copies, by_hand, masked):
    """Of pictures turned beforehand, and masks with them."""
    mask = (clouds(7, 82, 128)[:, :1] > 0.5).float() if masked else torch.ones(1, 1, 82, 128)
    found = measured(vgg, picture, copies=copies, mask=mask[:, 0])
    each = []
    for copy, part in zip(by_hand(picture), by_hand(mask), strict=True):
        grams = nst.compute_style_grams(vgg, copy, size=64, layers=dict.fromkeys(TAPS, 1.0), mask=part[:, 0])
        shape = SHAPE if copy.shape == picture.shape else SHAPE[::-1]
        each.append(grams.styles[0].statistics(network_for(vgg, nst.RECIPES["balanced"]).measuring(), TAPS, shape))
    for tap in TAPS:
        for part in ("mean", "moment"):
            expected = mean_of(each, tap, part)
            assert (getattr(found[tap], part) - expected).norm() < 1e-5 * expected.norm()


def test_rescaled_is_the_mean_over_three_sizes(vgg, picture):
    found = measured(vgg, picture, copies="rescaled")
    network = network_for(vgg, nst.RECIPES["balanced"]).measuring()
    style = nst.compute_style_grams(vgg, picture, size=64).styles[0]
    each = [style.statistics(network, TAPS, shape) for shape in (SHAPE, (29, 45), (58, 91))]
    for tap in TAPS:
        expected = mean_of(each, tap, "moment")
        assert (found[tap].moment - expected).norm() < 1e-5 * expected.norm()


def test_a_copy_that_is_too_small_for_a_layer_is_left_out(vgg, picture):
    grams = nst.compute_style_grams(vgg, picture, size=10, layers={"relu3_1": 1.0}, copies="rescaled")
    style, network = grams.styles[0], network_for(vgg, nst.RECIPES["balanced"]).measuring()
    assert [copy.scale < 1 for copy in style.fitting_copies(network, ("relu3_1",), (6, 10))] == [False, True, False]
    assert [copy.scale < 1 for copy in style.fitting_copies(network, ("relu3_1",), (4, 7))] == [False, False]
    assert len(style.fitting_copies(network, ("relu5_1",), (4, 7))) == 1


def test_directions_no_longer_tell(vgg, picture):
    """Turned by a right angle, a style with rotated copies is the same, and one without is not."""
    square = picture[:, :, :, :82]
    for copies, same in (("none", False), ("mirrored", False), ("rotated", True), ("rotated-mirrored", True)):
        a, b = (
            nst.compute_style_grams(vgg, x, size=64, copies=copies).styles[0].memo
            for x in (square, square.rot90(1, (2, 3)))
        )
        keys = [key for key in a if key[2] == (64, 64)]
        distance = max(float((a[key].moment - b[key].moment).norm() / a[key].moment.norm()) for key in keys)
        assert (distance < 1e-4) == same, copies


def test_what_sorts_has_the_copies_features(vgg, picture):
    style = nst.compute_style_grams(vgg, picture, size=64, copies="rotated").styles[0]
    network = network_for(vgg, nst.RECIPES["balanced"])
    samples = style.samples(network, TAPS, SHAPE, 1.0)
    found = measured(vgg, picture, copies="rotated")
    for tap in TAPS:
        weights = samples[tap].weights
        assert len(samples[tap].rows) == len(weights)
        mean = (samples[tap].rows * weights[:, None]).sum(0) / weights.sum()
        assert (mean - found[tap].mean).norm() < 1e-4 * mean.norm()


def test_a_saved_style_says_what_it_holds(vgg, picture, tmp_path):
    grams = nst.compute_style_grams(vgg, picture, size=64, copies="rotated", name="stripes")
    assert "stripes×1 (rotated)" in repr(grams)
    grams.save(tmp_path / "turned.safetensors")
    loaded = nst.StyleGrams.load(tmp_path / "turned.safetensors")
    assert loaded.styles[0].copies == "rotated"
    assert "(rotated)" in repr(loaded.weighted(2).within(None))
    network = network_for(vgg, nst.RECIPES["balanced"]).measuring()
    found, expected = (g.styles[0].statistics(network, ("relu3_1",), SHAPE) for g in (loaded, grams))
    assert torch.equal(found["relu3_1"].moment, expected["relu3_1"].moment)
    result = nst.stylize(vgg, clouds(1, 40, 40), loaded, steps=1)
    assert result.settings["styles"][0]["copies"] == "rotated"


@pytest.mark.parametrize(("copies", "count"), [("none", 4), ("rotated", 4), ("mirrored", 8), ("rescaled", 12)])
def test_hypercolumns_are_of_every_copy_in_all_directions(vgg, picture, copies, count):
    style = nst.compute_style_grams(vgg, picture, copies=copies).styles[0]
    assert len(in_four_rotations(copies)) == count
    network = network_for(vgg, nst.RECIPES["nnst"]).measuring()
    found = style.hypercolumns(network, ("relu3_1",), SHAPE, 1.0)["relu3_1"].rows
    sizes = [copy.shape(SHAPE) for copy in in_four_rotations(copies)]
    assert len(found) == sum((h // 4) * (w // 4) for h, w in sizes)
    assert len(found.unique(dim=0)) > 0.95 * len(found)


@pytest.mark.parametrize("masked", [False, True])
def test_samples_are_of_every_copy(vgg, picture, masked):
    """Their colours are the picture's, as often as there are copies; their features those of each copy."""
    mask = (clouds(7, 82, 128)[:, :1] > 0.5).float()[:, 0] if masked else None
    network, found = network_for(vgg, nst.RECIPES["strotss"]).measuring(), {}
    for copies in ("none", "mirrored", "rotated-mirrored"):
        style = nst.compute_style_grams(vgg, picture, layers={"relu1_1": 1.0}, copies=copies, mask=mask).styles[0]
        # Without a mask every pixel of every copy, with one as many drawn as there are.
        found[copies] = style.sampled(network, ("relu1_1",), SHAPE, 1.0, 8 * SHAPE[0] * SHAPE[1])
    alone, turned = found["none"], found["rotated-mirrored"]
    if masked:
        assert len(turned["colours"]) == len(alone["colours"])
        assert float((turned["colours"].mean(0) - alone["colours"].mean(0)).abs().max()) < 0.02
    else:
        assert torch.allclose(turned["colours"].sum(0), 8 * alone["colours"].sum(0), rtol=1e-4)
    two, one = found["mirrored"]["relu1_1"].mean(0), alone["relu1_1"].mean(0)
    eight = turned["relu1_1"].mean(0)
    assert (one - eight).norm() > 0.05 * one.norm()  # across the stripes and along them
    assert (two - one).norm() < (one - eight).norm()


def test_a_file_without_copies_is_what_it_always_was(vgg, picture, tmp_path):
    file = tmp_path / "plain.safetensors"
    nst.compute_style_grams(vgg, picture, size=64).save(file)
    assert b"copies" not in file.read_bytes()
    assert nst.StyleGrams.load(file).styles[0].copies == "none"


def test_words_that_are_none_are_refused(vgg, picture, tmp_path):
    known = "none, mirrored, rotated, rotated-mirrored, rescaled"
    assert ", ".join(COPIES) == known
    with pytest.raises(nst.NSTError, match=f"copies: 'turned' is not one of {known}"):
        nst.compute_style_grams(vgg, picture, copies="turned")
    file = tmp_path / "other.safetensors"
    nst.compute_style_grams(vgg, picture, size=64, copies="rotated").save(file)
    file.write_bytes(file.read_bytes().replace(b"rotated", b"spirals"))
    with pytest.raises(nst.NSTError, match=r"damaged .*'spirals' is not one of"):
        nst.StyleGrams.load(file)


def test_progress_counts_every_copy(vgg, picture):
    told = []
    nst.compute_style_grams(vgg, picture, size=64, copies="rotated", on_measure=lambda *at: told.append(at))
    done, of = zip(*told, strict=True)
    assert list(done) == list(range(1, of[0] + 1))
