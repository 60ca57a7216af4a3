"""How style is measured, as a term of the objective: its gradient, by tiles, in half precision, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from pictures import clouds

import nst_engine as nst
from nst_engine.objective import style as style_module
from nst_engine.recipes import LBFGS, network_for
from nst_engine.statistics.distances import (
    BY_MOMENTS,
    BY_POSITION,
    BY_SAMPLING,
    BY_SORTING,
    STATISTICS,
)
from nst_engine.statistics.measure import MOST_SAMPLES, whole_samples
from nst_engine.statistics.sorting import sorted_distance

CLASSIC = nst.RECIPES["classic"]
TAPS = {"relu1_1": 1.0, "relu2_1": 0.5, "relu3_1": 2.0}
LAYERS = nst.LayerWeights(style=TAPS, content={"relu2_2": 1.0})


@pytest.fixture(scope="module")
def pictures():
    return clouds(1, 80, 112), clouds(4, 80, 112), clouds(2, 64, 80)


@pytest.fixture(scope="module")
def measured(vgg, pictures):
    region = torch.zeros(80, 112)
    region[:, :60] = 1
    plain = nst.compute_style_grams(vgg, pictures[2], layers=TAPS)
    one = nst.compute_style_grams(vgg, pictures[2], layers=TAPS, region=region)
    guided = nst.compute_style_grams(vgg, clouds(3, 72, 64), layers=TAPS, blend_with=one)
    return {"plain": plain, "guided": guided}


@pytest.mark.parametrize("where", ["plain", "guided"])
@pytest.mark.parametrize("statistic", STATISTICS)
def test_the_gradient_of_the_whole_is_that_of_small_steps(vgg, pictures, measured, statistic, where):
    content, image, _ = pictures
    recipe = replace(CLASSIC, statistic=statistic, shift=-0.5, optimizer=LBFGS())  # which keeps its directions
    objective = nst.objective(vgg, content, measured[where], recipe=recipe, layers=LAYERS)
    terms, gradient = objective.value_and_grad(image)
    way = gradient / gradient.norm() + 0.3 * clouds(11, 80, 112) / clouds(11, 80, 112).norm()
    step = 0.005 if statistic in BY_SAMPLING else 0.02  # before other samples become the nearest
    there, back = (float(objective.value_and_grad(image + e * way)[0].total) for e in (step, -step))
    assert float((gradient * way).sum()) == pytest.approx((there - back) / (2 * step), rel=0.01)
    assert float(terms.style) > 0


@pytest.mark.usefixtures("plain_convolutions")
@pytest.mark.parametrize("where", ["plain", "guided"])
@pytest.mark.parametrize("statistic", BY_MOMENTS)
def test_sums_can_be_had_by_tiles(vgg, pictures, measured, statistic, where):
    content, image, _ = pictures
    recipe = replace(CLASSIC, statistic=statistic, shift=-0.5)
    whole, tiled = (
        nst.objective(vgg, content, measured[where], recipe=recipe, layers=LAYERS, tile=tile).value_and_grad(image)
        for tile in (None, 40)
    )
    assert float(tiled[0].total) == pytest.approx(float(whole[0].total), rel=1e-6)
    assert (tiled[1] - whole[1]).norm() < 1e-5 * whole[1].norm()


@pytest.mark.parametrize("sorts", [True, False])
def test_an_unknown_statistic_is_not_taken_for_another(vgg, measured, monkeypatch, sorts):
    """A name that a list has and the table of what it stands for has not."""
    monkeypatch.setattr(style_module, "BY_SORTING", ("third",) if sorts else ())
    network = network_for(vgg, CLASSIC)
    regions = measured["plain"].regions(network, TAPS, (64, 64), 1.0, "long", "gram")
    with pytest.raises(KeyError, match="third"):
        style_module.StyleTerm(network, replace(CLASSIC, statistic="third"), LAYERS.style, regions, (64, 64), 0)


@pytest.mark.parametrize("statistic", BY_SORTING)
def test_what_sorts_is_refused_by_tiles_and_without_the_picture(vgg, pictures, measured, tmp_path, statistic):
    content, image, _ = pictures
    recipe = replace(CLASSIC, statistic=statistic)
    with pytest.raises(
        nst.NSTError, match=rf"tile: the statistic '{statistic}' sorts .* choose a statistic that is a sum"
    ):
        nst.objective(vgg, content, measured["plain"], recipe=recipe, layers=LAYERS, tile=64)
    with pytest.raises(
        nst.NSTError, match=r"size: the statistic .* in one pass take .* GB.*A long side of \d+ would do"
    ):
        nst.stylize(vgg, clouds(1, 512, 512), measured["plain"], layers=LAYERS, statistic=statistic, memory=1 << 29)
    grams = nst.compute_style_grams(vgg, clouds(2, 64, 80), layers=TAPS, size=80)
    grams.save(tmp_path / "style.safetensors")
    loaded = nst.StyleGrams.load(tmp_path / "style.safetensors")
    with pytest.raises(nst.NSTError, match=r"style was loaded from a file.*need the style picture"):
        nst.stylize(vgg, content, loaded, layers=LAYERS, statistic=statistic, steps=1)
    assert nst.stylize(vgg, content, loaded, layers=LAYERS, statistic="covariance", steps=1).image.shape == image.shape


@pytest.mark.parametrize("statistic", STATISTICS)
def test_every_statistic_brings_the_style_nearer(vgg, pictures, measured, statistic):
    """By its own measure, and by the Gram matrix's, whichever was asked for."""
    content, _, _ = pictures
    result = nst.stylize(
        vgg, content, measured["plain"], recipe=CLASSIC, layers=LAYERS, statistic=statistic, steps=25, scales=1
    )
    assert result.settings["statistic"] == statistic
    # Neighbours' nearest hypercolumns see the same pixels, and do not agree on them.
    reached = 0.75 if statistic in BY_POSITION else 0.6 if statistic in BY_SAMPLING else 0.3
    assert result.history[-1].style < reached * result.history[0].style
    before, after = (
        float(nst.objective(vgg, content, measured["plain"], recipe=CLASSIC, layers=LAYERS).value_and_grad(x)[0].style)
        for x in (content, result.image)
    )
    # Nor does an angle say how strong a feature is to be.
    assert statistic in BY_POSITION or after < 0.5 * before


def test_the_same_seed_looks_in_the_same_directions(vgg, pictures, measured):
    content, _, _ = pictures
    options = {"layers": LAYERS, "statistic": "sliced", "steps": 3}
    a, b, c = (nst.stylize(vgg, content, measured["plain"], seed=seed, **options).image for seed in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("statistic", STATISTICS)
def test_half_precisions_agree_within_their_rounding(pictures, measured, vgg, statistic, precision):
    half = nst.load_vgg("vgg19-caffe", precision=precision, device="cpu")
    content, image, _ = pictures
    recipe = replace(CLASSIC, statistic=statistic)
    exact, rough = (
        nst.objective(v, content, measured["guided"], recipe=recipe, layers=LAYERS).value_and_grad(image)
        for v in (vgg, half)
    )
    assert float(rough[0].total) == pytest.approx(float(exact[0].total), rel=0.03)
    cosine = torch.nn.functional.cosine_similarity(rough[1].flatten(), exact[1].flatten(), dim=0)
    assert float(cosine) > 0.98


def test_a_shift_of_nothing_is_no_shift_and_one_of_no_consequence_is_said(vgg, pictures, measured):
    content, _, _ = pictures
    options = {"layers": LAYERS, "steps": 2}
    assert torch.equal(
        nst.stylize(vgg, content, measured["plain"], **options).image,
        nst.stylize(vgg, content, measured["plain"], shift=0.0, **options).image,
    )
    result = nst.stylize(vgg, content, measured["plain"], shift=-1.0, statistic="covariance", **options)
    assert any("shift: has no effect with the statistic 'covariance'" in note for note in result.notes)


# --- normalised gradients -----------------------------------------------------------------------------------------


def test_normalised_gradients_are_each_of_the_size_of_their_weight(vgg, pictures, measured):
    """The gradient is the sum of every tap's own, each divided by what its gradient at the tap sums to."""
    content, image, _ = pictures
    recipe = replace(CLASSIC, normalise_gradients=True)
    _, found = nst.objective(vgg, content, measured["plain"], recipe=recipe, layers=LAYERS).value_and_grad(image)
    expected = torch.zeros_like(image)
    network = network_for(vgg, CLASSIC)
    for part, taps in (("style", TAPS), ("content", {"relu2_2": 1.0})):
        for tap, weight in taps.items():
            one = nst.LayerWeights(**{**vars(LAYERS), part: {tap: 1.0}})
            other = {"content_weight": 0.0} if part == "style" else {"style_weight": 0.0}
            _, alone = nst.objective(
                vgg, content, measured["plain"], recipe=CLASSIC, layers=one, **other
            ).value_and_grad(image)
            f = network.features(image, (tap,))[tap].requires_grad_()
            if part == "content":
                p = network.features(content, (tap,))[tap]
                loss = CLASSIC.content_weight * (f - p).square().sum() / p.square().sum()
                strength = CLASSIC.content_weight
            else:
                rows = f.movedim(1, -1).flatten(0, 2)
                (style,) = measured["plain"].styles
                a = style.statistics(network, (tap,), style.shape_at((80, 112), 1.0, "long"))[tap].moment
                loss = (rows.T @ rows / len(rows) - a).square().sum() / a.square().sum()
                strength = weight / sum(TAPS.values())
            (gradient,) = torch.autograd.grad(loss, f)
            expected += strength * alone / gradient.abs().sum()
    assert (found - expected).norm() < 1e-4 * expected.norm()


@pytest.mark.usefixtures("plain_convolutions")
@pytest.mark.parametrize("where", ["plain", "guided"])
def test_normalised_gradients_can_be_had_by_tiles(vgg, pictures, measured, where):
    content, image, _ = pictures
    recipe = replace(CLASSIC, normalise_gradients=True)
    told = []
    whole, tiled = (
        nst.objective(vgg, content, measured[where], recipe=recipe, layers=LAYERS, tile=tile).value_and_grad(
            image, lambda done, of: told.append((done, of))
        )
        for tile in (None, 40)
    )
    assert float(tiled[0].total) == pytest.approx(float(whole[0].total), rel=1e-6)
    # Divided by their size, the gradients of a tap whose statistics nearly agree bring their rounding along.
    assert (tiled[1] - whole[1]).norm() < 5e-4 * whole[1].norm()
    assert told == [(i, len(told)) for i in range(1, len(told) + 1)]


# --- at the edges -------------------------------------------------------------------------------------------------


def test_a_flat_style_has_a_covariance_too(vgg):
    """Its variance is nothing but rounding."""
    style, mask = clouds(2, 80, 80), torch.zeros(80, 80)
    style[..., 20:60, 20:60], mask[28:52, 28:52] = 0.4, 1.0
    layers = nst.LayerWeights(style={"relu1_1": 1.0, "relu2_1": 1.0}, content={"relu2_2": 1.0})
    for mode in ("simple", "inside"):
        grams = nst.compute_style_grams(vgg, style, layers=layers.style, mask=mask, mask_mode=mode)
        made = nst.stylize(vgg, clouds(1, 64, 64), grams, layers=layers, statistic="covariance", steps=5)
        assert made.history[-1].style < made.history[0].style


def test_a_shift_changes_nothing_but_grams_in_any_convention(vgg, pictures, measured):
    content, image, style = pictures
    grams = nst.compute_style_grams(vgg, style, recipe="johnson")
    values = [
        float(nst.objective(vgg, content, grams, recipe=recipe).value_and_grad(image)[0].style)
        for shift in (0.0, -5.0)
        for recipe in (replace(nst.RECIPES["johnson"], statistic="mean-std", shift=shift),)
    ]
    assert values[0] == values[1] > 0


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_what_sorts_goes_with_a_region_that_deep_layers_do_not_see(vgg, pictures, strength):
    content, _, style = pictures
    region = torch.zeros(80, 112)
    region[20:40, 20:40] = 1
    grams = nst.compute_style_grams(vgg, style, layers=TAPS, region=region, mask_mode="inside")
    made = nst.stylize(vgg, content, grams, layers=LAYERS, statistic="sliced", strength=strength, steps=2)
    assert torch.isfinite(made.image).all()


def test_samples_of_a_large_picture_are_few_and_from_everywhere(vgg, monkeypatch):
    network = network_for(vgg, CLASSIC)
    picture = clouds(5, 150, 210)
    guide = {"relu1_1": clouds(6, 150, 210)[:, :1].clamp(0.3, 0.7) - 0.3}
    whole = whole_samples(network, picture, ("relu1_1",))["relu1_1"]
    monkeypatch.setattr("nst_engine.statistics.measure.PIECE", 64)
    in_pieces = whole_samples(network, picture, ("relu1_1",))["relu1_1"]
    # Half of the positions is more than is taken; of both, the same is to be found.
    for samples in (whole, in_pieces):
        assert abs(len(samples.rows) - MOST_SAMPLES) < 20
    assert float(sorted_distance(in_pieces.rows, None, whole, None)[0]) < 1e-3 * float(
        whole.rows.square().sum(1).mean()
    )
    guided = whole_samples(network, picture, ("relu1_1",), guide)["relu1_1"]
    assert guided.weights is not None and (guided.weights > 0).all()
    assert len(guided.weights) == len(guided.rows) <= MOST_SAMPLES + 20
