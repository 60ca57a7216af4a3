"""Every workflow file: what it names exists, and its two forms say the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
CANVAS = sorted((ROOT / "workflows").glob("*.json"))
API = sorted((ROOT / "workflows" / "api").glob("*.json"))

# The host's own nodes that templates may use: their sockets, their widgets, and how many outputs they have.
CORE: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "SaveImage": ({"images": "IMAGE"}, {"filename_prefix": "STRING"}),
    "PreviewImage": ({"images": "IMAGE"}, {}),
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
    return pack.NODE_CLASS_MAPPINGS[node].RETURN_TYPES[slot]


def canvas_inputs(pack, graph: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The graph that a canvas file stands for: widgets by position, links by number."""
    links = {link[0]: link for link in graph["links"]}
    found = {}
    for node in graph["nodes"]:
        if node["type"] in ("MarkdownNote", "Note") or node["mode"] == MUTED:
            continue
        values = list(node["widgets_values"])
        inputs: dict[str, Any] = {}
        if node["type"] in CORE:
            inputs |= {name: values.pop(0) for name in CORE[node["type"]][1]}
        else:
            for name, (kind, options) in declared(pack, node["type"]).items():
                if is_widget(kind):
                    inputs[name] = values.pop(0)
                    if options.get("control_after_generate"):
                        assert values.pop(0) == "fixed"
        assert values == [], f"{node['type']} has {len(values)} widget values too many"
        for slot, socket in enumerate(node["inputs"]):
            if socket["link"] is not None:
                _, source, source_slot, target, target_slot, _ = links[socket["link"]]
                assert (target, target_slot) == (node["id"], slot)
                inputs[socket["name"]] = [str(source), source_slot]
        found[str(node["id"])] = {"class_type": node["type"], "inputs": inputs}
    return found


def test_the_seeds_and_the_default_have_a_template_each():
    names = {path.stem for path in CANVAS}
    assert names == {path.stem for path in API}
    assert {"quickstart", "balanced", "persson", "udacity", "pytorch-tutorial", "convnet"} <= names
    assert {"save-style", "style-row", "inside"} <= names


@pytest.mark.parametrize("path", CANVAS, ids=lambda p: p.stem)
def test_both_forms_agree(pack, path):
    api = read(path.parent / "api" / path.name)
    canvas = canvas_inputs(pack, read(path))
    assert canvas.keys() == api.keys()
    for number, node in canvas.items():
        assert node["class_type"] == api[number]["class_type"]
        given = dict(api[number]["inputs"])
        for name, value in node["inputs"].items():
            if name not in given:  # the API form leaves defaults out
                kind, options = declared(pack, node["class_type"])[name]
                given[name] = options["default"] if "default" in options else kind[0]
            assert given.pop(name) == value, f"{node['class_type']}.{name}"
        assert given == {}


@pytest.mark.parametrize("path", API, ids=lambda p: p.stem)
def test_every_id_input_value_and_link_is_valid(pack, path):
    graph = read(path)
    assert any(node["class_type"] == "SaveImage" for node in graph.values())
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
    assert path.with_suffix(".jpg").is_file(), "a template shows a thumbnail of the same name"


def test_the_files_are_what_the_script_writes(pack, monkeypatch, tmp_path):
    import importlib.util

    spec = importlib.util.spec_from_file_location("make_workflows", ROOT / "tools" / "make_workflows.py")
    assert spec and spec.loader
    script = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(__import__("sys").modules, "make_workflows", script)
    spec.loader.exec_module(script)
    monkeypatch.setattr(script, "WORKFLOWS", tmp_path)
    monkeypatch.setattr(script, "load_pack", lambda: pack)
    script.write_graphs()
    for path in (*CANVAS, *API):
        assert (tmp_path / path.relative_to(ROOT / "workflows")).read_bytes() == path.read_bytes(), path.name


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
