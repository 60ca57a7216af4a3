"""Bars, previews and cancelling in a running ComfyUI."""

from __future__ import annotations

import time

import numpy as np
import pytest
from comfyui_runs import Graph, Run
from host_calls import bar_of
from live_comfyui import Server, api_graph, find


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
