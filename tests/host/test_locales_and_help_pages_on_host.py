"""What a real ComfyUI makes of the words: locales, help pages, search words, and refusals in red."""

from __future__ import annotations

import json

import pytest
from comfyui_found import ROOT
from comfyui_runs import Refused
from host_calls import CANVAS
from live_comfyui import PACK, Server, api_graph, find
from PIL import Image

LANGUAGES = ("en", "zh", "ja", "fr")
DOCS = ROOT / "nodes" / "web" / "docs"


def node_info(server: Server, node: str) -> dict:
    return server.get(f"/object_info/{node}")[node]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_host_gives_its_front_end_our_words(server: Server, language: str) -> None:
    ours = json.loads((ROOT / "locales" / language / "nodeDefs.json").read_text(encoding="utf-8"))
    served = server.get("/i18n")[language]["nodeDefs"]
    assert {node: served[node] for node in ours} == ours


def test_help_pages_and_their_pictures_are_served_where_the_front_end_looks(server: Server) -> None:
    base = f"/extensions/{PACK}/docs/"
    for page in DOCS.rglob("*.md"):
        served = server.get(base + page.relative_to(DOCS).as_posix())
        assert served.decode() == page.read_text(encoding="utf-8")
    for picture in (DOCS / "pictures").iterdir():
        assert server.get(f"{base}pictures/{picture.name}") == picture.read_bytes()


def test_search_words_and_advanced_inputs_reach_the_front_end(server: Server) -> None:
    main = node_info(server, "NeuralStyleTransfer")
    assert main["input"]["optional"]["optimizer"][1]["advanced"] is True
    assert "advanced" not in main["input"]["optional"]["steps"][1]
    if "search_aliases" not in node_info(server, "LoadImage"):
        pytest.skip("this ComfyUI is older than search aliases")
    assert "van gogh" in main["search_aliases"]


def refusal(server: Server, node: str, inputs: dict, without: tuple[str, ...] = ()) -> list[dict]:
    graph = api_graph("quickstart")
    graph[find(graph, node)]["inputs"] |= inputs
    for name in without:
        del graph[find(graph, node)]["inputs"][name]
    with pytest.raises(Refused) as refused:
        server.start(graph)
    assert refused.value.status == 400
    return refused.value.body["node_errors"][find(graph, node)]["errors"]


@pytest.mark.parametrize(
    ("node", "inputs", "says"),
    [
        ("NeuralStyleTransfer", {"size": 7}, "size: 7 pixels are too few for"),
        ("NeuralStyleTransfer", {"size": -2}, "size: -2 will not do; give 0 to 16384"),
        ("NeuralStyleTransfer", {"size": 16385}, "size: 16385 will not do"),
        ("NeuralStyleTransfer", {"recipe": "van-gogh"}, "recipe: 'van-gogh' is not one of balanced, classic"),
        ("ComputeStyleGrams", {"size": 3}, "size: 3 pixels are too few to measure a style"),
        ("ComputeStyleGrams", {"size": -1}, "size: -1 will not do; give 0 to 16384"),
    ],
)
def test_what_widgets_alone_tell_is_refused_in_red(server: Server, node: str, inputs: dict, says: str) -> None:
    errors = refusal(server, node, inputs)
    [name] = inputs
    red = [e["extra_info"]["input_name"] for e in errors]  # what the front end draws so
    assert name in red and set(red) <= {"size", "recipe"}
    assert all(says in e["details"] for e in errors)


@pytest.mark.parametrize(
    ("inputs", "without", "type"),
    [
        ({"size": "large"}, (), "invalid_input_type"),
        ({}, ("recipe",), "required_input_missing"),
        ({"layer_weights": ["1", 0]}, (), "return_type_mismatch"),
        ({"steps": -2}, (), "value_smaller_than_min"),
    ],
)
def test_the_hosts_own_checks_are_still_made(server: Server, inputs: dict, without: tuple, type: str) -> None:
    assert [e["type"] for e in refusal(server, "NeuralStyleTransfer", inputs, without)] == [type]


def test_other_layers_may_go_with_any_size(server: Server) -> None:
    graph = api_graph("quickstart", size=8, steps=1)
    choice = {"preset": "custom", "relu1_1": 1, "relu2_1": 0, "relu3_1": 0, "relu4_1": 0, "relu5_1": 0}
    graph["layers"] = {
        "class_type": "LayerWeights",
        "inputs": {**choice, "style_layers": "", "content_layers": "relu1_2"},
    }
    transfer = graph[find(graph, "NeuralStyleTransfer")]["inputs"]
    transfer["layer_weights"] = ["layers", 0]
    run = server.run(graph)
    assert run.pictures(find(graph, "SaveImage"))[0].size[0] == 8


def test_the_empty_mask_of_load_image_is_no_mask(server: Server) -> None:
    graph = api_graph("quickstart", size=48, steps=1)
    plain = server.run(graph).pictures(find(graph, "SaveImage"))[0]
    name = server.upload("nothing-painted.png", Image.new("RGB", (96, 64), "grey"))
    graph["photo"] = {"class_type": "LoadImage", "inputs": {"image": name}}
    graph[find(graph, "NeuralStyleTransfer")]["inputs"]["protect_mask"] = ["photo", 1]
    graph[find(graph, "ComputeStyleGrams")]["inputs"] |= {"style_mask": ["photo", 1], "region_mask": ["photo", 1]}
    mark = server.log_mark()
    run = server.start(graph, CANVAS).finish()
    masked = run.pictures(find(graph, "SaveImage"))[0]
    assert masked.tobytes() == plain.tobytes()
    for name in ("protect_mask", "style_mask", "region_mask"):
        assert f"{name}: the mask is empty" in server.log(mark)
    for node, name in (("NeuralStyleTransfer", "protect_mask"), ("ComputeStyleGrams", "style_mask")):
        last = [event.data["text"] for event in run.of("text") if event.data["node"] == find(graph, node)][-1]
        assert last.startswith("Done: ") and f"{name}: the mask is empty" in last  # on the canvas as well
