"""Losses and gradients against formulas written out, and the statistics they are made of."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from pictures import clouds

import nst_engine as nst
from nst_engine.network.architecture import layer_names
from nst_engine.network.conventions import IMAGENET_MEAN, IMAGENET_STD, Conventions
from nst_engine.network.vgg import Network, Tape
from nst_engine.objective.total_variation import total_variation
from nst_engine.pictures.images import resize
from nst_engine.recipes import network_for
from nst_engine.statistics.moments import statistics, sums


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    return clouds(9, 70, 90)


# strotss looks at other samples at every step: test_strotss.py holds its gradient to differences along the same ones.
@pytest.mark.parametrize("recipe", [name for name in nst.RECIPES if name != "strotss"])
def test_the_gradient_is_the_slope_of_the_total(vgg, content, style, image, recipe):
    grams = nst.compute_style_grams(vgg, style, recipe=recipe)
    objective = nst.objective(vgg, content, grams, recipe=recipe, tv_weight=1.0)
    terms, gradient = objective.value_and_grad(image)
    direction = gradient / gradient.norm()
    ahead, behind = (objective.value_and_grad(image + s * 0.01 * direction)[0].total for s in (1, -1))
    assert float(ahead - behind) / 0.02 == pytest.approx(float(gradient.norm()), rel=5e-3)
    assert float(terms.total) == pytest.approx(float(terms.content + terms.style + terms.tv), rel=1e-6)


def written_out(recipe: nst.Recipe, vgg, content, style, image) -> tuple[torch.Tensor, torch.Tensor]:
    """Content and style of a paper's recipe, by its formula, from features alone."""
    network = network_for(vgg, recipe)
    taps = {**recipe.style_layers, **recipe.content_layers}
    x, p, a = (network.features(picture, taps) for picture in (image, content, style))
    content_term = style_term = torch.zeros(())
    for tap, w in recipe.content_layers.items():
        if recipe.name == "gatys2016":
            content_term = content_term + w * 0.5 * (x[tap] - p[tap]).square().sum()
        elif recipe.name == "classic":
            content_term = content_term + w * (x[tap] - p[tap]).square().sum() / p[tap].square().sum()
        else:
            shares = sum(recipe.content_layers.values()) if recipe.name == "balanced" else 1.0
            content_term = content_term + w / shares * (x[tap] - p[tap]).square().mean()
    for tap, w in recipe.style_layers.items():
        c, n, m = x[tap].shape[1], x[tap][0, 0].numel(), a[tap][0, 0].numel()
        f, s = x[tap].view(c, n).double(), a[tap].view(c, m).double()
        if recipe.name == "gatys2016":  # raw Grams; a style of another size is brought to the transfer's N
            term = (f @ f.T - s @ s.T * n / m).square().sum() / (4 * n**2 * c**2)
        elif recipe.name == "gatys2017":
            term = (f @ f.T / n - s @ s.T / m).square().mean()
        elif recipe.name == "johnson":
            term = (f @ f.T / (c * n) - s @ s.T / (c * m)).square().mean()
        elif recipe.name == "balanced":
            term = work_between(f, s) / c / sum(recipe.style_layers.values())
        else:
            term = (f @ f.T / n - s @ s.T / m).square().sum() / (s @ s.T / m).square().sum() / 5
        style_term = style_term + w * term
    small = min(4.0, max(1.0, recipe.small_level / max(image.shape[-2:])))
    return recipe.content_weight * small * content_term, recipe.style_weight * style_term


def work_between(f: torch.Tensor, style: torch.Tensor) -> torch.Tensor:
    """The Wasserstein distance of two normal distributions with these features' means and covariances; the root's trace
    by eigenvalues of the plain product. Every variance is raised by as much as the recipe says."""
    least = nst.RECIPES["balanced"].least_variance * torch.eye(len(f))
    c, a = (torch.cov(x, correction=0) + least for x in (f, style))
    root = torch.linalg.eigvals(c @ a).real.clamp_min(0).sqrt().sum()
    return (f.mean(1) - style.mean(1)).square().sum() + c.trace() + a.trace() - 2 * root


@pytest.mark.parametrize("name", ["gatys2016", "gatys2017", "johnson", "classic", "balanced"])
def test_the_papers_formulas(vgg, content, style, image, name):
    recipe = nst.RECIPES[name]
    if recipe.root_iterations:
        recipe = replace(recipe, root_iterations=0, least_direction=0)  # the whole root, of all directions
    # A style of the transfer's long side but other proportions: its N differs.
    style = torch.nn.functional.interpolate(style, size=(60, 90), mode="bilinear")
    grams = nst.compute_style_grams(vgg, style, recipe=recipe)
    terms, _ = nst.objective(vgg, content, grams, recipe=recipe, tv_weight=0.0).value_and_grad(image)
    expected_content, expected_style = written_out(recipe, vgg, content, style, image)
    assert float(terms.content) == pytest.approx(float(expected_content), rel=1e-4)
    assert float(terms.style) == pytest.approx(float(expected_style), rel=1e-4)


def test_on_a_small_level_the_content_counts_more(vgg, content, style, image):
    """By 512 over its side, at most 4, whatever the result's size, so that a small result looks like a large one."""
    recipe, never = nst.RECIPES["balanced"], replace(nst.RECIPES["balanced"], small_level=0)
    grams = nst.compute_style_grams(vgg, style, recipe=recipe)
    options = {"recipe": recipe, "scales": 3, "steps": 3}
    result = nst.stylize(vgg, content, grams, start="image", start_image=image, **options)
    height, width, _ = result.settings["levels"][0]
    assert width * 2 == content.shape[-1]
    small, start = resize(content, (height, width)), resize(image, (height, width))
    found = float(result.history[0].content)
    alone, plain = (
        float(nst.objective(vgg, small, grams, recipe=r).value_and_grad(start)[0].content) for r in (recipe, never)
    )
    assert found == pytest.approx(alone, rel=1e-4)
    assert found == pytest.approx(4 * plain, rel=1e-4)


def test_johnsons_total_variation_is_half_the_squares_on_bytes(vgg, content, style, image):
    grams = nst.compute_style_grams(vgg, style, recipe="johnson")
    terms, _ = nst.objective(vgg, content, grams, recipe="johnson").value_and_grad(image)
    pixels = image * 255
    across, down = pixels.diff(dim=-1).square().sum(), pixels.diff(dim=-2).square().sum()
    assert float(terms.tv) == pytest.approx(float(0.5e-3 * (across + down)), rel=1e-5)


def test_terms_follow_their_multipliers(vgg, content, image, grams):
    one = nst.objective(vgg, content, grams).value_and_grad(image)[0]
    two = nst.objective(vgg, content, grams, content_weight=2, style_weight=3).value_and_grad(image)[0]
    assert float(two.content) == pytest.approx(2 * float(one.content), rel=1e-6)
    assert float(two.style) == pytest.approx(3 * float(one.style), rel=1e-6)
    balanced = nst.RECIPES["balanced"]
    variation = float(total_variation(image, "mean", balanced.tv_kind)[0])
    own = balanced.tv_weight * variation
    assert float(one.tv) == pytest.approx(own, rel=1e-5)
    smooth = nst.objective(vgg, content, grams, tv_weight=2.0).value_and_grad(image)[0]
    expected = 2 * balanced.tv_unit * variation
    assert float(smooth.tv) == pytest.approx(expected, rel=1e-5)
    assert float(smooth.tv) > 0


def test_at_the_content_the_content_term_is_nothing(vgg, content, grams):
    terms, _ = nst.objective(vgg, content, grams).value_and_grad(content)
    assert float(terms.content) == 0
    assert float(terms.style) > 0


def test_at_the_style_the_style_term_is_nothing(vgg, content, style, grams):
    """To single precision: with more channels than positions, most variances of relu4_2 are next to nothing."""
    whole_root = replace(nst.RECIPES["balanced"], root_iterations=0, least_direction=0)
    at_style, elsewhere = (
        float(nst.objective(vgg, at, grams, recipe=whole_root).value_and_grad(at)[0].style) for at in (style, content)
    )
    assert abs(at_style) < 1e-4 * elsewhere


def test_a_texture_needs_no_content(vgg, grams, image):
    terms, gradient = nst.objective(vgg, None, grams, shape=(70, 90)).value_and_grad(image)
    assert float(terms.content) == 0
    assert gradient.shape == image.shape
    assert gradient.abs().sum() > 0


def test_layers_of_the_users_own(vgg, content, style, image):
    layers = nst.LayerWeights(style={"relu3_2": 2.0, "conv1_1": 1.0, "pool2": 0.0}, content={"conv3_1": 1.0})
    grams = nst.compute_style_grams(vgg, style, layers=layers.style)
    objective = nst.objective(vgg, content, grams, layers=layers)
    assert set(objective.taps) == {"relu3_2", "conv1_1", "conv3_1"}
    # A relative recipe is a mean: the same proportions are the same loss.
    doubled = nst.LayerWeights(style={"relu3_2": 4.0, "conv1_1": 2.0}, content={"conv3_1": 7.0})
    a = objective.value_and_grad(image)[0]
    b = nst.objective(vgg, content, grams, layers=doubled).value_and_grad(image)[0]
    assert float(a.total) == pytest.approx(float(b.total), rel=1e-6)


@pytest.mark.parametrize(("precision", "bound"), [("bf16", 0.15), ("fp16", 0.05)])
def test_half_precisions_give_the_same_direction(vgg, content, style, image, precision, bound):
    rough = nst.load_vgg("vgg19-caffe", precision=precision, device="cpu")
    for recipe in ("balanced", "udacity"):
        exact_terms, exact = nst.objective(
            vgg, content, nst.compute_style_grams(vgg, style, recipe=recipe), recipe=recipe
        ).value_and_grad(image)
        terms, gradient = nst.objective(
            rough, content, nst.compute_style_grams(rough, style, recipe=recipe), recipe=recipe
        ).value_and_grad(image)
        assert float(terms.total) == pytest.approx(float(exact_terms.total), rel=0.03)
        assert (gradient - exact).norm() < bound * exact.norm(), recipe


@pytest.mark.parametrize("padding", ["zeros", "replicate", "reflect"])
@pytest.mark.parametrize("pooling", ["max", "average", "l2"])
@pytest.mark.parametrize("shape", [(64, 48), (35, 51), (2, 33)])
def test_the_way_back_is_autograds(vgg, pooling, padding, shape):
    """The chain's gradient, written out by hand, against torch's own through the same layers."""
    network = Network(vgg, Conventions(pooling=pooling, padding=padding))
    # Two taps of one convolution, before and after its ReLU, and two pooling layers between the taps.
    taps = ("conv1_1", "relu1_2", "pool1") if min(shape) < 8 else ("conv1_2", "relu1_2", "conv2_1", "pool2", "relu3_2")
    picture = clouds(3, *shape).requires_grad_()
    x = (picture - torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1)) / torch.tensor(IMAGENET_STD).view(1, 3, 1, 1)
    mode = {"zeros": "constant"}.get(padding, padding)
    found = {}
    for layer in layer_names("vgg19"):
        if layer.startswith("conv"):
            weight, bias = network.weights(layer)
            x = F.conv2d(F.pad(x, (1, 1, 1, 1), mode=mode), weight, bias)
        elif layer.startswith("relu"):
            x = F.relu(x)
        elif pooling == "l2":
            x = (F.avg_pool2d(x.square(), 2) * 4 + 1e-20).sqrt() * network.gain
        else:
            x = {"max": F.max_pool2d, "average": F.avg_pool2d}[pooling](x, 2) * network.gain
        found[layer] = x
        if all(tap in found for tap in taps):
            break
    given = {tap: torch.randn(found[tap].shape, generator=torch.Generator().manual_seed(7)) for tap in taps}
    expected = torch.autograd.grad([found[tap] for tap in taps], picture, [given[tap] for tap in taps])[0]
    tape: Tape = []
    features = dict(network.activations(picture.detach(), taps, tape))
    for tap in taps:
        assert (features[tap] - found[tap]).norm() < 1e-5 * found[tap].norm()

    def add_gradient(tap, deeper, relu_output):
        total = given[tap].clone() if deeper is None else deeper + given[tap]
        return total if relu_output is None else total * (relu_output > 0)

    gradient = network.backward(tape, add_gradient)
    assert (gradient - expected).norm() < 1e-5 * expected.norm()


def test_half_precision_moments_are_summed_in_fp32():
    f = torch.rand(4099, 64, generator=torch.Generator().manual_seed(0))
    exact = f.double().T @ f.double() / len(f)
    for dtype, bound in ((torch.float32, 1e-6), (torch.bfloat16, 2e-3), (torch.float16, 1e-4)):
        found = sums(f.to(dtype), means=False)[1] / len(f)
        assert found.dtype == torch.float32
        own = f.to(dtype).double().T @ f.to(dtype).double() / len(f)
        assert (found - own).norm() < bound * exact.norm()


def test_statistics_written_out():
    features = torch.randn(1, 4, 3, 5, generator=torch.Generator().manual_seed(0))
    found = statistics(features)
    f = features.view(4, 15)
    assert found.n == 15
    assert torch.allclose(found.mean, f.mean(1), atol=1e-6)
    assert torch.allclose(found.moment, f @ f.T / 15, atol=1e-5)


def test_value_and_grad_leaves_its_input_alone(vgg, content, grams, image):
    before = image.clone()
    nst.objective(vgg, content, grams).value_and_grad(image)
    assert torch.equal(image, before)
    assert not image.requires_grad


def test_it_works_under_the_hosts_inference_mode(vgg, grams):
    with torch.inference_mode():
        content, image = clouds(1, 40, 40), clouds(2, 40, 40)
        terms, gradient = nst.objective(vgg, content, grams).value_and_grad(image)
    assert torch.isfinite(gradient).all()
    assert float(terms.total) > 0
