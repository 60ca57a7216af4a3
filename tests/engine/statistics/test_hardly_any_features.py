"""The statistics that compare features themselves (`nearest`, `remd`): what they are given that is hardly anything."""

from __future__ import annotations

import pytest
import torch
from pictures import clouds

import nst_engine as nst

SHAPE = (48, 64)
METHODS = ("nearest", "remd")
# Small layers will do, and the first two levels of 64 pixels and more are one.
FEW = nst.LayerWeights(style={"relu1_1": 1, "relu3_1": 1}, content={"relu3_1": 1})


def stylise(vgg, content, grams, statistic, **options):
    recipe = "nnst" if statistic == "nearest" else "strotss"
    return nst.stylize(vgg, content, grams, recipe=recipe, layers=FEW, steps=2, **options)


@pytest.fixture(scope="module")
def pictures():
    return clouds(1, *SHAPE), clouds(2, *SHAPE)


@pytest.mark.parametrize("statistic", METHODS)
@pytest.mark.parametrize("flat", ["content", "style", "both"])
def test_pictures_of_one_colour_come_out_finite(vgg, pictures, statistic, flat):
    content, style = (
        torch.full((1, 3, *SHAPE), 0.4) if flat in (which, "both") else picture
        for which, picture in zip(("content", "style"), pictures, strict=True)
    )
    result = stylise(vgg, content, nst.compute_style_grams(vgg, style, layers=FEW.style), statistic)
    assert torch.isfinite(result.image).all()


@pytest.mark.parametrize("statistic", METHODS)
def test_a_style_smaller_than_a_patch_is_refused(vgg, pictures, statistic):
    """In all sizes that it has to be measured at."""
    thin = nst.compute_style_grams(vgg, clouds(2, 3, 64), layers=FEW.style)
    with pytest.raises(nst.NSTError, match=r"style of style image: 64×3 pixels are too few for relu3_1, which needs"):
        stylise(vgg, pictures[0], thin, statistic)


@pytest.mark.parametrize("statistic", METHODS)
def test_a_content_too_small_to_sample_is_refused(vgg, statistic):
    grams = nst.compute_style_grams(vgg, clouds(2, 48, 48), layers=FEW.style)
    with pytest.raises(nst.NSTError, match=r"size: .*64×3 pixels are too few for relu3_1"):
        stylise(vgg, clouds(1, 3, 64), grams, statistic)
    smallest = stylise(vgg, clouds(1, 4, 4), grams, statistic)  # one position of relu3_1, sixteen pixels
    assert torch.isfinite(smallest.image).all()


@pytest.mark.parametrize("place", ["mask", "region"])
def test_of_a_mask_a_handful_of_positions_is_left(vgg, pictures, place):
    """Enough for what replaces feature by feature; too few to be compared as a cloud."""
    content, style = pictures
    few = torch.zeros(SHAPE)
    few[9:11, 9:12] = 1
    grams = nst.compute_style_grams(vgg, style, layers=FEW.style, **{place: few})
    assert torch.isfinite(stylise(vgg, content, grams, "nearest").image).all()
    with pytest.raises(nst.NSTError, match=rf"{place} of style image: .*Paint a larger part, or give"):
        stylise(vgg, content, grams, "remd")


@pytest.mark.parametrize("statistic", METHODS)
@pytest.mark.parametrize("place", ["mask", "region"])
def test_a_mask_of_which_inside_leaves_nothing_is_refused(vgg, pictures, statistic, place):
    content, style = pictures
    few = torch.zeros(SHAPE)
    few[9:11, 9:12] = 1
    grams = nst.compute_style_grams(vgg, style, layers={"relu3_1": 1.0}, **{place: few}, mask_mode="inside")
    layers = nst.LayerWeights(style={"relu3_1": 1}, content={"relu3_1": 1})
    with pytest.raises(nst.NSTError, match=r"too small for .*mask mode simple would do|too small for .*mode simple"):
        nst.stylize(vgg, content, grams, statistic=statistic, layers=layers, steps=1)


@pytest.mark.parametrize("statistic", METHODS)
def test_a_saved_style_has_no_pixels_to_look_at(vgg, pictures, statistic, tmp_path):
    content, style = pictures
    nst.compute_style_grams(vgg, style, layers=FEW.style, size=64).save(tmp_path / "style.safetensors")
    loaded = nst.StyleGrams.load(tmp_path / "style.safetensors")
    with pytest.raises(nst.NSTError, match=r"grams: style was loaded from a file.*need the style picture"):
        stylise(vgg, content, loaded, statistic)


@pytest.mark.parametrize("statistic", METHODS)
def test_what_inside_comes_to_is_said(vgg, pictures, statistic):
    content, style = pictures
    half = torch.zeros(SHAPE)
    half[:, :40] = 1
    grams = nst.compute_style_grams(vgg, style, layers=FEW.style, mask=half, mask_mode="inside")
    [note] = stylise(vgg, content, grams, statistic).notes
    assert note.startswith(f"mask_mode: with the statistic {statistic!r}, inside goes ")
    assert note.endswith("(style image)")
    assert not stylise(vgg, content, nst.compute_style_grams(vgg, style, layers=FEW.style), statistic).notes
