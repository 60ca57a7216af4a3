"""Workflows that are neither one transfer nor a comparison: each is drawn here, node by node."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from graphs import PAINT, Link, Node, Workflow, network, slug, transfer


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
WIDE = 0.7  # zoom at which a graph of many columns opens, so that its result is in view
WIDGETS = ("strength", "stroke_size", "size", "steps", "keep_colours")


def painted(title: str, note: str, content: str, style: str, keep: bool = False, **widgets: Any) -> Workflow:
    """Two pictures, *Paint in a Style*, and what it made: with `keep` the mask painted over the content as well."""
    workflow = pictures(title, note, content, style)
    nodes = workflow.nodes
    given = {"content_image": ("content", 0), "style_image": ("style", 0), **widgets}
    if keep:
        given["protect_mask"] = ("content", 1)
    nodes["paint"] = Node(PAINT, given, (720, 120), (330, 600))
    saved = {"images": ("paint", 0), "filename_prefix": "nst/painting"}
    nodes["save"] = Node("SaveImage", saved, (1110, 120), (460, 520))
    workflow.app = ([("content", "image"), ("style", "image"), *(("paint", name) for name in WIDGETS)], "save")
    return workflow


def side_by_side(
    title: str, note: str, content: str, style: str, variants: list[tuple[str, dict[str, Any]]], **common: Any
) -> Workflow:
    """The same two pictures painted several times."""
    workflow = pictures(title, note, content, style)
    for row, (variant, differing) in enumerate(variants):
        given = {"content_image": ("content", 0), "style_image": ("style", 0), **common, **differing}
        y = 120 + 520 * row  # to the right of a gutter, for wires to lower rows swing out
        workflow.nodes[f"paint {variant}"] = Node(PAINT, given, (930, y), (330, 440), title=f"Paint: {variant}")
        saved = {"images": (f"paint {variant}", 0), "filename_prefix": f"nst/{slug(variant)}"}
        workflow.nodes[f"save {variant}"] = Node("SaveImage", saved, (1320, y), (420, 440), title=variant)
    workflow.variants = dict(variants)
    return workflow


def pictures(title: str, note: str, content: str, style: str) -> Workflow:
    nodes = {
        "content": Node("NSTExampleImage", {"name": content}, (380, 120), (280, 360), title="Your picture"),
        "style": Node("NSTExampleImage", {"name": style}, (380, 580), (280, 360), title="In the style of"),
    }
    return Workflow("", note, nodes, title=title, note_size=(300, 420))


def before_and_after() -> Workflow:
    workflow = painted(
        "Before and after",
        "# Press Run\nThen move the pointer over *Before and after*: left of it is the photograph, right of it the "
        "painting.\n\nThe mosaic follows the shapes: look at the rim of the bowl. Then set **style strength** to 0.5 "
        "and run again.\n\nThe comparison is ComfyUI's own, and needs *Nodes 2.0*, which is in its settings.",
        STILL_LIFE,
        "style-mosaic",
    )
    nodes = workflow.nodes
    sides = {"image_a": ("content", 0), "image_b": ("paint", 0)}
    nodes["compare"] = Node("ImageCompare", sides, (1110, 660), (460, 460), title="Before and after")
    # The picture below the style, so that its wire to the comparison passes below what paints.
    nodes["content"].pos, nodes["style"].pos = nodes["style"].pos, nodes["content"].pos
    nodes["paint"].size, nodes["save"].size = (330, 440), (460, 440)
    return workflow


def spread(workflow: Workflow) -> Workflow:
    """Two styles in a chain, with room for pictures in the nodes and a column of its own for the note."""
    places = {
        "content": (400, 120, 300, 360, "Your picture"),
        "vgg": (400, 580, 300, 220, ""),
        "style1": (400, 900, 300, 360, "First style"),
        "style2": (780, 1080, 280, 360, "Second style"),
        "grams1": (780, 680, 280, 300, "Measure the first style"),
        "grams2": (1140, 620, 280, 300, "Measure the second style"),
        "transfer": (1500, 120, 320, 1040, ""),
        "save": (1900, 120, 520, 520, ""),
    }
    return placed(workflow, places)


def placed(workflow: Workflow, places: dict[str, tuple[int, int, int, int, str]]) -> Workflow:
    """These nodes alone, each at its place, in its size, and called so; the note has a column of its own."""
    nodes = {
        name: replace(workflow.nodes[name], pos=(x, y), size=(w, h), title=title)
        for name, (x, y, w, h, title) in places.items()
    }
    return replace(workflow, nodes=nodes, note_size=(320, 420), zoom=WIDE)


def in_rows(workflow: Workflow) -> Workflow:
    """Two textures of one picture, all of the first in view when the template opens."""
    places = {
        "style": (400, 120, 300, 360, "Made of"),
        "vgg": (400, 580, 300, 220, ""),
        "grams": (760, 120, 280, 300, "Measure the style"),
        "transfer seamless": (1120, 580, 300, 700, "Texture: seamless"),
        "save seamless": (1480, 580, 380, 420, "seamless"),
        "transfer wide": (1120, 1380, 300, 700, "Texture: wide"),
        "save wide": (1480, 1380, 380, 420, "wide"),
    }
    return placed(workflow, places)


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
        size=256,
        caption="A style is measured, saved without its picture as a file of a few megabytes, and used from there.",
    )
    nodes = workflow.nodes
    kept = {"style_grams": ("grams1", 0), "filename_prefix": "nst/style"}
    nodes["keep"] = Node("SaveStyleGrams", kept, (620, 120), (270, 170))
    nodes["transfer"].inputs["style_grams"] = ("keep", 0)
    # The file that the first run writes where there is none yet.
    loaded = {"style": "nst/style_00001_.safetensors [output]", "weight": 1.0}
    nodes["load"] = Node("LoadStyleGrams", loaded, (620, 1460), (270, 140), muted=True)
    again = {**nodes["transfer"].inputs, "style_grams": ("load", 0)}
    nodes["transfer again"] = Node("NeuralStyleTransfer", again, (930, 1290), (300, 880), muted=True)
    saved = {"images": ("transfer again", 0), "filename_prefix": "nst/load-style"}
    nodes["save again"] = Node("SaveImage", saved, (1280, 1290), (500, 430), muted=True)
    # The style above and the loaded style below, so that what both transfers need goes between them.
    places = {"style1": (40, 380), "content": (40, 540), "vgg": (40, 700), "grams1": (360, 120), "transfer": (930, 330)}
    places |= {"save": (1280, 330), "plot": (1280, 830), "show plot": (1530, 830)}
    for name, place in places.items():
        nodes[name].pos = place
    return workflow


def video() -> Workflow:
    """A film: its frames, the transfer, and the file that they become."""
    nodes = {
        "vgg": network((400, 340)),
        "clip": Node("NSTExampleClip", {"name": "clip-balloon", "frames": 24}, (400, 120), (300, 120)),
        "style1": Node("NSTExampleImage", {"name": "style-strokes"}, (400, 660), (300, 360)),
        "grams1": Node(
            "ComputeStyleGrams",
            {"vgg": ("vgg", 0), "style_image": ("style1", 0), "weight": 1.0, "size": 0},
            (780, 520),
            (280, 300),
        ),
        "transfer": Node(
            "NSTVideoTransfer",
            {
                "vgg": ("vgg", 0),
                "frames": ("clip", 0),
                "style_grams": ("grams1", 0),
                "recipe": "balanced",
                "size": 240,
                "seed": 0,
            },
            (1140, 120),
            (320, 1040),
        ),
        "film": Node("CreateVideo", {"images": ("transfer", 0), "fps": 12.0}, (1540, 120), (240, 110)),
        "save": Node(
            "SaveVideo",
            {"video": ("film", 0), "filename_prefix": "nst/video", "format": "auto", "codec": "auto"},
            (1860, 120),
            (460, 480),
        ),
    }
    return Workflow(
        "video",
        "# Press Run\nMoving pictures without flicker. Strokes stay on what they are painted on, and what the "
        "balloon hid "
        "comes back as it was.\n\nFor a film of your own put *Load Video* and *NST Stylise Video* in place of the "
        "clip and "
        "what follows: any length, with its sound.",
        nodes,
        title="A film without flicker",
        caption="Moving pictures without flicker: strokes stay on what they are painted on, and what the balloon hid "
        "comes back as it was.",
        note_size=(320, 420),
        zoom=WIDE,
    )


def folder() -> Workflow:
    """Many pictures with the host's own loader: everything after it is done once for each."""
    workflow = transfer(
        "folder",
        "Every picture of a folder in one style.\n\n"
        "Put your pictures into a folder inside ComfyUI's **input** folder, press R, choose it in *Load Image (from "
        "Folder)*, and press Run. *Save Image* numbers the results.",
        "",
        [("style-strokes", 1.0)],
        style_size=256,
        recipe="balanced",
        size=256,
        caption="Every picture of a folder in one style, by a node that ComfyUI has itself; the pictures here lay in a "
        "folder `photos` inside the input folder. For many pictures there is [`nst batch`](batch.md).",
    )
    nodes = workflow.nodes
    del nodes["plot"], nodes["show plot"]
    nodes["content"] = Node("LoadImageDataSetFromFolder", {"folder": "photos"}, (40, 380), (270, 80))
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
        size=192,
    )
    nodes = workflow.nodes
    del nodes["grams2"].inputs["style_grams"], nodes["plot"], nodes["show plot"]
    nodes["style2"].pos, nodes["style2"].size = (40, 950), nodes["style1"].size
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
        "# Press Run\nBrush strokes in the sky, mosaic on the land.\n\n"
        "The sky is painted over in *Your picture*, and wired from there to **paint here**: so the first style goes to "
        "the sky, and the second to all that is left.\n\n"
        "**Your own picture**: choose it in *Your picture*, right-click it, *Open in MaskEditor*, and paint over the "
        "part for the first style.",
        LANDSCAPE,
        [("style-strokes", 1.0), ("style-mosaic", 1.0)],
        style_size=256,
        recipe="balanced",
        size=256,
        title="Sky and land in different styles",
        caption="One style for the sky, another for the land, by a mask.",
    )
    workflow.nodes["grams1"].inputs["region_mask"] = ("content", 1)
    return spread(workflow)


def inside() -> Workflow:
    """No transfer: what the network sees, what is kept of a style, and what a layer alone can be made into."""
    vgg: Link = ("vgg", 0)
    about = transfer("", "", LANDSCAPE, [("style-strokes", 1.0)], style_size=256).nodes
    nodes = {name: about[name] for name in ("vgg", "content", "style1", "grams1")}
    nodes["grams1"].pos = (350, 1500)
    look: dict[str, Any] = {"vgg": vgg, "layer": "relu3_1", "order": "strongest", "recipe": "balanced"}
    short: dict[str, Any] = {"vgg": vgg, "steps": 60, "size": 192, "seed": 0}
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
