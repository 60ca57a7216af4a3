"""From one style to another, and graphs of saved styles and rows."""

from __future__ import annotations

import importlib
import logging

import pytest
import torch
from PIL import Image
from some_styles import SIZE, blended, measured, run, transfer


def test_the_ends_of_a_row_are_exactly_the_two_styles(pack, vgg, grams, other):
    three = other + grams  # a blend of 2 to 1, so its weights are not 1
    (row,) = run(pack, "NSTInterpolateStyles", from_style=grams, to_style=three, frames=5)
    assert len(row) == 5 and row[0] is grams and row[-1] is three
    moments = [blended(pack, vgg, grams) for grams in row]
    assert torch.equal(moments[0], blended(pack, vgg, grams))
    assert torch.equal(moments[-1], blended(pack, vgg, three))
    for i, moment in enumerate(moments):
        expected = (1 - i / 4) * moments[0] + i / 4 * moments[-1]
        assert torch.allclose(moment, expected, rtol=1e-5, atol=1e-6), i
    first, last = transfer(pack, vgg, row[0]), transfer(pack, vgg, row[-1])
    assert torch.equal(first, transfer(pack, vgg, grams)) and torch.equal(last, transfer(pack, vgg, three))


def test_a_row_measures_nothing_twice(pack, vgg, styles, caplog):
    caplog.set_level(logging.DEBUG)
    loose = [measured(pack, vgg, styles[i : i + 1], size=0) for i in range(2)]
    for grams in run(pack, "NSTInterpolateStyles", from_style=loose[0], to_style=loose[1], frames=4)[0]:
        transfer(pack, vgg, grams, steps=1)
    assert sum(line.startswith("measured ") for line in caplog.messages) == 2


def test_a_row_between_two_networks_or_of_nothing_is_refused(pack, vgg, grams, styles):
    average = run(pack, "LoadVGGFeatures", weights="vgg19-caffe", pooling="average", padding="recipe", precision="fp32")
    foreign = measured(pack, average[0], styles[:1])
    with pytest.raises(pack.nst_engine.NSTError, match="different networks"):
        run(pack, "NSTInterpolateStyles", from_style=grams, to_style=foreign, frames=2)
    silent = measured(pack, vgg, styles[1:], weight=0.0)
    with pytest.raises(pack.nst_engine.NSTError, match="sum to zero"):
        run(pack, "NSTInterpolateStyles", from_style=grams, to_style=silent, frames=2)
    for t in (-0.1, 1.5, float("nan")):
        with pytest.raises(pack.nst_engine.NSTError, match="does not lie between"):
            pack.nst_engine.interpolate(grams, grams, t)


def node(class_type, **inputs):
    return {"class_type": class_type, "inputs": inputs}


def graph_of(pack, io_folders, graph, **options):
    headless = importlib.import_module("nst_pack.nodes.headless")
    return headless.run_embedded(graph, pack.NODE_CLASS_MAPPINGS, headless.Folders(*io_folders), **options)


def measuring(name, **inputs):
    picture = {f"{name} picture": node("NSTExampleImage", name=f"style-{name}")}
    grams = node("ComputeStyleGrams", vgg=["vgg", 0], style_image=[f"{name} picture", 0], weight=1.0, size=SIZE)
    return {**picture, name: grams}


def transferring(style, **inputs):
    vgg = node("LoadVGGFeatures", weights="vgg19-caffe", pooling="recipe", padding="recipe", precision="fp32")
    made = {"vgg": ["vgg", 0], "content_image": ["content", 0], "style_grams": style, "recipe": "balanced"}
    return {
        "vgg": vgg,
        "content": node("NSTExampleImage", name="content-landscape"),
        "transfer": node("NeuralStyleTransfer", **made, steps=2, size=SIZE, **inputs),
        "save": node("SaveImage", images=["transfer", 0], filename_prefix="made"),
    }


def pixels(path):
    with Image.open(path) as picture:
        return picture.tobytes()


def test_a_graph_saves_a_style_and_another_loads_it(pack, io_folders):
    keep = node("SaveStyleGrams", style_grams=["strokes", 0], filename_prefix="kept")
    first = {**transferring(["keep", 0]), **measuring("strokes"), "keep": keep}
    style, made = sorted(graph_of(pack, io_folders, first), key=lambda path: path.suffix, reverse=True)
    assert style == io_folders[1] / "kept_00001_.safetensors" and style.is_file()
    load = node("LoadStyleGrams", style="kept_00001_.safetensors [output]", weight=1.0)
    (again,) = graph_of(pack, io_folders, {**transferring(["load", 0]), "load": load})
    assert pixels(again) == pixels(made)

    load["inputs"]["style"] = "../kept_00001_.safetensors"
    with pytest.raises(pack.nst_engine.NSTError, match=r"node load \(Load Style Grams\): style: .* does not name"):
        graph_of(pack, io_folders, {**transferring(["load", 0]), "load": load})
    keep["inputs"]["filename_prefix"] = "/tmp/x"
    with pytest.raises(pack.nst_engine.NSTError, match=r"node keep \(Save Style Grams\): filename_prefix: .* does not"):
        graph_of(pack, io_folders, first)


def test_a_row_of_styles_is_a_row_of_pictures(pack, io_folders):
    row = node("NSTInterpolateStyles", from_style=["strokes", 0], to_style=["hatching", 0], frames=3)
    graph = {**transferring(["row", 0]), **measuring("strokes"), **measuring("hatching"), "row": row}
    told = []
    pictures = graph_of(pack, io_folders, graph, on_progress=lambda title, *what: told.append((title, *what[:2])))
    assert [path.name for path in pictures] == [f"made_{i:05}_.png" for i in (1, 2, 3)]
    assert told.count(("Neural Style Transfer", 2, 2)) == 3
    for end, style in ((pictures[0], "strokes"), (pictures[-1], "hatching")):
        (alone,) = graph_of(pack, io_folders, {**transferring([style, 0]), **measuring(style)})
        assert pixels(alone) == pixels(end)
    assert pixels(pictures[0]) != pixels(pictures[1]) != pixels(pictures[2])


def test_lists_run_as_the_host_runs_them(pack, io_folders):
    """Once for every entry of the longest list, the last of a shorter one again; lists in a list's place are joined."""
    seen = []

    class Count:
        FUNCTION, RETURN_TYPES, OUTPUT_IS_LIST = "count", ("INT", "INT"), (True, False)

        @classmethod
        def INPUT_TYPES(cls):
            return {"required": {"start": ("INT", {}), "length": ("INT", {})}}

        def count(self, start, length):
            return list(range(start, start + length)), length

    class See:
        FUNCTION, RETURN_TYPES, OUTPUT_NODE = "see", (), True

        @classmethod
        def INPUT_TYPES(cls):
            return {"required": {"a": ("INT", {}), "b": ("INT", {}), "c": ("INT", {})}}

        def see(self, a, b, c):
            seen.append((a, b, c))
            return ()

    graph = {
        "long": node("Count", start=10, length=3),
        "short": node("Count", start=0, length=2),
        "both": node("Count", start=["short", 0], length=2),
        "see": node("See", a=["long", 0], b=["short", 0], c=7),
        "more": node("See", a=["both", 0], b=["both", 1], c=["long", 1]),
    }
    headless = importlib.import_module("nst_pack.nodes.headless")
    headless.run_embedded(graph, {"Count": Count, "See": See}, headless.Folders(*io_folders))
    assert seen[:3] == [(10, 0, 7), (11, 1, 7), (12, 1, 7)]
    assert seen[3:] == [(0, 2, 3), (1, 2, 3), (1, 2, 3), (2, 2, 3)]
