"""Write workflows/*.json (the canvas) and workflows/api/*.json (headless) from one description of each graph.

python tools/make_workflows.py            writes the graphs
python tools/make_workflows.py --pictures also runs them, for the thumbnails beside the canvas files
"""

from __future__ import annotations

import importlib.util
import json
import sys
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
WORKFLOWS = ROOT / "workflows"

# What the canvas needs to know of the host's own nodes: input (name, type), output (name, type).
CORE: dict[str, tuple[list[tuple[str, str]], list[tuple[str, str]]]] = {
    "SaveImage": ([("images", "IMAGE"), ("filename_prefix", "STRING")], []),
    "PreviewImage": ([("images", "IMAGE")], []),
}

# Nodes of one class that a reader of the canvas should tell apart.
TITLES = {"content": "Content", "style": "Style"}

Link = tuple[str, int]  # a node's name and the number of its output


@dataclass
class Node:
    type: str
    inputs: dict[str, Any]
    pos: tuple[int, int]
    size: tuple[int, int]


@dataclass
class Workflow:
    name: str
    note: str
    nodes: dict[str, Node] = field(default_factory=dict)


def transfer(
    name: str, note: str, content: str, styles: list[tuple[str, float]], style_size: int = 0, **settings: Any
) -> Workflow:
    """The graph that every template is made of: a network, a content, styles in a chain, a transfer, what it made."""
    # Columns from left to right, so that no wire runs behind a node: what goes in under the note, the styles'
    # statistics (one column each, for they are chained), the transfer, what it made.
    nodes = {
        "vgg": Node(
            "LoadVGGFeatures",
            {"weights": "vgg19-caffe", "pooling": "recipe", "padding": "recipe", "precision": "auto", "input": "auto"},
            (40, 510),
            (270, 160),
        ),
        "content": Node("NSTExampleImage", {"name": content}, (40, 380), (270, 60)),
    }
    chained: Link | None = None
    for i, (style, weight) in enumerate(styles):
        picture, grams = (f"style{i + 1}", f"grams{i + 1}")
        nodes[picture] = Node("NSTExampleImage", {"name": style}, (40 + 310 * i, 740 + 110 * i), (270 - 40 * i, 60))
        inputs: dict[str, Any] = {"vgg": ("vgg", 0), "style_image": (picture, 0), "weight": weight, "size": style_size}
        if chained:
            inputs["style_grams"] = chained
        nodes[grams] = Node("ComputeStyleGrams", inputs, (350 + 270 * i, 640 - 60 * i), (230, 150))
        chained = (grams, 0)
    x = 350 + 270 * len(styles)
    # Room for the live preview below the widgets.
    nodes["transfer"] = Node(
        "NeuralStyleTransfer",
        {"vgg": ("vgg", 0), "content_image": ("content", 0), "style_grams": chained, "seed": 0, **settings},
        (x, 120),
        (300, 805),
    )
    x += 340
    saved = {"images": ("transfer", 0), "filename_prefix": f"nst/{name}"}
    nodes["save"] = Node("SaveImage", saved, (x, 120), (500, 430))
    nodes["plot"] = Node(
        "NSTPlotLossHistory", {"loss_history": ("transfer", 1), "width": 480, "height": 320}, (x, 620), (210, 100)
    )
    nodes["show plot"] = Node("PreviewImage", {"images": ("plot", 0)}, (x + 250, 620), (250, 230))
    return Workflow(name, note, nodes)


def style_matched(workflow: Workflow, method: str) -> Workflow:
    """The same graph, in which the style takes on the content's colours before it is measured."""
    width = 270
    # Between the style and its statistics, so these and whatever is to the right of them make room.
    nodes = {
        name: replace(node, pos=(node.pos[0] + width, node.pos[1])) if node.pos[0] >= 350 else node
        for name, node in workflow.nodes.items()
    }
    inputs = {"image": ("style1", 0), "reference": ("content", 0), "method": method, "strength": 1.0}
    nodes["match"] = Node("NSTMatchColours", inputs, (350, 740), (width - 40, 110))
    nodes["grams1"].inputs["style_image"] = ("match", 0)
    return replace(workflow, nodes=nodes)


LANDSCAPE, STILL_LIFE = "content-landscape", "content-still-life"

TEMPLATES = (
    transfer(
        "quickstart",
        "Press Run: a landscape takes on flowing brush strokes, in a minute or so on two CPU cores.\n\n"
        "Then try another style in *NST Example Image*, your own picture in *Load Image*, a larger **size**, or a "
        "**style_weight** of 3.",
        LANDSCAPE,
        [("style-strokes", 1.0)],
        style_size=512,
        recipe="balanced",
        steps=100,
        size=384,
    ),
    transfer(
        "balanced",
        "The default recipe with all its steps. Every term is measured against its own target, so the same setting "
        "works at any size and with any network.",
        STILL_LIFE,
        [("style-mosaic", 1.0)],
        style_size=512,
        recipe="balanced",
    ),
    transfer(
        "two-styles",
        "Two styles in one picture: *Compute Style Grams* nodes in a chain, blended by their **weights**.",
        LANDSCAPE,
        [("style-watercolour", 2.0), ("style-hatching", 1.0)],
        style_size=512,
        recipe="balanced",
    ),
    transfer(
        "persson",
        "A. Persson's program: 6000 gentle Adam steps at 356×356, every layer for content as well, pixels not "
        "normalised. The picture is squashed to that square, as the program does it; set **size** to keep its "
        "proportions.",
        STILL_LIFE,
        [("style-fields", 1.0)],
        recipe="persson",
    ),
    transfer(
        "udacity",
        "The Udacity notebook: 2000 Adam steps in normalised space, short side 400, style weight 10⁶.",
        LANDSCAPE,
        [("style-strokes", 1.0)],
        recipe="udacity",
    ),
    transfer(
        "pytorch-tutorial",
        "The PyTorch tutorial: L-BFGS on the first five convolutions, before their ReLU. Short side 768 on a GPU and "
        "128 on a CPU, as the tutorial has it.",
        LANDSCAPE,
        [("style-hatching", 1.0)],
        recipe="pytorch-tutorial",
    ),
    transfer(
        "convnet",
        "The convnet notes: 2000 Adam steps, content at relu3_1, pixels not normalised, long side 400.",
        LANDSCAPE,
        [("style-mosaic", 1.0)],
        recipe="convnet",
    ),
    transfer(
        "keep-colours",
        "The texture of the one, the colours of the other: **keep_colours** gives the finished picture the content's. "
        "*lab* and *luminance* do so place by place; the other methods fit the palette as a whole.",
        STILL_LIFE,
        [("style-strokes", 1.0)],
        style_size=384,
        recipe="balanced",
        steps=80,
        size=288,
        keep_colours="lab",
    ),
    style_matched(
        transfer(
            "match-style-colours",
            "*Match Colours* paints the style in the content's colours before it is measured, so that only its texture "
            "is transferred. It works for any two pictures.",
            LANDSCAPE,
            [("style-mosaic", 1.0)],
            style_size=384,
            recipe="balanced",
            steps=80,
            size=320,
        ),
        "symmetric",
    ),
)


def load_pack() -> Any:
    spec = importlib.util.spec_from_file_location(
        "nst_pack", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
    )
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["nst_pack"] = module
    spec.loader.exec_module(module)
    return module


def api_form(workflow: Workflow) -> dict[str, Any]:
    ids = {name: str(i) for i, name in enumerate(workflow.nodes, 1)}

    def value(v: Any) -> Any:
        return [ids[v[0]], v[1]] if isinstance(v, tuple) else v

    return {
        ids[name]: {
            "class_type": node.type,
            "inputs": {key: value(v) for key, v in node.inputs.items()},
            "_meta": {"title": name},
        }
        for name, node in workflow.nodes.items()
    }


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
            "mode": 0,
            "inputs": [{"name": n, "type": t, "link": None} for n, t in inputs],
            "outputs": [{"name": n, "type": t, "links": [], "slot_index": i} for i, (n, t) in enumerate(outputs)],
            **({"title": TITLES[kind]} if (kind := name.rstrip("0123456789")) in TITLES else {}),
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
        sockets = [(n, t) for n, t in declared if t == "IMAGE"]
        return sockets, outputs, [node.inputs[n] for n, t in declared if t != "IMAGE"]
    cls = classes[node.type]
    types = cls.INPUT_TYPES()
    sockets, widgets = [], []
    for name, (kind, *options) in {**types["required"], **types.get("optional", {})}.items():
        option = options[0] if options else {}
        if isinstance(kind, list) or kind in ("INT", "FLOAT", "STRING", "BOOLEAN"):
            default = kind[0] if isinstance(kind, list) else option["default"]
            widgets.append(node.inputs.get(name, default))
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
            (WORKFLOWS / "api" / f"{workflow.name}.json", api_form(workflow)),
        ):
            path.write_text(json.dumps(graph, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_thumbnails(names: list[str]) -> None:
    """What the template browser shows: the result, with the style in a corner."""
    pack = load_pack()
    headless = importlib.import_module("nst_pack.nodes.headless")
    for workflow in TEMPLATES:
        if names and workflow.name not in names:
            continue
        with tempfile.TemporaryDirectory() as folder:
            files = headless.run_embedded(
                api_form(workflow),
                node_classes=pack.NODE_CLASS_MAPPINGS,
                input_folder=".",
                output_folder=folder,
                on_progress=lambda title, value, total, _: print(f"\r{title} {value}/{total}   ", end="", flush=True),
            )
            thumbnail(workflow, next(f for f in files if f.name.startswith(workflow.name)))


def thumbnail(workflow: Workflow, result: Path) -> None:
    from PIL import Image

    style = next(node.inputs["name"] for name, node in workflow.nodes.items() if name.startswith("style"))
    with Image.open(result) as made, Image.open(ROOT / "nodes" / "examples" / f"{style}.jpg") as given:
        picture, corner = made.convert("RGB"), given.convert("RGB")
    picture = picture.resize((480, round(480 * picture.height / picture.width)), Image.Resampling.LANCZOS)
    corner.thumbnail((120, 120), Image.Resampling.LANCZOS)
    framed = Image.new("RGB", (corner.width + 6, corner.height + 6), "white")
    framed.paste(corner, (3, 3))
    picture.paste(framed, (picture.width - framed.width - 10, picture.height - framed.height - 10))
    picture.save(WORKFLOWS / f"{workflow.name}.jpg", quality=88)


if __name__ == "__main__":
    write_graphs()
    if "--pictures" in sys.argv:
        write_thumbnails([a for a in sys.argv[1:] if not a.startswith("--")])
