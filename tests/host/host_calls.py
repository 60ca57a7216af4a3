"""What several tests ask of a running ComfyUI."""

from __future__ import annotations

import pytest
from comfyui_found import find_comfyui, find_interpreter, package_folder
from comfyui_runs import Event, Graph, Refused, Run
from live_comfyui import Server, api_graph, find

CANVAS = {"supports_preview_metadata": True}  # what a canvas says of itself


def bar_of(run: Run, graph: Graph, node: str = "NeuralStyleTransfer", total: int | None = None) -> list[Event]:
    """How a node's bar moved; with `total`, while it counted so many."""
    moved = [e for e in run.of("progress") if e.data["node"] == find(graph, node)]
    return [e for e in moved if total in (None, e.data["max"])]


def refusal(server: Server, graph: Graph) -> dict:
    with pytest.raises(Refused) as refused:
        server.start(graph)
    assert refused.value.status == 400
    return refused.value.body


def skip_without_flow() -> None:
    interpreter = find_interpreter(find_comfyui())
    if package_folder(interpreter, "cv2") is None:
        pytest.skip(f"{interpreter} lacks opencv-python-headless; COMFYUI_PYTHON may name one that has it")


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
