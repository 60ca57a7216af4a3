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
TITLES = {
    "content": "Content",
    "style": "Style",
    "features": "What relu3_1 sees",
    "gram": "What is kept of the style",
    "rebuilt content": "What relu4_2 knows of the content",
    "rebuilt style": "What relu3_1 knows of the style",
}
MUTED = 2  # a node's mode on the canvas: it waits, greyed, until somebody wants it

Link = tuple[str, int]  # a node's name and the number of its output


@dataclass
class Node:
    type: str
    inputs: dict[str, Any]
    pos: tuple[int, int]
    size: tuple[int, int]
    muted: bool = False


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
        "content": Node("NSTExampleImage", {"name": content}, (40, 380), (270, 80)),
    }
    chained: Link | None = None
    for i, (style, weight) in enumerate(styles):
        picture, grams = (f"style{i + 1}", f"grams{i + 1}")
        nodes[picture] = Node("NSTExampleImage", {"name": style}, (40 + 310 * i, 740 + 180 * i), (270 - 40 * i, 80))
        inputs: dict[str, Any] = {"vgg": ("vgg", 0), "style_image": (picture, 0), "weight": weight, "size": style_size}
        if chained:
            inputs["style_grams"] = chained
        nodes[grams] = Node("ComputeStyleGrams", inputs, (350 + 270 * i, 640 - 60 * i), (230, 220))
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


def save_style() -> Workflow:
    """A transfer whose style is saved on the way, and beside it, muted, one that loads what the first has saved."""
    workflow = transfer(
        "save-style",
        "Press Run: the style is measured, saved in ComfyUI's output folder without its picture, and used.\n\n"
        "**Then use the file**: select the grey nodes and press Ctrl+M, then Run. *Load Style Grams* needs no picture; "
        "press R to list new files in it.",
        LANDSCAPE,
        [("style-strokes", 1.0)],
        style_size=256,
        recipe="balanced",
        steps=60,
        size=256,
    )
    nodes = workflow.nodes
    kept = {"style_grams": ("grams1", 0), "filename_prefix": "nst/style"}
    nodes["keep"] = Node("SaveStyleGrams", kept, (620, 120), (270, 170))
    nodes["transfer"].inputs["style_grams"] = ("keep", 0)
    # The file that the first run writes where there is none yet.
    loaded = {"style": "nst/style_00001_.safetensors [output]", "weight": 1.0}
    nodes["load"] = Node("LoadStyleGrams", loaded, (620, 1380), (270, 110), muted=True)
    again = {**nodes["transfer"].inputs, "style_grams": ("load", 0)}
    nodes["transfer again"] = Node("NeuralStyleTransfer", again, (930, 1210), (300, 805), muted=True)
    saved = {"images": ("transfer again", 0), "filename_prefix": "nst/load-style"}
    nodes["save again"] = Node("SaveImage", saved, (1270, 1210), (500, 430), muted=True)
    # The style above and the loaded style below, so that what both transfers need goes between them.
    places = {"style1": (40, 380), "content": (40, 510), "vgg": (40, 640), "grams1": (350, 120), "transfer": (930, 330)}
    places |= {"save": (1270, 330), "plot": (1270, 830), "show plot": (1520, 830)}
    for name, place in places.items():
        nodes[name].pos = place
    return workflow


def style_row() -> Workflow:
    workflow = transfer(
        "style-row",
        "From one style to the other in four pictures. *NST Interpolate Styles* gives a list of styles, and ComfyUI "
        "runs the transfer once for each. The first and the last picture have one style alone.\n\n"
        "More **frames** and an image batch of them make a film.",
        LANDSCAPE,
        [("style-strokes", 1.0), ("style-hatching", 1.0)],
        style_size=256,
        recipe="balanced",
        steps=50,
        size=192,
    )
    nodes = workflow.nodes
    del nodes["grams2"].inputs["style_grams"], nodes["plot"], nodes["show plot"]
    nodes["style2"].pos, nodes["style2"].size = (40, 950), (270, 80)
    nodes["grams2"].pos = (350, 920)
    for name in ("transfer", "save"):
        nodes[name].pos = (nodes[name].pos[0] + 40, 120)
    row = {"from_style": ("grams1", 0), "to_style": ("grams2", 0), "frames": 4}
    nodes["row"] = Node("NSTInterpolateStyles", row, (620, 740), (270, 90))
    nodes["transfer"].inputs["style_grams"] = ("row", 0)
    return workflow


def inside() -> Workflow:
    """No transfer: what the network sees, what is kept of a style, and what a layer alone can be made into."""
    vgg: Link = ("vgg", 0)
    about = transfer("", "", LANDSCAPE, [("style-strokes", 1.0)], style_size=256).nodes
    nodes = {name: about[name] for name in ("vgg", "content", "style1", "grams1")}
    nodes["grams1"].pos = (350, 1500)
    look = {"vgg": vgg, "layer": "relu3_1", "order": "strongest", "recipe": "balanced"}
    short = {"vgg": vgg, "steps": 60, "size": 192, "seed": 0}
    content = {**short, "image": ("content", 0), "layer": "relu4_2", "what": "content"}
    style = {**short, "image": ("style1", 0), "layer": "relu3_1", "what": "style"}
    for i, (name, kind, inputs) in enumerate(
        (
            ("features", "NSTShowFeatures", {**look, "image": ("content", 0), "maps": 12, "size": 256}),
            ("rebuilt content", "NSTReconstructLayer", content),
            ("rebuilt style", "NSTReconstructLayer", style),
            ("gram", "NSTShowGram", {**look, "style_grams": ("grams1", 0), "scale": "log"}),
        )
    ):
        nodes[name] = Node(kind, inputs, (640, 120 + 440 * i), (290, 400 if "rebuilt" in name else 190))
        saved = {"images": (name, 0), "filename_prefix": f"nst/inside-{name.replace(' ', '-')}"}
        nodes[f"save {name}"] = Node("SaveImage", saved, (970, 120 + 440 * i), (400, 400))
    return Workflow(
        "inside",
        "Looking inside the network: the maps in which one layer sees the landscape, the Gram matrix that is all it "
        "keeps of a style, and pictures made from noise of what one layer knows.\n\n"
        "Try other **layers**: deeper ones know less of what lies where.",
        nodes,
    )


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
    save_style(),
    style_row(),
    inside(),
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
        if not node.muted
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
            "mode": MUTED if node.muted else 0,
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
            widgets.append(node.inputs[name] if name in node.inputs else option.get("default", kind[0]))
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
            thumbnail(workflow, [f for f in files if f.name.startswith(workflow.name)])


def thumbnail(workflow: Workflow, results: list[Path]) -> None:
    from PIL import Image, ImageOps

    if len(results) == 4:
        sheet = Image.new("RGB", (480, 320))
        for i, result in enumerate(results):
            with Image.open(result) as made:
                sheet.paste(
                    ImageOps.fit(made.convert("RGB"), (240, 160), centering=(0, 0)), (i % 2 * 240, i // 2 * 160)
                )
        sheet.save(WORKFLOWS / f"{workflow.name}.jpg", quality=88)
        return
    (result,) = results
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
