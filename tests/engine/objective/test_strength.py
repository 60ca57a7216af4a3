"""Strength: from the content to the style and beyond."""

from __future__ import annotations

import pytest
import torch
from pictures import clouds
from short_runs import LAYERS, TAPS

import nst_engine as nst


def test_strength_goes_from_the_content_to_the_style_and_beyond(vgg, small):
    content = clouds(1, 64, 96)

    def made(**options):
        return nst.stylize(vgg, content, small, layers=LAYERS, steps=40, content_weight=20, **options).image

    def style_of(image):
        return float(nst.objective(vgg, content, small, layers=LAYERS).value_and_grad(image)[0].style)

    assert torch.equal(made(strength=0.0), content)
    assert torch.equal(made(strength=0.0, start="noise"), content), "whatever the start"
    assert torch.equal(made(strength=1.0), made())
    pictures = [made(strength=s) for s in (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.5)]
    styles = [style_of(x) for x in pictures]
    assert styles == sorted(styles, reverse=True)
    changes = [float((x - content).square().mean().sqrt()) for x in pictures]
    assert changes == sorted(changes)
    with pytest.raises(nst.NSTError, match=r"strength: -0\.1 is not a strength"):
        made(strength=-0.1)


@pytest.mark.parametrize("statistic", ["covariance", "sliced"])
def test_strength_goes_with_any_statistic_and_with_regions(vgg, statistic):
    content, region = clouds(1, 64, 96), torch.zeros(64, 96)
    region[:, :48] = 1
    grams = nst.compute_style_grams(vgg, clouds(2, 48, 64), layers=TAPS, size=64, region=region)
    changes = []
    for strength in (0.05, 0.5, 1.0):
        options = {"layers": LAYERS, "statistic": statistic, "strength": strength, "steps": 25}
        made = nst.stylize(vgg, content, grams, **options).image
        assert (made - content)[..., 48:].abs().max() < 1e-6
        changes.append(float((made - content)[..., :48].square().mean()))
    assert changes[0] < 0.5 * changes[1] < 0.5 * changes[2] / 0.8
