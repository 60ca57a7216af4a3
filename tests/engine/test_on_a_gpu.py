"""Results on a GPU beside those on the CPU. NST_TEST_DEVICE names another device: with `cpu`, the tests themselves are
tried where there is no GPU."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
import torch
from pictures import clouds

import nst_engine as nst
from nst_engine.statistics.distances import BY_MOMENTS, STATISTICS

DEVICE = os.environ.get("NST_TEST_DEVICE") or ("cuda" if torch.cuda.is_available() else "")
pytestmark = pytest.mark.skipif(not DEVICE, reason="no GPU")

SHAPE = (96, 128)
# Of the gradient, relative. One pooling window in which rounding makes another pixel the greatest moves it by 2.4e-4 at
# this size, on a CPU as well; rounding to TF32 moves it by 1e-3 and more.
CLOSE = {"fp32": 6e-4, "bf16": 0.15, "fp16": 0.03}


@pytest.fixture(scope="module")
def on_device(vgg):
    return replace(vgg, device=torch.device(DEVICE))


def evaluated(vgg, recipe="balanced", tile=None, region=None):
    grams = nst.compute_style_grams(vgg, clouds(2, 64, 96), recipe=recipe)
    if region is not None:
        grams = grams.within(region) + nst.compute_style_grams(vgg, clouds(3, 64, 64), recipe=recipe)
    objective = nst.objective(vgg, clouds(1, *SHAPE), grams, recipe=recipe, tile=tile)
    terms, gradient = objective.value_and_grad(clouds(4, *SHAPE).to(vgg.device))
    assert gradient.device.type == vgg.device.type
    return float(terms.total), gradient.cpu()


def check(found, expected, close):
    (loss, gradient), (other_loss, other) = found, expected
    assert loss == pytest.approx(other_loss, rel=close)
    assert (gradient - other).norm() < close * other.norm()


@pytest.mark.parametrize("recipe", sorted(nst.RECIPES))
def test_recipes(vgg, on_device, recipe):
    check(evaluated(on_device, recipe), evaluated(vgg, recipe), CLOSE["fp32"])


@pytest.mark.parametrize("statistic", STATISTICS)
def test_statistics(vgg, on_device, statistic):
    recipe = replace(nst.RECIPES["balanced"], statistic=statistic)
    # Sorting jumps where two features change places, and the sliced one's directions are the device's own.
    close = CLOSE["fp32"] if statistic in BY_MOMENTS else 0.05
    check(evaluated(on_device, recipe), evaluated(vgg, recipe), close)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_precisions(vgg, on_device, precision):
    check(evaluated(replace(on_device, precision=precision)), evaluated(vgg), CLOSE[precision])


@pytest.mark.parametrize("choices", [{"pooling": "average"}, {"pooling": "l2"}, {"padding": "reflect"}])
def test_networks(vgg, on_device, choices):
    check(evaluated(replace(on_device, **choices)), evaluated(replace(vgg, **choices)), CLOSE["fp32"])


def test_tiles(vgg, on_device):
    check(evaluated(on_device, tile=32), evaluated(vgg), CLOSE["fp32"])


def test_regions(vgg, on_device):
    half = torch.zeros(SHAPE)
    half[:, :64] = 1
    check(evaluated(on_device, region=half), evaluated(vgg, region=half), CLOSE["fp32"])


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_a_run_with_previews(vgg, on_device, optimizer):
    previews = []
    results = [
        nst.stylize(
            network,
            clouds(1, *SHAPE),
            nst.compute_style_grams(network, clouds(2, 64, 96)),
            steps=8,
            scales=2,
            optimizer=optimizer,
            keep_colours="lab",
            on_step=lambda progress: previews.append(progress.preview(50)) and None,
        )
        for network in (on_device, vgg)
    ]
    found, expected = (result.image for result in results)
    assert found.device.type == "cpu"
    assert found.shape == expected.shape == (1, 3, *SHAPE)
    assert (found - expected).abs().mean() < 0.01
    assert all(preview.shape[-1] == 50 and preview.device.type == "cpu" for preview in previews)


def test_a_seamless_texture(on_device):
    grams = nst.compute_style_grams(on_device, clouds(2, 64, 96))
    result = nst.stylize(on_device, None, grams, shape=(64, 64), seamless=True, steps=3)
    assert torch.isfinite(result.image).all()


def test_a_run_that_is_stopped(on_device):
    grams = nst.compute_style_grams(on_device, clouds(2, 64, 96))
    result = nst.stylize(
        on_device, clouds(1, *SHAPE), grams, steps=50, on_step=lambda p: nst.STOP if p.step == 3 else 0
    )
    assert result.settings["stopped_early"]
    assert len(result.history) <= 5
