"""Write workflows/*.json (the canvas) and workflows/api/*.json (headless) from one description of each graph.

python tools/make_workflows.py

They are run, for their thumbnails and the gallery, by make_gallery.py.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

from graphs import MUTED, TITLES, Node, Workflow
from templates import TEMPLATES

ROOT = Path(__file__).resolve().parent.parent
WORKFLOWS = ROOT / "workflows"

# What the canvas needs to know of the host's own nodes: input (name, type), output (name, type).
CORE: dict[str, tuple[list[tuple[str, str]], list[tuple[str, str]]]] = {
    "SaveImage": ([("images", "IMAGE"), ("filename_prefix", "STRING")], []),
    "PreviewImage": ([("images", "IMAGE")], []),
    "CreateVideo": ([("images", "IMAGE"), ("fps", "FLOAT")], [("VIDEO", "VIDEO")]),
    "SaveVideo": (
        [("video", "VIDEO"), ("filename_prefix", "STRING"), ("format", "COMBO"), ("codec", "COMBO")],
        [],
    ),
}


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

    def value(v: Any) -> Any:
        return [ids[v[0]], v[1]] if isinstance(v, tuple) else v

    return {
        ids[name]: {
            "class_type": node.type,
            "inputs": {key: value(v) for key, v in {**node.inputs, **left_out(node, classes)}.items()},
            "_meta": {"title": name},
        }
        for name, node in workflow.nodes.items()
        if not node.muted
    }


def left_out(node: Node, classes: dict[str, Any]) -> dict[str, Any]:
    """Required inputs that are at their defaults: a host takes no graph without them."""
    required = classes[node.type].INPUT_TYPES()["required"] if node.type in classes else {}
    return {name: default_of(entry) for name, entry in required.items() if name not in node.inputs}


def default_of(entry: tuple) -> Any:
    """The value of an input that is left alone; of a list of choices without a default, the first."""
    options = entry[1] if len(entry) > 1 else {}
    return options.get("default", entry[0][0] if isinstance(entry[0], list) else None)


def canvas_form(workflow: Workflow, classes: dict[str, Any]) -> dict[str, Any]:
    """The graph as the canvas saves it. widgets_values are positional: required, optional, one more after a seed."""
    ids = {name: i for i, name in enumerate(workflow.nodes, 1)}
    links: list[list[Any]] = []
    made: dict[str, dict[str, Any]] = {}
    for order, (name, node) in enumerate(workflow.nodes.items()):
        inputs, outputs, widgets = slots(node, classes)
        made[name] = {
            "id": ids[name],
            "type": node.type,
            "pos": list(node.pos),
            "size": list(node.size),
            "flags": {},
            "order": order,
            "mode": MUTED if node.muted else 0,
            "inputs": [{"name": n, "type": t, "link": None} for n, t in inputs],
            "outputs": [{"name": n, "type": t, "links": [], "slot_index": i} for i, (n, t) in enumerate(outputs)],
            **({"title": title} if (title := node.title or TITLES.get(name.rstrip("0123456789"))) else {}),
            "properties": {"Node name for S&R": node.type},
            "widgets_values": widgets,
        }
    for name, node in workflow.nodes.items():
        for slot, entry in enumerate(made[name]["inputs"]):
            link = node.inputs.get(entry["name"])
            if not isinstance(link, tuple):
                continue
            source = made[link[0]]["outputs"][link[1]]
            links.append([len(links) + 1, ids[link[0]], link[1], ids[name], slot, source["type"]])
            entry["link"] = links[-1][0]
            source["links"].append(links[-1][0])
    note = {
        "id": len(ids) + 1,
        "type": "MarkdownNote",
        "pos": [40, 120],
        "size": [270, 190],
        "flags": {},
        "order": len(ids),
        "mode": 0,
        "inputs": [],
        "outputs": [],
        "title": "About this workflow",
        "properties": {},
        "widgets_values": [workflow.note],
        "color": "#432",
        "bgcolor": "#653",
    }
    return {
        "last_node_id": len(ids) + 1,
        "last_link_id": len(links),
        "nodes": [*made.values(), note],
        "links": links,
        "groups": [],
        "config": {},
        "extra": {},
        "version": 0.4,
    }


def slots(node: Node, classes: dict[str, Any]) -> tuple[list[tuple[str, str]], list[tuple[str, str]], list[Any]]:
    """A node's sockets in, sockets out, and the values of its widgets in the canvas's order."""
    if node.type in CORE:
        declared, outputs = CORE[node.type]
        sockets = [(n, t) for n, t in declared if t in ("IMAGE", "VIDEO")]
        return sockets, outputs, [node.inputs[n] for n, t in declared if (n, t) not in sockets]
    cls = classes[node.type]
    types = cls.INPUT_TYPES()
    sockets, widgets = [], []
    for name, (kind, *options) in {**types["required"], **types.get("optional", {})}.items():
        option = options[0] if options else {}
        if isinstance(kind, list) or kind in ("INT", "FLOAT", "STRING", "BOOLEAN"):
            widgets.append(node.inputs[name] if name in node.inputs else default_of((kind, *options)))
            if option.get("control_after_generate"):
                widgets.append("fixed")
        else:
            sockets.append((name, kind))
    return sockets, list(zip(cls.RETURN_NAMES, cls.RETURN_TYPES, strict=True)), widgets


def write_graphs() -> None:
    classes = load_pack().NODE_CLASS_MAPPINGS
    (WORKFLOWS / "api").mkdir(parents=True, exist_ok=True)
    for workflow in TEMPLATES:
        for path, graph in (
            (WORKFLOWS / f"{workflow.name}.json", canvas_form(workflow, classes)),
            (WORKFLOWS / "api" / f"{workflow.name}.json", api_form(workflow, classes)),
        ):
            path.write_text(json.dumps(graph, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_graphs()
