"""Parts of a picture that are protected, or whose content counts more."""

from __future__ import annotations

import pytest
import torch
from pictures import clouds
from short_runs import LAYERS

import nst_engine as nst
from nst_engine.recipes import network_for


def test_a_protected_part_keeps_more_of_the_content(vgg, small):
    content, mask = clouds(1, 64, 96), torch.zeros(64, 96)
    mask[:, :48] = 1
    options = {"layers": LAYERS, "steps": 30, "content_weight": 3}

    def change(**protect):
        made = nst.stylize(vgg, content, small, **options, **protect).image
        squares = (made - content).square().mean((0, 1))
        return float(squares[:, :40].mean()), float(squares[:, 56:].mean())

    plain, more = change(), change(protect=mask, protect_mode="content", protect_weight=100.0)
    assert 0 < more[0] < 0.5 * plain[0], "stylised still, but less"
    assert more[1] > 0.8 * plain[1]
    one = change(protect=mask, protect_mode="content", protect_weight=1.0)
    assert one == pytest.approx(plain, rel=1e-5)
    with pytest.raises(nst.NSTError, match="protect_mode: 'face' is not one of pixels, content"):
        change(protect=mask, protect_mode="face")


@pytest.mark.parametrize("tile", [None, 40])
def test_emphasis_weighs_the_content_term_place_by_place(vgg, small, tile):
    content, image, emphasis = clouds(1, 64, 96), clouds(4, 64, 96), 1 + 4 * clouds(6, 64, 96)[:, :1]
    options = {"recipe": "classic", "layers": LAYERS, "style_weight": 0, "emphasis": emphasis, "tile": tile}
    objective = nst.objective(vgg, content, small, **options)
    terms, gradient = objective.value_and_grad(image)
    network = network_for(vgg, nst.RECIPES["classic"])
    f, p = (network.features(x, ("relu3_1",))["relu3_1"] for x in (image, content))
    w = torch.nn.functional.avg_pool2d(emphasis, 4)
    expected = 0.02 * (w * (f - p).square()).sum() / p.square().sum()
    assert float(terms.content) == pytest.approx(float(expected), rel=1e-5)
    way = gradient / gradient.norm()
    there, back = (float(objective.value_and_grad(image + e * way)[0].total) for e in (0.02, -0.02))
    assert float(gradient.norm()) == pytest.approx((there - back) / 0.04, rel=0.01)


def test_what_is_protected_is_exact_whatever_else_is_done(vgg, small):
    """A seamless result of a size that is no multiple of the grid, in the content's colours."""
    content, mask = clouds(1, 70, 90), torch.zeros(70, 90)
    mask[20:50, 30:60] = 1
    options = {"layers": LAYERS, "steps": 4, "protect": mask, "seamless": True, "keep_colours": "symmetric"}
    change = (nst.stylize(vgg, content, small, **options).image - content).abs().amax((0, 1))
    assert change[20:50, 30:60].max() == 0
    assert change[:16].mean() > 0.02
    assert torch.equal(nst.stylize(vgg, content, small, **{**options, "strength": 0.0}).image, content)
