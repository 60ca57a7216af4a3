"""The statistic `nearest`: value and gradient against the paper's formula written out in float64, what a run may do
with it, and what it is refused for."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from pictures import clouds
from procedures import nnst_program

import nst_engine as nst
from nst_engine.objective import nearest as module
from nst_engine.objective.build import build
from nst_engine.objective.controls import Multipliers
from nst_engine.objective.layout import Layout
from nst_engine.objective.objective import Objective
from nst_engine.objective.setup import set_up
from nst_engine.recipes import network_for

NNST = nst.RECIPES["nnst"]
SHAPE = (70, 90)
FEW = nst.LayerWeights(style={"relu1_1": 1.0, "relu2_1": 2.0, "relu3_1": 1.0, "relu4_1": 0.5})


@pytest.fixture(scope="module")
def image():
    return clouds(9, *SHAPE)


@pytest.fixture(scope="module")
def half():
    mask = torch.zeros(SHAPE)
    mask[:, :40] = 1
    return mask


def objective_of(vgg, content, grams, rematch=0, **choices) -> Objective:
    setup = set_up(vgg, NNST, choices.pop("layers", None), content=content is not None)
    return build(replace(setup, rematch=rematch, **choices), content, grams, SHAPE, 1.0, Layout())


def written_out(vgg, content, style, start, image, rematch):
    """In float64, by autograd."""
    network = network_for(vgg, NNST)
    content, style, start, x = (part.double() for part in (content, style, start, image))
    theirs = nnst_program.style_columns(network, style)
    x.requires_grad_()
    h = nnst_program.hypercolumns(network, x)
    if rematch:
        ours = [part.detach() for part in nnst_program.hypercolumns(network, start)]
        pairs = zip(h, map(nnst_program.matched, ours, theirs), strict=True)
        value = sum(nnst_program.distance(*pair) for pair in pairs) / len(h)
    else:
        with torch.no_grad():
            ours = nnst_program.hypercolumns(network, 0.75 * content + 0.25 * start)
        targets = nnst_program.matched(torch.cat(ours, 1), torch.cat(theirs, 1))
        value = nnst_program.distance(torch.cat(h, 1), targets)
    value.backward()
    return value.detach(), x.grad


@pytest.mark.parametrize("rematch", [0, 5])
def test_value_and_gradient_are_those_of_the_formula(vgg, content, style, image, rematch):
    """The matches are those of the first picture seen, and of the content."""
    # As large as the level asks for: its long side.
    style = F.interpolate(style, size=(58, 90), mode="bilinear")
    objective = objective_of(vgg, content, nst.compute_style_grams(vgg, style), rematch)
    start = clouds(5, *SHAPE)
    objective.value_and_grad(start)
    terms, gradient = objective.value_and_grad(image)
    value, expected = written_out(vgg, content, style, start, image, rematch)
    assert float(terms.style) == pytest.approx(float(value), rel=1e-5)
    assert (gradient - expected).norm() < 1e-4 * expected.norm()
    assert float(terms.total) == float(terms.style) > 0.05


@pytest.mark.parametrize("rematch", [0, 9])
@pytest.mark.parametrize("where", ["plain", "guided"])
def test_the_gradient_is_that_of_small_steps(vgg, content, style, image, half, where, rematch):
    grams = nst.compute_style_grams(vgg, style, region=half if where == "guided" else None)
    if where == "guided":
        grams = nst.compute_style_grams(vgg, clouds(3, 72, 64), blend_with=grams)
    choices = {"layers": FEW, "multipliers": Multipliers(strength=0.6)}
    objective = objective_of(vgg, content, grams, rematch, **choices)
    _, gradient = objective.value_and_grad(image)
    way = gradient / gradient.norm() + 0.3 * clouds(11, *SHAPE) / clouds(11, *SHAPE).norm()
    there, back = (float(objective.value_and_grad(image + e * way)[0].total) for e in (0.02, -0.02))
    assert float((gradient * way).sum()) == pytest.approx((there - back) / 0.04, rel=0.01)


def test_layers_count_as_their_weights_say(vgg, content, style, image):
    """Of a hypercolumn √w F, with the weights' sum 1; alone, a layer counts whole."""
    grams = nst.compute_style_grams(vgg, style)

    def style_term(rematch=0, **weights):
        objective = objective_of(vgg, content, grams, rematch, layers=nst.LayerWeights(style=weights))
        return float(objective.value_and_grad(image)[0].style)

    assert style_term(relu2_1=1.0, relu3_1=3.0) == pytest.approx(style_term(relu2_1=2.0, relu3_1=6.0), rel=1e-6)
    alone = {tap: style_term(**{tap: 1.0}) for tap in ("relu2_1", "relu3_1")}
    assert style_term(relu2_1=1e-7, relu3_1=1.0) == pytest.approx(alone["relu3_1"], rel=1e-3)
    assert style_term(relu2_1=1.0, relu3_1=1.0) != pytest.approx(alone["relu3_1"], rel=1e-2)


def test_matches_stay_within_a_regions_style(vgg, content, half):
    """A region's targets are hypercolumns of the styles that go there."""
    left, right = (nst.compute_style_grams(vgg, clouds(seed, 64, 80), layers=FEW.style) for seed in (2, 3))
    objective = objective_of(vgg, content, left.within(half) + right, layers=FEW)
    objective.value_and_grad(content)
    for part, grams in zip(objective.style.parts, (left, right), strict=True):
        alone = objective_of(vgg, content, grams, layers=FEW).style.parts[0]
        theirs = torch.cat([alone.region.samples[tap].rows * w**0.5 for tap, w in FEW.style.items()], 1)
        ours = torch.cat([part.targets[tap] / objective.style.shares[tap] ** 0.5 for tap in FEW.style], 1)
        cosines = F.normalize(ours.double(), dim=1) @ F.normalize(theirs.double(), dim=1).T
        assert float(cosines.amax(1).min()) > 1 - 1e-6
    assert objective.style.parts[0].where.remainder(SHAPE[1] // 4).max() < SHAPE[1] // 8


def test_the_content_comes_in_by_its_share(vgg, content, style, image):
    """Of what is matched, none with content_weight 0, all of it with 2 times the recipe's three quarters."""
    grams = nst.compute_style_grams(vgg, style)
    values = {}
    for weight in (0.0, 1.0, 2.0, 9.0):
        objective = nst.objective(vgg, content, grams, recipe="nnst", content_weight=weight)
        values[weight] = float(objective.value_and_grad(image)[0].style)
    none = nst.objective(vgg, None, grams, recipe="nnst", shape=SHAPE).value_and_grad(image)[0]
    assert values[0.0] == pytest.approx(float(none.style), rel=1e-6)
    assert values[2.0] == values[9.0]
    assert len({round(value, 6) for value in values.values()}) == 3


def test_without_strength_the_content_is_the_target(vgg, content, style):
    grams = nst.compute_style_grams(vgg, style)
    nothing, some, all_ = (
        float(nst.objective(vgg, content, grams, recipe="nnst", strength=s).value_and_grad(content)[0].style)
        for s in (0.0, 0.5, 1.0)
    )
    assert nothing < 1e-5
    assert nothing < some < all_


def test_where_the_content_counts_more_the_targets_are_nearer_to_it(vgg, content, style, half):
    grams = nst.compute_style_grams(vgg, style)
    emphasis = (1 + 99 * half)[None, None]
    objective = nst.objective(vgg, content, grams, recipe="nnst", emphasis=emphasis)
    _, gradient = objective.value_and_grad(content)
    assert gradient[..., :20].abs().mean() < 0.1 * gradient[..., 60:].abs().mean()


def test_where_the_content_stays_it_does_whatever_its_weight(vgg, content, style, half):
    """So nobody is told that it does not."""
    grams = nst.compute_style_grams(vgg, style, layers=FEW.style)
    options = {"recipe": "nnst", "layers": FEW, "steps": 2, "content_weight": 0}
    plain = nst.stylize(vgg, content, grams, **options)
    kept = nst.stylize(vgg, content, grams, protect=half, protect_mode="content", **options)
    assert kept.history[0].total < 0.9 * plain.history[0].total
    assert not kept.notes


def test_another_part_of_a_large_style_is_looked_at_each_time(vgg, content, style, image, monkeypatch):
    monkeypatch.setattr(module, "MOST_REMATCHED", 200)
    grams = nst.compute_style_grams(vgg, style)
    one, other = (objective_of(vgg, content, grams, rematch=1, layers=FEW) for _ in range(2))
    values = [float(one.value_and_grad(image)[0].style) for _ in range(4)]
    assert len(set(values)) == 4
    assert values == [float(other.value_and_grad(image)[0].style) for _ in range(4)]


def test_tiles_saved_styles_and_weights_are_refused_in_words(vgg, content, style, tmp_path):
    grams = nst.compute_style_grams(vgg, style, recipe="nnst", size=90)
    with pytest.raises(
        nst.NSTError, match=r"tile: the statistic 'nearest' matches .* choose a statistic that is a sum"
    ):
        nst.objective(vgg, content, grams, recipe="nnst", tile=64)
    with pytest.raises(nst.NSTError, match=r"size: the statistic 'nearest' matches .*A long side of \d+ would do"):
        nst.stylize(vgg, clouds(1, 1024, 1024), grams, recipe="nnst", memory=4 << 30)
    with pytest.raises(nst.NSTError, match=r"weight: .*style image 1, style image 3.*same weight or regions"):
        nst.objective(vgg, content, grams + grams.weighted(3), recipe="nnst")
    grams.save(tmp_path / "style.safetensors")
    loaded = nst.StyleGrams.load(tmp_path / "style.safetensors")
    with pytest.raises(nst.NSTError, match=r"style was loaded from a file.*nearest and remd need the style picture"):
        nst.stylize(vgg, content, loaded, recipe="nnst", steps=1)


def test_styles_of_one_weight_are_one_cloud(vgg, content, style, image):
    """A style beside itself is that style."""
    grams = nst.compute_style_grams(vgg, style)
    one, two = (nst.objective(vgg, content, g, recipe="nnst").value_and_grad(image)[0] for g in (grams, grams + grams))
    assert float(two.style) == pytest.approx(float(one.style), rel=1e-6)


FLAT = torch.full((1, 3, 64, 64), 0.4)


@pytest.mark.parametrize("what", ["content", "style", "both"])
def test_one_colour_makes_a_picture_all_the_same(vgg, content, style, what):
    grams = nst.compute_style_grams(vgg, style if what == "content" else FLAT)
    result = nst.stylize(vgg, content if what == "style" else FLAT, grams, recipe="nnst", steps=8)
    assert torch.isfinite(result.image).all()


def test_a_handful_of_positions_is_enough(vgg, content, style):
    """Of a style within its mask, and of a region, which is nothing on the smallest levels."""
    few = torch.zeros(64, 100)
    few[30:34, 50:54] = 1
    small = torch.zeros(SHAPE)
    small[:5, :6] = 1
    grams = nst.compute_style_grams(vgg, style, mask=few, region=small)
    result = nst.stylize(vgg, content, grams, recipe="nnst", steps=8)
    assert torch.isfinite(result.image).all()
    assert not torch.equal(result.image[..., :4, :4], content[..., :4, :4])
    assert torch.equal(result.image[..., 20:, 20:], content[..., 20:, 20:])


def test_a_style_too_small_for_the_network_is_refused(vgg, content):
    with pytest.raises(nst.NSTError, match=r"style of style image: .*too few for relu4_"):
        nst.objective(vgg, content, nst.compute_style_grams(vgg, clouds(2, 4, 60)), recipe="nnst")


def test_half_precision_goes_the_same_way(vgg, content, style, image):
    rough = nst.load_vgg("vgg19-caffe", precision="bf16", device="cpu")
    found = []
    for v in (vgg, rough):
        objective = nst.objective(v, content, nst.compute_style_grams(v, style), recipe="nnst")
        found.append(objective.value_and_grad(image))
    assert float(found[1][0].total) == pytest.approx(float(found[0][0].total), rel=0.03)
    assert float(F.cosine_similarity(*(gradient.flatten() for _, gradient in found), dim=0)) > 0.9
