"""Every workflow of the pack, described once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from graphs import Link, Node, Workflow, compare, example, network, transfer


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
    nodes["load"] = Node("LoadStyleGrams", loaded, (620, 1460), (270, 140), muted=True)
    again = {**nodes["transfer"].inputs, "style_grams": ("load", 0)}
    nodes["transfer again"] = Node("NeuralStyleTransfer", again, (930, 1290), (300, 880), muted=True)
    saved = {"images": ("transfer again", 0), "filename_prefix": "nst/load-style"}
    nodes["save again"] = Node("SaveImage", saved, (1280, 1290), (500, 430), muted=True)
    # The style above and the loaded style below, so that what both transfers need goes between them.
    places = {"style1": (40, 380), "content": (40, 510), "vgg": (40, 640), "grams1": (360, 120), "transfer": (930, 330)}
    places |= {"save": (1280, 330), "plot": (1280, 830), "show plot": (1530, 830)}
    for name, place in places.items():
        nodes[name].pos = place
    return workflow


def video() -> Workflow:
    """A film: its frames, the transfer, and the file that they become."""
    nodes = {
        "vgg": network((40, 510)),
        "clip": Node("NSTExampleClip", {"name": "clip-balloon", "frames": 24}, (40, 360), (270, 100)),
        "style1": example("style-strokes", (40, 740)),
        "grams1": Node(
            "ComputeStyleGrams",
            {"vgg": ("vgg", 0), "style_image": ("style1", 0), "weight": 1.0, "size": 0},
            (350, 640),
            (230, 220),
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
            (620, 120),
            (300, 900),
        ),
        "film": Node("CreateVideo", {"images": ("transfer", 0), "fps": 12.0}, (970, 120), (230, 110)),
        "save": Node(
            "SaveVideo",
            {"video": ("film", 0), "filename_prefix": "nst/video", "format": "auto", "codec": "auto"},
            (1240, 120),
            (420, 430),
        ),
    }
    return Workflow(
        "video",
        "Moving pictures without flicker: strokes stay on what they are painted on, and what the balloon hid comes "
        "back as it was.\n\nFor a film of your own put *Load Video* and *NST Stylise Video* in place of the clip and "
        "what follows: any length, with its sound.",
        nodes,
    )


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
    transfer(
        "quickstart",
        "Press Run: a landscape takes on flowing brush strokes, in a minute or so on two CPU cores.\n\n"
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
        "The default recipe with all its steps: flat colour, bold contours, calm skies. It works from small to large, "
        "and measures every term against where the content picture stands, so the same setting suits most pairs at any "
        "size.",
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
    transfer(
        "two-styles",
        "Two styles in one picture: *Compute Style Grams* nodes in a chain, blended by their **weights**.",
        LANDSCAPE,
        [("style-watercolour", 2.0), ("style-hatching", 1.0)],
        style_size=512,
        recipe="balanced",
        steps=80,
        size=384,
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
    video(),
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
        "How the network halves its maps: by the largest of four values, by their mean, or by the root of their mean "
        "square. The style is measured with the same network.",
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
