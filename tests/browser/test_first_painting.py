"""From a server that nobody has used to the first painting, by the mouse alone, with every click counted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from canvas import WINDOW, open_front_end
from live_comfyui import PACK, Server

playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright (it drives the browser)")

pytestmark = pytest.mark.own_front_end
MOST_CLICKS = 4
COUNT = """() => {
    window.clicks = window.keys = 0;
    addEventListener("pointerdown", (event) => { window.clicks += event.isTrusted; }, true);
    addEventListener("keydown", () => { window.keys += 1; }, true);
}"""
# ComfyUI's own templates, which the tests' hosts are without: more categories than the list of them has room for.
CATEGORIES = ("Image", "Video", "Audio", "3D Model", "LLM", "Utility", "Use Cases", "Image API", "Video API", "3D API")
HOSTS_OWN = [
    {
        "moduleName": "default",
        "category": "GENERATION TYPE",
        "title": category,
        "type": "image",
        "templates": [
            {"name": f"{category}_{i}", "title": f"{category} {i}", "mediaType": "image", "mediaSubtype": "webp"}
            for i in range(12)
        ],
    }
    for category in CATEGORIES
]


@pytest.fixture(params=["the first time", "later"])
def page(request: pytest.FixtureRequest, browser: playwright.Browser, host: Server) -> Iterator[playwright.Page]:
    """The first time, the front end greets with its templates; later, they are a button beside the canvas."""
    first = request.param == "the first time"
    host.post("/settings", {"Comfy.TutorialCompleted": not first, "Comfy.VueNodes.Enabled": False})
    page = browser.new_page(viewport=WINDOW)
    page.add_init_script(f"({COUNT})()")
    page.route("**/templates/index*.json", lambda route: route.fulfill(json=HOSTS_OWN))
    open_front_end(page, host)
    if not first:
        page.get_by_role("button", name="Templates", exact=True).click()
    yield page
    page.close()
    host.post("/settings", {"Comfy.TutorialCompleted": True})


def test_few_clicks_lead_to_the_first_painting(page: playwright.Page, server: Server) -> None:
    dialog = page.get_by_role("dialog").filter(has_text="Templates")
    dialog.get_by_text(PACK, exact=True).first.click()
    dialog.get_by_test_id("template-workflow-Start here").click()
    playwright.expect(dialog).to_be_hidden()
    page.wait_for_function("() => app.graph.nodes.some(node => node.title === 'Paint in a Style')")
    # Small, that it does not take minutes; a user can leave everything as it is.
    steps = 4 + len(server.get("/history"))  # the same run again would come from the host's cache
    page.evaluate(
        """steps => {
            const { widgets } = app.graph.nodes.find(node => node.title === 'Paint in a Style');
            widgets.find(widget => widget.name === 'size').value = 96;
            widgets.find(widget => widget.name === 'steps').value = steps;
        }""",
        steps,
    )
    page.get_by_role("button", name="Run", exact=True).first.click()
    page.wait_for_function(
        "() => app.graph.nodes.find(node => node.type === 'SaveImage').imgs?.[0]?.naturalWidth === 96"
    )
    clicks, keys = page.evaluate("() => [window.clicks, window.keys]")
    assert 3 <= clicks <= MOST_CLICKS and keys == 0
