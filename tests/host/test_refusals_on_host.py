"""What a running ComfyUI says of graphs that will not do."""

from __future__ import annotations

import re

import pytest
from comfyui_runs import Graph
from host_calls import refusal
from live_comfyui import Server, api_graph, find


@pytest.mark.every_host
@pytest.mark.parametrize(
    ("node", "input", "value", "type"),
    [
        ("NeuralStyleTransfer", "recipe", None, "required_input_missing"),
        ("NeuralStyleTransfer", "keep_colours", "van-gogh", "value_not_in_list"),
        ("NeuralStyleTransfer", "steps", -2, "value_smaller_than_min"),
        ("NeuralStyleTransfer", "size", "large", "invalid_input_type"),
        ("NeuralStyleTransfer", "style_grams", ["1", 0], "return_type_mismatch"),
        ("ComputeStyleGrams", "vgg", None, "required_input_missing"),
    ],
)
def test_a_bad_input_is_refused_by_name(server: Server, node: str, input: str, value: object, type: str) -> None:
    graph = api_graph("quickstart")
    inputs = graph[find(graph, node)]["inputs"]
    if value is None:
        del inputs[input]
    else:
        inputs[input] = value
    errors = refusal(server, graph)["node_errors"][find(graph, node)]["errors"]
    assert [(e["type"], e["extra_info"]["input_name"]) for e in errors] == [(type, input)]


def test_an_unknown_node_is_refused_by_name(server: Server) -> None:
    graph = api_graph("quickstart")
    graph[find(graph, "NeuralStyleTransfer")]["class_type"] = "NeuralStyleTransfre"
    assert "NeuralStyleTransfre" in str(refusal(server, graph)["error"])  # in its message or beside it


def failure(server: Server, graph: Graph) -> dict:
    run = server.start(graph).finish()
    assert run.ending == "execution_error"
    return run.events[-1].data


def test_an_unknown_layer_is_an_error_that_names_the_nearest(server: Server) -> None:
    graph = api_graph("quickstart")
    sliders = {f"relu{i}_1": 1.0 for i in range(1, 6)}
    graph["layers"] = {
        "class_type": "LayerWeights",
        "inputs": {"preset": "custom", **sliders, "style_layers": "relu3_9=0.5", "content_layers": ""},
    }
    graph[find(graph, "NeuralStyleTransfer")]["inputs"]["layer_weights"] = ["layers", 0]
    error = failure(server, graph)
    assert error["node_id"] == "layers" and error["node_type"] == "LayerWeights"
    message = error["exception_message"]
    assert "style_layers" in message and "'relu3_9'" in message and "relu3_" in message.split("nearest:")[1]


def test_two_networks_in_one_transfer_are_an_error_that_names_both(server: Server) -> None:
    graph = api_graph("quickstart")
    vgg = graph[find(graph, "LoadVGGFeatures")]
    graph["other"] = {**vgg, "inputs": {**vgg["inputs"], "pooling": "average"}}
    graph[find(graph, "NeuralStyleTransfer")]["inputs"]["vgg"] = ["other", 0]
    message = failure(server, graph)["exception_message"]
    assert "pooling recipe" in message and "pooling average" in message and "Load" in message


def test_a_picture_that_is_too_small_is_an_error_that_says_so(server: Server) -> None:
    error = failure(server, api_graph("quickstart", size=8))
    assert error["node_type"] == "NeuralStyleTransfer"
    said = "pixels are too few for relu4_2, which needs at least 8 on each side. A size of 12 (the long side) would do"
    assert re.search(r"8×\d|\d×8", error["exception_message"]) and said in error["exception_message"]


@pytest.mark.parametrize("wrong", [5, "a text", True, None, {"__value__": [1, 2]}], ids=repr)
def test_a_value_where_a_wire_belongs_is_answered_by_the_inputs_name(server: Server, wrong: object) -> None:
    def said(node: str, lost: str, **inputs: object) -> str:
        graph = {
            "example": {"class_type": "NSTExampleImage", "inputs": {"name": "style-strokes"}},
            "node": {"class_type": node, "inputs": {**inputs, lost: wrong}},
            "save": {"class_type": "PreviewImage", "inputs": {"images": ["node", 0]}},
        }
        run = server.start(graph).finish()
        assert run.ending == "execution_error"
        return run.events[-1].data["exception_message"]

    layer = {"layer": "relu1_1", "order": "strongest", "recipe": "balanced", "image": ["example", 0]}
    picture = {"reference": ["example", 0], "method": "lab", "strength": 1.0}
    for node, lost, inputs in (
        ("NSTShowFeatures", "vgg", {**layer, "maps": 1, "size": 64}),
        ("NSTMatchColours", "image", picture),
        ("NSTPlotLossHistory", "loss_history", {"width": 200, "height": 200}),
    ):
        assert said(node, lost, **inputs).startswith(f"{lost}: takes ")


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("learning_rate", -0.5, "Value -0.5 smaller than min of 1e-30 (or -1 for auto)"),
        ("tv_weight", -0.5, "Value -0.5 smaller than min of 0 (or -1 for auto)"),
        ("scales", 0, "Value 0 smaller than min of 1 (or -1 for auto)"),
        ("scales", 21, "Value 21 bigger than max of 20"),
    ],
)
def test_a_number_between_the_recipes_mark_and_the_least_is_refused_at_once(
    server: Server, name: str, value: float, says: str
) -> None:
    graph = api_graph("quickstart")
    graph[find(graph, "NeuralStyleTransfer")]["inputs"][name] = value
    [error] = refusal(server, graph)["node_errors"][find(graph, "NeuralStyleTransfer")]["errors"]  # one red input
    assert (error["message"], error["extra_info"]["input_name"]) == (says, name)
