"""The nodes on the canvas: numbers that are typed, runs with their previews and results, the help page."""

from __future__ import annotations

import pytest
from canvas import BLUEPRINT, as_prompt, in_one_renderer, load, open_dialogs, set_widgets, widget
from comfyui_found import ROOT
from live_comfyui import Server

playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright (it drives the browser)")

pytestmark = pytest.mark.usefixtures("no_script_fails")


@pytest.mark.every_host
@pytest.mark.usefixtures("screenshot")
def test_the_starter_paints_and_shows_how_it_goes(page: playwright.Page, server: Server) -> None:
    load(page, "Start here")
    # Long enough for several previews, which come about once a second; and another number for every run, because the
    # same run again would come from the host's cache.
    steps = 48 + len(server.get("/history"))
    set_widgets(page, BLUEPRINT, size=128, steps=steps)
    prompt = as_prompt(page)
    (transfer,) = (node["inputs"] for node in prompt.values() if node["class_type"] == "NeuralStyleTransfer")
    assert (transfer["size"], transfer["steps"], transfer["stroke_size"]) == (128, steps, 1)
    # Every picture that is ever shown on the blueprint's node, from now on.
    page.evaluate(
        """() => {
            const node = app.graph.nodes.find(n => n.title === 'Paint in a Style');
            window.seen = new Set();
            const look = () => {
                const shown = document.querySelectorAll(`[data-node-id="${node.id}"] img`);
                for (const image of [...(node.imgs ?? []), ...shown]) if (image.naturalWidth) seen.add(image.src);
                requestAnimationFrame(look);
            };
            look();
        }"""
    )
    before = len(server.get("/history"))
    page.get_by_role("button", name="Run", exact=True).first.click()  # newer front ends have its menu beside it
    server.wait_for(lambda: len(server.get("/history")) > before, "the painting", 120)
    run = list(server.get("/history").values())[-1]
    assert run["status"]["status_str"] == "success", run["status"]
    (painting,) = next(iter(run["outputs"].values()))["images"]
    assert server.view(painting).size[0] == 128
    if server.which != "oldest":  # whose front end shows no previews of what is within a subgraph
        page.wait_for_function("() => window.seen.size >= 2")
    result = """() => {
        const node = app.graph.nodes.find(n => n.type === 'SaveImage');
        const shown = document.querySelectorAll(`[data-node-id="${node.id}"] img`);
        return [...(node.imgs ?? []), ...shown].some(image => image.naturalWidth === 128);
    }"""
    page.wait_for_function(result)
    assert open_dialogs(page) == []


@in_one_renderer
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
    load(page, "more/quickstart")
    for value in values:
        set_widgets(page, node, **{name: value})
        assert widget(page, node, name) == pytest.approx(value)


@in_one_renderer
@pytest.mark.own_front_end
def test_minus_one_reads_auto(page: playwright.Page) -> None:
    """In the classic renderer; the numbers of Nodes 2.0 cannot be made to read otherwise, and labels say it there."""
    load(page, "more/quickstart")
    page.evaluate(
        """() => {
            const { fillText } = CanvasRenderingContext2D.prototype;
            window.drawn = [];
            CanvasRenderingContext2D.prototype.fillText = function (text, ...given) {
                window.drawn.push(String(text));
                return fillText.call(this, text, ...given);
            };
            app.canvas.setDirty(true, true);
        }"""
    )
    page.wait_for_function("() => window.drawn.filter(text => text === 'auto').length >= 6")
    assert not {"-1", "-1.00", "-1.0000"} & set(page.evaluate("() => window.drawn"))
    set_widgets(page, "NeuralStyleTransfer", steps=77)
    page.evaluate("() => app.canvas.setDirty(true, true)")
    page.wait_for_function("() => window.drawn.includes('77')")


@in_one_renderer
@pytest.mark.usefixtures("screenshot")
def test_run_shows_previews_and_then_the_result(page: playwright.Page, server: Server) -> None:
    load(page, "more/quickstart")
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


@in_one_renderer
@pytest.mark.usefixtures("screenshot")
def test_the_info_button_opens_the_help_page(page: playwright.Page) -> None:
    text = (ROOT / "nodes" / "web" / "docs" / "NeuralStyleTransfer.md").read_text(encoding="utf-8")
    heading = next(line.lstrip("#").strip() for line in text.splitlines() if line.startswith("#"))
    load(page, "more/quickstart")
    page.evaluate("() => app.canvas.selectNode(app.graph.nodes.find(n => n.type === 'NeuralStyleTransfer'))")
    page.get_by_test_id("info-button").click()
    shown = page.locator(".node-help-content")
    playwright.expect(shown.get_by_role("heading", name=heading, exact=True).first).to_be_visible()
    for picture in shown.locator("img").all():
        assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
