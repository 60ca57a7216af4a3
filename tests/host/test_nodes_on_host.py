"""What the host shows of the nodes: what saved workflows and callers of the API hold stays as it is."""

from __future__ import annotations

import pytest
from live_comfyui import PACK, Server

# Saved workflows and callers of the API hold these. A name stays, a default stays, a choice stays; new inputs are
# optional and go last. A text is a wire's type, a list a choice (the first is the default), a pair kind and default.
RECIPES = [
    "balanced",
    "classic",
    "persson",
    "udacity",
    "pytorch-tutorial",
    "convnet",
    "gatys2016",
    "gatys2017",
    "johnson",
    "crowsonkb",
    "pastiche",
    "spst",
    "nnst",
    "strotss",
]
COLOUR_METHODS = ["symmetric", "pca", "cholesky", "histogram", "lab", "luminance"]
STARTS = ["content", "noise", "image", "grey", "style", "style-noise"]
LAYERS = ["relu3_1", "conv1_1", "relu1_1", "pool1", "conv4_4", "relu5_4", "pool5"]  # some of them
MOVING = {
    "temporal_weight": ("FLOAT", 1.0),
    "frame_steps": ("INT", -1),
    "passes": ("INT", 1),
    "find_cuts": ("BOOLEAN", True),
    "steps": ("INT", -1),
    "optimizer": ["recipe", "adam", "lbfgs"],
    "learning_rate": ("FLOAT", -1),
    "content_weight": ("FLOAT", 1.0),
    "style_weight": ("FLOAT", 1.0),
    "tv_weight": ("FLOAT", -1),
    "size": ("INT", -1),
    "scales": ("INT", -1),
    "seed": ("INT", 0),
    "preview_every": ("INT", -1),
    "layer_weights": "LAYER_WEIGHTS",
    "keep_colours": ["none", *COLOUR_METHODS],
    "keep_colours_strength": ("FLOAT", 1.0),
    "tile": ("INT", -1),
    "protect_mask": "MASK",
    "strength": ("FLOAT", 1.0),
    "protect_mode": ["pixels", "content"],
    "protect_weight": ("FLOAT", 20.0),
    "method": "NST_METHOD",
    "stroke_size": ("FLOAT", 0.0),
}
NODES = {
    "LoadVGGFeatures": {
        "name": "Load VGG Features",
        "category": "style transfer",
        "required": {
            "weights": ["vgg19-caffe", "vgg19-torchvision", "vgg16-torchvision"],
            "pooling": ["recipe", "max", "average", "l2"],
            "padding": ["recipe", "zeros", "replicate", "reflect"],
            "precision": ["auto", "fp32", "bf16", "fp16"],
        },
        "optional": {"input": ["auto", "torchvision", "caffe"]},
        "outputs": {"vgg": "VGG_FEATURES"},
    },
    "LayerWeights": {
        "name": "Layer Weights",
        "category": "style transfer",
        "required": {
            "preset": ["custom", *RECIPES],
            **dict.fromkeys(("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"), ("FLOAT", 1.0)),
            "style_layers": ("STRING", ""),
            "content_layers": ("STRING", ""),
        },
        "optional": {},
        "outputs": {"layer_weights": "LAYER_WEIGHTS"},
    },
    "ComputeStyleGrams": {
        "name": "Compute Style Grams",
        "category": "style transfer",
        "required": {"vgg": "VGG_FEATURES", "style_image": "IMAGE", "weight": ("FLOAT", 1.0), "size": ("INT", 512)},
        "optional": {
            "layer_weights": "LAYER_WEIGHTS",
            "style_grams": "STYLE_GRAMS",
            "style_mask": "MASK",
            "region_mask": "MASK",
            "mask_mode": ["simple", "inside"],
            "copies": ["none", "mirrored", "rotated", "rotated-mirrored", "rescaled"],
        },
        "outputs": {"style_grams": "STYLE_GRAMS"},
    },
    "NeuralStyleTransfer": {
        "name": "Neural Style Transfer",
        "category": "style transfer",
        "required": {
            "vgg": "VGG_FEATURES",
            "content_image": "IMAGE",
            "style_grams": "STYLE_GRAMS",
            "recipe": RECIPES,
        },
        "optional": {
            "steps": ("INT", -1),
            "optimizer": ["recipe", "adam", "lbfgs"],
            "learning_rate": ("FLOAT", -1),
            "content_weight": ("FLOAT", 1.0),
            "style_weight": ("FLOAT", 1.0),
            "tv_weight": ("FLOAT", -1),
            "start": ["recipe", *STARTS],
            "size": ("INT", -1),
            "scales": ("INT", -1),
            "seed": ("INT", 0),
            "preview_every": ("INT", -1),
            "layer_weights": "LAYER_WEIGHTS",
            "start_image": "IMAGE",
            "keep_colours": ["none", *COLOUR_METHODS],
            "keep_colours_strength": ("FLOAT", 1.0),
            "tile": ("INT", -1),
            "protect_mask": "MASK",
            "strength": ("FLOAT", 1.0),
            "start_mix": ("FLOAT", 0.0),
            "seamless": ("BOOLEAN", False),
            "protect_mode": ["pixels", "content"],
            "protect_weight": ("FLOAT", 20.0),
            "method": "NST_METHOD",
            "stroke_size": ("FLOAT", 0.0),
        },
        "outputs": {"image": "IMAGE", "loss_history": "LOSS_HISTORY"},
    },
    "NSTMethod": {
        "name": "NST Method",
        "category": "style transfer",
        "required": {
            "statistic": ["recipe", "gram", "mean-std", "covariance", "histogram", "sliced", "nearest", "remd"],
            "shift": ("FLOAT", 0.0),
            "normalise_gradients": ["recipe", "on", "off"],
            "averaging": ("FLOAT", -1),
            "tv_kind": ["recipe", "l2", "l1", "l2-nine", "l1-nine"],
        },
        "optional": {
            "content_measure": ["recipe", "features", "self-similarity", "laplacian"],
            "octaves": ("INT", -1),
        },
        "outputs": {"method": "NST_METHOD"},
    },
    "NSTSynthesizeTexture": {
        "name": "NST Synthesize Texture",
        "category": "style transfer",
        "required": {
            "vgg": "VGG_FEATURES",
            "style_grams": "STYLE_GRAMS",
            "width": ("INT", 512),
            "height": ("INT", 512),
            "seamless": ("BOOLEAN", True),
            "recipe": RECIPES,
            "seed": ("INT", 0),
        },
        "optional": {
            "steps": ("INT", -1),
            "optimizer": ["recipe", "adam", "lbfgs"],
            "learning_rate": ("FLOAT", -1),
            "tv_weight": ("FLOAT", -1),
            "start": ["recipe", *STARTS[1:]],
            "scales": ("INT", -1),
            "preview_every": ("INT", -1),
            "layer_weights": "LAYER_WEIGHTS",
            "start_image": "IMAGE",
            "tile": ("INT", -1),
            "method": "NST_METHOD",
        },
        "outputs": {"image": "IMAGE", "loss_history": "LOSS_HISTORY"},
    },
    "NSTMatchColours": {
        "name": "Match Colours",
        "category": "style transfer",
        "required": {
            "image": "IMAGE",
            "reference": "IMAGE",
            "method": COLOUR_METHODS,
            "strength": ("FLOAT", 1.0),
        },
        "optional": {},
        "outputs": {"image": "IMAGE"},
    },
    "NSTPlotLossHistory": {
        "name": "NST Plot Loss History",
        "category": "style transfer/utilities",
        "required": {"loss_history": "LOSS_HISTORY", "width": ("INT", 480), "height": ("INT", 320)},
        "optional": {},
        "outputs": {"image": "IMAGE"},
    },
    "NSTExampleImage": {
        "name": "NST Example Image",
        "category": "style transfer/utilities",
        "required": {
            "name": [
                "content-landscape",
                "content-still-life",
                "style-fields",
                "style-hatching",
                "style-mosaic",
                "style-strokes",
                "style-watercolour",
            ]
        },
        "optional": {},
        "outputs": {"image": "IMAGE", "mask": "MASK"},
    },
    "SaveStyleGrams": {
        "name": "Save Style Grams",
        "category": "style transfer",
        "required": {"style_grams": "STYLE_GRAMS", "filename_prefix": ("STRING", "nst/style")},
        "optional": {"thumbnail": ("BOOLEAN", False), "vgg": "VGG_FEATURES", "recipe": RECIPES},
        "outputs": {"style_grams": "STYLE_GRAMS"},
    },
    "LoadStyleGrams": {
        "name": "Load Style Grams",
        "category": "style transfer",
        "required": {"style": [], "weight": ("FLOAT", 1.0)},
        "optional": {"style_grams": "STYLE_GRAMS", "region_mask": "MASK", "mask_mode": ["simple", "inside"]},
        "outputs": {"style_grams": "STYLE_GRAMS", "thumbnail": "IMAGE"},
    },
    "NSTInterpolateStyles": {
        "name": "NST Interpolate Styles",
        "category": "style transfer",
        "required": {"from_style": "STYLE_GRAMS", "to_style": "STYLE_GRAMS", "frames": ("INT", 4)},
        "optional": {},
        "outputs": {"style_grams": "STYLE_GRAMS"},
    },
    "NSTShowFeatures": {
        "name": "NST Show Features",
        "category": "style transfer/utilities",
        "required": {
            "vgg": "VGG_FEATURES",
            "image": "IMAGE",
            "layer": LAYERS,
            "maps": ("INT", 16),
            "order": ["strongest", "channel"],
            "size": ("INT", 512),
            "recipe": RECIPES,
        },
        "optional": {},
        "outputs": {"image": "IMAGE"},
    },
    "NSTShowGram": {
        "name": "NST Show Gram",
        "category": "style transfer/utilities",
        "required": {
            "vgg": "VGG_FEATURES",
            "style_grams": "STYLE_GRAMS",
            "layer": LAYERS,
            "order": ["strongest", "channel"],
            "scale": ["log", "sqrt"],
            "recipe": RECIPES,
        },
        "optional": {},
        "outputs": {"image": "IMAGE"},
    },
    "NSTReconstructLayer": {
        "name": "NST Reconstruct Layer",
        "category": "style transfer/utilities",
        "required": {
            "vgg": "VGG_FEATURES",
            "image": "IMAGE",
            "layer": LAYERS,
            "what": ["content", "style"],
            "steps": ("INT", 100),
            "size": ("INT", 256),
            "seed": ("INT", 0),
        },
        "optional": {},
        "outputs": {"image": "IMAGE", "loss_history": "LOSS_HISTORY"},
    },
    "NSTVideoTransfer": {
        "name": "NST Video Transfer",
        "category": "style transfer",
        "required": {"vgg": "VGG_FEATURES", "frames": "IMAGE", "style_grams": "STYLE_GRAMS", "recipe": RECIPES},
        "optional": MOVING,
        "outputs": {"frames": "IMAGE", "loss_history": "LOSS_HISTORY"},
    },
    "NSTStyliseVideo": {
        "name": "NST Stylise Video",
        "category": "style transfer",
        "required": {
            "vgg": "VGG_FEATURES",
            "video": "VIDEO",
            "style_grams": "STYLE_GRAMS",
            "recipe": RECIPES,
            "filename_prefix": ("STRING", "nst/video"),
        },
        "optional": {**MOVING, "every": ("INT", 1)},
        "outputs": {"video": "VIDEO"},
    },
    "NSTExampleClip": {
        "name": "NST Example Clip",
        "category": "style transfer/utilities",
        "required": {"name": ["clip-balloon"]},
        "optional": {"frames": ("INT", 24)},
        "outputs": {"frames": "IMAGE", "fps": "FLOAT"},
    },
}


@pytest.mark.every_host
@pytest.mark.parametrize("node", NODES)
def test_a_node_is_as_saved_workflows_know_it(server: Server, node: str) -> None:
    expected, shown = NODES[node], server.get(f"/object_info/{node}")[node]
    assert shown["display_name"] == expected["name"]
    assert shown["category"] == expected["category"]
    assert len(shown["description"]) > 30
    assert dict(zip(shown["output_name"], shown["output"], strict=True)) == expected["outputs"]
    assert len(shown["output_tooltips"]) == len(shown["output"]) and all(map(str.strip, shown["output_tooltips"]))

    required, optional = shown["input"].get("required", {}), shown["input"].get("optional", {})
    assert list(required) == list(expected["required"])
    assert list(optional)[: len(expected["optional"])] == list(expected["optional"])
    for name, (kind, options) in {**required, **optional}.items():
        assert options["tooltip"].strip(), name
        wanted = {**expected["required"], **expected["optional"]}.get(name)
        if isinstance(wanted, list):
            assert isinstance(kind, list) and set(wanted) <= set(kind), name
            assert not wanted or options.get("default", kind[0]) == wanted[0], name
        elif isinstance(wanted, tuple):
            assert (kind, options["default"]) == wanted, name
        elif wanted is not None:
            assert kind == wanted, name


@pytest.mark.every_host
def test_every_node_of_the_pack_is_listed_above(server: Server) -> None:
    ours = [i for i, shown in server.get("/object_info").items() if shown["python_module"].endswith(PACK)]
    assert sorted(ours) == sorted(NODES)
