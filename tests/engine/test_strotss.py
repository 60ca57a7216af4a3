"""STROTSS: the recipe beside the paper's procedure written out plainly, and how its parts go with all else."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from pictures import clouds
from procedures import strotss_program

import nst_engine as nst
from nst_engine.objective.build import build
from nst_engine.objective.layout import Layout
from nst_engine.objective.remd import RemdTerm
from nst_engine.objective.setup import set_up
from nst_engine.recipes import LBFGS, RECIPES, network_for
from nst_engine.statistics import hypercolumns
from nst_engine.statistics.hypercolumns import PositionSampler

STROTSS = RECIPES["strotss"]
STILL = replace(STROTSS, optimizer=LBFGS(), variable="pixels")  # always the same positions
SHAPE = (48, 64)
FEW = nst.LayerWeights(style={"relu1_1": 1, "relu2_1": 1}, content={"relu2_1": 1})


@pytest.fixture(autouse=True)
def few_samples(monkeypatch):
    """So that the large matrices of distances are small."""
    monkeypatch.setattr(hypercolumns, "SAMPLES", 200)


@pytest.fixture(scope="module")
def pictures() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return clouds(1, *SHAPE), clouds(2, *SHAPE), clouds(9, *SHAPE)


@pytest.fixture(scope="module")
def styled(vgg, pictures) -> nst.StyleGrams:
    return nst.compute_style_grams(vgg, pictures[1], recipe="strotss")


@pytest.mark.parametrize(("alpha", "given"), [(1.0, True), (4.0, True), (1.0, False)])
def test_its_first_steps_are_the_papers(vgg, pictures, styled, alpha, given):
    """From the paper's start, and from a third picture."""
    content, style, start = pictures
    times = alpha / (STROTSS.content_weight * 512 / max(SHAPE))  # the user's own weight multiplies the recipe's
    options = {"recipe": "strotss", "steps": 4, "content_weight": times, "start_image": start if given else None}
    result = nst.stylize(vgg, content, styled, **options)
    draws = PositionSampler(SHAPE, None, 0)
    network = network_for(vgg, STROTSS)
    start = start if given else strotss_program.start(content, style)
    totals, picture = strotss_program.run(network, (content, style, start), alpha, 4, draws.next)
    assert [step.total for step in result.history] == pytest.approx(totals, rel=1e-4)
    assert (result.image - picture).norm() < 1e-3 * picture.norm()


def test_without_the_styles_colours_it_starts_from_the_content(vgg, pictures, styled, tmp_path):
    """Of a saved style, by another statistic; and a texture from noise."""
    content, style, _ = pictures
    nst.compute_style_grams(vgg, style, recipe="strotss", size=64).save(tmp_path / "style.safetensors")
    loaded = nst.StyleGrams.load(tmp_path / "style.safetensors")
    result = nst.stylize(vgg, content, loaded, recipe="strotss", statistic="gram", steps=0)
    assert result.settings["start"] == "content"
    assert torch.allclose(result.image, content, atol=1e-5)
    assert nst.stylize(vgg, None, styled, recipe="strotss", shape=SHAPE, steps=0).settings["start"] == "style-noise"
    assert nst.stylize(vgg, content, styled, recipe="strotss", steps=0).settings["start"] == "detail"


def test_on_the_last_level_the_rate_is_half(vgg, styled):
    """The first step of RMSprop is ten times its rate, in whatever direction."""
    content, seen = clouds(1, 96, 128), []
    recipe = replace(STROTSS, variable="pixels")
    options = {"steps": 2, "layers": FEW, "start_image": torch.full_like(content, 0.5)}
    result = nst.stylize(vgg, content, styled, recipe=recipe, on_step=lambda p: seen.append(p.image), **options)
    first, second = (seen[1] - seen[1].new_tensor(0.5)).abs(), (result.image - seen[1]).abs()
    assert 0.018 < float(first.quantile(0.9)) < 0.025  # enlarged since
    assert float(second.max()) == pytest.approx(0.01, rel=1e-3)


def test_levels_from_64_pixels_and_the_content_halved_on_each(vgg, styled):
    content = clouds(1, 96, 128)
    result = nst.stylize(vgg, content, styled, recipe="strotss", steps=2, layers=FEW)
    assert result.settings["levels"] == [[48, 64, 1], [96, 128, 1]]
    assert nst.stylize(vgg, content, styled, recipe=replace(STROTSS, ladder=None), steps=1).history
    # As at 512 pixels, where 2 is left of the first level's 16: whatever the last level is.
    for final in ((48, 64), (96, 128), (192, 256)):
        small = clouds(1, 48, 64)
        built = build(set_up(vgg, STROTSS, FEW, content=True), small, styled, (48, 64), 64 / final[1], Layout())
        assert float(built.similarity.factor) == pytest.approx(16)
    larger = clouds(1, 96, 128)
    built = build(set_up(vgg, STROTSS, FEW, content=True), larger, styled, (96, 128), 1.0, Layout())
    assert float(built.similarity.factor) == pytest.approx(8)


@pytest.mark.parametrize("statistic", ["remd", "gram", "covariance"])
@pytest.mark.parametrize("measure", ["features", "self-similarity", "laplacian"])
def test_the_gradient_of_the_whole_is_that_of_small_steps(vgg, pictures, styled, statistic, measure):
    content, _, image = pictures
    recipe = replace(STILL, statistic=statistic, content_measure=measure, tv_weight=0.01)
    objective = nst.objective(vgg, content, styled, recipe=recipe, layers=FEW)
    terms, gradient = objective.value_and_grad(image)
    way = gradient / gradient.norm() + 0.3 * clouds(11, *SHAPE) / clouds(11, *SHAPE).norm()
    there, back = (float(objective.value_and_grad(image + e * way)[0].total) for e in (0.01, -0.01))
    assert float((gradient * way).sum()) == pytest.approx((there - back) / 0.02, rel=0.02)
    assert float(terms.content) > 0
    assert float(terms.style) > 0


@pytest.mark.parametrize(("recipe", "same"), [(STILL, True), (STROTSS, False)])
def test_lbfgs_sees_the_same_positions_at_every_step_and_adam_others(vgg, pictures, styled, recipe, same):
    content, _, image = pictures
    objective = nst.objective(vgg, content, styled, recipe=recipe, layers=FEW)
    first, second = (objective.value_and_grad(image)[0] for _ in range(2))
    assert (float(first.style) == float(second.style)) is same
    assert (float(first.content) == float(second.content)) is same


@pytest.mark.usefixtures("plain_convolutions")
@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize("statistic", ["remd", "covariance"])
def test_tiles_give_what_one_pass_gives(vgg, statistic, normalised):
    content, image = clouds(1, 90, 110), clouds(2, 90, 110)
    region = torch.zeros(1, 90, 110)
    region[..., :50] = 1
    one = nst.compute_style_grams(vgg, clouds(3, 60, 70), recipe="strotss", region=region)
    grams = nst.compute_style_grams(vgg, clouds(4, 60, 70), recipe="strotss", blend_with=one)
    recipe = replace(STROTSS, statistic=statistic, normalise_gradients=normalised)
    whole, tiled = (
        nst.objective(vgg, content, grams, recipe=recipe, tile=tile).value_and_grad(image) for tile in (None, 48)
    )
    assert float(tiled[0].total) == pytest.approx(float(whole[0].total), rel=1e-5)
    assert (tiled[1] - whole[1]).norm() < (1e-3 if normalised else 1e-4) * whole[1].norm()


def test_in_a_region_nothing_else_is_looked_at(vgg, pictures):
    content, style, image = pictures
    region = torch.zeros(1, *SHAPE)
    region[..., 20:40] = 1
    grams = nst.compute_style_grams(vgg, style, recipe="strotss", region=region)
    layers = nst.LayerWeights(style={"relu1_1": 1})
    objective = nst.objective(vgg, content, grams, recipe=STROTSS, layers=layers, content_weight=0)
    gradient = objective.value_and_grad(image)[1].abs().amax(1)
    assert float(gradient[..., 20:40].max()) > 0
    assert float(gradient[..., :19].max()) == float(gradient[..., 41:].max()) == 0


def test_the_same_seed_looks_at_the_same_positions(vgg, pictures, styled):
    content = pictures[0]
    options = {"recipe": "strotss", "steps": 3, "layers": FEW}
    a, b, c = (nst.stylize(vgg, content, styled, seed=seed, **options).image for seed in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_where_the_content_counts_more_its_columns_do(vgg, pictures, styled):
    content, _, image = pictures
    plain, twice = (
        nst.objective(vgg, content, styled, recipe=STILL, layers=FEW, emphasis=emphasis).value_and_grad(image)[0]
        for emphasis in (None, torch.full((1, 1, *SHAPE), 2.0))
    )
    assert float(twice.content) == pytest.approx(2 * float(plain.content), rel=1e-5)
    assert float(twice.style) == float(plain.style)


def test_less_strength_stays_nearer_to_the_content(vgg, pictures, styled):
    content = pictures[0]
    options = {"recipe": replace(STROTSS, content_weight=0.1), "steps": 25, "layers": FEW}
    moved = [
        float((nst.stylize(vgg, content, styled, strength=s, **options).image - content).norm()) for s in (0.3, 1, 3)
    ]
    assert moved[0] < moved[1]
    assert moved[0] < moved[2]


def test_styles_are_blended_by_their_shares(vgg, pictures):
    content, style, _ = pictures
    other = clouds(5, *SHAPE)

    def style_term(first: float, second: float) -> float:
        one = nst.compute_style_grams(vgg, style, recipe="strotss", weight=first)
        grams = nst.compute_style_grams(vgg, other, recipe="strotss", weight=second, blend_with=one)
        return float(nst.objective(vgg, content, grams, recipe=STILL, layers=FEW).value_and_grad(style)[0].style)

    alone, mostly, half = style_term(1, 0), style_term(9, 1), style_term(1, 1)
    assert alone < mostly < half


@pytest.mark.parametrize("colour", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("plain", ["content", "style", "both"])
def test_pictures_of_one_colour_give_numbers(vgg, pictures, plain, colour):
    flat = torch.full((1, 3, *SHAPE), colour)
    content = pictures[0] if plain == "style" else flat
    grams = nst.compute_style_grams(vgg, pictures[1] if plain == "content" else flat, recipe="strotss")
    result = nst.stylize(vgg, content, grams, recipe="strotss", steps=2)
    assert torch.isfinite(result.image).all()


def test_what_cannot_be_done_is_refused_by_name(vgg, pictures, tmp_path):
    content, style, _ = pictures
    nst.compute_style_grams(vgg, style, recipe="strotss", size=64).save(tmp_path / "style.safetensors")
    loaded = nst.StyleGrams.load(tmp_path / "style.safetensors")
    with pytest.raises(nst.NSTError, match=r"style was loaded from a file.*remd need the style picture"):
        nst.stylize(vgg, content, loaded, recipe="strotss", steps=1)
    mask = torch.zeros(1, *SHAPE)
    mask[..., 10:12, 10:12] = 1
    small = nst.compute_style_grams(vgg, style, recipe="strotss", region=mask)
    with pytest.raises(nst.NSTError, match=r"region of style image: 4 pixels .* Paint a larger part"):
        nst.stylize(vgg, content, small, recipe="strotss", steps=1)
    mask[..., 10:12, 10:14] = 0.95  # 7.6 pixels, which are not the 8 that it needs
    nearly = nst.compute_style_grams(vgg, style, recipe="strotss", region=mask)
    with pytest.raises(nst.NSTError, match=r"region of style image: 7 pixels .* needs 8"):
        nst.stylize(vgg, content, nearly, recipe="strotss", steps=1)
    mask[..., 10:12, 12:14] = 0
    masked = nst.compute_style_grams(vgg, style, recipe="strotss", mask=mask)
    with pytest.raises(nst.NSTError, match=r"mask of style image: .* Paint a larger part"):
        nst.stylize(vgg, content, masked, recipe="strotss", steps=1)
    thin = nst.compute_style_grams(vgg, clouds(2, 10, 64), recipe="strotss")
    with pytest.raises(nst.NSTError, match=r"style of style image"):
        nst.stylize(vgg, content, thin, recipe="strotss", steps=1)


def test_a_texture_has_no_content_to_resemble(vgg, styled):
    result = nst.stylize(vgg, None, styled, recipe="strotss", shape=SHAPE, steps=3, layers=FEW)
    assert result.history[-1].content == 0
    assert result.history[-1].style < result.history[0].style


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precisions_agree_within_their_rounding(vgg, pictures, styled, precision):
    half = nst.load_vgg("vgg19-caffe", precision=precision, device="cpu")
    content, _, image = pictures
    exact, rough = (nst.objective(v, content, styled, recipe=STILL).value_and_grad(image) for v in (vgg, half))
    assert float(rough[0].total) == pytest.approx(float(exact[0].total), rel=0.03)
    assert float(torch.nn.functional.cosine_similarity(rough[1].flatten(), exact[1].flatten(), dim=0)) > 0.95


def test_it_can_be_cancelled_and_stopped(vgg, pictures, styled):
    content = pictures[0]
    result = nst.stylize(vgg, content, styled, recipe="strotss", steps=9, layers=FEW, on_step=lambda _: nst.STOP)
    assert len(result.history) == 1

    def fail(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        nst.stylize(vgg, content, styled, recipe="strotss", steps=9, layers=FEW, on_step=fail)


def test_the_terms_hold_no_picture_of_features(vgg, pictures, styled):
    """Content by self-similarity is a few matrices, however large the picture."""
    objective = nst.objective(vgg, pictures[0], styled, recipe="strotss")
    assert isinstance(objective.style, RemdTerm)
    assert objective.content.target is None
    assert all(matrix.shape[0] < 400 for _, matrix in objective.similarity.coming)
