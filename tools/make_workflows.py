"""Write workflows/ and subgraphs/ from one description of each graph.

python tools/make_workflows.py

workflows/*.json are the templates that ComfyUI offers; they take their pictures with Load Image. workflows/more/*.json
are for the canvas, too, but not offered. workflows/api/*.json are the same graphs for headless use. subgraphs/*.json
are nodes made of nodes.

They are run, for their thumbnails and the gallery, by make_gallery.py.
"""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from typing import Any

import blueprint
from graphs import MUTED, PAINT, TITLES, Node, Workflow
from templates import TEMPLATES

ROOT = Path(__file__).resolve().parent.parent
WORKFLOWS = ROOT / "workflows"
SUBGRAPHS = ROOT / "subgraphs"

# What the canvas needs to know of the host's own nodes: input (name, type), output (name, type).
CORE: dict[str, tuple[list[tuple[str, str]], list[tuple[str, str]]]] = {
    "LoadImage": ([("image", "COMBO"), ("upload", "IMAGEUPLOAD")], [("IMAGE", "IMAGE"), ("MASK", "MASK")]),
    "LoadImageDataSetFromFolder": ([("folder", "COMBO")], [("images", "IMAGE")]),
    "SaveImage": ([("images", "IMAGE"), ("filename_prefix", "STRING")], []),
    "PreviewImage": ([("images", "IMAGE")], []),
    "ImageCompare": ([("image_a", "IMAGE"), ("image_b", "IMAGE")], []),
    "CreateVideo": ([("images", "IMAGE"), ("fps", "FLOAT")], [("VIDEO", "VIDEO")]),
    "SaveVideo": (
        [("video", "VIDEO"), ("filename_prefix", "STRING"), ("format", "COMBO"), ("codec", "COMBO")],
        [],
    ),
}


def whose(kind: str) -> dict[str, str]:
    """Where a node comes from: what the front end offers to install where it is missing."""
    if kind in CORE or kind == "MarkdownNote":
        return {"cnr_id": "comfy-core", "ver": "0.3.64"}
    project = dict(re.findall(r'^(name|version) = "(.+)"$', (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE))
    return {"cnr_id": project["name"], "ver": project["version"]}


def load_pack() -> Any:
    spec = importlib.util.spec_from_file_location(
        "nst_pack", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
    )
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["nst_pack"] = module
    spec.loader.exec_module(module)
    return module


def api_form(workflow: Workflow, classes: dict[str, Any]) -> dict[str, Any]:
    ids = {name: str(i) for i, name in enumerate(workflow.nodes, 1)}
    painted = {name for name, node in workflow.nodes.items() if node.type == PAINT}

    def value(v: Any) -> Any:
        if not isinstance(v, tuple):
            return v
        number = ids[v[0]]
        inner = f"{number}:{blueprint.number_of(number, blueprint.TRANSFER)}"
        return [inner if v[0] in painted else number, v[1]]

    graph = {}
    for name, node in workflow.nodes.items():
        flat = blueprint.flat(ids[name], node.inputs) if name in painted else {ids[name]: (node.type, node.inputs)}
        for number, (kind, inputs) in flat.items():
            if not node.muted:
                given = {key: value(v) for key, v in {**inputs, **left_out(kind, inputs, classes)}.items()}
                graph[number] = {"class_type": kind, "inputs": given, "_meta": {"title": name}}
    return graph


def left_out(kind: str, given: dict[str, Any], classes: dict[str, Any]) -> dict[str, Any]:
    """Required inputs that are at their defaults: a host takes no graph without them."""
    required = classes[kind].INPUT_TYPES()["required"] if kind in classes else {}
    return {name: default_of(entry) for name, entry in required.items() if name not in given}


def default_of(entry: tuple) -> Any:
    """The value of an input that is left alone; of a list of choices without a default, the first."""
    options = entry[1] if len(entry) > 1 else {}
    return options.get("default", entry[0][0] if isinstance(entry[0], list) else None)


# --- the canvas ---------------------------------------------------------------------------------------------------


def canvas_form(workflow: Workflow, classes: dict[str, Any]) -> dict[str, Any]:
    """The graph as the canvas saves it."""
    ids = {name: i for i, name in enumerate(workflow.nodes, 1)}
    made = {
        name: on_canvas(
            ids[name],
            node,
            classes,
            node.title or TITLES.get(name.rstrip("0123456789"), ""),
            blueprint.identity(name) if node.type == PAINT else "",
        )
        for name, node in with_load_image(workflow).items()
    }
    links: list[list[Any]] = []
    for name, node in workflow.nodes.items():
        for slot, entry in enumerate(made[name]["inputs"]):
            link = node.inputs.get(entry["name"])
            if not isinstance(link, tuple):
                continue
            source = made[link[0]]["outputs"][link[1]]
            links.append([len(links) + 1, ids[link[0]], link[1], ids[name], slot, source["type"]])
            entry["link"] = links[-1][0]
            source["links"].append(links[-1][0])
    insides = [subgraph(name, ids[name], node, classes) for name, node in workflow.nodes.items() if node.type == PAINT]
    return {
        **({"id": blueprint.identity(workflow.title)} if workflow.title else {}),
        "last_node_id": len(ids) + 1,
        "last_link_id": len(links),
        "nodes": [*made.values(), note(len(ids) + 1, workflow)],
        "links": links,
        "groups": [],
        "config": {},
        **({"definitions": {"subgraphs": insides}} if insides else {}),
        "extra": {
            "ds": view(workflow.zoom),
            **(app_mode(workflow, ids) if workflow.app else {}),
        },
        "version": 0.4,
    }


def view(zoom: float) -> dict[str, Any]:
    """What a workflow opens with: the note at the upper left, clear of what the front end has there."""
    return {"scale": zoom, "offset": [int(70 / zoom) - 40, int(134 / zoom) - 120]}


def with_load_image(workflow: Workflow) -> dict[str, Node]:
    """In a template pictures come from Load Image, so that one's own takes the place of the example by a click."""
    if not workflow.title:
        return workflow.nodes
    wires = {link for node in workflow.nodes.values() for link in node.inputs.values() if isinstance(link, tuple)}
    found = {}
    for name, node in workflow.nodes.items():
        if node.type == "NSTExampleImage":
            file = f"nst-{node.inputs['name']}" + ("-masked.png" if (name, 1) in wires else ".jpg")
            node = Node("LoadImage", {"image": file, "upload": "image"}, node.pos, node.size, title=node.title)
        found[name] = node
    return found


def on_canvas(
    number: int, node: Node, classes: dict[str, Any], title: str = "", kind: str = "", all_inputs: bool = False
) -> dict[str, Any]:
    """A node without its wires. Inside a subgraph (`all_inputs`) widgets have inputs as well, for wires from outside.

    What has a subgraph inside is of that one's `kind`.
    """
    inputs, outputs, widgets = slots(node, classes, all_inputs)
    more = blueprint.properties(number) if node.type == PAINT else {"Node name for S&R": node.type}
    return {
        "id": number,
        "type": kind or node.type,
        "pos": list(node.pos),
        "size": list(node.size),
        "flags": {},
        "order": number - 1,
        "mode": MUTED if node.muted else 0,
        "inputs": inputs,
        "outputs": [{"name": n, "type": t, "links": [], "slot_index": i} for i, (n, t) in enumerate(outputs)],
        **({"title": title or blueprint.TITLE} if title or node.type == PAINT else {}),
        "properties": {**whose(node.type), **more},
        "widgets_values": widgets,
    }


def note(number: int, workflow: Workflow) -> dict[str, Any]:
    return {
        "id": number,
        "type": "MarkdownNote",
        "pos": list(workflow.note_pos),
        "size": list(workflow.note_size),
        "flags": {},
        "order": number - 1,
        "mode": 0,
        "inputs": [],
        "outputs": [],
        "title": workflow.title or "About this workflow",
        "properties": whose("MarkdownNote"),
        "widgets_values": [workflow.note],
        "color": "#432",
        "bgcolor": "#653",
    }


def app_mode(workflow: Workflow, ids: dict[str, int]) -> dict[str, Any]:
    """What is shown of the graph when it is used as an app: widgets by node and name, and the node of the result."""
    assert workflow.app
    shown, result = workflow.app
    return {
        "linearMode": False,
        "linearData": {"inputs": [[ids[node], widget] for node, widget in shown], "outputs": [ids[result]]},
    }


Slots = tuple[list[dict[str, Any]], list[tuple[str, str]], list[Any]]


def slots(node: Node, classes: dict[str, Any], all_inputs: bool = False) -> Slots:
    """A node's sockets in, sockets out, and the values of its widgets: required, optional, one more after a seed."""
    if node.type == PAINT:
        return blueprint.sockets(node.inputs), [("image", "IMAGE")], list(blueprint.values(node.inputs).values())
    if node.type in CORE:
        declared, outputs = CORE[node.type]
        wired = [(n, t) for n, t in declared if t in ("IMAGE", "VIDEO")]
        given = [node.inputs[n] for n, t in declared if (n, t) not in wired]
        return [socket(n, t) for n, t in wired], outputs, given
    cls = classes[node.type]
    types = cls.INPUT_TYPES()
    sockets: list[dict[str, Any]] = []
    widgets: list[dict[str, Any]] = []
    values: list[Any] = []
    for name, (kind, *options) in {**types["required"], **types.get("optional", {})}.items():
        option = options[0] if options else {}
        if isinstance(kind, list) or kind in ("INT", "FLOAT", "STRING", "BOOLEAN"):
            values.append(node.inputs[name] if name in node.inputs else default_of((kind, *options)))
            widgets.append({**socket(name, "COMBO" if isinstance(kind, list) else kind), "widget": {"name": name}})
            if option.get("control_after_generate"):
                values.append("fixed")
        else:
            sockets.append(socket(name, kind))
    outputs = list(zip(cls.RETURN_NAMES, cls.RETURN_TYPES, strict=True))
    return [*sockets, *(widgets if all_inputs else [])], outputs, values


def socket(name: str, kind: str) -> dict[str, Any]:
    return {"name": name, "type": kind, "link": None}


# --- nodes made of nodes ------------------------------------------------------------------------------------------


def subgraph(name: str, number: int, outside: Node, classes: dict[str, Any]) -> dict[str, Any]:
    """What is inside *Paint in a Style*. Each has its own, for what the widgets say is kept in there."""
    nodes = [
        on_canvas(blueprint.number_of(number, inner), Node(kind, inputs, pos, size), classes, all_inputs=True)
        for inner, kind, inputs, pos, size in blueprint.inside(outside.inputs)
    ]
    return blueprint.definition(name, number, outside.inputs, nodes)


def blueprint_file(classes: dict[str, Any]) -> dict[str, Any]:
    outside = Node(PAINT, {}, (0, 0), (320, 400))
    return {
        "id": blueprint.identity(f"{PAINT} alone"),
        "revision": 0,
        "last_node_id": 1,
        "last_link_id": 0,
        "nodes": [on_canvas(1, outside, classes, kind=blueprint.identity(PAINT))],
        "links": [],
        "groups": [],
        "config": {},
        "definitions": {"subgraphs": [subgraph(PAINT, 1, outside, classes)]},
        "extra": {"BlueprintDescription": blueprint.DESCRIPTION, "BlueprintSearchAliases": blueprint.ALIASES},
        "version": 0.4,
    }


# --- files --------------------------------------------------------------------------------------------------------


def canvas_path(workflow: Workflow) -> Path:
    """What is offered has its title for a name."""
    return WORKFLOWS / f"{workflow.title}.json" if workflow.title else WORKFLOWS / "more" / f"{workflow.name}.json"


def write_graphs() -> None:
    classes = load_pack().NODE_CLASS_MAPPINGS
    for workflow in TEMPLATES:
        write(canvas_path(workflow), canvas_form(workflow, classes))
        if workflow.name:
            write(WORKFLOWS / "api" / f"{workflow.name}.json", api_form(workflow, classes))
    write(SUBGRAPHS / f"{blueprint.TITLE}.json", blueprint_file(classes))


def write(path: Path, graph: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(graph, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_graphs()
