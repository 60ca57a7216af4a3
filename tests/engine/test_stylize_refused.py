"""What `stylize` refuses, by name: settings, styles and pixels that will not do."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch
from short_runs import run

import nst_engine as nst
from nst_engine.layers import parse_layers
from nst_engine.recipes import VOCABULARY


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_pixels_that_are_no_numbers(vgg, content, grams, value):
    bad = content.clone()
    bad[0, 1, 3, 4] = value
    with pytest.raises(nst.NSTError, match="content: 1 of 6,300 pixels are NaN or infinite"):
        run(vgg, bad, grams)
    with pytest.raises(nst.NSTError, match="style: 1 of"):
        nst.compute_style_grams(vgg, bad)


def test_whole_numbers_are_bytes_or_refused(vgg, content, grams):
    as_bytes = (content * 255).round().to(torch.uint8)
    assert (run(vgg, as_bytes, grams, steps=0).image - content).abs().max() < 0.003
    with pytest.raises(nst.NSTError, match=r"pixels of type torch.int64"):
        run(vgg, as_bytes.long(), grams)


def test_alpha_must_be_numbers(vgg, content, grams):
    alpha = torch.full((1, 1, 70, 90), float("nan"))
    with pytest.raises(nst.NSTError, match="NaN or infinite"):
        run(vgg, torch.cat([content, alpha], 1), grams)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"recipe": "balance"}, "Did you mean 'balanced'"),
        ({"steps": -2}, "steps: -2"),
        ({"optimizer": "sgd"}, "optimizer: 'sgd' is not one of adam, lbfgs"),
        ({"learning_rate": 0.0}, "learning_rate: 0.0"),
        ({"content_weight": -1.0}, "content_weight: -1.0"),
        ({"style_weight": float("nan")}, "style_weight: nan"),
        ({"start": "black"}, "start: 'black' is not one of"),
        ({"start": "image"}, "needs a start image"),
        ({"size": -5}, "size: -5"),
        ({"scales": 0}, "scales: 0"),
        ({"scales": 9}, r"smallest level, 0.062 of the final size: 6×4 pixels .* size of 1\d\d .*fewer scales"),
        ({"scales": 21}, "give 1 to 20"),
        ({"size": 10**7}, "up to 16384"),
        ({"seed": 2**64}, "seed: 18446744073709551616"),
        ({"seed": 1.5}, "seed: 1.5"),
        ({"learning_rate": 1e38}, "learning_rate: 1e"),
        ({"content_weight": 0.0, "style_weight": 0.0, "tv_weight": 0.0}, "^content_weight, style_weight, tv_weight: "),
        ({"recipe": "nnst", "style_weight": 0.0}, "^style_weight, tv_weight: "),
        ({"steps": 0, "layers": nst.LayerWeights(style={"xx": 1.0})}, "no layer 'xx'"),
        ({"layers": nst.LayerWeights(style={"relu1_1": -1.0})}, "the weight -1 of relu1_1"),
        ({"layers": nst.LayerWeights(style={"relu1_1": 0.0})}, "every weight is 0"),
        ({"layers": nst.LayerWeights(style={"relu9_1": 1.0})}, "no layer 'relu9_1'"),
        ({"layers": nst.LayerWeights(content={"relu42": 1.0})}, "layers.content: vgg19 has no layer 'relu42'"),
        ({"start_image": torch.rand(3, 3, 8, 8)}, "a batch of 3 for 1 content picture; give 1"),
    ],
)
def test_settings_that_cannot_be_used(vgg, content, grams, options, says):
    with pytest.raises(nst.NSTError, match=says):
        run(vgg, content, grams, **options)


def test_a_style_of_another_network_is_refused_with_both_names(content, grams):
    other = nst.load_vgg("vgg19-caffe", pooling="average", device="cpu")
    with pytest.raises(nst.NSTError, match=r"pooling recipe.*but the transfer uses.*pooling average"):
        run(other, content, grams)
    with pytest.raises(nst.NSTError, match="the two to be blended come from different networks"):
        nst.compute_style_grams(other, content, blend_with=grams)


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_a_loss_that_stops_being_a_number(vgg, content, grams, optimizer):
    with pytest.raises(nst.NSTError, match=r"at step \d+ of 40 .*What helps: .*learning rate below 1e\+30"):
        run(vgg, content, grams, optimizer=optimizer, recipe="udacity", learning_rate=1e30, steps=40)


@pytest.mark.parametrize("name", VOCABULARY)
def test_a_word_that_a_recipe_of_ones_own_has_wrong_is_named(vgg, content, grams, name):
    own = replace(nst.RECIPES["balanced"], **{name: "unheard-of"})
    says = f"^recipe: {name} 'unheard-of' is not one of "
    with pytest.raises(nst.NSTError, match=says):
        nst.stylize(vgg, content, grams, recipe=own, steps=1)
    with pytest.raises(nst.NSTError, match=says):
        nst.compute_style_grams(vgg, content, recipe=own)
    with pytest.raises(nst.NSTError, match=says):
        nst.memory_needed(vgg, (64, 64), own)


@pytest.mark.parametrize("value", [1e30, -1e6])
def test_pixels_far_from_any_picture_are_named(vgg, content, grams, value):
    wrong = content.clone()
    wrong[..., 3, 4] = value
    says = f"content: 1 of 6,300 pixels are far outside of 0..1, as far as {value:g}"
    with pytest.raises(nst.NSTError, match=re.escape(says)):
        nst.stylize(vgg, wrong, grams, steps=1)
    with pytest.raises(nst.NSTError, match=r"^start_image: 1 of"):
        nst.stylize(vgg, content, grams, steps=1, start_image=wrong)
    with pytest.raises(nst.NSTError, match=r"^style: 1 of"):
        nst.compute_style_grams(vgg, wrong)


def test_a_batch_of_the_wrong_length_is_told_one_right_number(vgg, content, grams):
    two = torch.cat([content, content])
    with pytest.raises(nst.NSTError, match=r"^start_image: a batch of 2 for 1 content picture; give 1\."):
        nst.stylize(vgg, content, grams, steps=1, start_image=two)
    with pytest.raises(nst.NSTError, match=r"^reference: a batch of 2 for 1 picture; give 1\."):
        nst.match_colours(content, two, "lab")


@pytest.mark.parametrize("text", ["=1, =2", "=1", " = "])
def test_a_weight_without_a_layer_is_told_so(text):
    with pytest.raises(nst.NSTError, match=r"^style_layers: '=.*names no layer"):
        parse_layers(text, "style_layers")
