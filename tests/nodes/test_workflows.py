"""Every workflow file: what it names exists, and its two forms say the same."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tool_modules import load_tool
from torch import nn

ROOT = Path(__file__).resolve().parents[2]
OFFERED = sorted((ROOT / "workflows").glob("*.json"))  # what the host lists as templates
CANVAS = [*OFFERED, *sorted((ROOT / "workflows" / "more").glob("*.json"))]
API = sorted((ROOT / "workflows" / "api").glob("*.json"))
BLUEPRINT = ROOT / "subgraphs" / "Paint in a Style.json"

# The host's own nodes that templates may use: their sockets, their widgets, and how many outputs they have.
CORE: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "LoadImage": ({}, {"image": "COMBO", "upload": "IMAGEUPLOAD"}),
    "LoadImageDataSetFromFolder": ({}, {"folder": "COMBO"}),
    "ImageCompare": ({"image_a": "IMAGE", "image_b": "IMAGE"}, {}),
    "SaveImage": ({"images": "IMAGE"}, {"filename_prefix": "STRING"}),
    "PreviewImage": ({"images": "IMAGE"}, {}),
    "CreateVideo": ({"images": "IMAGE"}, {"fps": "NUMBER"}),
    "SaveVideo": ({"video": "VIDEO"}, {"filename_prefix": "STRING", "format": "COMBO", "codec": "COMBO"}),
}


MUTED = 2


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def declared(pack, node: str) -> dict[str, tuple[Any, dict[str, Any]]]:
    """Every input of one of our nodes, in the canvas's order."""
    types = pack.NODE_CLASS_MAPPINGS[node].INPUT_TYPES()
    return {**types["required"], **types.get("optional", {})}


def is_widget(kind: Any) -> bool:
    return isinstance(kind, list) or kind in ("INT", "FLOAT", "STRING", "BOOLEAN")


def output_type(pack, node: str, slot: int) -> str:
    core = {"CreateVideo": ("VIDEO",), "LoadImageDataSetFromFolder": ("IMAGE",)}
    return (core.get(node) or pack.NODE_CLASS_MAPPINGS[node].RETURN_TYPES)[slot]


def canvas_inputs(pack, graph: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The graph that a canvas file stands for: widgets by position, links by number."""
    links = {link[0]: link for link in graph["links"]}
    found = {}
    for node in graph["nodes"]:
        if node["type"] in ("MarkdownNote", "Note") or node["mode"] == MUTED:
            continue
        inputs = canvas_widgets(pack, node)
        for slot, socket in enumerate(node["inputs"]):
            if socket["link"] is not None:
                _, source, source_slot, target, target_slot, _ = links[socket["link"]]
                assert (target, target_slot) == (node["id"], slot)
                inputs[socket["name"]] = [str(source), source_slot]
        found[str(node["id"])] = {"class_type": node["type"], "inputs": inputs}
    return found


def canvas_widgets(pack, node: dict[str, Any]) -> dict[str, Any]:
    """The values of a node's widgets, which its file has by position."""
    values = list(node["widgets_values"])
    found: dict[str, Any] = {}
    if node["type"] in CORE:
        found |= {name: values.pop(0) for name in CORE[node["type"]][1]}
    else:
        for name, (kind, options) in declared(pack, node["type"]).items():
            if is_widget(kind):
                found[name] = values.pop(0)
                if options.get("control_after_generate"):
                    assert values.pop(0) == "fixed"
    assert values == [], f"{node['type']} has {len(values)} widget values too many"
    return found


def api_of(path: Path) -> Path | None:
    """The API form of a canvas file; what is offered has a title for a name, and what holds a blueprint has none."""
    name = next((w.name for w in load_tool("templates").TEMPLATES if w.title == path.stem), path.stem)
    return ROOT / "workflows" / "api" / f"{name}.json" if name else None


WITH_API = [path for path in CANVAS if api_of(path)]


def test_every_recipe_of_old_and_every_feature_has_a_workflow():
    names = {path.stem for path in API}
    assert {"quickstart", "balanced", "persson", "udacity", "pytorch-tutorial", "convnet"} <= names
    assert {"save-style", "style-row", "folder", "inside", "regions", "protect", "pooling", "padding"} <= names
    assert {api_of(path).stem for path in WITH_API} == names


def test_a_dozen_templates_at_most_are_offered_and_their_names_read_as_titles():
    names = {path.stem for path in OFFERED}
    assert {"Start here", "Before and after", "Keep a face"} <= names and len(names) <= 12
    assert all(name[0].isupper() and " " in name and "-" not in name for name in names)


def test_the_starter_has_four_nodes_and_three_wires():
    graph = read(ROOT / "workflows" / "Start here.json")
    nodes = [node for node in graph["nodes"] if node["type"] != "MarkdownNote"]
    assert len(nodes) == 4 and len(graph["links"]) == 3
    content, style = (node["widgets_values"][0] for node in nodes if node["type"] == "LoadImage")
    assert content != style
    by_id = {node["id"]: node for node in nodes}
    linear = graph["extra"]["linearData"]
    assert [by_id[i]["type"] for i in linear["outputs"]] == ["SaveImage"]
    for i, widget in linear["inputs"]:
        if by_id[i]["type"] == "LoadImage":
            assert widget == "image"
        else:
            assert widget in [entry["widget"]["name"] for entry in by_id[i]["inputs"] if "widget" in entry]


def everywhere(graph: dict[str, Any]) -> list[dict[str, Any]]:
    """All nodes, those within subgraphs too."""
    subgraphs = graph.get("definitions", {}).get("subgraphs", [])
    return [*graph["nodes"], *(node for inner in subgraphs for node in inner["nodes"])]


@pytest.mark.parametrize("path", [*CANVAS, BLUEPRINT], ids=lambda p: p.stem)
def test_every_node_says_which_pack_it_belongs_to(pack, path):
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for node in everywhere(read(path)):
        pack_id, version = (node["properties"][key] for key in ("cnr_id", "ver"))
        ours = node["type"] in pack.NODE_CLASS_MAPPINGS or len(node["type"]) == 36  # the id of a subgraph
        assert f'name = "{pack_id}"' in project if ours else pack_id == "comfy-core"
        assert f'\nversion = "{version}"' in project or not ours


@pytest.mark.parametrize("path", [p for p in [*CANVAS, BLUEPRINT] if "definitions" in read(p)], ids=lambda p: p.stem)
def test_a_blueprint_is_whole(pack, path):
    graph = read(path)
    numbers = [node["id"] for node in everywhere(graph)]
    assert len(set(numbers)) == len(numbers)
    for inner in graph["definitions"]["subgraphs"]:
        (outside,) = (node for node in graph["nodes"] if node["type"] == inner["id"])
        assert [entry["name"] for entry in outside["inputs"]] == [entry["name"] for entry in inner["inputs"]]
        check_wires_inside(inner)
        # What the node outside shows is what its inside says.
        shown = [entry["widget"]["name"] for entry in outside["inputs"] if "widget" in entry]
        transfer = next(node for node in inner["nodes"] if node["type"] == "NeuralStyleTransfer")
        said = canvas_widgets(pack, transfer)
        assert outside["widgets_values"] == [said[name] for name in shown]


def check_wires_inside(inner: dict[str, Any]) -> None:
    nodes = {node["id"]: node for node in inner["nodes"]}
    for link in inner["links"]:
        number, slot = link["id"], link["target_slot"]
        if link["target_id"] == -20:
            assert inner["outputs"][slot]["linkIds"] == [number]
        else:
            target = nodes[link["target_id"]]["inputs"][slot]
            assert target["link"] == number
        if link["origin_id"] == -10:
            outer = inner["inputs"][link["origin_slot"]]
            assert outer["linkIds"] == [number] and outer["name"] == target["name"] and outer["type"] == target["type"]
        else:
            assert number in nodes[link["origin_id"]]["outputs"][link["origin_slot"]]["links"]


def test_the_blueprint_says_what_it_is_and_by_which_words_it_is_found():
    extra = read(BLUEPRINT)["extra"]
    assert "two pictures" in extra["BlueprintDescription"]
    assert {"style transfer", "painting", "van gogh", "brush strokes"} <= set(extra["BlueprintSearchAliases"])


def test_the_blueprint_takes_as_many_steps_as_its_size_and_its_preset_want(pack):
    (inner,) = read(BLUEPRINT)["definitions"]["subgraphs"]
    transfer = next(node for node in inner["nodes"] if node["type"] == "NeuralStyleTransfer")
    assert canvas_widgets(pack, transfer)["steps"] == -1


@pytest.mark.parametrize("path", WITH_API, ids=lambda p: p.stem)
def test_both_forms_agree(pack, path):
    api = read(api_of(path))
    canvas = canvas_inputs(pack, read(path))
    assert canvas.keys() == api.keys()
    for number, node in canvas.items():
        given = dict(api[number]["inputs"])
        if node["class_type"] == "LoadImage":  # of an example, which the API form takes as it is
            assert api[number]["class_type"] == "NSTExampleImage"
            assert node["inputs"]["image"].removesuffix("-masked.png").removesuffix(".jpg") == f"nst-{given['name']}"
            continue
        assert node["class_type"] == api[number]["class_type"]
        for name, value in node["inputs"].items():
            if name not in given:  # the API form leaves defaults out
                kind, options = declared(pack, node["class_type"])[name]
                given[name] = options["default"] if "default" in options else kind[0]
            assert given.pop(name) == value, f"{node['class_type']}.{name}"
        assert given == {}


@pytest.mark.parametrize("path", API, ids=lambda p: p.stem)
def test_every_id_input_value_and_link_is_valid(pack, path):
    graph = read(path)
    assert any(node["class_type"] in ("SaveImage", "SaveVideo") for node in graph.values())
    for node in graph.values():
        kind_of = node["class_type"]
        if kind_of in CORE:
            known: dict[str, tuple[Any, dict[str, Any]]] = {
                name: (kind, {}) for group in CORE[kind_of] for name, kind in group.items()
            }
            required = set(known)
        else:
            known = declared(pack, kind_of)
            required = set(pack.NODE_CLASS_MAPPINGS[kind_of].INPUT_TYPES()["required"])
        assert required <= node["inputs"].keys() <= known.keys(), kind_of
        for name, value in node["inputs"].items():
            kind, options = known[name]
            if isinstance(value, list):
                source, slot = value
                assert output_type(pack, graph[source]["class_type"], slot) == kind
            elif isinstance(kind, list):
                assert value in kind, f"{kind_of}.{name}"
            elif kind in ("INT", "FLOAT"):
                assert options["min"] <= value <= options["max"], f"{kind_of}.{name}"
                assert kind == "FLOAT" or isinstance(value, int)
        if kind_of == "NeuralStyleTransfer":
            assert "seed" in node["inputs"], "a template's seed is fixed"


@pytest.mark.parametrize("path", CANVAS, ids=lambda p: p.stem)
def test_canvas_files_are_whole(path):
    graph = read(path)
    ids = [node["id"] for node in graph["nodes"]]
    assert len(set(ids)) == len(ids)
    assert graph["last_node_id"] >= max(ids)
    by_id = {node["id"]: node for node in graph["nodes"]}
    for number, source, slot, target, target_slot, kind in graph["links"]:
        assert number in by_id[source]["outputs"][slot]["links"]
        assert by_id[target]["inputs"][target_slot]["link"] == number
        assert by_id[source]["outputs"][slot]["type"] == by_id[target]["inputs"][target_slot]["type"] == kind
    assert path not in OFFERED or path.with_suffix(".jpg").is_file(), "a template shows a thumbnail of the same name"


TITLE = 30  # pixels of a node's title, above its place


def box(node: dict[str, Any]) -> tuple[float, float, float, float]:
    (x, y), (width, height) = node["pos"], node["size"]
    return x, y - TITLE, x + width, y + height


@pytest.mark.parametrize("path", CANVAS, ids=lambda p: p.stem)
def test_no_node_of_a_canvas_hides_another(path):
    nodes = read(path)["nodes"]
    for i, node in enumerate(nodes):
        left, upper, right, lower = box(node)
        for other in nodes[:i]:
            left2, upper2, right2, lower2 = box(other)
            apart = right <= left2 or right2 <= left or lower <= upper2 or lower2 <= upper
            assert apart, (node["type"], other["type"])


@pytest.mark.parametrize("path", CANVAS, ids=lambda p: p.stem)
def test_no_wire_runs_behind_a_node(path):
    """Wires as the canvas draws them: Bézier curves that swing out sideways by a quarter of their length."""
    graph = read(path)
    by_id = {node["id"]: node for node in graph["nodes"]}
    t = np.linspace(0, 1, 200)
    for _, source, slot, target, target_slot, _ in graph["links"]:
        x1, y1 = by_id[source]["pos"][0] + by_id[source]["size"][0], by_id[source]["pos"][1] + (slot + 0.7) * 20
        x2, y2 = by_id[target]["pos"][0], by_id[target]["pos"][1] + (target_slot + 0.7) * 20
        swing = np.hypot(x2 - x1, y2 - y1) / 4
        x = bezier(t, x1, x1 + swing, x2 - swing, x2)
        y = bezier(t, y1, y1, y2, y2)
        for node in graph["nodes"]:
            left, upper, right, lower = box(node)
            hidden = node["id"] not in (source, target) and (left < x) & (x < right) & (upper < y) & (y < lower)
            assert not np.any(hidden), (by_id[source]["type"], by_id[target]["type"], node["type"], node["pos"])


def bezier(t: np.ndarray, a: float, b: float, c: float, d: float) -> np.ndarray:
    return (1 - t) ** 3 * a + 3 * (1 - t) ** 2 * t * b + 3 * (1 - t) * t**2 * c + t**3 * d


@pytest.fixture
def script():
    return load_tool("make_workflows")


@pytest.fixture
def graphs():
    return load_tool("graphs")


def test_the_files_are_what_the_script_writes(pack, script, monkeypatch, tmp_path):
    monkeypatch.setattr(script, "WORKFLOWS", tmp_path / "workflows")
    monkeypatch.setattr(script, "SUBGRAPHS", tmp_path / "subgraphs")
    monkeypatch.setattr(script, "load_pack", lambda: pack)
    script.write_graphs()
    for path in (*CANVAS, *API, BLUEPRINT):
        assert (tmp_path / path.relative_to(ROOT)).read_bytes() == path.read_bytes(), path.name


def test_variants_of_a_transfer_share_everything_else(graphs):
    variants = [("strong", {"style_weight": 3.0}), ("as it is", {}), ("from noise", {"start": "noise", "steps": 9})]
    workflow = graphs.compare("try", "", "content-landscape", "style-strokes", variants, steps=5)
    kinds = [node.type for node in workflow.nodes.values()]
    assert kinds.count("LoadVGGFeatures") == kinds.count("ComputeStyleGrams") == 1
    transfers = [node.inputs for node in workflow.nodes.values() if node.type == "NeuralStyleTransfer"]
    assert [t.get("style_weight") for t in transfers] == [3.0, None, None]
    assert [t["steps"] for t in transfers] == [5, 5, 9]
    saves = [node for node in workflow.nodes.values() if node.type == "SaveImage"]
    assert [node.title for node in saves] == ["strong", "as it is", "from noise"]
    assert [node.inputs["filename_prefix"] for node in saves] == [
        "nst/try-strong",
        "nst/try-as-it-is",
        "nst/try-from-noise",
    ]


def test_variants_of_the_network_measure_the_style_with_their_own(graphs):
    variants = [("max", {"pooling": "max"}), ("more", {"pooling": "max", "steps": 9}), ("l2", {"pooling": "l2"})]
    nodes = graphs.compare("try", "", "content-landscape", "style-strokes", variants).nodes
    assert [n.inputs["pooling"] for n in nodes.values() if n.type == "LoadVGGFeatures"] == ["max", "l2"]
    for title, differing in variants:
        inputs = nodes[f"transfer {title}"].inputs
        assert "pooling" not in inputs
        assert nodes[inputs["vgg"][0]].inputs["pooling"] == differing["pooling"]
        assert nodes[inputs["style_grams"][0]].inputs["vgg"] == inputs["vgg"]


def test_variants_with_a_style_of_another_size_measure_it_themselves(graphs):
    variants = [("small", {"style_size": 64}), ("large", {"style_size": 256}), ("again", {"style_size": 64})]
    nodes = graphs.compare("try", "", "content-landscape", "style-strokes", variants).nodes
    sizes = [nodes[nodes[f"transfer {t}"].inputs["style_grams"][0]].inputs["size"] for t, _ in variants]
    assert sizes == [64, 256, 64]
    assert sum(node.type == "ComputeStyleGrams" for node in nodes.values()) == 2


def test_a_variant_may_have_a_node_of_its_own(pack, script, graphs):
    layers = {"preset": "custom", "content_layers": "relu3_1"}
    variants = [("deep", {}), ("shallow", {"layer_weights": layers})]
    workflow = graphs.compare("try", "", "content-landscape", "style-strokes", variants)
    graph = script.api_form(workflow, pack.NODE_CLASS_MAPPINGS)
    [(number, own)] = [(i, node) for i, node in graph.items() if node["class_type"] == "LayerWeights"]
    required = pack.NODE_CLASS_MAPPINGS["LayerWeights"].INPUT_TYPES()["required"]
    assert own["inputs"].keys() == required.keys() and own["inputs"].items() >= layers.items()
    transfers = [node["inputs"] for node in graph.values() if node["class_type"] == "NeuralStyleTransfer"]
    assert [t.get("layer_weights") for t in transfers] == [None, [number, 0]]


@pytest.mark.parametrize("name", ["regions", "protect"])
def test_templates_with_masks_do_what_they_say(pack, tmp_path, name):
    """Small and short: what is protected stays the content to the pixel, and everything else has moved."""
    graph = read(ROOT / "workflows" / "api" / f"{name}.json")
    moved, still = run_small(pack, graph, 2, tmp_path / "a"), run_small(pack, graph, 0, tmp_path / "b")
    changed = np.abs(moved.astype(int) - still).max(-1)
    assert (changed > 0).mean() > 0.4
    if name == "protect":
        mask = pack.NODE_CLASS_MAPPINGS["NSTExampleImage"]().load("content-still-life")[1]
        things = nn.functional.interpolate(mask[None], changed.shape, mode="bilinear", antialias=True)[0, 0].numpy()
        assert (changed[things == 1] == 0).all()
        assert (changed[things == 0] > 0).mean() > 0.9


def run_small(pack, graph: dict[str, Any], steps: int, folder: Path) -> np.ndarray:
    for node in graph.values():
        if node["class_type"] == "NeuralStyleTransfer":
            node["inputs"] |= {"size": 64, "steps": steps}
        elif node["class_type"] == "ComputeStyleGrams":
            node["inputs"]["size"] = 64
    kept = {i: node for i, node in graph.items() if node["class_type"] not in ("NSTPlotLossHistory", "PreviewImage")}
    headless = importlib.import_module("nst_pack.nodes.headless")
    [file] = headless.run_embedded(kept, pack.NODE_CLASS_MAPPINGS, headless.Folders(folder, folder))
    with Image.open(file) as picture:
        return np.asarray(picture).astype(int)


def test_workflow_files_of_earlier_versions_still_validate(pack):
    """Files that people have shared: what they name must go on existing."""
    for path in sorted((Path(__file__).parent / "old_workflows").glob("*.json")):
        for node in read(path).values():
            if node["class_type"] in CORE:
                continue
            known = declared(pack, node["class_type"])
            required = set(pack.NODE_CLASS_MAPPINGS[node["class_type"]].INPUT_TYPES()["required"])
            assert required <= node["inputs"].keys() <= known.keys(), f"{path.name}: {node['class_type']}"
            for name, value in node["inputs"].items():
                kind = known[name][0]
                assert not isinstance(kind, list) or value in kind, f"{path.name}: {name}={value!r}"
