"""Saved styles and rows of them in a running ComfyUI."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
from comfyui_runs import Graph
from host_calls import bar_of, refusal
from live_comfyui import Server, api_graph, find

MEGABYTE = 1 << 20


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
