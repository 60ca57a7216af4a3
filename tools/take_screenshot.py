"""Take docs/canvas.jpg: the template *Start here* in ComfyUI, Nodes 2.0, after a run, with its live panel.

python tools/take_screenshot.py

It needs what the tests in tests/browser need: a ComfyUI, and a Chromium for Playwright. COMFYUI_PATH and CHROMIUM say
where these are, if they are not where the tests look for them. The node says how long the run took, so let the
machine be quiet.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote

from PIL import Image
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
import comfyui_found as found  # noqa: E402
import live_comfyui as live  # noqa: E402

TITLE = "Start here"
WIDTH, HEIGHT = 1400, 860
DOTS = 1.5  # of the picture for one of the page, so that small letters stay sharp
# The canvas of a user who has seen the greeting; what lies over it and is not the pack's is put away.
SETTINGS = {
    "Comfy.TutorialCompleted": True,
    "Comfy.VueNodes.Enabled": True,
    "Comfy.Minimap.Visible": False,
    "Comfy.Graph.CanvasInfo": False,
}
LIMIT = 1800  # seconds for the painting


def painted(page: Page, server: live.Server, size: int, steps: int) -> None:
    """Open the template, run it, and wait until its picture is shown."""
    address = f"/api/workflow_templates/{live.PACK}/{quote(TITLE)}.json"
    page.evaluate(
        """async ([address, title, size, steps]) => {
            const graph = await (await fetch(address)).json();
            await app.loadGraphData(graph, true, true, title);
            const node = app.graph.nodes.find((node) => node.title === "Paint in a Style");
            for (const [name, value] of [["size", size], ["steps", steps]])
                node.widgets.find((widget) => widget.name === name).value = value;
        }""",
        [address, TITLE, size, steps],
    )
    page.evaluate("() => app.queuePrompt(0)")
    server.wait_for(lambda: len(server.get("/history")) > 0, "the painting", LIMIT)
    page.wait_for_function(
        """() => {
            const node = app.graph.nodes.find((node) => node.type === "SaveImage");
            const shown = document.querySelectorAll(`[data-node-id="${node.id}"] img`);
            return [...shown].some((image) => image.naturalWidth);
        }"""
    )
    (run,) = server.get("/history").values()
    if run["status"]["status_str"] != "success":
        raise SystemExit(f"the run failed: {run['status']}")
    page.locator(".nst-live canvas").locator("visible=true").wait_for()
    page.wait_for_timeout(6000)  # what the front end says of a finished job goes away


def take(size: int, steps: int) -> Image.Image:
    comfyui = found.find_comfyui()
    if comfyui is None:
        raise SystemExit("no ComfyUI: set COMFYUI_PATH to the folder that holds main.py")
    interpreter = found.find_interpreter(comfyui)
    with tempfile.TemporaryDirectory() as folder:
        live.furnish(Path(folder), interpreter)
        server = live.Server(comfyui, interpreter, Path(folder), front_end=found.newest_front_end())
        try:
            server.wait_until_ready()
            server.post("/settings", SETTINGS)
            with sync_playwright() as driver:
                browser = driver.chromium.launch(executable_path=found.find_chromium(), args=found.CHROMIUM_FLAGS)
                page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, device_scale_factor=DOTS)
                page.goto(server.url, wait_until="domcontentloaded")
                page.wait_for_function("() => window.app?.vueAppReady && window.app.graph")
                painted(page, server, size, steps)
                shot = page.screenshot()
                browser.close()
        finally:
            server.end()
    return Image.open(io.BytesIO(shot)).convert("RGB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--steps", type=int, default=-1)
    given = parser.parse_args()
    take(given.size, given.steps).save(ROOT / "docs" / "canvas.jpg", quality=85, subsampling=0, optimize=True)
