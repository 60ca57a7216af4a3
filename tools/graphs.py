"""What workflows are described with: nodes, and the two graphs that most of them are, a transfer and a comparison."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any

# Nodes of one class that a reader of the canvas should tell apart.
TITLES = {
    "content": "Content",
    "style": "Style",
    "features": "What relu3_1 sees",
    "gram": "What is kept of the style",
    "rebuilt content": "What relu4_2 knows of the content",
    "rebuilt style": "What relu3_1 knows of the style",
}
PAINT = "Paint in a Style"  # see blueprint.py
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
    name: str  # of the API form and in the gallery; without one it is a template alone
    note: str
    nodes: dict[str, Node] = field(default_factory=dict)
    caption: str = ""  # what the gallery says, where the note's first paragraph would not do
    variants: dict[str, dict[str, Any]] = field(default_factory=dict)  # of a comparison: titles, and what differs
    title: str = ""  # of a template that the host offers; the others are files a level deeper
    note_pos: tuple[int, int] = (40, 120)
    note_size: tuple[int, int] = (270, 190)
    zoom: float = 0.8  # at which it opens
    # Used as an app: the widgets that are shown, by node and name, and the node whose pictures are the result.
    app: tuple[list[tuple[str, str]], str] | None = None


def network(pos: tuple[int, int], title: str = "", **settings: str) -> Node:
    plain = {"weights": "vgg19-caffe", "pooling": "recipe", "padding": "recipe", "precision": "auto", "input": "auto"}
    return Node("LoadVGGFeatures", {**plain, **settings}, pos, (270, 160), title=title)


EXAMPLE = 110  # an example's height in Nodes 2.0, where a line says whose node it is


def example(name: str, pos: tuple[int, int], width: int = 270) -> Node:
    return Node("NSTExampleImage", {"name": name}, pos, (width, EXAMPLE))


def transfer(
    name: str,
    note: str,
    content: str,
    styles: list[tuple[str, float]],
    style_size: int = 0,
    caption: str = "",
    title: str = "",
    **settings: Any,
) -> Workflow:
    """The graph of most templates: a network, a content, styles in a chain, a transfer, what it made."""
    # Columns from left to right, so that no wire runs behind a node: what goes in under the note, the styles'
    # statistics (one column each, for they are chained), the transfer, what it made.
    nodes = {"vgg": network((40, 540)), "content": example(content, (40, 380))}
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
        (300, 880),
    )
    x += 350
    saved = {"images": ("transfer", 0), "filename_prefix": f"nst/{name}"}
    nodes["save"] = Node("SaveImage", saved, (x, 120), (500, 430))
    nodes["plot"] = Node(
        "NSTPlotLossHistory", {"loss_history": ("transfer", 1), "width": 480, "height": 320}, (x, 620), (210, 100)
    )
    nodes["show plot"] = Node("PreviewImage", {"images": ("plot", 0)}, (x + 250, 620), (250, 230))
    return Workflow(name, note, nodes, caption, title=title)


# Nodes that a variant of a comparison may have of its own: by the transfer's input that they are for, with their size.
FOR_INPUT = {"layer_weights": ("LayerWeights", (270, 230)), "method": ("NSTMethod", (270, 160))}


# Many parameters: what a template says and what it shows, each by its name.
def compare(
    name: str,
    note: str,
    content: str | None,
    style: str,
    variants: list[tuple[str, dict[str, Any]]],
    style_size: int = 256,
    caption: str = "",
    title: str = "",
    **common: Any,
) -> Workflow:
    """One graph of several transfers, each into a SaveImage that is titled with what is particular to it.

    A variant is its title, and the inputs of the transfer or of the network in which it differs from `common`. Where an
    input takes a node (see FOR_INPUT), it is given that node's inputs: {"layer_weights": {"preset": …}}. What variants
    can share they share: the pictures, and where the network is the same, that and the style's statistics. So variants
    of one network belong together in the list, that their wires stay apart from others'.

    Without a content the transfers are NSTSynthesizeTexture nodes. The parameters are many because a template is one
    call, in which each thing that it says or shows has its name.
    """
    of_network = ("weights", "pooling", "padding", "precision", "input")
    networks = [{key: v[key] for key in of_network if key in v} for _, v in variants]
    measured_as = [(n, v.get("style_size", style_size)) for n, (_, v) in zip(networks, variants, strict=True)]
    owners = [measured_as.index(how) for how in measured_as]  # the first variant whose style is measured alike
    several = len(set(owners)) > 1
    # A row for each variant. The wires that fan out to the rows do so in gutters without nodes, which are the wider the
    # longer the wires, for these swing out by a quarter of their length. A network is lower than its style's statistics
    # and as high as its transfer, so that wires from it pass below them. In a template the nodes show their pictures.
    left, picture, style_y, top = (
        (400, (300, 360), 120, 580 if content else 240) if title else (40, (270, EXAMPLE), 380, 270)
    )
    drop, pitch = (400, 860) if title else (270, 760)
    x_grams = left + picture[0] + 60 + 70 * max(owners)
    x_transfer = x_grams + 280 + 60 + 70 * (len(variants) - 1)
    kind = "NeuralStyleTransfer" if content else "NSTSynthesizeTexture"
    pictures: dict[str, Any] = {"content_image": ("content", 0)} if content else {}
    nodes = {}
    if content:
        nodes["content"] = Node("NSTExampleImage", {"name": content}, (x_grams, 120), (280, picture[1]))
    nodes["style"] = Node("NSTExampleImage", {"name": style}, (left, style_y), picture)
    for row, ((variant, differing), settings, owner) in enumerate(zip(variants, networks, owners, strict=True)):
        y = top + pitch * row
        vgg, grams = (f"{node} {variants[owner][0]}" if several else node for node in ("vgg", "grams"))
        if owner == row:
            nodes[vgg] = network((left, y + drop), f"Network: {variant}" if several else "", **settings)
            measured = {"vgg": (vgg, 0), "style_image": ("style", 0), "weight": 1.0, "size": measured_as[row][1]}
            heading = f"Style grams: {variant}" if several else ""
            nodes[grams] = Node("ComputeStyleGrams", measured, (x_grams, y), (280, 220), title=heading)
        inputs: dict[str, Any] = {"vgg": (vgg, 0), **pictures, "style_grams": (grams, 0), "seed": 0}
        # Without a preview, for which there would have to be room below the widgets.
        inputs |= {
            "preview_every": 0,
            **common,
            **{k: v for k, v in differing.items() if k not in (*of_network, "style_size")},
        }
        below = y + drop + 160 + 60
        for key, (own, size) in FOR_INPUT.items():
            if isinstance(inputs.get(key), dict):
                nodes[f"{key} {variant}"] = Node(own, inputs[key], (left, below), size, title=variant)
                inputs[key] = (f"{key} {variant}", 0)
                below += size[1] + 60
        nodes[f"transfer {variant}"] = Node(
            kind, inputs, (x_transfer, y + drop), (300, 700), title=f"Transfer: {variant}"
        )
        saved = {"images": (f"transfer {variant}", 0), "filename_prefix": f"nst/{name}-{slug(variant)}"}
        nodes[f"save {variant}"] = Node("SaveImage", saved, (x_transfer + 380, y + drop), (420, 420), title=variant)
    workflow = Workflow(name, note, nodes, caption, dict(variants), title)
    return replace(workflow, note_size=(320, 420)) if title else workflow


def slug(title: str) -> str:
    return re.sub("[^a-z0-9]+", "-", title.lower()).strip("-")
