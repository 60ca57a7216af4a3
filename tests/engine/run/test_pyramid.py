"""The Laplacian pyramid that an optimiser moves in place of pixels."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from pictures import clouds

import nst_engine as nst
from nst_engine.recipes import Adam
from nst_engine.run.canvas import Canvas
from nst_engine.run.pyramid import MOST_BANDS, Pyramid

SHAPES = [(64, 96), (71, 45), (1, 9), (300, 260)]


@pytest.mark.parametrize("shape", SHAPES)
def test_from_a_picture_to_its_bands_and_back(shape):
    picture, pyramid = clouds(1, *shape), Pyramid(shape)
    bands = pyramid.bands(picture)
    assert bands.shape == (1, 3, 1, sum(h * w for h, w in pyramid.shapes))
    assert torch.allclose(pyramid.pixels(bands), picture, atol=1e-5)
    assert len(pyramid.shapes) <= MOST_BANDS


def test_its_bands_are_details_and_what_is_left():
    """Of an even picture there are no details."""
    pyramid = Pyramid((300, 260))
    assert len(pyramid.shapes) == MOST_BANDS
    assert pyramid.shapes[-1] == (2, 2)
    bands = pyramid.bands(torch.full((1, 3, 300, 260), 0.3))
    assert bands[..., :-4].abs().max() < 1e-6
    assert torch.allclose(bands[..., -4:], torch.tensor(0.3))


@pytest.mark.parametrize("shape", SHAPES)
def test_the_gradient_by_the_bands_is_the_transpose_of_the_way_to_pixels(shape):
    pyramid, generator = Pyramid(shape), torch.Generator().manual_seed(1)
    g = torch.randn(1, 3, *shape, generator=generator, dtype=torch.float64)
    bands = torch.randn(pyramid.gradient(g).shape, generator=generator, dtype=torch.float64)
    assert float((pyramid.pixels(bands) * g).sum()) == pytest.approx(float((bands * pyramid.gradient(g)).sum()))


def test_clamped_bands_are_those_of_the_clamped_picture():
    canvas = Canvas(replace(nst.RECIPES["nnst"]), torch.device("cpu"))
    picture = 3 * clouds(1, 40, 56) - 1
    canvas.begin_level(picture)
    with torch.no_grad():
        canvas.parametrisation.clamp_(canvas.variable)
    assert torch.allclose(canvas.parametrisation.pixels(canvas.variable), picture.clamp(0, 1), atol=1e-5)


@pytest.mark.parametrize("choices", [{}, {"optimizer": "lbfgs"}, {"averaging": 0.9}], ids=["adam", "lbfgs", "averaged"])
def test_any_recipe_can_be_painted_by_bands(vgg, content, grams, choices):
    recipe = replace(nst.RECIPES["classic"], variable="laplacian", optimizer=Adam(0.01, moments="anew"))
    result = nst.stylize(vgg, content, grams, recipe=recipe, steps=12, scales=2, **choices)
    assert result.history[-1].total < 0.7 * result.history[0].total


def test_what_is_protected_stays(vgg, content, grams):
    mask = torch.zeros(70, 90)
    mask[:, :30] = 1
    result = nst.stylize(vgg, content, grams, recipe="nnst", steps=8, protect=mask)
    assert torch.equal(result.image[..., :30], content[..., :30])
    assert not torch.equal(result.image[..., 40:], content[..., 40:])
