"""What a running ComfyUI is told of a run, and finishing it early: over the host's own interface, with no browser."""

from __future__ import annotations

import itertools
import json
import re
import time
import urllib.error
import urllib.request

import pytest
from comfyui_runs import Graph, Run
from host_calls import CANVAS, film_graph, skip_without_flow
from live_comfyui import Server, api_graph, find

LONG = 2000  # steps that nobody waits for


def small_graph(steps: int, seed: int, prefix: str = "") -> Graph:
    """Ids as the front end gives them, inside a subgraph if there is a prefix."""
    ids = {name: f"{prefix}{number}" for number, name in enumerate(("vgg", "content", "style", "grams", "paint"), 1)}
    network = {"weights": "vgg19-caffe", "pooling": "recipe", "padding": "recipe", "precision": "fp32"}
    style = {"vgg": [ids["vgg"], 0], "style_image": [ids["style"], 0], "weight": 1.0, "size": 96}
    paint = {"vgg": [ids["vgg"], 0], "content_image": [ids["content"], 0], "style_grams": [ids["grams"], 0]}
    chosen = {"recipe": "balanced", "size": 96, "steps": steps, "scales": 1, "seed": seed}
    return {
        ids["vgg"]: {"class_type": "LoadVGGFeatures", "inputs": network},
        ids["content"]: {"class_type": "NSTExampleImage", "inputs": {"name": "content-landscape"}},
        ids["style"]: {"class_type": "NSTExampleImage", "inputs": {"name": "style-strokes"}},
        ids["grams"]: {"class_type": "ComputeStyleGrams", "inputs": style},
        ids["paint"]: {"class_type": "NeuralStyleTransfer", "inputs": paint | chosen},
        "save": {"class_type": "SaveImage", "inputs": {"images": [ids["paint"], 0], "filename_prefix": "live"}},
    }


def texts(run: Run, node: str) -> list[str]:
    return [event.data["text"] for event in run.of("text") if event.data["node"] == node]


def finish(server: Server, prompt: str, node: str, **headers: str) -> int:
    """The status that the route answers with."""
    body = json.dumps({"prompt_id": prompt, "node_id": node}).encode()
    request = urllib.request.Request(
        f"{server.url}/nst/finish", body, {"Content-Type": "application/json", **headers}, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_a_canvas_is_told_in_words(server: Server) -> None:
    run = server.start(small_graph(12, seed=1), CANVAS).finish()
    assert run.ending == "execution_success"
    measured, painted = texts(run, "4"), texts(run, "5")
    assert measured[0] == "Measuring the style" and measured[-1].startswith("Done: measured the style, ")
    assert painted[0] == "Measuring the pictures"
    assert any(re.match(r"Step \d+ of 12 · 96×64", text) for text in painted)
    assert re.fullmatch(r"Done: 96×64, 12 steps, [\d.]+ \w+", painted[-1])


def test_the_panel_gets_the_loss_at_every_step_and_pictures(server: Server) -> None:
    run = server.start(small_graph(30, seed=2), CANVAS).finish()
    told = [event.data for event in run.of("nst.live")]
    assert {data["node_id"] for data in told} == {"5"} and told[-1]["state"] == "done"
    points = [point for data in told for point in data["points"]]
    assert [point[0] for point in points] == list(range(1, 31))
    assert all(point[1] == pytest.approx(sum(point[2:]), rel=1e-4) for point in points)
    assert points[-1][1] < points[0][1]
    assert any(data.get("image", "").startswith("data:image/jpeg;base64,") for data in told)
    span = run.of("nst.live")[-1].at - run.of("nst.live")[0].at
    assert len(told) <= 4 + 2 * span  # a few a second


def test_a_program_that_knows_nothing_of_it_is_spared(server: Server) -> None:
    run = server.run(small_graph(3, seed=3))
    assert run.of("text") == run.of("nst.live") == []
    assert run.of("progress") and run.of("preview")


def test_inside_a_subgraph_the_subgraph_says_it_as_well(server: Server) -> None:
    run = server.start(small_graph(3, seed=4, prefix="12:"), CANVAS).finish()
    assert run.ending == "execution_success"
    assert texts(run, "12:5")[-1].startswith("Done: ") and texts(run, "12")[-1] == texts(run, "12:5")[-1]


def test_finish_now_keeps_the_picture_and_is_not_taken_for_the_whole_run(server: Server) -> None:
    graph = small_graph(LONG, seed=5)
    for again in (False, True):
        mark = server.log_mark()
        run = server.start(graph, CANVAS)
        run.wait("progress", 12)
        if again:
            assert "5" not in run.cached
        asked = time.monotonic()
        assert finish(server, run.id, "5") == 200
        run.finish()
        assert run.ending == "execution_success"
        bars = [event.at for event in run.of("progress") if event.data["node"] == "5"]
        step = max((b - a for a, b in itertools.pairwise(bars)), default=1.0)
        said = re.compile(rf"Finished early: step \d+ of {LONG}, 96×64, ")
        done = next(event for event in run.of("text") if said.match(event.data["text"]))
        took = done.at - asked
        assert took < step + 1, f"{took:.2f} s, where a step takes {step:.2f} s at most"
        assert run.pictures("save")[0].size == (96, 64)
        assert "'stopped_early': True" in server.log(mark)


@pytest.mark.parametrize("node", ["NSTVideoTransfer", "NSTStyliseVideo"])
def test_finish_now_passes_on_the_frames_so_far(server: Server, node: str) -> None:
    skip_without_flow()
    graph = film_graph(filename_prefix="early/film") if node == "NSTStyliseVideo" else api_graph("video")
    paint = find(graph, node)
    graph[paint]["inputs"] |= {"steps": 4, "frame_steps": LONG, "seed": 9}
    run = server.start(graph, CANVAS)
    while not any(event.data["node"] == paint and event.data["value"] > 1 for event in run.of("progress")):
        run.wait("progress", len(run.of("progress")) + 1)
    assert finish(server, run.id, paint) == 200
    assert run.finish().ending == "execution_success"
    assert {event.data["node_id"] for event in run.of("nst.live")} == {paint}
    assert any(re.match(r"Finished early: 1 of \d+ frames, ", text) for text in texts(run, paint))
    (film,) = run.outputs[find(graph, "SaveVideo")]["images"]
    assert len(server.get("/view", **film)) > 500
    again = server.start(graph, CANVAS)
    again.wait("progress", 2)
    assert paint not in again.cached
    server.post("/interrupt", {})
    again.finish()


def test_a_run_that_was_not_finished_early_is_kept(server: Server) -> None:
    graph = small_graph(3, seed=6)
    server.run(graph)
    assert server.run(graph).cached >= {"4", "5"}


def test_finish_belongs_to_one_prompt_and_one_node_and_cancel_still_cancels(server: Server) -> None:
    run = server.start(small_graph(LONG, seed=7), CANVAS)
    run.wait("progress", 10)
    assert finish(server, run.id, "4") == 404
    assert finish(server, "another", "5") == 404
    before = len(run.of("progress"))
    run.wait("progress", before + 2)
    server.post("/interrupt", {})
    assert run.finish().ending == "execution_interrupted"
    assert texts(run, "5")[-1].startswith("Cancelled after ")
    assert finish(server, run.id, "5") == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},  # what a page may send elsewhere without asking
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Sec-Fetch-Site": "same-site"},  # another port of this machine
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://elsewhere.example"},
    ],
)
def test_another_page_cannot_finish_a_run(server: Server, headers: dict[str, str]) -> None:
    run = server.start(small_graph(LONG, seed=8), CANVAS)
    run.wait("progress", 10)
    assert finish(server, run.id, "5", **headers) == 403
    assert finish(server, run.id, "5", **{"Sec-Fetch-Site": "same-origin"}) == 200
    assert run.finish().ending == "execution_success"


def test_another_page_is_not_even_told_that_it_may_ask(server: Server) -> None:
    asked = {"Origin": "http://elsewhere.example", "Access-Control-Request-Method": "POST"}
    asked["Access-Control-Request-Headers"] = "content-type"
    request = urllib.request.Request(f"{server.url}/nst/finish", headers=asked, method="OPTIONS")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            granted = answer.headers
    except urllib.error.HTTPError as error:
        granted = error.headers
    assert "Access-Control-Allow-Origin" not in granted


def test_an_error_ends_the_words_too(server: Server) -> None:
    graph = small_graph(3, seed=9)
    graph["5"]["inputs"]["scales"] = 20
    run = server.start(graph, CANVAS).finish()
    assert run.ending == "execution_error"
    assert run.events[-1].data["exception_message"].startswith("size: ")
    assert texts(run, "5")[-1].startswith("Stopped by an error after ")
