"""Colours: every method against its formula or what defines it, and pictures that formulas do not expect."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pictures import clouds

import nst_engine as nst
from nst_engine.pictures import colour as color
from nst_engine.pictures.colour import METHODS, lab_to_rgb, match_colours, rgb_to_lab
from nst_engine.pictures.images import resize

LINEAR = ("symmetric", "pca", "cholesky")
PLACE_BY_PLACE = ("lab", "luminance")


@pytest.fixture
def picture() -> torch.Tensor:
    return 0.35 + 0.3 * clouds(1, 40, 50)


@pytest.fixture
def reference() -> torch.Tensor:
    """Smaller, and so muted that nothing of what is matched to it leaves 0..1."""
    mix = torch.tensor([[0.2, 0.1, 0.0], [0.0, 0.15, 0.1], [0.05, 0.0, 0.2]])
    return torch.einsum("ij,njhw->nihw", mix, clouds(2, 30, 45) - 0.5) + torch.tensor([0.5, 0.45, 0.6]).view(3, 1, 1)


def numbers(picture: torch.Tensor) -> np.ndarray:
    """3×N in float64."""
    return picture[0].double().flatten(1).numpy()


def unclipped(picture: torch.Tensor) -> torch.Tensor:
    assert float(picture.min()) > 0 and float(picture.max()) < 1
    return picture


# --- mean and covariance ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", LINEAR)
def test_mean_and_covariance_become_the_references(picture, reference, method, monkeypatch):
    monkeypatch.setattr(color, "_PART", 300)
    made, wanted = numbers(unclipped(match_colours(picture, reference, method))), numbers(reference)
    assert np.allclose(made.mean(1), wanted.mean(1), atol=1e-6)
    assert np.allclose(np.cov(made, bias=True), np.cov(wanted, bias=True), atol=1e-7)
    assert not np.allclose(np.cov(numbers(picture)), np.cov(wanted), atol=1e-3)


def matrix_of(picture: torch.Tensor, made: torch.Tensor) -> np.ndarray:
    """The A in made = A picture + b."""
    x, y = numbers(picture), numbers(made)
    solved = np.linalg.lstsq((x - x.mean(1, keepdims=True)).T, (y - y.mean(1, keepdims=True)).T, rcond=None)
    return solved[0].T


def test_each_matrix_is_its_methods_own(picture, reference):
    """Of all A with A S Aᵀ = T there is one that is lower triangular, one symmetric, and one with A √S symmetric."""
    a = {method: matrix_of(picture, unclipped(match_colours(picture, reference, method))) for method in LINEAR}
    assert np.allclose(np.triu(a["cholesky"], 1), 0, atol=1e-4)
    assert (np.diag(a["cholesky"]) > 0).all()
    assert np.allclose(a["symmetric"], a["symmetric"].T, atol=1e-4)
    assert (np.linalg.eigvalsh(a["symmetric"]) > 0).all()
    values, vectors = np.linalg.eigh(np.cov(numbers(picture), bias=True))
    root = a["pca"] @ (vectors * np.sqrt(values)) @ vectors.T
    assert np.allclose(root, root.T, atol=1e-4)
    assert (np.linalg.eigvalsh(root) > 0).all()
    for one, other in (("cholesky", "symmetric"), ("symmetric", "pca"), ("pca", "cholesky")):
        assert not np.allclose(a[one], a[other], atol=1e-2)


def test_symmetric_moves_colours_least(picture, reference):
    moved = {m: float((match_colours(picture, reference, m) - picture).square().mean()) for m in LINEAR}
    assert min(moved, key=moved.__getitem__) == "symmetric"


# --- histogram ----------------------------------------------------------------------------------------------------


def distinct(seed: int, height: int, width: int) -> torch.Tensor:
    """No value twice in a channel."""
    drawn = torch.Generator().manual_seed(seed)
    n = height * width
    return torch.stack([torch.randperm(n, generator=drawn) for _ in range(3)]).view(1, 3, height, width) / n


def test_a_histogram_of_as_many_values_becomes_the_references(monkeypatch):
    monkeypatch.setattr(color, "_PART", 300)
    one, other = distinct(0, 30, 40), distinct(1, 60, 20) ** 2
    made = match_colours(one, other, "histogram")
    assert torch.equal(made.flatten(2).sort().values, other.flatten(2).sort().values)
    assert torch.equal(made.flatten(2).argsort(), one.flatten(2).argsort())


@pytest.mark.parametrize("shape", [(7, 9), (90, 70), (1, 1)])
def test_a_histogram_of_fewer_or_more_values_is_read_between_them(shape):
    one, other = distinct(0, 40, 50), torch.rand(1, 3, *shape, generator=torch.Generator().manual_seed(1))
    made = numbers(match_colours(one, other, "histogram"))
    for got, wanted in zip(made, numbers(other), strict=True):
        expected = np.quantile(wanted, (np.arange(2000) + 0.5) / 2000, method="hazen")
        assert np.allclose(np.sort(got), expected, atol=1e-6)


def test_equal_values_stay_equal_in_a_histogram():
    flat = torch.tensor([0.2, 0.2, 0.2, 0.9]).view(1, 1, 2, 2).expand(1, 3, 2, 2)
    other = torch.tensor([0.1, 0.3, 0.6, 0.8]).view(1, 1, 4, 1).expand(1, 3, 4, 1)
    made = match_colours(flat, other, "histogram")[0, 0].flatten()
    assert made.tolist() == pytest.approx([0.3, 0.3, 0.3, 0.8])  # the middle of three, and the last


# --- chroma -------------------------------------------------------------------------------------------------------


def test_luminance_keeps_y_and_takes_i_and_q(picture, reference):
    yiq = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
    other = resize(reference, (40, 50))
    made = yiq @ numbers(unclipped(match_colours(picture, reference, "luminance")))
    assert np.allclose(made[0], (yiq @ numbers(picture))[0], atol=1e-6)
    assert np.allclose(made[1:], (yiq @ numbers(other))[1:], atol=1e-6)


def test_lab_keeps_lightness_and_takes_a_and_b(picture, reference):
    made = rgb_to_lab(unclipped(match_colours(picture, reference, "lab")))
    assert torch.allclose(made[:, 0], rgb_to_lab(picture)[:, 0], atol=1e-3)  # of 100
    assert torch.allclose(made[:, 1:], rgb_to_lab(resize(reference, (40, 50)))[:, 1:], atol=1e-3)


@pytest.mark.parametrize(
    ("rgb", "expected"),
    [
        ((1, 1, 1), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((0.5, 0.5, 0.5), (53.39, 0, 0)),
        ((1, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 1, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 1), (32.30, 79.19, -107.86)),
        ((0.01, 0.01, 0.01), (0.6992, 0, 0)),  # where both curves are straight: 903.3 · 0.01/12.92
    ],
)
def test_lab_of_known_colours(rgb, expected):
    found = rgb_to_lab(torch.tensor(rgb, dtype=torch.float32).view(1, 3, 1, 1)).flatten()
    assert found.tolist() == pytest.approx(expected, abs=0.04)


def test_the_way_to_lab_and_back_ends_where_it_began():
    steps = torch.linspace(0, 1, 17)
    rgb = torch.cartesian_prod(steps, steps, steps).T.reshape(1, 3, 17, 289)
    assert (lab_to_rgb(rgb_to_lab(rgb)) - rgb).abs().max() < 1e-5
    beyond = torch.tensor([-0.3, 0.5, 1.4]).view(1, 3, 1, 1)
    assert (lab_to_rgb(rgb_to_lab(beyond)) - beyond).abs().max() < 1e-5


def test_lab_is_the_same_in_bands_as_in_one():
    one, other = clouds(3, 150, 8), clouds(4, 150, 8)
    bands = [match_colours(one[:, :, rows], other[:, :, rows], "lab") for rows in (slice(70), slice(70, None))]
    assert torch.allclose(match_colours(one, other, "lab"), torch.cat(bands, 2), atol=1e-6)


# --- strength -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_strength_mixes_the_picture_and_the_whole_match(method):
    one, other = clouds(1, 20, 30), clouds(2, 20, 30).mul(1.5).clamp(0, 1)  # clips
    whole = match_colours(one, other, method)
    assert torch.equal(whole, match_colours(one, other, method, 1.0))
    assert 0 <= float(whole.min()) <= float(whole.max()) <= 1
    assert (whole - one).abs().max() > 0.1
    assert torch.equal(match_colours(one, other, method, 0.0), one)
    assert torch.allclose(match_colours(one, other, method, 0.3), 0.7 * one + 0.3 * whole, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_a_picture_beyond_black_and_white_comes_back_within_or_untouched(method):
    one = clouds(1, 20, 30).mul(3).sub(1)
    made = match_colours(one, clouds(2, 20, 30), method, 0.5)
    assert 0 <= float(made.min()) <= float(made.max()) <= 1
    assert torch.equal(match_colours(one, clouds(2, 20, 30), method, 0.0), one)


@pytest.mark.parametrize("method", METHODS)
def test_a_picture_matched_to_itself_is_itself(method):
    one = clouds(1, 20, 30)
    assert torch.allclose(match_colours(one, one, method), one, atol=1e-5)


# --- pictures with little in them ---------------------------------------------------------------------------------


def constant(r: float, g: float, b: float, height: int = 6, width: int = 5) -> torch.Tensor:
    return torch.tensor([r, g, b], dtype=torch.float32).view(1, 3, 1, 1).expand(1, 3, height, width).contiguous()


@pytest.mark.parametrize("method", METHODS)
def test_greys_constants_and_single_pixels_stay_pictures(method):
    grey = clouds(1, 6, 5)[:, :1]
    pictures = (clouds(2, 6, 5), grey, constant(0, 0, 0), constant(1, 1, 1), constant(0.2, 0.4, 0.6), grey[..., :1, :1])
    for one in pictures:
        for other in pictures:
            made = match_colours(one, other, method)
            assert made.shape == (1, 3, *one.shape[-2:])
            assert torch.isfinite(made).all() and 0 <= float(made.min()) <= float(made.max()) <= 1


@pytest.mark.parametrize("method", [*LINEAR, "histogram"])
def test_a_constant_picture_gets_the_references_middle(method):
    made = match_colours(constant(0.2, 0.4, 0.6), clouds(2, 9, 9), method)
    middle = clouds(2, 9, 9).flatten(2).median(2).values if method == "histogram" else clouds(2, 9, 9).mean((2, 3))
    assert torch.allclose(made, middle.view(1, 3, 1, 1).expand_as(made), atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_a_constant_reference_gives_its_colour(method):
    made = match_colours(clouds(1, 20, 30), constant(0.3, 0.5, 0.4), method)
    if method in PLACE_BY_PLACE:  # in all lightnesses of the picture
        assert float(made.std()) > 0.05
    else:
        assert torch.allclose(made, constant(0.3, 0.5, 0.4, 20, 30), atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_a_grey_reference_leaves_no_colour(method):
    grey = clouds(2, 20, 30)[:, :1].mul(0.5).add(0.2)
    made = match_colours(clouds(1, 20, 30).mul(0.4).add(0.3), grey, method)
    if method == "histogram":  # each channel for itself: the same values, not in the same places
        return
    assert (made.amax(1) - made.amin(1)).max() < 1e-3


@pytest.mark.parametrize("method", LINEAR)
def test_noise_on_a_grey_picture_is_not_made_colourful(method):
    noise = torch.randn(1, 3, 40, 50, generator=torch.Generator().manual_seed(0)) / 2550  # a tenth of a step
    noisy = clouds(1, 40, 50)[:, :1] + noise
    made = match_colours(noisy, 0.3 + 0.4 * clouds(2, 40, 50), method)
    plain = match_colours(noisy - noise, 0.3 + 0.4 * clouds(2, 40, 50), method)
    assert (made - plain).std() < 0.03


# --- batches, sizes, channels -------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_a_batch_comes_out_as_its_pictures_do_alone(method):
    pictures, references = clouds(1, 20, 30, 3), clouds(2, 20, 30, 3)
    each = match_colours(pictures, references, method)
    one_for_all = match_colours(pictures, references[:1], method)
    for i in range(3):
        picture = pictures[i : i + 1]
        assert torch.equal(each[i : i + 1], match_colours(picture, references[i : i + 1], method))
        assert torch.equal(one_for_all[i : i + 1], match_colours(picture, references[:1], method))


@pytest.mark.parametrize("method", PLACE_BY_PLACE)
def test_a_reference_of_another_size_is_resized(method):
    one, other = clouds(1, 20, 30), clouds(2, 50, 40)
    assert torch.equal(match_colours(one, other, method), match_colours(one, resize(other, (20, 30)), method))


@pytest.mark.parametrize("method", [*LINEAR, "histogram"])
def test_statistics_do_not_ask_where_a_colour_is(method):
    one, other = clouds(1, 20, 30), clouds(2, 50, 40)
    turned = other.flip(2).transpose(2, 3)
    assert torch.allclose(match_colours(one, other, method), match_colours(one, turned, method), atol=1e-5)


def test_transparency_is_kept_and_that_of_the_reference_ignored():
    one, alpha = clouds(1, 20, 30, 2), torch.rand(2, 1, 20, 30)
    made = match_colours(torch.cat([one, alpha], 1), torch.cat([clouds(2, 9, 9), torch.zeros(1, 1, 9, 9)], 1), "pca")
    assert torch.equal(made[:, 3:], alpha)
    assert torch.equal(made[:, :3], match_colours(one, clouds(2, 9, 9), "pca"))


@pytest.mark.parametrize("method", METHODS)
def test_inputs_are_never_changed_and_the_hosts_mode_will_do(method):
    one, other = clouds(1, 20, 30), clouds(2, 20, 30)
    before = one.clone(), other.clone()
    made = match_colours(one, other, method)
    assert torch.equal(one, before[0]) and torch.equal(other, before[1])
    with torch.inference_mode():
        assert torch.equal(match_colours(one.clone(), other.clone(), method), made)


# --- what cannot be done ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"method": "yiq"}, "method: 'yiq' is not one of symmetric, pca"),
        ({"method": "none"}, "method: 'none' is not one of"),
        ({"strength": float("nan")}, "strength: nan is not a strength; give a number from 0"),
        ({"strength": -0.1}, "strength: -0.1 is"),
        ({"strength": 1.1}, "strength: 1.1 is"),
        ({"picture": torch.rand(3, 8, 8)}, "picture: expected a batch"),
        ({"picture": torch.rand(1, 2, 8, 8)}, "picture: a picture with 2 channels"),
        ({"picture": torch.full((1, 3, 8, 8), float("nan"))}, "picture: 64 of 64 pixels are NaN"),
        ({"reference": torch.zeros(1, 3, 0, 8)}, "reference: a picture of 8×0 pixels holds nothing"),
        ({"reference": torch.full((1, 3, 8, 8), float("inf"))}, "reference: 64 of 64"),
        ({"reference": torch.rand(3, 3, 8, 8)}, "reference: a batch of 3 for 2 pictures; give 1 or 2"),
    ],
)
def test_what_cannot_be_matched_is_refused_by_name(given, says):
    usual = {"picture": torch.rand(2, 3, 8, 8), "reference": torch.rand(1, 3, 8, 8), "method": "lab", "strength": 0.5}
    with pytest.raises(nst.NSTError, match=says):
        match_colours(**{**usual, **given})


# --- a stylised picture in its content's colours ------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain(vgg, content, grams) -> nst.Result:
    return nst.stylize(vgg, content, grams, steps=2)


@pytest.mark.parametrize("method", METHODS)
def test_a_result_in_its_contents_colours(vgg, content, grams, plain, method):
    kept = nst.stylize(vgg, content, grams, steps=2, keep_colours=method, keep_colours_strength=0.7)
    assert torch.equal(kept.image, match_colours(plain.image, content, method, 0.7))
    assert not torch.equal(kept.image, plain.image)
    assert kept.settings["keep_colours"] == method
    assert kept.settings["keep_colours_strength"] == 0.7
    assert [s.total for s in kept.history] == [s.total for s in plain.history]
    assert plain.settings["keep_colours"] == "none"


@pytest.mark.parametrize("method", ["lab", "symmetric"])
def test_colours_are_those_of_the_content_at_the_results_size(vgg, content, grams, method):
    alpha = torch.rand(2, 1, 70, 90)
    both = torch.cat([content, clouds(9, 70, 90)])
    made = [
        nst.stylize(vgg, torch.cat([both, alpha], 1), grams, steps=1, size=60, keep_colours=keep).image
        for keep in ("none", method)
    ]
    assert made[1].shape == (2, 4, 47, 60)
    assert torch.equal(made[0][:, 3:], made[1][:, 3:])
    assert torch.equal(made[1][:, :3], match_colours(made[0][:, :3], resize(both, (47, 60)), method))


def test_a_run_that_is_stopped_keeps_its_colours_too(vgg, content, grams):
    both = torch.cat([content, clouds(9, 70, 90)])
    plain, kept = (
        nst.stylize(vgg, both, grams, steps=5, keep_colours=keep, on_step=lambda _: nst.STOP).image
        for keep in ("none", "luminance")
    )
    assert torch.equal(kept[:1], match_colours(plain[:1], content, "luminance"))
    assert torch.equal(kept[1:], both[1:])  # never begun


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"keep_colours": "hue"}, "keep_colours: 'hue' is not one of none, symmetric"),
        ({"keep_colours": "lab", "keep_colours_strength": float("nan")}, "keep_colours_strength: nan"),
        ({"keep_colours_strength": 2.0}, "keep_colours_strength: 2.0"),
    ],
)
def test_colours_that_cannot_be_kept_are_refused_before_the_first_step(vgg, content, grams, options, says):
    steps = []
    with pytest.raises(nst.NSTError, match=says):
        nst.stylize(vgg, content, grams, steps=1, on_step=steps.append, **options)
    assert steps == []
