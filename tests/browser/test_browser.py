"""What a user sees of the pack in the browser: the host's own front end, in a real Chromium, on the live server."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from live_comfyui import PACK, ROOT, WORKFLOWS, Server

playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright (it drives the browser)")

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WINDOW = {"width": 1400, "height": 900}
LIMIT = 60_000  # milliseconds; nothing is expected to need them
TITLE_HEIGHT = 30  # of a node on the canvas, above its position
TEMPLATES = sorted(file.stem for file in WORKFLOWS.glob("*.json"))


@pytest.fixture(scope="session")
def chromium() -> str:
    names = ("chromium", "chromium-browser", "google-chrome")
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    return found or pytest.skip("no Chromium: install the package chromium, or set CHROMIUM to the program")


# Not for the session: Playwright's event loop runs as long as this does, and other tests have loops of their own.
@pytest.fixture(scope="module")
def page(chromium: str, server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[playwright.Page]:
    """The front end, open. One for all tests: loading it is most of the time they take."""
    # Else the front end greets a new user with a dialog over everything.
    server.post("/settings", {"Comfy.TutorialCompleted": True})
    with playwright.sync_playwright() as driver:
        context = driver.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("chromium"), executable_path=chromium, headless=True, args=FLAGS, viewport=WINDOW
        )
        context.set_default_timeout(LIMIT)
        page = context.pages[0] if context.pages else context.new_page()
        page.goto(server.url, wait_until="domcontentloaded")
        page.wait_for_function("() => window.app?.vueAppReady && window.app.graph")
        yield page
        context.close()


@pytest.fixture(autouse=True)
def no_script_fails(page: playwright.Page) -> Iterator[None]:
    thrown: list[str] = []

    def note(error: playwright.Error) -> None:
        thrown.append(str(error))

    page.on("pageerror", note)
    yield
    page.remove_listener("pageerror", note)
    # A dialog that one test leaves behind would lie over the next one's canvas.
    while open_dialogs(page):
        page.keyboard.press("Escape")
        page.get_by_role("dialog").last.wait_for(state="hidden")
    assert thrown == []


@pytest.fixture
def screenshot(page: playwright.Page, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[None]:
    """What was to be seen at the end of the test, failed or not, for a person to look at in pytest's own folder."""
    yield
    page.screenshot(path=tmp_path / f"{request.node.name}.png")


# --- the canvas ---------------------------------------------------------------------------------------------------


def load(page: playwright.Page, name: str) -> None:
    """Open a template's file as the front end does, from the address where the host serves it."""
    url = f"/api/workflow_templates/{PACK}/{name}.json"
    page.evaluate(
        "async ([url, name]) => app.loadGraphData(await (await fetch(url)).json(), true, true, name)", [url, name]
    )


def faulty_nodes(page: playwright.Page) -> list[str]:
    """Nodes that the front end has no type for, or draws in red."""
    return page.evaluate(
        "() => app.graph.nodes.filter(n => !(n.type in LiteGraph.registered_node_types) || n.has_errors)"
        ".map(n => n.type)"
    )


def open_dialogs(page: playwright.Page) -> list[str]:
    return [d.inner_text() for d in page.get_by_role("dialog").all() if d.is_visible()]


def set_widgets(page: playwright.Page, node: str, **values: object) -> None:
    """Give widgets their values as an edit on the canvas does."""
    page.evaluate(
        """([type, values]) => {
            const node = app.graph.nodes.find(n => n.type === type);
            for (const [name, value] of Object.entries(values)) {
                const widget = node.widgets.find(w => w.name === name);
                widget.value = value;
                widget.callback?.(value, app.canvas, node);
            }
        }""",
        [node, values],
    )


def widget(page: playwright.Page, node: str, name: str) -> object:
    find = "([type, name]) => app.graph.nodes.find(n => n.type === type).widgets.find(w => w.name === name).value"
    return page.evaluate(find, [node, name])


@pytest.mark.usefixtures("screenshot")
def test_the_quick_start_opens_from_the_list_of_templates(page: playwright.Page) -> None:
    page.locator(".comfyui-logo-wrapper, .comfyui-logo").locator("visible=true").first.click()
    page.get_by_role("menuitem", name="Browse Templates").locator("visible=true").first.click()
    dialog = page.get_by_role("dialog").filter(has_text="Templates")
    dialog.get_by_text(PACK, exact=True).first.click()
    cards = dialog.locator("[data-testid^=template-workflow-]")
    playwright.expect(cards.first).to_be_visible()
    wanted = {f"template-workflow-{name}" for name in TEMPLATES}
    for _ in range(20):  # the host adds the next ones when the last is seen
        if wanted <= set(cards.evaluate_all("cards => cards.map(card => card.dataset.testid)")):
            break
        cards.last.scroll_into_view_if_needed()
        page.wait_for_timeout(250)
    assert wanted <= set(cards.evaluate_all("cards => cards.map(card => card.dataset.testid)"))
    card = dialog.get_by_test_id("template-workflow-quickstart")
    if (WORKFLOWS / "quickstart.jpg").exists():
        card.scroll_into_view_if_needed()
        picture = card.locator("img").first
        playwright.expect(picture).to_be_visible()
        assert picture.evaluate("async image => { await image.decode(); return image.naturalWidth }") > 100
    card.click()
    page.wait_for_function("() => app.graph.nodes.some(n => n.type === 'NeuralStyleTransfer')")
    playwright.expect(dialog).to_be_hidden()
    assert faulty_nodes(page) == []
    assert open_dialogs(page) == []  # such as the one that lists missing nodes


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_is_the_same_graph_as_its_api_form(page: playwright.Page, server: Server, name: str) -> None:
    load(page, name)
    assert faulty_nodes(page) == [] and open_dialogs(page) == []
    converted = page.evaluate("async () => (await app.graphToPrompt()).output")
    headless = json.loads((WORKFLOWS / "api" / f"{name}.json").read_text(encoding="utf-8"))
    assert set(converted) == set(headless)
    for i, node in headless.items():
        assert converted[i]["class_type"] == node["class_type"]
        # What the headless form leaves out has to be at its default on the canvas.
        shown = server.get(f"/object_info/{node['class_type']}")[node["class_type"]]["input"]
        inputs = {**shown["required"], **shown.get("optional", {})}
        defaults = {key: o[0]["default"] for key, (_, *o) in inputs.items() if o and "default" in o[0]}
        defaults |= {key: kind[0] for key, (kind, *_) in inputs.items() if isinstance(kind, list)}
        expected = {key: value for key, value in defaults.items() if key in converted[i]["inputs"]} | node["inputs"]
        assert converted[i]["inputs"] == expected, (i, node["class_type"])


@pytest.mark.parametrize("name", TEMPLATES)
def test_no_node_of_a_template_hides_another(page: playwright.Page, name: str) -> None:
    load(page, name)
    boxes = page.evaluate("() => app.graph.nodes.map(n => [n.type, ...n.pos, ...n.size, ...n.computeSize()])")
    for i, (kind, x, y, width, height, least_width, least_height) in enumerate(boxes):
        assert width >= least_width and height >= least_height, f"{kind} is cut off"
        for other, x2, y2, width2, height2, *_ in boxes[:i]:
            apart = x + width <= x2 or x2 + width2 <= x or y + height <= y2 - TITLE_HEIGHT
            assert apart or y2 + height2 <= y - TITLE_HEIGHT, f"{kind} overlaps {other}"


@pytest.mark.parametrize(
    ("node", "name", "values"),
    [
        ("NeuralStyleTransfer", "size", (512, 384, 0, -1)),
        ("NeuralStyleTransfer", "steps", (7, 0, -1)),
        ("NeuralStyleTransfer", "learning_rate", (0.0015, 1, -1)),
        ("NeuralStyleTransfer", "tv_weight", (0.35, 0, -1)),
        ("NeuralStyleTransfer", "content_weight", (0.05, 2.5)),
        ("ComputeStyleGrams", "size", (512, 384, 0)),
        ("ComputeStyleGrams", "weight", (0.25, 2)),
    ],
)
def test_a_number_that_is_typed_is_kept(page: playwright.Page, node: str, name: str, values: tuple) -> None:
    # The canvas rounds whole numbers to min + n × step, which is not what a step next to a min of -1 should do.
    load(page, "quickstart")
    for value in values:
        set_widgets(page, node, **{name: value})
        assert widget(page, node, name) == pytest.approx(value)


@pytest.mark.usefixtures("screenshot")
def test_run_shows_previews_and_then_the_result(page: playwright.Page, server: Server) -> None:
    load(page, "quickstart")
    set_widgets(page, "ComputeStyleGrams", size=128)
    set_widgets(page, "NeuralStyleTransfer", size=128, steps=20, preview_every=1)
    # Every picture that is ever drawn on the transfer's node, from now on.
    page.evaluate(
        """() => {
            window.seen = new Set();
            const look = () => {
                const node = app.graph.nodes.find(n => n.type === 'NeuralStyleTransfer');
                for (const image of node?.imgs ?? []) if (image.naturalWidth) window.seen.add(image.src);
                requestAnimationFrame(look);
            };
            look();
        }"""
    )
    expected_width = widget(page, "NeuralStyleTransfer", "size")
    page.get_by_role("button", name="Run", exact=True).first.click()  # newer front ends have its menu beside it
    page.wait_for_function("() => window.seen.size >= 2")
    result = "app.graph.nodes.find(n => n.type === 'SaveImage').imgs?.[0]"
    page.wait_for_function(f"() => {result}?.naturalWidth")
    assert page.evaluate(f"() => {result}.naturalWidth") == expected_width
    source = page.evaluate(f"() => {result}.src")
    assert source.startswith(server.url) and "/view?" in source and "quickstart" in source
    plot = "app.graph.nodes.find(n => n.type === 'PreviewImage').imgs?.[0]"
    page.wait_for_function(f"() => {plot}?.naturalWidth === 480")
    assert open_dialogs(page) == []


@pytest.mark.usefixtures("screenshot")
def test_the_info_button_opens_the_help_page(page: playwright.Page) -> None:
    text = (ROOT / "nodes" / "web" / "docs" / "NeuralStyleTransfer.md").read_text(encoding="utf-8")
    heading = next(line.lstrip("#").strip() for line in text.splitlines() if line.startswith("#"))
    load(page, "quickstart")
    page.evaluate("() => app.canvas.selectNode(app.graph.nodes.find(n => n.type === 'NeuralStyleTransfer'))")
    page.get_by_test_id("info-button").click()
    shown = page.locator(".node-help-content")
    playwright.expect(shown.get_by_role("heading", name=heading, exact=True).first).to_be_visible()
    for picture in shown.locator("img").all():
        assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
