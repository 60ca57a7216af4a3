"""The average over the last pictures of a run."""

from __future__ import annotations

import itertools

import pytest
import torch
from pictures import clouds

import nst_engine as nst


def test_the_average_is_the_mean_of_the_last_pictures(vgg, content):
    """persson's rate stays the same, so a run of n steps ends where a longer one was after n."""
    grams = nst.compute_style_grams(vgg, clouds(2, 48, 64), recipe="persson")
    options = {"recipe": "persson", "size": 0, "learning_rate": 0.02}
    single = [nst.stylize(vgg, content, grams, steps=n, **options).image for n in range(1, 6)]
    averaged = nst.stylize(vgg, content, grams, steps=5, averaging=0.9, **options)
    assert torch.allclose(averaged.image, torch.stack(single).mean(0), atol=1e-5)
    short = nst.stylize(vgg, content, grams, steps=5, averaging=0.5, **options).image
    expected = single[0]
    for n, image in enumerate(single[1:], 2):
        expected = torch.lerp(expected, image, max(0.5, 1 / n))
    assert torch.allclose(short, expected, atol=1e-5)


def test_the_average_is_shown_and_carried_through_the_levels(vgg, content, grams):
    shown = []
    options = {"recipe": "classic", "steps": 8, "scales": 2}
    result = nst.stylize(vgg, content, grams, on_step=lambda p: shown.append(p.image), averaging=0.9, **options)
    assert len(result.settings["levels"]) == 2
    plain = nst.stylize(vgg, content, grams, **options).image
    assert not torch.allclose(result.image, plain, atol=1e-3)
    steps = [float((a - b).abs().mean()) for a, b in itertools.pairwise(shown[5:])]
    assert max(steps) < 0.02, "from step to step it moves little"
    with pytest.raises(nst.NSTError, match=r"averaging: 1\.0 will not do"):
        nst.stylize(vgg, content, grams, averaging=1.0)
