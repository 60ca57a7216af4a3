"""Content by structure: the Laplacian term against its formula written out, by tiles, at any size."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from pictures import clouds

import nst_engine as nst
from nst_engine.objective.laplacian import LEAST, POOLS, SHARE

KERNEL = torch.tensor([[0.0, -1.0, 0.0], [-1.0, 4.0, -1.0], [0.0, -1.0, 0.0]], dtype=torch.float64).view(1, 1, 3, 3)
BY_FEATURES = replace(nst.RECIPES["balanced"], content_term="relative", far=0, small_level=0)
BY_EDGES = replace(BY_FEATURES, content_measure="laplacian")
WEIGHT = BY_EDGES.content_weight


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    return clouds(9, 70, 90)


def edges(picture: torch.Tensor, pool: int) -> torch.Tensor:
    """The filter of the paper on the pooled picture, whose border is repeated, channel by channel, summed."""
    small = F.pad(F.avg_pool2d(picture, pool), (1, 1, 1, 1), mode="replicate")
    return sum(F.conv2d(channel, KERNEL) for channel in small.split(1, 1))


def written_out(image: torch.Tensor, content: torch.Tensor, emphasis: torch.Tensor | None = None) -> torch.Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for pool in POOLS:
        wanted = edges(content.double(), pool)
        squares = (edges(image, pool) - wanted).square()
        heavier = 1 if emphasis is None else F.avg_pool2d(emphasis.double(), pool)
        total = total + (heavier * squares).mean() / wanted.square().mean() / len(POOLS)
    return WEIGHT * SHARE * total


def added(vgg, content, grams, image, **options) -> tuple[float, torch.Tensor]:
    """What the choice adds to the content term, and to the gradient."""
    plain, plain_gradient = nst.objective(vgg, content, grams, recipe=BY_FEATURES, **options).value_and_grad(image)
    terms, gradient = nst.objective(vgg, content, grams, recipe=BY_EDGES, **options).value_and_grad(image)
    assert float(terms.style) == float(plain.style)
    return float(terms.content) - float(plain.content), gradient - plain_gradient


@pytest.mark.parametrize("emphasis", [None, 1 + 4 * clouds(5, 70, 90)[:, :1]], ids=["plain", "emphasis"])
def test_the_formula_and_its_gradient(vgg, content, grams, image, emphasis):
    x = image.double().requires_grad_()
    expected = written_out(x, content, emphasis)
    (slope,) = torch.autograd.grad(expected, x)
    value, gradient = added(vgg, content, grams, image, emphasis=emphasis)
    assert value == pytest.approx(expected.item(), rel=1e-5)
    assert (gradient - slope).norm() < 1e-4 * slope.norm()


@pytest.mark.parametrize("recipe", ["balanced", "johnson", "gatys2016"])
def test_the_gradient_is_the_slope_of_the_total(vgg, content, style, image, recipe):
    grams = nst.compute_style_grams(vgg, style, recipe=recipe)
    used = replace(nst.RECIPES[recipe], content_measure="laplacian")
    objective = nst.objective(vgg, content, grams, recipe=used, style_weight=0)
    _, gradient = objective.value_and_grad(image)
    direction = gradient / gradient.norm()
    ahead, behind = (objective.value_and_grad(image + s * 0.01 * direction)[0].total for s in (1, -1))
    assert float(ahead - behind) / 0.02 == pytest.approx(float(gradient.norm()), rel=5e-3)


@pytest.mark.parametrize("shape", [(70, 90), (140, 180), (97, 41)])
def test_one_weight_does_at_any_size(vgg, grams, shape):
    """A blank picture has none of the content's edges, and is always as far away."""
    value, _ = added(vgg, clouds(1, *shape).round(), grams, torch.full((1, 3, *shape), 0.3))
    assert value == pytest.approx(WEIGHT * SHARE, rel=1e-4)


def test_content_without_edges_does_not_hold_the_picture_fast(vgg, grams, image):
    """Of fog, every stroke would be many times as large as its own edges."""
    value, gradient = added(vgg, torch.full_like(image, 0.5), grams, image)
    squares = [float(edges(image.double(), pool).square().mean()) for pool in POOLS]
    assert value == pytest.approx(WEIGHT * SHARE * sum(squares) / LEAST / len(POOLS), rel=1e-4)
    assert torch.isfinite(gradient).all()


def test_pools_that_do_not_fit_are_left_out(vgg, grams):
    content, image = clouds(1, 20, 25), clouds(2, 20, 25)
    wanted = edges(content.double(), 4)
    expected = WEIGHT * SHARE * (edges(image.double(), 4) - wanted).square().mean() / wanted.square().mean()
    assert added(vgg, content, grams, image)[0] == pytest.approx(float(expected), rel=1e-4)
    tiny, shallow = clouds(1, 7, 9), nst.LayerWeights(style={"relu1_1": 1}, content={"relu1_1": 1})
    assert added(vgg, tiny, grams, clouds(2, 7, 9), layers=shallow)[0] == 0


def test_the_content_itself_is_at_no_distance(vgg, content, grams):
    value, gradient = added(vgg, content, grams, content)
    assert value == 0
    assert float(gradient.abs().max()) == 0


@pytest.mark.usefixtures("plain_convolutions")
@pytest.mark.parametrize("normalised", [False, True])
def test_tiles_give_what_one_pass_gives(vgg, grams, normalised):
    content, image, emphasis = clouds(1, 150, 170), clouds(2, 150, 170), 1 + clouds(3, 150, 170)[:, :1]
    recipe = replace(BY_EDGES, normalise_gradients=normalised)
    whole, tiled = (
        nst.objective(vgg, content, grams, recipe=recipe, emphasis=emphasis, tile=tile).value_and_grad(image)
        for tile in (None, 64)
    )
    assert float(tiled[0].content) == pytest.approx(float(whole[0].content), rel=1e-6)
    # A sum of absolute values multiplies what rounding makes of the many small ones.
    assert (tiled[1] - whole[1]).norm() <= (1e-3 if normalised else 1e-5) * whole[1].norm()


def test_normalised_its_gradient_is_as_large_as_its_weight(vgg, content, grams, image):
    recipes = [replace(r, normalise_gradients=True) for r in (BY_EDGES, BY_FEATURES)]
    found, plain = (nst.objective(vgg, content, grams, recipe=r).value_and_grad(image)[1] for r in recipes)
    assert float((found - plain).abs().sum()) == pytest.approx(WEIGHT, rel=1e-3)


def test_in_bf16_it_stays_in_single_precision(content, image):
    rough = nst.load_vgg("vgg19-caffe", precision="bf16", device="cpu")
    grams = nst.compute_style_grams(rough, clouds(2, 64, 100))
    value, _ = added(rough, content, grams, image)
    assert value == pytest.approx(float(written_out(image.double(), content)), rel=0.01)


def test_it_keeps_edges(vgg, content, grams):
    """A run with it ends nearer to the content's edges; each picture of a batch by its own."""
    both = torch.cat([content, content.flip(3)])
    plain = nst.stylize(vgg, both, grams, steps=10)
    kept = nst.stylize(vgg, both, grams, steps=10, content_measure="laplacian")
    assert kept.settings["content_measure"] == "laplacian"
    for picture, before, after in zip(both.split(1), plain.image.split(1), kept.image.split(1), strict=True):
        before, after = (float(written_out(p.double(), picture)) for p in (before, after))
        assert after < 0.95 * before


def test_where_it_has_no_effect_that_is_said(vgg, content, grams):
    result = nst.stylize(vgg, content, grams, steps=1, content_measure="laplacian", content_weight=0)
    assert "content_measure: has no effect, because content_weight is 0" in result.notes
    result = nst.stylize(vgg, None, grams, shape=(40, 40), steps=1, content_measure="laplacian")
    assert "content_measure: has no effect, because there is no content picture" in result.notes
    options = {"recipe": "nnst", "steps": 0, "content_measure": "laplacian"}
    [note] = nst.stylize(vgg, content, grams, **options).notes
    assert note.endswith("has no effect, because the recipe nnst compares no layers of the content; give some")
    assert not nst.stylize(vgg, content, grams, layers=nst.LayerWeights(content={"relu1_1": 1}), **options).notes


def test_words_that_are_none_are_refused(vgg, content, grams):
    with pytest.raises(nst.NSTError, match="content_measure: 'edges' is not one of features, self-similarity, lap"):
        nst.stylize(vgg, content, grams, content_measure="edges")
