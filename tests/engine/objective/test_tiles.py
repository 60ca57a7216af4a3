"""Tiles give what one pass gives: loss and gradient, for every size, padding, pooling, set of taps and tile."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pictures import clouds

import nst_engine as nst
from nst_engine.network.tiles import cut, fit_tile, grid, margin


def both(vgg, content, style, image, tile, recipe="balanced", layers=None):
    grams = nst.compute_style_grams(vgg, style, recipe=recipe, layers=layers.style if layers else None)
    options = {"recipe": recipe, "layers": layers, "tv_weight": 1.0}
    whole = nst.objective(vgg, content, grams, **options).value_and_grad(image)
    tiled = nst.objective(vgg, content, grams, tile=tile, **options).value_and_grad(image)
    return whole, tiled


def assert_same(whole, tiled) -> None:
    (terms, gradient), (tiled_terms, tiled_gradient) = whole, tiled
    for term in ("total", "content", "style", "tv"):
        assert float(getattr(tiled_terms, term)) == pytest.approx(float(getattr(terms, term)), rel=1e-6, abs=1e-12), (
            term
        )
    assert (tiled_gradient - gradient).norm() <= 1e-5 * gradient.norm()


TAPS = ("conv1_1", "relu1_2", "pool1", "relu2_1", "conv2_2", "relu3_1", "relu3_3", "pool3", "relu4_1", "relu5_1")


@pytest.mark.usefixtures("plain_convolutions")
@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    height=st.integers(16, 160),
    width=st.integers(16, 160),
    tile=st.integers(16, 100),
    style_taps=st.sets(st.sampled_from(TAPS), min_size=1, max_size=3),
    content_taps=st.sets(st.sampled_from(TAPS), min_size=1, max_size=2),
    pooling=st.sampled_from(["max", "average", "l2"]),
    padding=st.sampled_from(["zeros", "replicate", "reflect"]),
)
def test_any_cut_gives_the_same(height, width, tile, style_taps, content_taps, pooling, padding):
    vgg = nst.load_vgg("vgg19-caffe", pooling=pooling, padding=padding, precision="fp32", device="cpu")
    layers = nst.LayerWeights(style=dict.fromkeys(sorted(style_taps), 1.0), content=dict.fromkeys(content_taps, 0.5))
    height, width = (max(side, 32) if padding == "reflect" else side for side in (height, width))
    content, image = clouds(1, height, width), clouds(2, height, width)
    assert_same(*both(vgg, content, clouds(3, 64, 64), image, tile, layers=layers))


@pytest.mark.usefixtures("plain_convolutions")
@pytest.mark.parametrize(
    "recipe", ["balanced", "persson", "pytorch-tutorial", "gatys2016", "johnson", "crowsonkb", "spst"]
)
def test_every_recipe_can_be_tiled(vgg, recipe):
    content, image = clouds(1, 190, 250), clouds(2, 190, 250)
    assert_same(*both(vgg, content, clouds(3, 64, 64), image, 64, recipe))


def test_a_margin_one_step_narrower_would_not_do(vgg, monkeypatch):
    """The margin is as wide as it must be: this fails if the test could not see a wrong one."""
    monkeypatch.setattr("nst_engine.network.tiles.margin", lambda taps, architecture: margin(taps, architecture) - 16)
    whole, tiled = both(vgg, clouds(1, 300, 300), clouds(3, 64, 64), clouds(2, 300, 300), 96, "classic")
    assert (tiled[1] - whole[1]).norm() > 1e-5 * whole[1].norm()


def test_geometry():
    five = ("relu1_1", "relu5_1")
    assert margin(five, "vgg19") == 80
    assert margin(("relu1_1",), "vgg19") == 1
    assert grid(five) == 16
    assert fit_tile(130, five) == 128
    with pytest.raises(nst.NSTError, match="at least 16"):
        fit_tile(15, five)
    covered = torch.zeros(1, 1, 117, 203)
    for tile in cut((117, 203), 48, five, "vgg19"):
        (top, bottom), (left, right) = tile.inner
        covered[:, :, top:bottom, left:right] += 1
    assert torch.equal(covered, torch.ones_like(covered))


@pytest.mark.parametrize("recipe", ["balanced", "johnson"])
def test_convolutions_in_fewer_products_agree_within_their_rounding(vgg, recipe):
    """Where it rounds otherwise, another of two nearly equal neighbours wins a window now and then."""
    whole, tiled = both(vgg, clouds(1, 190, 250), clouds(3, 64, 64), clouds(2, 190, 250), 64, recipe)
    assert float(tiled[0].total) == pytest.approx(float(whole[0].total), rel=1e-6)
    assert (tiled[1] - whole[1]).norm() < 3e-3 * whole[1].norm()


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precisions_agree_within_their_rounding(precision):
    vgg = nst.load_vgg("vgg19-caffe", precision=precision, device="cpu")
    whole, tiled = both(vgg, clouds(1, 150, 180), clouds(3, 64, 64), clouds(2, 150, 180), 64)
    assert float(tiled[0].total) == pytest.approx(float(whole[0].total), rel=1e-2)
    assert (tiled[1] - whole[1]).norm() < 0.05 * whole[1].norm()
