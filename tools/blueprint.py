"""*Paint in a Style*: the graph of a transfer as one node, for the node search and for the templates.

The host calls such a node a blueprint and its inside a subgraph. What is shown on the outside are inputs of the
subgraph; those of a widget show the widget.
"""

from __future__ import annotations

import uuid
from typing import Any

TITLE = "Paint in a Style"
DESCRIPTION = (
    "Paints your picture in the style of another: its brush strokes, textures and colours. Give it two pictures. What "
    "should stay as it is: right-click your picture, open the mask editor, paint over it with a soft brush, and wire "
    "MASK to keep. A stroke size above 1 means broader strokes; keep colours: none means those of the style."
)
ALIASES = [
    "style transfer",
    "neural style transfer",
    "paint",
    "painting",
    "painterly",
    "artistic",
    "art style",
    "brush strokes",
    "van gogh",
    "oil painting",
    "watercolour",
    "watercolor",
    "gatys",
    "stylize",
    "stylise",
]
PREVIEW = "$$canvas-image-preview"  # what the front end calls the picture that it draws on a node

PICTURES = {"content_image": ("picture", "IMAGE"), "style_image": ("style", "IMAGE"), "protect_mask": ("keep", "MASK")}
PRESET = "balanced"
# The widgets on the outside, in their order, with what they say to begin with: a number where the node itself has -1,
# which leaves it to the preset and tells a reader nothing. Only steps are left to it, as larger pictures take more.
WIDGETS = {
    "strength": ("style strength", "FLOAT", 1.0),
    "stroke_size": ("stroke size", "FLOAT", 1.0),
    "size": ("size", "INT", 512),
    "steps": ("steps (-1: auto)", "INT", -1),
    "keep_colours": ("keep colours", "COMBO", "none"),
}
RECIPE = {"recipe": ("preset", "COMBO", PRESET)}  # one more, where a template is about it
# The nodes inside, counted. The measured style has size 0: as large as the picture, which stroke_size then scales.
NETWORK, GRAMS, TRANSFER = 1, 2, 3
INPUT, OUTPUT = -10, -20


def number_of(outer: int | str, inner: int) -> int:
    """A node's number within the node `outer`. No two in a file may have the same, whichever graph they are in."""
    return 10 * int(outer) + inner if inner > 0 else inner


def identity(name: str) -> str:
    """The same for the same name, so that files do not change when they are written again."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"neural-style-transfer/{name}"))


def widgets(given: dict[str, Any]) -> dict[str, tuple[str, str, Any]]:
    """What is shown of a node that is given these inputs."""
    return {**WIDGETS, **(RECIPE if "recipe" in given else {})}


def values(given: dict[str, Any]) -> dict[str, Any]:
    """What the widgets on the outside say."""
    return {name: given.get(name, begins) for name, (_, _, begins) in widgets(given).items()}


def inside(given: dict[str, Any]) -> list[tuple[int, str, dict[str, Any], tuple[int, int], tuple[int, int]]]:
    """Number, class, widgets that are not at their defaults, place and size of the nodes."""
    shown = {"recipe": PRESET, "seed": 0, **values(given)}
    return [
        (NETWORK, "LoadVGGFeatures", {}, (0, 0), (270, 220)),
        (GRAMS, "ComputeStyleGrams", {"size": 0}, (330, 280), (270, 300)),
        (TRANSFER, "NeuralStyleTransfer", shown, (680, 0), (320, 1040)),
    ]


def wires(given: dict[str, Any]) -> list[tuple[int, int, int, str, str]]:
    """Origin and its slot, target and its input, type. On the outside, slots count PICTURES and then WIDGETS."""
    into = {"content_image": TRANSFER, "style_image": GRAMS, "protect_mask": TRANSFER}
    outer = [(name, into[name], kind) for name, (_, kind) in PICTURES.items()]
    outer += [(name, TRANSFER, kind) for name, (_, kind, _) in widgets(given).items()]
    return [
        (NETWORK, 0, GRAMS, "vgg", "VGG_FEATURES"),
        (NETWORK, 0, TRANSFER, "vgg", "VGG_FEATURES"),
        (GRAMS, 0, TRANSFER, "style_grams", "STYLE_GRAMS"),
        *((INPUT, slot, target, name, kind) for slot, (name, target, kind) in enumerate(outer)),
        (TRANSFER, 0, OUTPUT, "image", "IMAGE"),
    ]


def _linked(outer: int, given: dict[str, Any], nodes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The links inside, which are also noted at the nodes that they join."""
    by_id = {node["id"]: node for node in nodes}
    links = []
    for number, (source, slot, end, name_in, kind) in enumerate(wires(given), 1):
        origin, target = number_of(outer, source), number_of(outer, end)
        if origin != INPUT:
            by_id[origin]["outputs"][slot]["links"].append(number)
        target_slot = 0
        if target != OUTPUT:
            names = [entry["name"] for entry in by_id[target]["inputs"]]
            target_slot = names.index(name_in)
            by_id[target]["inputs"][target_slot]["link"] = number
        links.append(
            {
                "id": number,
                "origin_id": origin,
                "origin_slot": slot,
                "target_id": target,
                "target_slot": target_slot,
                "type": kind,
            }
        )
    return links


def definition(name: str, outer: int, given: dict[str, Any], nodes: list[dict[str, Any]]) -> dict[str, Any]:
    """The subgraph, from its nodes as the canvas writes them, still without wires."""
    links = _linked(outer, given, nodes)
    shown = {**PICTURES, **{key: (label, kind) for key, (label, kind, _) in widgets(given).items()}}
    return {
        "id": identity(name),
        "version": 1,
        "state": {
            "lastGroupId": 0,
            "lastNodeId": number_of(outer, TRANSFER),
            "lastLinkId": len(links),
            "lastRerouteId": 0,
        },
        "revision": 0,
        "config": {},
        "name": TITLE,
        "inputNode": {"id": INPUT, "bounding": [-260, 240, 140, 40 + 20 * len(shown)]},
        "outputNode": {"id": OUTPUT, "bounding": [1080, 240, 120, 60]},
        "inputs": [
            {
                "id": identity(f"{name}/{key}"),
                "name": key,
                "type": kind,
                "linkIds": [link["id"] for link in links if (link["origin_id"], link["origin_slot"]) == (INPUT, slot)],
                "label": label,
                "pos": [-140, 260 + 20 * slot],
            }
            for slot, (key, (label, kind)) in enumerate(shown.items())
        ],
        "outputs": [
            {
                "id": identity(f"{name}/image"),
                "name": "image",
                "type": "IMAGE",
                "linkIds": [link["id"] for link in links if link["target_id"] == OUTPUT],
                "pos": [1100, 260],
            }
        ],
        "widgets": [],
        "nodes": nodes,
        "groups": [],
        "links": links,
        "extra": {"workflowRendererVersion": "LG"},
        "category": "style transfer",
        # The tab of what most people need, where the host has it. A pack's own node would for that no longer count as a
        # custom one; a blueprint stays among the blueprints.
        "essentials_category": "Image Generation",
        "description": DESCRIPTION,
    }


def flat(number: str, given: dict[str, Any]) -> dict[str, tuple[str, dict[str, Any]]]:
    """The nodes inside in place of the one outside, as the front end sends them: class and inputs by number."""

    def inner(which: int) -> str:
        return f"{number}:{number_of(number, which)}"

    nodes = {inner(which): (kind, dict(inputs)) for which, kind, inputs, _, _ in inside(given)}
    for origin, slot, target, name, _ in wires(given):
        if target == OUTPUT:
            continue
        inputs = nodes[inner(target)][1]
        if origin != INPUT:
            inputs[name] = [inner(origin), slot]
        elif name in PICTURES and name in given:
            inputs[name] = given[name]
    return nodes


def sockets(given: dict[str, Any]) -> list[dict[str, Any]]:
    """The inputs of the node on the outside."""
    pictures = [{"label": label, "name": name, "type": kind, "link": None} for name, (label, kind) in PICTURES.items()]
    shown = [
        {"label": label, "name": name, "type": kind, "widget": {"name": name}, "link": None}
        for name, (label, kind, _) in widgets(given).items()
    ]
    return [*pictures, *shown]


def properties(outer: int) -> dict[str, Any]:
    """The live preview of the transfer is shown on the outside, in the words of older front ends and of newer ones."""
    transfer = str(number_of(outer, TRANSFER))
    exposed = {"name": PREVIEW, "sourceNodeId": transfer, "sourcePreviewName": PREVIEW}
    return {"proxyWidgets": [[transfer, PREVIEW]], "previewExposures": [exposed]}
