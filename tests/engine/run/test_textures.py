"""Textures: runs without a content."""

from __future__ import annotations

import pytest
import torch
from pictures import clouds
from short_runs import LAYERS, TAPS, texture

import nst_engine as nst


def test_a_texture_of_any_size_comes_nearer_to_the_style(vgg, small):
    result = texture(vgg, small, 90, 150)
    assert result.image.shape == (1, 3, 90, 150)
    assert result.settings["start"] == "style-noise"
    assert result.history[-1].style < 0.2 * result.history[0].style
    assert result.history[-1].content == 0


def test_textures_have_no_content_to_keep(vgg, small):
    for options, says in (
        ({"keep_colours": "lab"}, "keep_colours: a picture made of the style alone"),
        ({"protect": torch.ones(32, 32)}, "protect: a picture made of the style alone"),
        ({"start": "content"}, "start: 'content' needs a content picture"),
        ({"strength": 0.0}, "strength: a picture made of the style alone"),
        ({"shape": None}, "shape: None is not a size"),
        ({"shape": (0, 5)}, r"shape: \(0, 5\) is not a size"),
    ):
        with pytest.raises(nst.NSTError, match=says):
            nst.stylize(vgg, None, small, layers=LAYERS, **{"shape": (32, 32), "steps": 1, **options})


def test_a_texture_of_a_loaded_style_begins_from_noise(vgg, small, tmp_path):
    small.save(tmp_path / "s.safetensors")
    loaded = nst.StyleGrams.load(tmp_path / "s.safetensors")
    assert texture(vgg, loaded, 64, 64, steps=2).settings["start"] == "noise"
    with pytest.raises(nst.NSTError, match="start: 'style-noise' needs the style's picture, and s was loaded"):
        texture(vgg, loaded, 64, 64, steps=2, start="style-noise")


def test_a_texture_can_be_tiled_and_stopped(vgg, small):
    whole, tiled = (texture(vgg, small, 64, 96, steps=3, tile=tile, seamless=True).image for tile in (None, 32))
    assert (whole - tiled).abs().max() < 1e-3
    stopped = texture(vgg, small, 64, 96, steps=9, on_step=lambda p: nst.STOP if p.step == 2 else None)
    assert stopped.settings["stopped_early"] and len(stopped.history) == 2
    assert stopped.image.shape == (1, 3, 64, 96)


def test_styles_that_all_count_nothing_are_refused_by_name(vgg, style):
    nothing = nst.compute_style_grams(vgg, style, layers=TAPS, weight=0, region=torch.ones(64, 64))
    for content, options in (
        (None, {"shape": (64, 64)}),
        (clouds(1, 64, 64), {"start": "style"}),
        (clouds(1, 64, 64), {}),
    ):
        with pytest.raises(nst.NSTError, match="the weights of the styles sum to zero"):
            nst.stylize(vgg, content, nothing, layers=LAYERS, steps=1, **options)


def test_a_texture_has_a_style_everywhere(vgg, style):
    half = torch.zeros(64, 64)
    half[:32] = 1
    one = nst.compute_style_grams(vgg, style, layers=TAPS, size=64, region=half)
    with pytest.raises(nst.NSTError, match="region: a texture has no content for where no style goes"):
        texture(vgg, one, 64, 64)
    both = nst.compute_style_grams(vgg, clouds(3, 64, 64), layers=TAPS, size=64, blend_with=one)
    assert texture(vgg, both, 64, 64, steps=2).image.shape == (1, 3, 64, 64)
    with pytest.raises(nst.NSTError, match="shape: a result with a content has its proportions"):
        nst.stylize(vgg, clouds(1, 64, 64), both, layers=LAYERS, shape=(32, 32))
