"""Graphs without ComfyUI: what is refused, what runs, what is written."""

from __future__ import annotations

import copy
import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from some_graphs import copying, node, stylising

ROOT = Path(__file__).resolve().parents[3]


# --- running ------------------------------------------------------------------------------------------------------


def test_a_picture_is_stylised_and_progress_told(run, folders):
    told = []
    graph = stylising()
    graph["transfer"]["_meta"] = {"title": "My transfer"}
    [path] = run(graph, on_progress=lambda *what: told.append(what))
    assert path == folders[1] / "nst" / "result_00001_.png"
    with Image.open(path) as picture:
        assert picture.size == (80, 64)
        assert json.loads(picture.text["prompt"]) == graph
    steps = [(value, total) for title, value, total, _ in told if title == "My transfer"]
    assert steps == [(0, 0), (1, 2), (2, 2)]
    assert [p.shape for *_, p in told if p is not None] == [(1, 3, 64, 80)] * 2
    assert {title for title, *_ in told} >= {"Load VGG Features", "Compute Style Grams", "SaveImage"}


def test_a_copy_is_exact_and_numbered_on(run, folders):
    first, second = run(copying())[0], run(copying())[0]
    assert (first.name, second.name) == ("copy_00001_.png", "copy_00002_.png")
    with Image.open(first) as copied, Image.open(folders[0] / "content.png") as original:
        assert np.array_equal(np.asarray(copied), np.asarray(original))
    second.rename(second.with_name("copy_00041_.png"))
    assert run(copying())[0].name == "copy_00042_.png"


def test_every_node_runs_once_and_only_when_needed(run, pack):
    calls = []

    class Counted:
        FUNCTION, RETURN_TYPES = "load", ("IMAGE",)

        @classmethod
        def INPUT_TYPES(cls):
            return {"required": {}, "optional": {"mark": ("INT", {"default": 7})}, "hidden": {"me": "UNIQUE_ID"}}

        def load(self, me, mark=3):
            calls.append((me, mark, torch.is_inference_mode_enabled()))
            return (torch.zeros(1, 8, 8, 3),)

    graph = {
        "unused": node("Counted"),
        "a": node("Counted"),
        "save 1": node("SaveImage", images=["a", 0], filename_prefix="x"),
        "save 2": node("SaveImage", images=["a", 0], filename_prefix="x"),
    }
    assert len(run(graph, node_classes={"Counted": Counted})) == 2
    assert calls == [("a", 3, True)]  # the default is Python's


def test_masks_are_one_minus_alpha(run, folders, headless):
    codes = np.arange(16 * 16 * 4, dtype=np.uint32).reshape(16, 16, 4).astype(np.uint8)
    Image.fromarray(codes).save(folders[0] / "clear.png")
    nodes = headless.stand_ins(headless.Folders(*folders))
    image, mask = nodes["LoadImage"].load("clear.png")
    assert image.shape == (1, 16, 16, 3)
    assert torch.allclose(mask[0], 1 - torch.from_numpy(codes[..., 3] / 255).float())
    assert torch.equal(nodes["LoadImageMask"].load("clear.png", "alpha")[0], mask)
    assert torch.allclose(
        nodes["LoadImageMask"].load("clear.png", "green")[0][0], torch.from_numpy(codes[..., 1] / 255).float()
    )
    assert nodes["LoadImage"].load("content.png")[1].shape == (1, 64, 64)


def test_pictures_are_turned_upright(run, folders):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held sideways
    Image.new("RGB", (40, 20), "red").save(folders[0] / "sideways.jpg", exif=exif)
    with Image.open(run(copying("sideways.jpg"))[0]) as picture:
        assert picture.size == (20, 40)


def test_previews_and_results_can_be_read_again(run, folders):
    [shown] = run({"1": node("LoadImage", image="content.png"), "2": node("PreviewImage", images=["1", 0])})
    assert shown.parent == folders[1] / "temp"
    saved = run(copying())[0]
    assert run(copying(f"{shown.name} [temp]")) and run(copying(f"{saved.name} [output]"))
    assert run(copying(str(folders[0] / "style.png")), allow_outside=True)


def test_an_error_names_the_node(refused, folders):
    (folders[0] / "content.png").write_bytes(b"no picture")
    assert "node 1 (LoadImage): " in refused(copying())
    assert not list(folders[1].rglob("*.png"))


# --- refusing -----------------------------------------------------------------------------------------------------


def test_every_problem_is_named_in_one_error(refused):
    graph = stylising(recipe="balancd", steps=-5, content_image=["vgg", 0], seed="many", optimizer=["vgg"])
    del graph["transfer"]["inputs"]["style_grams"]
    graph["grams"]["inputs"] |= {"size": 99999, "style_image": ["nobody", 0], "vgg": ["vgg", 3]}
    message = refused(graph)
    for expected in (
        "node transfer (Neural Style Transfer): recipe: 'balancd' is not one of balanced, classic, persson",
        "node transfer (Neural Style Transfer): steps: -5 is smaller than the least value, 0 (or -1 for auto)",
        "content_image: takes IMAGE, but output 0 of node vgg (LoadVGGFeatures) is VGG_FEATURES",
        "seed: 'many' cannot be read as INT",
        "optimizer: ['vgg'] is not a link",
        "style_grams: missing, and it is a required input",
    ):
        assert expected in message
    assert "grams" not in message.replace("style_grams", "")  # nothing that is run links to it any more
    graph["transfer"]["inputs"]["style_grams"] = ["grams", 0]
    message = refused(graph)
    for expected in (
        "node grams (Compute Style Grams): size: 99999 will not do; give 0 to 16384",
        "style_image: linked to node nobody, which the graph does not have",
        "vgg: linked to output 3 of node vgg (LoadVGGFeatures), which has 1",
    ):
        assert expected in message


def test_other_nodes_are_refused_by_name(refused):
    message = refused({**copying(), "9": node("KSampler")})
    assert "node 9 (KSampler): there is no such node here" in message
    assert "LoadImageMask" in message and "NeuralStyleTransfer" in message and "PreviewImage" in message


def test_circles_and_graphs_without_an_output_are_refused(refused):
    blend = {"vgg": ["vgg", 0], "style_image": ["style", 0], "weight": 1.0, "size": 0}
    graph = stylising()
    graph["grams"] = node("ComputeStyleGrams", **blend, style_grams=["more", 0])
    graph["more"] = node("ComputeStyleGrams", **blend, style_grams=["grams", 0])
    message = refused(graph)
    assert "in a circle" in message and "grams" in message and "more" in message
    assert "no node gives anything out" in refused({"1": node("LoadImage", image="content.png")})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e9])
def test_numbers_beyond_the_limits_are_refused(refused, value):
    assert "content_weight" in refused(stylising(content_weight=value))


def test_a_value_where_a_link_belongs_is_refused(refused):
    assert "style_grams: takes a link to an output of type STYLE_GRAMS" in refused(stylising(style_grams="mine"))


def test_a_missing_picture_is_refused_before_anything_runs(refused, folders):
    graph = {**copying(), **{"3": node("LoadImage", image="gone.png"), "4": node("PreviewImage", images=["3", 0])}}
    assert "gone.png" in refused(graph)
    assert not folders[1].exists()


@pytest.mark.parametrize("prefix", ["../out-of-here", "/tmp/x", "a/../../x", "a/b/../../../x", "x\0y"])
def test_nothing_is_written_outside_the_output_folder(refused, prefix, folders):
    assert "does not name a file in or below the folder" in refused(copying(prefix=prefix))
    assert not folders[1].exists()


def test_folders_below_and_the_hosts_names_are_fine(run, folders):
    [path] = run(copying(prefix="a/b/%width%x%height%"))
    assert path == folders[1] / "a" / "b" / "80x64_00001_.png"


def test_an_output_folder_that_cannot_be_is_refused(refused, folders):
    folders[1].write_text("a file is in the way")
    assert "output folder" in refused(copying())


def test_unknown_inputs_are_ignored_with_a_warning(run, caplog):
    graph = copying()
    graph["1"]["inputs"]["upload"] = "image"
    with caplog.at_level(logging.WARNING):
        assert run(graph)
    assert "node 1 (LoadImage) has no input upload" in caplog.text


def test_a_nodes_own_check_is_asked_instead_of_the_limits(run, refused):
    class Odd:
        FUNCTION, RETURN_TYPES = "make", ("IMAGE",)

        @classmethod
        def INPUT_TYPES(cls):
            return {"required": {"side": ("INT", {"min": 1, "max": 4}), "other": ("INT", {"max": 1})}}

        @classmethod
        def VALIDATE_INPUTS(cls, side):
            return side % 2 == 1 or f"{side} is even"

        def make(self, side, other):
            return (torch.zeros(1, side, side, 3),)

    graph = {
        "1": node("Odd", side=9, other=1),
        "2": node("SaveImage", images=["1", 0], filename_prefix="x"),
    }
    assert run(graph, node_classes={"Odd": Odd})
    graph["1"]["inputs"] = {"side": 8, "other": 1}
    assert "side: 8 is even" in refused(graph, node_classes={"Odd": Odd})
    graph["1"]["inputs"] = {"side": 9, "other": 2}
    assert "other: 2 is larger" in refused(graph, node_classes={"Odd": Odd})


def test_the_callers_graph_is_left_alone(run):
    graph = copying()
    graph["2"]["inputs"]["filename_prefix"] = 7  # becomes text on the way
    before = copy.deepcopy(graph)
    assert run(graph)[0].name == "7_00001_.png"
    assert graph == before


# --- files and --set ----------------------------------------------------------------------------------------------


def test_graph_files(graphs, tmp_path):
    def message(content, name="w.json"):
        (tmp_path / name).write_text(content)
        with pytest.raises(graphs.NSTError) as caught:
            graphs.read_graph(tmp_path / name)
        return str(caught.value)

    canvas = json.dumps({"nodes": [{"id": 1, "type": "LoadImage"}], "links": [], "version": 0.4})
    assert "UI format" in message(canvas) and "Export (API)" in message(canvas)
    (tmp_path / "api").mkdir()
    (tmp_path / "api" / "w.json").write_text(json.dumps(copying()))
    assert str(tmp_path / "api" / "w.json") in message(canvas)
    assert "no JSON" in message("{") and "no JSON" in message("\ufffd")
    assert "class_type" in message('{"1": {"inputs": {}}}')
    assert "API form" in message("[]") and "API form" in message("{}")
    with pytest.raises(graphs.NSTError, match="cannot be read"):
        graphs.read_graph(tmp_path / "none.json")
    assert graphs.read_graph(tmp_path / "api" / "w.json") == copying()


def test_inputs_are_set_by_id_title_and_class(graphs, pack):
    known = pack.NODE_CLASS_MAPPINGS
    graph = stylising()
    graph["transfer"]["_meta"] = {"title": "v1.5 = mine"}
    graphs.set_inputs(graph, ["transfer.steps=9", "NeuralStyleTransfer.recipe=persson"], known)
    graphs.set_inputs(graph, ["save.filename_prefix=a=b.c", 'grams.vgg=["vgg", 0]'], known)
    assert graph["transfer"]["inputs"]["steps"] == 9
    assert graph["transfer"]["inputs"]["recipe"] == "persson"
    assert graph["save"]["inputs"]["filename_prefix"] == "a=b.c"
    for bad, told in (
        ("transfer.stepz=9", "has no input 'stepz'"),
        ("LoadImage.image=x.png", "several nodes are"),
        ("nobody.x=1", "no node is"),
        ("steps=9", "is not NODE.INPUT=VALUE"),
        ("transfer.steps", "is not NODE.INPUT=VALUE"),
    ):
        with pytest.raises(graphs.NSTError, match=told):
            graphs.set_inputs(graph, [bad], known)
