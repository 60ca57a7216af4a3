"""How long the quick start takes, driven headless and with the canvas open. Not among the tests: `python -m bench
--only beside` asks for it."""

from __future__ import annotations

import json
import statistics
import time

import pytest
from live_comfyui import WORKFLOWS, Server
from test_browser import chromium, load, page, set_widgets  # noqa: F401 (fixtures among them)

ROUNDS = 3


def graph(seed: int) -> dict:
    nodes = json.loads((WORKFLOWS / "api" / "quickstart.json").read_text())
    for node in nodes.values():
        if "seed" in node["inputs"]:
            node["inputs"]["seed"] = seed
    return nodes


@pytest.mark.timeout(1800)
def test_time(server: Server, request: pytest.FixtureRequest) -> None:
    server.run(graph(0))  # loads and measures what later runs share
    headless, canvas = [], []
    for seed in range(1, 1 + ROUNDS):
        began = time.perf_counter()
        server.run(graph(seed))
        headless.append(time.perf_counter() - began)
    page = request.getfixturevalue("page")  # noqa: F811
    load(page, "more/quickstart")
    for seed in range(1, 1 + ROUNDS):
        set_widgets(page, "NeuralStyleTransfer", seed=100 + seed)
        before = len(server.get("/history"))
        began = time.perf_counter()
        page.evaluate("() => app.queuePrompt(0)")
        server.wait_for(lambda before=before: len(server.get("/history")) > before, "the quick start", 900)
        canvas.append(time.perf_counter() - began)
    print("\n" + json.dumps({"headless": statistics.median(headless), "canvas": statistics.median(canvas)}))
