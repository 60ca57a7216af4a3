"""What does not belong in an input of a node, and what the input is called in errors."""

from __future__ import annotations

import inspect
import json
import re
from typing import Any

import pytest
import torch
from node_calls import call, transfer

WIRES = ("IMAGE", "MASK", "VGG_FEATURES", "STYLE_GRAMS", "LAYER_WEIGHTS", "NST_METHOD", "LOSS_HISTORY")


def wired_inputs(pack) -> list[tuple[str, str]]:
    return [
        (node, name)
        for node, kind in pack.NODE_CLASS_MAPPINGS.items()
        for part in ("required", "optional")
        for name, (taken, *_) in kind.INPUT_TYPES().get(part, {}).items()
        if taken in WIRES
    ]


def right_values(pack, vgg, content, grams) -> dict[str, Any]:
    plain = {"steps": 1, "optimizer": "adam"}
    history = call(pack, "NSTReconstructLayer", vgg=vgg, image=content[:, :16, :16], steps=0, size=16)[1]
    return {
        "IMAGE": content,
        "MASK": torch.ones(1, 40, 56),
        "VGG_FEATURES": vgg,
        "STYLE_GRAMS": grams,
        "LAYER_WEIGHTS": call(pack, "LayerWeights")[0],
        "NST_METHOD": call(pack, "NSTMethod", statistic="gram", tv_kind="l2", normalise_gradients="off")[0],
        "LOSS_HISTORY": history,
        **plain,
    }


@pytest.mark.parametrize("wrong", [5, "a text", True, [1, 2], None, torch.ones(3), {"a": 1}], ids=repr)
def test_what_is_no_output_of_a_node_is_refused_by_the_name_of_the_input(pack, vgg, content, grams, wrong):
    right = right_values(pack, vgg, content, grams)
    tables = {node: kind.INPUT_TYPES() for node, kind in pack.NODE_CLASS_MAPPINGS.items()}
    for node, name in wired_inputs(pack):
        known = {**tables[node]["required"], **tables[node].get("optional", {})}
        if wrong is None and name not in tables[node]["required"]:
            continue  # not connected
        if isinstance(wrong, torch.Tensor) and known[name][0] == "MASK":
            continue  # of what shape a mask must be, the engine says
        inputs = {n: right[taken] for n, (taken, *_) in known.items() if taken in WIRES}
        inputs |= {"style": "none"} if node == "LoadStyleGrams" else {}
        with pytest.raises(
            pack.nst_engine.NSTError, match=rf"^{name}: takes {known[name][0]} from another node"
        ) as told:
            call(pack, node, **{**inputs, name: wrong})
        assert "connect an output of that type" in str(told.value)


@pytest.mark.parametrize(
    ("node", "name", "wrong"),
    [
        ("NeuralStyleTransfer", "steps", "ten"),
        ("NeuralStyleTransfer", "recipe", 5),
        ("NeuralStyleTransfer", "recipe", None),
        ("NSTShowFeatures", "layer", 3),
        ("ComputeStyleGrams", "weight", "heavy"),
    ],
)
def test_what_comes_by_wire_into_a_widget_is_refused_by_its_name(pack, vgg, content, grams, node, name, wrong):
    right = right_values(pack, vgg, content, grams)
    table = pack.NODE_CLASS_MAPPINGS[node].INPUT_TYPES()["required"]
    inputs = {n: right[taken] for n, (taken, *_) in table.items() if isinstance(taken, str) and taken in WIRES}
    with pytest.raises(pack.nst_engine.NSTError, match=rf"^{name}: takes .*, and was given {wrong!r}"):
        call(pack, node, **{**inputs, name: wrong})


@pytest.mark.parametrize(
    ("node", "values"),
    [
        ("NeuralStyleTransfer", {"learning_rate": -0.5}),
        ("NeuralStyleTransfer", {"learning_rate": 0.0}),
        ("NeuralStyleTransfer", {"learning_rate": float("nan")}),
        ("NeuralStyleTransfer", {"learning_rate": 101.0}),
        ("NeuralStyleTransfer", {"tv_weight": -0.5}),
        ("NeuralStyleTransfer", {"scales": 0}),
        ("NeuralStyleTransfer", {"scales": 21}),
        ("NeuralStyleTransfer", {"scales": 10**400}),
        ("NSTSynthesizeTexture", {"tv_weight": -1.5}),
        ("NSTSynthesizeTexture", {"scales": -2}),
        ("NSTMethod", {"averaging": -0.5}),
        ("NSTMethod", {"averaging": 1.0}),
    ],
)
def test_numbers_that_cannot_be_are_refused_before_anything_runs(pack, node, values):
    """By the host itself, which compares them in this way where a node has no check of its own."""
    kind = pack.NODE_CLASS_MAPPINGS[node]
    table = kind.INPUT_TYPES()
    [name] = values
    type_of_input, options = {**table["required"], **table.get("optional", {})}[name]
    least, most = options["min"], options["max"]
    check = getattr(kind, "VALIDATE_INPUTS", None)
    assert check is None or name not in inspect.getfullargspec(check).args
    assert values[name] < least or values[name] > most
    kept = {"learning_rate": 0.001, "tv_weight": 0.0, "averaging": 0.0, "scales": 1}[name]
    for fine in (-1, kept, most):
        value = int(fine) if type_of_input == "INT" else float(fine)
        assert not value < least and not value > most
    assert json.loads(json.dumps(least)) == -1  # what a canvas is told
    assert str(least).endswith(" (or -1 for auto)") and f"{least}" == str(least)  # what the host says


def test_errors_call_the_inputs_of_a_node_by_their_names(pack, vgg, content, style, grams):
    error = pack.nst_engine.NSTError
    far, narrow = content * 1e30, content[:, :1]
    deep = {"layer_weights": pack.nst_engine.LayerWeights(style={"relu5_1": 1.0})}
    two = torch.cat([content, content])
    cases = [
        ("NSTMatchColours", r"^image: .* far outside of 0\.\.1, as far as", {"image": far, "reference": style}),
        ("NSTMatchColours", r"^reference: a batch of 2 for 1 picture; give 1\.", {"image": style, "reference": two}),
        ("NSTShowFeatures", "^image: ", {"vgg": vgg, "image": far}),
        ("NSTShowFeatures", "^size: 56×1 pixels are too few", {"vgg": vgg, "image": narrow, "layer": "relu5_1"}),
        ("NSTReconstructLayer", "^size: 256×5 pixels are too few", {"vgg": vgg, "image": narrow, "layer": "relu5_1"}),
        ("ComputeStyleGrams", "^style_image: ", {"vgg": vgg, "style_image": far}),
        ("ComputeStyleGrams", "^style_image of style image: 512×9", {"vgg": vgg, "style_image": narrow, **deep}),
        ("ComputeStyleGrams", "^style_mask: ", {"vgg": vgg, "style_image": style, "style_mask": torch.ones(8, 30)}),
        (
            "ComputeStyleGrams",
            "^region_mask: ",
            {"vgg": vgg, "style_image": style, "region_mask": torch.full((8, 8), 2.0)},
        ),
    ]
    for node, says, inputs in cases:
        with pytest.raises(error, match=says):
            call(pack, node, **inputs)
    for says, inputs in (
        ("^content_image: .* far outside", {"content_image": far}),
        ("^start_image: a batch of 2 for 1 content picture; give 1", {"start_image": two}),
        ("^protect_mask: ", {"protect_mask": torch.ones(8, 30)}),
        ("^tile: .* Leave tile at its default", {"tile": 64, "method": call(pack, "NSTMethod", statistic="sliced")[0]}),
        ("^content_weight, style_weight, tv_weight: ", {"content_weight": 0.0, "style_weight": 0.0, "tv_weight": 0.0}),
    ):
        given = {
            "vgg": vgg,
            "content_image": content,
            "style_grams": grams,
            "recipe": "balanced",
            "steps": 1,
            "size": 0,
        }
        with pytest.raises(error, match=says):
            call(pack, "NeuralStyleTransfer", **{**given, **inputs})
    with pytest.raises(error, match=r"^width and height: "):
        call(pack, "NSTSynthesizeTexture", vgg=vgg, style_grams=grams, width=16, height=2, steps=1, seamless=False)
    with pytest.raises(error, match=r"^style_layers: '=1' names no layer"):
        call(pack, "LayerWeights", style_layers="=1, =2")


def test_the_size_that_is_advised_in_a_node_is_accepted_there(pack, vgg, content):
    narrow = content[:, :2]
    for node, name, inputs in (
        ("NSTReconstructLayer", "size", {"image": narrow, "layer": "relu3_1", "steps": 0, "size": 32}),
        ("ComputeStyleGrams", "size", {"style_image": narrow, "size": 32}),
    ):
        with pytest.raises(pack.nst_engine.NSTError) as told:
            call(pack, node, vgg=vgg, **inputs)
        size = int(re.search(r"A size of (\d+)", str(told.value))[1])
        call(pack, node, vgg=vgg, **{**inputs, name: size})
    with pytest.raises(pack.nst_engine.NSTError, match="no deeper than relu2_2") as told:
        call(pack, "NSTShowFeatures", vgg=vgg, image=narrow, layer="relu5_1")
    assert "A size of" not in str(told.value)  # which would only make it smaller
    call(pack, "NSTShowFeatures", vgg=vgg, image=narrow, layer="relu2_2")


def test_masks_of_a_batch_are_one_for_each_picture(pack, vgg, content, grams):
    masks = torch.zeros(2, 40, 56)
    masks[0, :, :28], masks[1, :, 28:] = 1, 1
    both, _ = transfer(pack, vgg, torch.cat([content, content]), grams, protect_mask=masks)
    for i in range(2):
        assert torch.equal(both[i : i + 1], transfer(pack, vgg, content, grams, protect_mask=masks[i])[0])
