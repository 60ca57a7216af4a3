"""Pictures too small for a layer: refused with a size that will do, which does."""

from __future__ import annotations

import re

import pytest
import torch
from pictures import clouds
from short_runs import run

import nst_engine as nst


@pytest.mark.parametrize(
    ("shape", "says"),
    [
        ((0, 3, 64, 64), "the batch is empty"),
        ((1, 2, 64, 64), "2 channels"),
        ((1, 3, 64, 0), "holds nothing"),
        ((3, 64, 64), "expected a batch"),
        ((1, 3, 1, 200), r"200×1 pixels are too few for relu\d_1, which needs at least \d+ on each side"),
        ((1, 3, 200, 15), r"15×200 pixels are too few for relu5_1, which needs at least 16 on each side"),
    ],
)
def test_pictures_that_cannot_be_used(vgg, grams, shape, says):
    with pytest.raises(nst.NSTError, match=says):
        run(vgg, torch.rand(shape), grams, recipe="classic")
    with pytest.raises(nst.NSTError, match=says):
        nst.compute_style_grams(vgg, torch.rand(shape), recipe="classic", size=max(shape))


def test_reflection_needs_a_second_row(style):
    vgg = nst.load_vgg("vgg19-caffe", padding="reflect", precision="fp32", device="cpu")
    grams = nst.compute_style_grams(vgg, style)
    with pytest.raises(nst.NSTError, match="relu5_1, which needs at least 32"):
        run(vgg, clouds(1, 20, 64), grams, recipe="classic")
    assert run(vgg, clouds(1, 32, 64), nst.compute_style_grams(vgg, clouds(2, 64, 64)), recipe="classic").image.shape[
        -2:
    ] == (32, 64)


def test_a_single_row_will_do_for_a_shallow_layer(vgg):
    layers = nst.LayerWeights(style={"relu1_1": 1.0}, content={"conv1_2": 1.0})
    grams = nst.compute_style_grams(vgg, clouds(2, 40, 40), layers=layers.style)
    assert run(vgg, clouds(1, 1, 40), grams, layers=layers).image.shape == (1, 3, 1, 40)


@pytest.mark.parametrize("own", [(1, 500), (1, 5000), (30, 1200), (5, 40)])
@pytest.mark.parametrize("options", [{}, {"scales": 4}, {"recipe": "gatys2017"}, {"size": 64}])
def test_what_is_advised_for_a_narrow_picture_is_accepted(vgg, own, options):
    """Followed word by word, whatever it is: a size, fewer levels, other layers."""
    grams = nst.compute_style_grams(vgg, clouds(2, 128, 128), size=128, layers={"relu1_1": 1.0})

    def made(**changed):
        """As far as the first step, at the coarsest level."""
        given = {"steps": 8, "size": 0, "on_step": lambda _: nst.STOP, **options, **changed}
        return nst.stylize(vgg, torch.rand(1, 3, *own), grams, **given).image

    try:
        made()
        return
    except nst.NSTError as error:
        said = str(error)
    assert said.startswith("size: ")
    size, tap = re.search(r"A size of (\d+) ", said), re.search(r"layers no deeper than (\w+)", said)
    assert (size is not None) == (16 * own[1] / own[0] <= 16384)
    if size is not None:
        scales = {"scales": 1} if f"{size[1]} (the long side) with scales 1 would do" in said else {}
        assert made(size=int(size[1]), **scales).shape[3] == int(size[1])
    else:
        assert "crop it" in said
    made(layers=nst.LayerWeights(style={tap[1]: 1.0}, content={tap[1]: 1.0}))
    if "fewer scales" in said:
        made(scales=1)


def test_a_style_is_told_the_size_at_which_all_levels_see_it(vgg):
    def made(style):
        return nst.stylize(vgg, clouds(1, 64, 64), style, steps=8, scales=4, on_step=lambda _: nst.STOP)

    narrow = clouds(2, 8, 60)
    with pytest.raises(
        nst.NSTError, match=r"^style of style image: the smallest level, .*: 21×3 pixels are too few.* A size of (\d+)"
    ) as told:
        made(nst.compute_style_grams(vgg, narrow, size=60, layers={"relu1_1": 1.0}))
    size = int(re.search(r"A size of (\d+)", str(told.value))[1])
    made(nst.compute_style_grams(vgg, narrow, size=size))
