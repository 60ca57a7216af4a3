"""What a run begins from: every start is what it says."""

from __future__ import annotations

import pytest
import torch
from pictures import clouds
from short_runs import LAYERS, TAPS

import nst_engine as nst
from nst_engine.recipes import STARTS
from nst_engine.run.starts import covering


def begun(vgg, grams, content, start, **options):
    return nst.stylize(vgg, content, grams, layers=LAYERS, start=start, steps=0, **options).image


def test_every_start_is_what_it_says(vgg, small):
    content, image = clouds(1, 48, 64), clouds(9, 48, 64)
    found = {s: begun(vgg, small, content, s, start_image=image, seed=3) for s in STARTS}
    assert torch.equal(found["content"], content)
    assert torch.equal(found["image"], image)
    assert torch.equal(found["grey"], torch.full_like(content, 0.5))
    assert torch.equal(found["style"], clouds(2, 48, 64))
    assert torch.equal(found["noise"], begun(vgg, small, content, "noise", seed=3))
    assert not torch.equal(found["noise"], begun(vgg, small, content, "noise", seed=4))


def test_noise_of_the_style_has_its_colours(vgg):
    style = 0.35 + 0.3 * clouds(2, 100, 100)
    grams = nst.compute_style_grams(vgg, style, layers=TAPS, size=64)
    noise = begun(vgg, grams, clouds(1, 200, 200), "style-noise")
    a, b = (x[0].flatten(1) for x in (noise, style))
    assert torch.allclose(a.mean(1), b.mean(1), atol=0.005)
    assert torch.allclose(torch.cov(a), torch.cov(b), atol=0.0006)
    flat = nst.compute_style_grams(vgg, torch.full((1, 3, 64, 64), 0.25), layers=TAPS, size=64)
    assert torch.allclose(begun(vgg, flat, clouds(1, 32, 32), "style-noise"), torch.tensor(0.25), atol=1e-4)


def test_noise_has_the_colours_of_the_masked_part(vgg):
    style, mask = torch.zeros(1, 3, 64, 64), torch.zeros(64, 64)
    style[:, 0, :, :32], mask[:, :32] = 1.0, 1.0
    grams = nst.compute_style_grams(vgg, style, layers=TAPS, size=64, mask=mask)
    mean = begun(vgg, grams, clouds(1, 32, 32), "style-noise").mean((0, 2, 3))
    assert torch.allclose(mean, torch.tensor([1.0, 0.0, 0.0]), atol=0.01)


def test_content_is_mixed_into_the_start(vgg, small):
    content = clouds(1, 48, 64)
    noise = begun(vgg, small, content, "noise")
    half = nst.stylize(vgg, content, small, layers=LAYERS, start="noise", start_mix=0.25, steps=0).image
    inside = (noise > 0) & (noise < 1)
    assert torch.allclose(half[inside], (0.75 * noise + 0.25 * content)[inside], atol=1e-6)
    with pytest.raises(nst.NSTError, match=r"start_mix: 1\.5 will not do; give 0 to 1"):
        nst.stylize(vgg, content, small, start_mix=1.5)


def test_the_heaviest_style_begins_and_covers(vgg, small):
    both = nst.compute_style_grams(vgg, clouds(7, 64, 64), layers=TAPS, size=64, weight=3, blend_with=small)
    found = begun(vgg, both, clouds(1, 32, 64), "style")
    assert torch.allclose(found, covering(clouds(7, 64, 64), (32, 64)), atol=1e-6)
    assert torch.equal(covering(clouds(7, 64, 64), (32, 64)), clouds(7, 64, 64)[:, :, 16:48])
