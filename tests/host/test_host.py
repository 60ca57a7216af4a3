"""The pack in a running ComfyUI, as its users have it: nothing here imports the pack."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
from live_comfyui import (
    EXTRA_WEIGHTS,
    PACK,
    ROOT,
    WORKFLOWS,
    Event,
    Graph,
    Refused,
    Run,
    Server,
    api_graph,
    find,
    find_comfyui,
    find_interpreter,
    package_folder,
)
from PIL import Image

MEGABYTE = 1 << 20


# --- loading ------------------------------------------------------------------------------------------------------


@pytest.mark.every_host
def test_the_pack_loads_without_a_complaint(server: Server) -> None:
    start = server.log().split("Starting server")[0]
    assert f"IMPORT FAILED: {PACK}" not in start
    times = re.findall(rf"^ *([\d.]+) seconds: .*{PACK}$", start, re.MULTILINE)
    assert len(times) == 1, start
    # torch is loaded already; what the pack adds has to go unnoticed. 0.1 s on a quiet machine.
    assert float(times[0]) < 3
    # Between "Trying to load" and the table of times lies what the pack itself says while it is imported.
    said = re.search(rf"^Trying to load custom node .*{PACK}\n(.*?)^Import times", start, re.MULTILINE | re.DOTALL)
    assert said is not None and said[1].strip() == ""
    # Nor does anything later in the start name the pack, but for the name of its folder of templates.
    naming = [line for line in start.split("Import times")[1].splitlines() if PACK in line or "nst_engine" in line]
    assert [line for line in naming if "seconds:" not in line and "workflow folder" not in line] == []


# --- what the host shows of the nodes -----------------------------------------------------------------------------

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
            "statistic": ["recipe", "gram", "mean-std", "covariance", "histogram", "sliced", "nearest"],
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


# --- running ------------------------------------------------------------------------------------------------------


def start_pictures(server: Server, graph: Graph) -> list[np.ndarray]:
    """The same graph without a step: what its transfers start from, at their size, in the order of the results."""
    unmoved = {i: {**node, "inputs": dict(node["inputs"])} for i, node in graph.items()}
    for node in unmoved.values():
        if node["class_type"] == "NeuralStyleTransfer":
            node["inputs"]["steps"] = 0
    # The plot of no steps is not what this is about.
    unmoved = {i: n for i, n in unmoved.items() if n["class_type"] not in ("NSTPlotLossHistory", "PreviewImage")}
    run = server.run(unmoved)
    return [np.asarray(picture) for i in all_of(unmoved, "SaveImage") for picture in run.pictures(i)]


def all_of(graph: Graph, class_type: str) -> list[str]:
    return [i for i, node in graph.items() if node["class_type"] == class_type]


def own_size(graph: Graph) -> tuple[int, int]:
    """Width and height of the example that is the content."""
    content, _ = graph[all_of(graph, "NeuralStyleTransfer")[0]]["inputs"]["content_image"]
    with Image.open(ROOT / "nodes" / "examples" / f"{graph[content]['inputs']['name']}.jpg") as picture:
        return picture.size


@pytest.mark.every_host
@pytest.mark.parametrize("name", sorted({file.stem for file in (WORKFLOWS / "api").glob("*.json")} - {"folder"}))
def test_a_workflow_runs_to_its_end(server: Server, name: str) -> None:
    if name == "video":
        skip_without_flow()
    graph = api_graph(name)
    mark = server.log_mark()
    run = server.run(graph)
    if name == "video":
        (film,) = run.outputs[find(graph, "SaveVideo")]["images"]
        assert film["filename"].endswith(".mp4") and len(server.get("/view", **film)) > 1000
    saves = all_of(graph, "SaveImage")
    pictures = [picture for i in saves for picture in run.pictures(i)]
    assert len(pictures) == {"style-row": 4}.get(name, len(saves))
    for picture in pictures:
        assert picture.mode == "RGB"
        assert np.asarray(picture).std() > 5  # something is to be seen
    if all_of(graph, "NeuralStyleTransfer"):
        width, height = own_size(graph)
        for picture, start in zip(pictures, start_pictures(server, graph), strict=True):
            assert picture.size == (round(96 * width / max(width, height)), round(96 * height / max(width, height)))
            assert (np.asarray(picture).astype(int) != start).mean() > 0.05
    for plot in (plot for i in all_of(graph, "PreviewImage") for plot in run.pictures(i)):
        assert plot.size == (480, 320)
    # A NaN on its way to a file shows up as a warning here.
    assert not re.search("Traceback|Warning", said := server.log(mark)), said


@pytest.mark.every_host
def test_example_pictures_lie_where_load_image_lists_them(server: Server) -> None:
    examples = ROOT / "nodes" / "examples"
    listed = server.get("/object_info/LoadImage")["LoadImage"]["input"]["required"]["image"][0]
    assert {f"nst-{file.name}" for file in examples.glob("*.jpg")} <= set(listed)
    graph = {
        "load": {"class_type": "LoadImage", "inputs": {"image": "nst-content-landscape-masked.png"}},
        "save": {"class_type": "SaveImage", "inputs": {"images": ["load", 0], "filename_prefix": "nst/example"}},
        "mask": {"class_type": "MaskToImage", "inputs": {"mask": ["load", 1]}},
        "save mask": {"class_type": "SaveImage", "inputs": {"images": ["mask", 0], "filename_prefix": "nst/mask"}},
    }
    run = server.run(graph)
    for node, name, mode in (
        ("save", "content-landscape.jpg", "RGB"),
        ("save mask", "content-landscape-mask.png", "L"),
    ):
        (shown,) = run.pictures(node)
        with Image.open(examples / name) as picture:  # the other one is smaller
            expected = np.asarray(picture.convert(mode).convert("RGB").resize(shown.size, Image.LANCZOS)).astype(int)
        assert np.abs(np.asarray(shown.convert("RGB")) - expected).mean() < 3


def skip_without_flow() -> None:
    if package_folder(find_interpreter(find_comfyui()), "cv2") is None:
        pytest.skip("the interpreter for ComfyUI lacks opencv-python-headless")


def film_graph(**settings: object) -> Graph:
    """Frames made a video by the host, stylised as a stream, and saved by the host."""
    graph = api_graph("video")
    transfer, film, save = (find(graph, kind) for kind in ("NSTVideoTransfer", "CreateVideo", "SaveVideo"))
    frames = graph[transfer]["inputs"].pop("frames")
    graph[film]["inputs"]["images"] = frames
    graph[transfer]["class_type"] = "NSTStyliseVideo"
    graph[transfer]["inputs"] |= {"video": [film, 0], "filename_prefix": "nst/film"} | settings
    graph[save]["inputs"]["video"] = [transfer, 0]
    return graph


def test_a_video_is_stylised_as_a_stream_and_passed_on(server: Server) -> None:
    skip_without_flow()
    graph = film_graph(steps=2)
    run = server.run(graph)
    outputs = [run.outputs[find(graph, kind)]["images"] for kind in ("NSTStyliseVideo", "SaveVideo")]
    for (film,) in outputs:
        assert len(server.get("/view", **film)) > 1000
    assert [*(server.base / "output" / "nst").glob("*.frames")] == []


def test_a_cancelled_video_leaves_a_film_and_goes_on(server: Server) -> None:
    skip_without_flow()
    graph = film_graph(steps=20, frame_steps=200, seed=3)
    mark = server.log_mark()
    run = server.start(graph)
    run.wait("progress", 25)  # beyond the first frame
    server.post("/interrupt", {})
    assert run.finish().ending == "execution_interrupted"
    said = re.search(r"(\d+) frames? so far are in (\S+);", server.log(mark))
    assert said and (server.base / "output" / "nst").joinpath(os.path.basename(said[2])).is_file()
    kept = {path.name for path in (server.base / "output" / "nst").glob("film-*.frames/frame_*.png")}
    assert len(kept) == int(said[1]) >= 1
    server.run(graph)
    assert [*(server.base / "output" / "nst").glob("*.frames"), *(server.base / "output" / "nst").glob("*unf*")] == []


def test_a_batch_comes_out_whole(server: Server) -> None:
    graph = api_graph("quickstart", steps=2)
    transfer = graph[find(graph, "NeuralStyleTransfer")]
    graph["second"] = {"class_type": "NSTExampleImage", "inputs": {"name": "content-still-life"}}
    both = {"image1": transfer["inputs"]["content_image"], "image2": ["second", 0]}
    graph["both"] = {"class_type": "ImageBatch", "inputs": both}
    transfer["inputs"]["content_image"] = ["both", 0]
    run = server.run(graph)
    first, second = run.pictures(find(graph, "SaveImage"))
    assert first.size == second.size and np.any(np.asarray(first) != np.asarray(second))
    assert len(run.pictures(find(graph, "PreviewImage"))) == 2
    assert bar_of(run, graph)[-1].data["value"] == 4  # the bar runs on over both


def test_transparency_is_kept(server: Server) -> None:
    ramp = np.tile(np.linspace(0, 255, 96).round().astype(np.uint8), (72, 1))
    colours = np.random.default_rng(0).integers(0, 256, (72, 96, 3), np.uint8)
    name = server.upload("transparent.png", Image.fromarray(np.dstack([colours, ramp])))
    graph = api_graph("quickstart", size=0)
    graph["load"] = {"class_type": "LoadImage", "inputs": {"image": name}}
    # The host's loader splits the alpha off; this node puts it back.
    graph["rgba"] = {"class_type": "JoinImageWithAlpha", "inputs": {"image": ["load", 0], "alpha": ["load", 1]}}
    graph[find(graph, "NeuralStyleTransfer")]["inputs"]["content_image"] = ["rgba", 0]
    graph[find(graph, "ComputeStyleGrams")]["inputs"]["style_image"] = ["rgba", 0]
    (picture,) = server.run(graph).pictures(find(graph, "SaveImage"))
    assert picture.mode == "RGBA"
    assert np.abs(np.asarray(picture)[..., 3].astype(int) - ramp).max() <= 1


# --- saved styles and rows of them --------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_among_the_outputs_stops_nobody(server: Server) -> None:
    pipe = server.base / "output" / "pipe.safetensors"
    pipe.parent.mkdir(exist_ok=True)
    os.mkfifo(pipe)
    try:
        shown = server.get("/object_info/LoadStyleGrams")["LoadStyleGrams"]["input"]["required"]["style"][0]
        assert "pipe.safetensors [output]" not in shown
    finally:
        pipe.unlink()


@pytest.mark.every_host
def test_a_style_is_saved_listed_and_loaded(server: Server) -> None:
    def listed() -> list[str]:
        return server.get("/object_info/LoadStyleGrams")["LoadStyleGrams"]["input"]["required"]["style"][0]

    graph = api_graph("save-style", size=88)
    keep, transfer, save = (find(graph, kind) for kind in ("SaveStyleGrams", "NeuralStyleTransfer", "SaveImage"))
    graph[keep]["inputs"]["filename_prefix"] = "styles/mine"
    run = server.run(graph)
    (from_picture,) = run.pictures(save)
    assert run.outputs[keep]["text"] == ["styles/mine_00001_.safetensors [output]"]
    file = server.base / "output" / "styles" / "mine_00001_.safetensors"
    assert 0.5 * MEGABYTE < file.stat().st_size < 5 * MEGABYTE
    shutil.copy(file, server.base / "input" / "given.safetensors")
    (server.base / "input" / "weights.safetensors").write_bytes(b"something else")
    assert {"given.safetensors", "styles/mine_00001_.safetensors [output]"} <= set(listed())
    assert "weights.safetensors" not in listed()

    load = {"class_type": "LoadStyleGrams", "inputs": {"style": run.outputs[keep]["text"][0], "weight": 1.0}}
    vgg = find(graph, "LoadVGGFeatures")
    loading = {i: graph[i] for i in (vgg, find_content(graph), transfer, save)} | {"load": load}
    loading[transfer]["inputs"]["style_grams"] = ["load", 0]
    assert np.array_equal(server.run(loading).pictures(save)[0], from_picture)
    loading[transfer]["inputs"]["content_weight"] = 2.0
    assert "load" in server.run(loading).cached
    load["inputs"]["style"] = "given.safetensors"
    assert np.any(np.asarray(server.run(loading).pictures(save)[0]) != np.asarray(from_picture))
    (server.base / "input" / "given.safetensors").touch()  # a file that changes is read anew
    loading[transfer]["inputs"]["content_weight"] = 1.0
    assert "load" not in server.run(loading).cached

    for outside in ("../output/styles/mine_00001_.safetensors", str(file), "gone.safetensors"):
        load["inputs"]["style"] = outside
        (error,) = refusal(server, loading)["node_errors"]["load"]["errors"]
        assert error["type"] == "custom_validation_failed" and "file" in error["details"]
    graph[transfer]["inputs"]["style_grams"] = [keep, 0]
    graph[keep]["inputs"]["filename_prefix"] = "../mine"
    (error,) = refusal(server, graph)["node_errors"][keep]["errors"]
    assert "does not name a file in or below the folder" in error["details"]


def find_content(graph: Graph) -> str:
    return graph[find(graph, "NeuralStyleTransfer")]["inputs"]["content_image"][0]


def test_a_row_of_styles_ends_with_the_single_styles(server: Server) -> None:
    graph = api_graph("style-row", size=80)
    transfer, row, save = (find(graph, kind) for kind in ("NeuralStyleTransfer", "NSTInterpolateStyles", "SaveImage"))
    run = server.run(graph)
    pictures = [np.asarray(picture) for picture in run.pictures(save)]
    assert len(pictures) == 4 and len({picture.tobytes() for picture in pictures}) == 4
    # The host leaves out what comes soon after the last, but never a last step.
    assert [e.data["value"] for e in bar_of(run, graph)].count(3) == 4
    for end, name in ((0, "from_style"), (-1, "to_style")):
        graph[transfer]["inputs"]["style_grams"] = graph[row]["inputs"][name]
        assert np.array_equal(server.run(graph).pictures(save)[0], pictures[end])


# --- refusals and errors ------------------------------------------------------------------------------------------


def refusal(server: Server, graph: Graph) -> dict:
    with pytest.raises(Refused) as refused:
        server.start(graph)
    assert refused.value.status == 400
    return refused.value.body


@pytest.mark.every_host
@pytest.mark.parametrize(
    ("node", "input", "value", "type"),
    [
        ("NeuralStyleTransfer", "recipe", None, "required_input_missing"),
        ("NeuralStyleTransfer", "keep_colours", "van-gogh", "value_not_in_list"),
        ("NeuralStyleTransfer", "steps", -2, "value_smaller_than_min"),
        ("NeuralStyleTransfer", "size", "large", "invalid_input_type"),
        ("NeuralStyleTransfer", "style_grams", ["1", 0], "return_type_mismatch"),
        ("ComputeStyleGrams", "vgg", None, "required_input_missing"),
    ],
)
def test_a_bad_input_is_refused_by_name(server: Server, node: str, input: str, value: object, type: str) -> None:
    graph = api_graph("quickstart")
    inputs = graph[find(graph, node)]["inputs"]
    if value is None:
        del inputs[input]
    else:
        inputs[input] = value
    errors = refusal(server, graph)["node_errors"][find(graph, node)]["errors"]
    assert [(e["type"], e["extra_info"]["input_name"]) for e in errors] == [(type, input)]


def test_an_unknown_node_is_refused_by_name(server: Server) -> None:
    graph = api_graph("quickstart")
    graph[find(graph, "NeuralStyleTransfer")]["class_type"] = "NeuralStyleTransfre"
    assert "NeuralStyleTransfre" in str(refusal(server, graph)["error"])  # in its message or beside it


def failure(server: Server, graph: Graph) -> dict:
    run = server.start(graph).finish()
    assert run.ending == "execution_error"
    return run.events[-1].data


def test_an_unknown_layer_is_an_error_that_names_the_nearest(server: Server) -> None:
    graph = api_graph("quickstart")
    sliders = {f"relu{i}_1": 1.0 for i in range(1, 6)}
    graph["layers"] = {
        "class_type": "LayerWeights",
        "inputs": {"preset": "custom", **sliders, "style_layers": "relu3_9=0.5", "content_layers": ""},
    }
    graph[find(graph, "NeuralStyleTransfer")]["inputs"]["layer_weights"] = ["layers", 0]
    error = failure(server, graph)
    assert error["node_id"] == "layers" and error["node_type"] == "LayerWeights"
    message = error["exception_message"]
    assert "style_layers" in message and "'relu3_9'" in message and "relu3_" in message.split("nearest:")[1]


def test_two_networks_in_one_transfer_are_an_error_that_names_both(server: Server) -> None:
    graph = api_graph("quickstart")
    vgg = graph[find(graph, "LoadVGGFeatures")]
    graph["other"] = {**vgg, "inputs": {**vgg["inputs"], "pooling": "average"}}
    graph[find(graph, "NeuralStyleTransfer")]["inputs"]["vgg"] = ["other", 0]
    message = failure(server, graph)["exception_message"]
    assert "pooling recipe" in message and "pooling average" in message and "Load" in message


def test_a_picture_that_is_too_small_is_an_error_that_says_so(server: Server) -> None:
    error = failure(server, api_graph("quickstart", size=8))
    assert error["node_type"] == "NeuralStyleTransfer"
    said = "pixels are too few for relu4_2, which needs at least 8 on each side. A size of 12 (the long side) would do"
    assert re.search(r"8×\d|\d×8", error["exception_message"]) and said in error["exception_message"]


# --- progress and cancelling --------------------------------------------------------------------------------------


def bar_of(run: Run, graph: Graph, node: str = "NeuralStyleTransfer", total: int | None = None) -> list[Event]:
    """How a node's bar moved; with `total`, while it counted so many."""
    moved = [e for e in run.of("progress") if e.data["node"] == find(graph, node)]
    return [e for e in moved if total in (None, e.data["max"])]


def wait_for_bar(run: Run, graph: Graph, count: int, node: str = "NeuralStyleTransfer", total: int | None = None):
    while len(bar_of(run, graph, node, total)) < count:
        run.wait("progress", len(run.of("progress")) + 1)
    return bar_of(run, graph, node, total)


@pytest.mark.every_host
def test_every_step_moves_the_bar_and_the_preview(server: Server) -> None:
    graph = api_graph("quickstart", steps=4)
    inputs = graph[find(graph, "NeuralStyleTransfer")]["inputs"]
    inputs["preview_every"] = 1
    run = server.run(graph)
    moved = [(e.data["value"], e.data["max"]) for e in bar_of(run, graph)]
    assert moved == [(1, 4), (2, 4), (3, 4), (4, 4)]
    previews = [e.data for e in run.of("preview")]
    assert len(previews) == len(set(previews)) == 4  # four pictures, each another one
    assert all(preview.startswith(b"\xff\xd8") for preview in previews)  # JPEG
    inputs["preview_every"] = 0
    assert server.run(graph).of("preview") == []


def test_a_step_by_tiles_is_seen_moving_and_can_be_cancelled_within(server: Server) -> None:
    graph = api_graph("quickstart", size=192, steps=2)
    inputs = graph[find(graph, "NeuralStyleTransfer")]["inputs"]
    inputs |= {"tile": 64, "recipe": "classic"}
    run = server.run(graph)
    moved = [e.data["value"] for e in bar_of(run, graph, total=2)]
    assert moved == sorted(moved) and moved[-1] == 2
    # Before the first step the content is measured, by tiles as well.
    measured = [e.data["value"] for e in bar_of(run, graph) if e.data["max"] != 2]
    assert measured and measured == list(range(1, len(measured) + 1))
    assert len([value for value in moved if 0 < value < 1]) >= 4, "several tiles within the first step"

    # Steps of several seconds: what ends the run in less is not the end of a step.
    graph = api_graph("quickstart", size=768, steps=50)
    graph[find(graph, "NeuralStyleTransfer")]["inputs"] |= {"tile": 64, "scales": 1, "recipe": "classic"}
    run = server.start(graph)
    wait_for_bar(run, graph, 3, total=50)
    server.post("/interrupt", {})
    run.finish()
    assert run.ending == "execution_interrupted"
    assert max(e.data["value"] for e in bar_of(run, graph, total=50)) < 1
    server.wait_for(lambda: server.get("/queue")["queue_running"] == [], "an empty queue")


@pytest.mark.every_host
def test_cancelling_stops_within_a_step(server: Server) -> None:
    # At this size a step takes about half a second on two idle cores.
    graph = api_graph("quickstart", size=384, steps=5000)
    run = server.start(graph)
    times = [event.at for event in wait_for_bar(run, graph, 4)]
    step = max(np.diff(times))
    cancelled = time.monotonic()
    server.post("/interrupt", {})
    run.finish()
    assert run.ending == "execution_interrupted"
    assert run.events[-1].data["node_id"] == find(graph, "NeuralStyleTransfer")
    # One step for the one in progress, one for a machine that does other things as well.
    assert run.events[-1].at - cancelled < 2 * step + 1
    server.wait_for(lambda: server.get("/queue")["queue_running"] == [], "an empty queue")
    server.run(api_graph("quickstart"))


def test_measuring_a_style_is_seen_moving_and_can_be_cancelled(server: Server) -> None:
    # Some thirty pieces in all, which take half a minute on two idle cores.
    graph = api_graph("quickstart", style_size=2048)
    run = server.start(graph)
    total = wait_for_bar(run, graph, 2, "ComputeStyleGrams")[0].data["max"]
    cancelled = time.monotonic()
    server.post("/interrupt", {})
    run.finish()
    assert run.ending == "execution_interrupted"
    assert run.events[-1].data["node_id"] == find(graph, "ComputeStyleGrams")
    # Within a layer, and not at the end of the picture: a second, and a busy machine's share.
    assert run.events[-1].at - cancelled < 5
    moved = [e.data["value"] for e in bar_of(run, graph, "ComputeStyleGrams")]
    assert moved == sorted(moved) and moved[-1] < total / 2
    server.wait_for(lambda: server.get("/queue")["queue_running"] == [], "an empty queue")


# --- memory -------------------------------------------------------------------------------------------------------

FREE_MEMORY = """
import importlib.util, resource, sys
import psutil
import comfy.options
comfy.options.enable_args_parsing()
sys.argv[1:] = ["--cpu", "--disable-api-nodes"]
import folder_paths, torch, comfy.model_management, comfy.utils
spec = importlib.util.spec_from_file_location("pack", ROOT + "/__init__.py", submodule_search_locations=[ROOT])
pack = sys.modules["pack"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pack)
import pack.nodes.host as host
limit = psutil.Process().memory_info().vms + LEFT
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
cpu = torch.device("cpu")
print("free", host.free_memory(cpu), comfy.model_management.get_free_memory(cpu))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no ulimit")
def test_a_limit_of_the_process_counts_in_the_host(server: Server) -> None:
    left = 2**28
    code = f"ROOT, LEFT = {str(ROOT)!r}, {left}\n{FREE_MEMORY}"
    comfyui = find_comfyui()
    assert comfyui is not None
    done = subprocess.run([find_interpreter(comfyui), "-c", code], cwd=comfyui, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    ours, hosts = map(int, done.stdout.split("free ")[1].split())
    assert ours <= left < hosts


# --- what is not done twice, and what is given back ---------------------------------------------------------------


def measured(log: str) -> list[str]:
    """The engine's own word for each passage of a style through the network."""
    return re.findall(r"^measured .* at \d+×\d+: .*$", log, re.MULTILINE)


def test_another_content_weight_measures_no_style_again(server: Server) -> None:
    # Size 0 leaves the measuring to the transfer: the memo in the wire object has to outlive the run, too.
    graph = api_graph("quickstart", size=104, style_size=0)
    grams, transfer = find(graph, "ComputeStyleGrams"), graph[find(graph, "NeuralStyleTransfer")]
    mark = server.log_mark()
    server.run(graph)
    assert len(measured(server.log(mark))) == 1

    transfer["inputs"]["content_weight"] = 2.5
    mark = server.log_mark()
    again = server.run(graph)
    assert grams in again.cached and find(graph, "LoadVGGFeatures") in again.cached
    assert find(graph, "NeuralStyleTransfer") not in again.cached
    assert measured(server.log(mark)) == []

    # The count is not blind: a recipe with other layers has to measure them.
    transfer["inputs"]["recipe"] = "pytorch-tutorial"
    mark = server.log_mark()
    assert grams in server.run(graph).cached
    assert len(measured(server.log(mark))) == 1


def test_memory_is_given_back(server: Server) -> None:
    graph = api_graph("quickstart", size=192, steps=1)
    inputs = graph[find(graph, "NeuralStyleTransfer")]["inputs"]

    def run(seed: int) -> int:
        inputs["seed"] = seed
        server.run(graph)
        return server.resident_memory()

    settled = max(run(seed) for seed in range(2))  # the allocator and torch's thread pools have what they want
    later = [run(seed) for seed in range(2, 6)][-1]
    # A network is 80 MB, a run's activations 25: four runs that each kept one of them would show.
    assert later - settled < 50 * MEGABYTE

    server.post("/free", {"unload_models": True, "free_memory": True})

    # The host forgets when its worker next wakes, which the first run after may still precede.
    def forgotten() -> bool:
        return server.run(api_graph("quickstart")).cached == set()

    server.wait_for(forgotten, "the server to forget what it had kept")
    # Once more a network, where the allocator has not yet handed back the first: never two.
    assert server.resident_memory() - settled < 130 * MEGABYTE


# --- model folders ------------------------------------------------------------------------------------------------


def test_weights_in_the_users_own_folders_are_listed_and_used(server: Server) -> None:
    def listed() -> list[str]:
        return server.get("/object_info/LoadVGGFeatures")["LoadVGGFeatures"]["input"]["required"]["weights"][0]

    assert EXTRA_WEIGHTS in listed()  # its folder is named in extra_model_paths.yaml
    file = server.base / "elsewhere" / "networks" / EXTRA_WEIGHTS
    shutil.copy(file, server.base / "models" / "vgg" / "arrived-later.safetensors")
    assert "arrived-later.safetensors" in listed()

    graph = api_graph("quickstart")
    vgg = find(graph, "LoadVGGFeatures")
    graph[vgg]["inputs"]["weights"] = EXTRA_WEIGHTS
    sliders = {f"relu{i}_1": float(i < 3) for i in range(1, 6)}  # the file goes no deeper
    graph["layers"] = {
        "class_type": "LayerWeights",
        "inputs": {"preset": "custom", **sliders, "style_layers": "", "content_layers": "relu1_2"},
    }
    for user in ("ComputeStyleGrams", "NeuralStyleTransfer"):
        graph[find(graph, user)]["inputs"]["layer_weights"] = ["layers", 0]
    server.run(graph)
    graph[find(graph, "NeuralStyleTransfer")]["inputs"]["seed"] = 1
    assert vgg in server.run(graph).cached
    # A file that has changed on disk is read anew, though its name is the same.
    file.write_bytes(file.read_bytes())
    assert vgg not in server.run(graph).cached


# --- from the command line ----------------------------------------------------------------------------------------


def test_the_command_line_runs_a_graph_on_the_server(server: Server, tmp_path) -> None:
    help = subprocess.run([sys.executable, "-m", "nst_engine", "run", "--help"], capture_output=True, text=True)
    if help.returncode or "--server" not in help.stdout:
        pytest.skip("this checkout's nst has no `run --server`")
    command = [sys.executable, "-m", "nst_engine", "run", str(WORKFLOWS / "api" / "quickstart.json")]
    command += ["--server", server.url, "--output", str(tmp_path)]
    for setting in ("NeuralStyleTransfer.size=80", "NeuralStyleTransfer.steps=2", "ComputeStyleGrams.size=96"):
        command += ["--set", setting]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    pictures = [file for file in tmp_path.rglob("*.png") if Image.open(file).size[0] == 80]
    assert len(pictures) == 1, (list(tmp_path.rglob("*")), done.stdout)
    assert str(pictures[0]) in done.stdout


# --- what a program may send, though no person can draw it ---------------------------------------------------------


@pytest.mark.parametrize("wrong", [5, "a text", True, None, {"__value__": [1, 2]}], ids=repr)
def test_a_value_where_a_wire_belongs_is_answered_by_the_inputs_name(server: Server, wrong: object) -> None:
    def said(node: str, lost: str, **inputs: object) -> str:
        graph = {
            "example": {"class_type": "NSTExampleImage", "inputs": {"name": "style-strokes"}},
            "node": {"class_type": node, "inputs": {**inputs, lost: wrong}},
            "save": {"class_type": "PreviewImage", "inputs": {"images": ["node", 0]}},
        }
        run = server.start(graph).finish()
        assert run.ending == "execution_error"
        return run.events[-1].data["exception_message"]

    layer = {"layer": "relu1_1", "order": "strongest", "recipe": "balanced", "image": ["example", 0]}
    picture = {"reference": ["example", 0], "method": "lab", "strength": 1.0}
    for node, lost, inputs in (
        ("NSTShowFeatures", "vgg", {**layer, "maps": 1, "size": 64}),
        ("NSTMatchColours", "image", picture),
        ("NSTPlotLossHistory", "loss_history", {"width": 200, "height": 200}),
    ):
        assert said(node, lost, **inputs).startswith(f"{lost}: takes ")


@pytest.mark.parametrize(
    ("name", "value"), [("learning_rate", -0.5), ("tv_weight", -0.5), ("scales", 0), ("scales", 21)]
)
def test_a_number_between_the_recipes_mark_and_the_least_is_refused_at_once(
    server: Server, name: str, value: float
) -> None:
    graph = api_graph("quickstart")
    graph[find(graph, "NeuralStyleTransfer")]["inputs"][name] = value
    with pytest.raises(Refused) as refused:
        server.start(graph)
    assert f"{name}: {value} will not do; give " in str(refused.value)
