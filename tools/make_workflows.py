"""Write workflows/*.json (the canvas) and workflows/api/*.json (headless) from one description of each graph.

python tools/make_workflows.py

They are run, for their thumbnails and the gallery, by make_gallery.py.
"""

from __future__ import annotations

import importlib.util
import json
import re
import sys
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
    title: str = ""


@dataclass
class Workflow:
    name: str
    note: str
    nodes: dict[str, Node] = field(default_factory=dict)
    caption: str = ""  # what the gallery says, where the note's first paragraph would not do
    variants: dict[str, dict[str, Any]] = field(default_factory=dict)  # of a comparison: titles, and what differs


def network(pos: tuple[int, int], title: str = "", **settings: str) -> Node:
    plain = {"weights": "vgg19-caffe", "pooling": "recipe", "padding": "recipe", "precision": "auto", "input": "auto"}
    return Node("LoadVGGFeatures", {**plain, **settings}, pos, (270, 160), title=title)


def example(name: str, pos: tuple[int, int], width: int = 270) -> Node:
    return Node("NSTExampleImage", {"name": name}, pos, (width, 80))


def transfer(
    name: str,
    note: str,
    content: str,
    styles: list[tuple[str, float]],
    style_size: int = 0,
    caption: str = "",
    **settings: Any,
) -> Workflow:
    """The graph of most templates: a network, a content, styles in a chain, a transfer, what it made."""
    # Columns from left to right, so that no wire runs behind a node: what goes in under the note, the styles'
    # statistics (one column each, for they are chained), the transfer, what it made.
    nodes = {"vgg": network((40, 510)), "content": example(content, (40, 380))}
    chained: Link | None = None
    for i, (style, weight) in enumerate(styles):
        picture, grams = (f"style{i + 1}", f"grams{i + 1}")
        nodes[picture] = example(style, (40 + 310 * i, 740 + 180 * i), 270 - 40 * i)
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
    x += 350
    saved = {"images": ("transfer", 0), "filename_prefix": f"nst/{name}"}
    nodes["save"] = Node("SaveImage", saved, (x, 120), (500, 430))
    nodes["plot"] = Node(
        "NSTPlotLossHistory", {"loss_history": ("transfer", 1), "width": 480, "height": 320}, (x, 620), (210, 100)
    )
    nodes["show plot"] = Node("PreviewImage", {"images": ("plot", 0)}, (x + 250, 620), (250, 230))
    return Workflow(name, note, nodes, caption)


# Nodes that a variant of a comparison may have of its own: by the transfer's input that they are for, with their size.
FOR_INPUT = {"layer_weights": ("LayerWeights", (270, 230)), "method": ("NSTMethod", (270, 160))}


def compare(
    name: str,
    note: str,
    content: str | None,
    style: str,
    variants: list[tuple[str, dict[str, Any]]],
    style_size: int = 256,
    caption: str = "",
    **common: Any,
) -> Workflow:
    """One graph of several transfers, each into a SaveImage that is titled with what is particular to it.

    A variant is its title, and the inputs of the transfer or of the network in which it differs from `common`. Where an
    input takes a node (see FOR_INPUT), it is given that node's inputs: {"layer_weights": {"preset": …}}. What variants
    can share they share: the pictures, and where the network is the same, that and the style's statistics. So variants
    of one network belong together in the list, that their wires stay apart from others'.

    Without a content the transfers are NSTSynthesizeTexture nodes.
    """
    of_network = ("weights", "pooling", "padding", "precision", "input")
    networks = [{key: v[key] for key in of_network if key in v} for _, v in variants]
    measured_as = [(n, v.get("style_size", style_size)) for n, (_, v) in zip(networks, variants, strict=True)]
    owners = [measured_as.index(how) for how in measured_as]  # the first variant whose style is measured alike
    several = len(set(owners)) > 1
    # A row for each variant. The wires that fan out to the rows do so in gutters without nodes, which are the wider the
    # longer the wires, for these swing out by a quarter of their length. A network is lower than its style's statistics
    # and as high as its transfer, so that wires from it pass below them.
    pitch, top = 700, 270
    x_grams = 310 + 60 + 70 * max(owners)
    x_transfer = x_grams + 230 + 60 + 70 * (len(variants) - 1)
    kind = "NeuralStyleTransfer" if content else "NSTSynthesizeTexture"
    pictures: dict[str, Any] = {"content_image": ("content", 0)} if content else {}
    nodes = {"content": example(content, (x_grams, 120), 230)} if content else {}
    nodes["style"] = example(style, (40, 380))
    for row, ((title, differing), settings, owner) in enumerate(zip(variants, networks, owners, strict=True)):
        y = top + pitch * row
        vgg, grams = (f"{node} {variants[owner][0]}" if several else node for node in ("vgg", "grams"))
        if owner == row:
            nodes[vgg] = network((40, y + 240), f"Network: {title}" if several else "", **settings)
            measured = {"vgg": (vgg, 0), "style_image": ("style", 0), "weight": 1.0, "size": measured_as[row][1]}
            heading = f"Style grams: {title}" if several else ""
            nodes[grams] = Node("ComputeStyleGrams", measured, (x_grams, y), (230, 220), title=heading)
        inputs: dict[str, Any] = {"vgg": (vgg, 0), **pictures, "style_grams": (grams, 0), "seed": 0}
        # Without a preview, for which there would have to be room below the widgets.
        inputs |= {
            "preview_every": 0,
            **common,
            **{k: v for k, v in differing.items() if k not in (*of_network, "style_size")},
        }
        below = y + 240 + 160 + 60
        for key, (own, size) in FOR_INPUT.items():
            if isinstance(inputs.get(key), dict):
                nodes[f"{key} {title}"] = Node(own, inputs[key], (40, below), size, title=title)
                inputs[key] = (f"{key} {title}", 0)
                below += size[1] + 60
        nodes[f"transfer {title}"] = Node(kind, inputs, (x_transfer, y + 240), (300, 640), title=f"Transfer: {title}")
        saved = {"images": (f"transfer {title}", 0), "filename_prefix": f"nst/{name}-{slug(title)}"}
        nodes[f"save {title}"] = Node("SaveImage", saved, (x_transfer + 340, y + 240), (420, 420), title=title)
    return Workflow(name, note, nodes, caption, dict(variants))


def slug(title: str) -> str:
    return re.sub("[^a-z0-9]+", "-", title.lower()).strip("-")


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
        caption="A style is measured, saved without its picture as a file of a few megabytes, and used from there.",
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
    nodes["save again"] = Node("SaveImage", saved, (1280, 1210), (500, 430), muted=True)
    # The style above and the loaded style below, so that what both transfers need goes between them.
    places = {"style1": (40, 380), "content": (40, 510), "vgg": (40, 640), "grams1": (360, 120), "transfer": (930, 330)}
    places |= {"save": (1280, 330), "plot": (1280, 830), "show plot": (1530, 830)}
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


def regions() -> Workflow:
    workflow = transfer(
        "regions",
        "One style for the sky, another for the land. The first *Compute Style Grams* has a **region_mask**; the "
        "second has none and goes to all that is left.\n\n"
        "For a picture of your own paint the mask in ComfyUI's mask editor (right-click *Load Image*).",
        LANDSCAPE,
        [("style-strokes", 1.0), ("style-mosaic", 1.0)],
        style_size=256,
        recipe="balanced",
        steps=60,
        size=256,
    )
    workflow.nodes["grams1"].inputs["region_mask"] = ("content", 1)
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
        caption="The default recipe at a smaller size: a landscape takes on flowing brush strokes.",
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
    regions(),
    transfer(
        "protect",
        "Only the background takes on the style: **protect_mask** keeps jug, bowl and fruit as they are, to the pixel. "
        "A soft edge blends.",
        STILL_LIFE,
        [("style-strokes", 1.0)],
        style_size=256,
        recipe="balanced",
        steps=60,
        size=256,
        protect_mask=("content", 1),
    ),
    save_style(),
    style_row(),
    inside(),
    compare(
        "strength",
        "How much style in all, as one number: 0 would be the content itself, 1 is what the recipe says, and beyond it "
        "the content lets go.",
        LANDSCAPE,
        "style-strokes",
        [(f"{strength:g}", {"strength": strength}) for strength in (0.3, 0.6, 1.0, 2.0)],
        recipe="balanced",
        steps=45,
        size=224,
    ),
    compare(
        "stroke-size",
        "The same style measured at three sizes: the larger, the larger its strokes in the picture, whatever that "
        "one's own size is.",
        STILL_LIFE,
        "style-strokes",
        [(f"{size}", {"style_size": size}) for size in (160, 320, 640)],
        recipe="balanced",
        steps=45,
        size=224,
    ),
    compare(
        "scales",
        "Begun small and enlarged on the way: the large forms are found first, where they are cheap, and fine strokes "
        "on top. With one level they stay as small as the network's view.",
        LANDSCAPE,
        "style-mosaic",
        [("one level", {"scales": 1}), ("four levels", {"scales": 4})],
        recipe="balanced",
        steps=60,
        size=288,
        style_size=384,
    ),
    compare(
        "statistics",
        "What of the style is made equal: which features occur together (gram), how much of each (mean-std), their "
        "distribution as a bell curve (covariance), all values of each (histogram), or all of it (sliced).",
        LANDSCAPE,
        "style-strokes",
        [
            ("gram", {"method": {"statistic": "gram"}}),
            ("gram, shifted", {"method": {"statistic": "gram", "shift": -1.0}}),
            ("mean-std", {"method": {"statistic": "mean-std"}}),
            ("covariance", {"method": {"statistic": "covariance"}}),
            ("histogram", {"method": {"statistic": "histogram"}}),
            ("sliced", {"method": {"statistic": "sliced"}}),
        ],
        recipe="balanced",
        steps=40,
        size=192,
    ),
    compare(
        "gradient-normalisation",
        "Every layer's gradient brought to one size before they are summed: then weights alone say what counts.",
        STILL_LIFE,
        "style-fields",
        [
            ("off", {"method": {"normalise_gradients": "off"}}),
            ("on", {"method": {"normalise_gradients": "on"}}),
        ],
        recipe="balanced",
        steps=60,
        size=256,
    ),
    compare(
        "averaging",
        "The last picture, or a running mean of the last ones: fine noise goes, strokes stay. Here with steps that are "
        "too large, to make it plain.",
        LANDSCAPE,
        "style-watercolour",
        [
            ("off", {"method": {"averaging": 0.0}}),
            ("0.9", {"method": {"averaging": 0.9}}),
        ],
        recipe="balanced",
        steps=60,
        size=256,
        learning_rate=0.15,
    ),
    compare(
        "smoothing",
        "Total variation: squared differences between neighbours (l2) smooth evenly, plain ones (l1) keep edges and "
        "flatten what lies between; with nine points diagonal neighbours count, too.",
        LANDSCAPE,
        "style-hatching",
        [
            ("none", {"tv_weight": 0.0}),
            ("l2", {"tv_weight": 20.0, "method": {"tv_kind": "l2"}}),
            ("l1", {"tv_weight": 20.0, "method": {"tv_kind": "l1"}}),
            ("l2, nine points", {"tv_weight": 20.0, "method": {"tv_kind": "l2-nine"}}),
        ],
        recipe="balanced",
        steps=45,
        size=224,
    ),
    compare(
        "starts",
        "What the first step begins from. The content term is weak here, so that the start is seen in the result.",
        LANDSCAPE,
        "style-strokes",
        [
            ("content", {"start": "content"}),
            ("noise", {"start": "noise"}),
            ("grey", {"start": "grey"}),
            ("style", {"start": "style"}),
            ("noise of the style", {"start": "style-noise"}),
            ("half content", {"start": "style-noise", "start_mix": 0.5}),
        ],
        recipe="balanced",
        steps=40,
        size=192,
        content_weight=0.5,
    ),
    compare(
        "protect-modes",
        "A protected part can stay to the pixel, or be stylised with more of the content: still itself, but painted.",
        STILL_LIFE,
        "style-mosaic",
        [
            ("not protected", {}),
            ("content", {"protect_mask": ("content", 1), "protect_mode": "content", "protect_weight": 20.0}),
            ("pixels", {"protect_mask": ("content", 1), "protect_mode": "pixels"}),
        ],
        recipe="balanced",
        steps=45,
        size=224,
    ),
    compare(
        "textures",
        "No content at all: a texture of any size from one style picture; **seamless**, its copies can be laid side by "
        "side.",
        None,
        "style-mosaic",
        [
            ("seamless", {"seamless": True, "width": 192, "height": 192}),
            ("wide", {"seamless": False, "width": 320, "height": 128}),
        ],
        recipe="balanced",
        steps=80,
        scales=3,
    ),
    compare(
        "layers",
        "Shallow layers give colour and grain, deep ones strokes and motifs; the recipe takes both.",
        LANDSCAPE,
        "style-mosaic",
        [
            ("shallow", {"layer_weights": {"preset": "custom", "relu3_1": 0.0, "relu4_1": 0.0, "relu5_1": 0.0}}),
            ("deep", {"layer_weights": {"preset": "custom", "relu1_1": 0.0, "relu2_1": 0.0, "relu3_1": 0.0}}),
            ("all", {"layer_weights": {"preset": "custom"}}),
        ],
        recipe="balanced",
        steps=45,
        size=224,
    ),
    compare(
        "pooling",
        "How the network halves its maps: by the largest of four values, by their mean, or by the root of their mean "
        "square. The style is measured with the same network.",
        LANDSCAPE,
        "style-strokes",
        [(pooling, {"pooling": pooling}) for pooling in ("max", "average", "l2")],
        recipe="balanced",
        steps=45,
        size=224,
    ),
    compare(
        "padding",
        "What the network sees beyond the picture's edge: nothing, the edge's own pixels again, or the picture "
        "mirrored. Look at the borders, which *zeros* darkens.",
        LANDSCAPE,
        "style-mosaic",
        [(padding, {"padding": padding}) for padding in ("zeros", "replicate", "reflect")],
        recipe="balanced",
        steps=45,
        size=224,
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
        sockets = [(n, t) for n, t in declared if t == "IMAGE"]
        return sockets, outputs, [node.inputs[n] for n, t in declared if t != "IMAGE"]
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
