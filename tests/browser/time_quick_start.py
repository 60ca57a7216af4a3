"""How long the quick start takes, driven headless and with the canvas open. Not among the tests: `python -m bench
--only beside` asks for it."""

from __future__ import annotations

import json
import statistics
import time
from typing import TYPE_CHECKING

import pytest
from canvas import in_one_renderer, load, set_widgets
from comfyui_found import package_folder
from live_comfyui import WORKFLOWS, Server

if TYPE_CHECKING:  # where it is not installed, there is no time to tell
    from playwright.sync_api import Page

ROUNDS = 3


def graph(seed: int) -> dict:
    nodes = json.loads((WORKFLOWS / "api" / "quickstart.json").read_text())
    for node in nodes.values():
        if "seed" in node["inputs"]:
            node["inputs"]["seed"] = seed
    return nodes


@pytest.fixture(scope="module")
def medians() -> dict[str, float]:
    return {}


@pytest.mark.timeout(1800)
def test_headless(server: Server, medians: dict[str, float]) -> None:
    server.run(graph(0))  # loads and measures what later runs share
    taken = []
    for seed in range(1, 1 + ROUNDS):
        began = time.perf_counter()
        server.run(graph(seed))
        taken.append(time.perf_counter() - began)
    medians["headless"] = statistics.median(taken)


@in_one_renderer
@pytest.mark.timeout(1800)
def test_with_the_canvas_open(page: Page, server: Server, medians: dict[str, float]) -> None:
    load(page, "more/quickstart")
    taken = []
    for seed in range(1, 1 + ROUNDS):
        set_widgets(page, "NeuralStyleTransfer", seed=100 + seed)
        before = len(server.get("/history"))
        began = time.perf_counter()
        page.evaluate("() => app.queuePrompt(0)")
        server.wait_for(lambda before=before: len(server.get("/history")) > before, "the quick start", 900)
        taken.append(time.perf_counter() - began)
    medians["canvas"] = statistics.median(taken)
    # A plain installation of the pack brings no llvmlite.
    loops = package_folder(server.interpreter, "llvmlite") is not None
    way = "loops compiled by llvmlite" if loops else "torch's operations"
    print("\n" + json.dumps({"way": way, "seconds": medians}))
