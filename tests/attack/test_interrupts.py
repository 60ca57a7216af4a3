"""Cancel at any moment on a real ComfyUI: while a style is measured, features are shown, steps run."""

from __future__ import annotations

import copy
import random
import time

import pytest
from hostile import Graph, node
from live_comfyui import Server
from PIL import Image

LIMIT = 30  # seconds until a cancelled run has ended, on a machine that does other things as well
MEMORY = 150 << 20  # bytes that may stay behind after all of them

VGG = node("LoadVGGFeatures", weights="vgg19-caffe", pooling="recipe", padding="recipe", precision="fp32")
BASE = {"vgg": VGG, "picture": node("LoadImage", image="large.png")}
STYLE = {"style": node("ComputeStyleGrams", vgg=["vgg", 0], style_image=["picture", 0], weight=1.0, size=1024)}
SMALL_STYLE = {"style": node("ComputeStyleGrams", vgg=["vgg", 0], style_image=["picture", 0], weight=1.0, size=64)}
SEEN = {"show": node("PreviewImage", images=["last", 0])}

GRAPHS: dict[str, Graph] = {
    "measuring a style": {
        **BASE,
        **STYLE,
        "save": node("SaveStyleGrams", style_grams=["style", 0], filename_prefix="interrupted"),
    },
    "showing features": {
        **BASE,
        "last": node(
            "NSTShowFeatures",
            **{"vgg": ["vgg", 0], "image": ["picture", 0], "layer": "relu5_1", "maps": 16, "order": "strongest"},
            **{"size": 1024, "recipe": "balanced"},
        ),
        **SEEN,
    },
    "stepping": {
        **BASE,
        **SMALL_STYLE,
        "last": node(
            "NeuralStyleTransfer",
            **{"vgg": ["vgg", 0], "content_image": ["picture", 0], "style_grams": ["style", 0]},
            **{"recipe": "balanced", "steps": 1000, "size": 256},
        ),
        **SEEN,
    },
    "stepping by tiles": {
        **BASE,
        **SMALL_STYLE,
        "last": node(
            "NeuralStyleTransfer",
            **{"vgg": ["vgg", 0], "content_image": ["picture", 0], "style_grams": ["style", 0]},
            **{"recipe": "balanced", "steps": 1000, "size": 512, "tile": 128},
        ),
        **SEEN,
    },
}
WHAT_RUNS = {"measuring a style": "style", "showing features": "last"}


@pytest.mark.parametrize("what", GRAPHS)
def test_cancel_at_any_moment(server: Server, what: str) -> None:
    server.upload("large.png", Image.effect_noise((1100, 900), 90).convert("RGB"))
    graph, drawn = copy.deepcopy(GRAPHS[what]), random.Random(what)
    subject = WHAT_RUNS.get(what, "last")
    times, before = [], 0
    for _ in range(6):
        graph[subject]["inputs"]["size"] += 1  # so that the host has nothing of it kept
        run = server.start(graph)
        while run.wait("executing", len(run.of("executing")) + 1)[-1].data.get("node") != subject:
            pass
        time.sleep(drawn.uniform(0, 1.0))
        asked = time.monotonic()
        server.post("/interrupt", {})
        run.finish()
        times.append(run.events[-1].at - asked)
        # One that was done before it was asked is no failure.
        assert run.ending in ("execution_interrupted", "execution_success"), run.events[-1].data
        assert times[-1] < LIMIT, times
        before = before or server.resident_memory()
    assert server.resident_memory() - before < MEMORY
    print(f"cancelled while {what} within", *(f"{t:.2f} s" for t in times))
    small = {
        **BASE,
        **SMALL_STYLE,
        "save": node("SaveStyleGrams", style_grams=["style", 0], filename_prefix=f"after-{drawn.random()}"),
    }
    assert server.run(small).ending == "execution_success"
