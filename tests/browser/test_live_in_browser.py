"""A run as it is seen on the canvas: both front ends, both renderers, in a real Chromium on a real host."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from canvas import CLASSIC, NODES_2, open_front_end
from comfyui_runs import Graph
from live_comfyui import PACK, Server

playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright (it drives the browser)")

pytestmark = pytest.mark.own_front_end
LONG = 1000  # steps that nobody waits for
TYPES = ("VGG_FEATURES", "STYLE_GRAMS", "LAYER_WEIGHTS", "LOSS_HISTORY", "NST_METHOD")

GRAPH: Graph = {
    "1": {
        "class_type": "LoadVGGFeatures",
        "inputs": {"weights": "vgg19-caffe", "pooling": "recipe", "padding": "recipe", "precision": "fp32"},
    },
    "2": {"class_type": "NSTExampleImage", "inputs": {"name": "content-landscape"}},
    "3": {"class_type": "NSTExampleImage", "inputs": {"name": "style-strokes"}},
    "4": {
        "class_type": "ComputeStyleGrams",
        "inputs": {"vgg": ["1", 0], "style_image": ["3", 0], "weight": 1.0, "size": 96},
    },
    "5": {
        "class_type": "NeuralStyleTransfer",
        "inputs": {
            **{"vgg": ["1", 0], "content_image": ["2", 0], "style_grams": ["4", 0], "recipe": "balanced"},
            **{"steps": LONG, "size": 96, "scales": 1, "preview_every": 3},
        },
    },
    "6": {"class_type": "SaveImage", "inputs": {"images": ["5", 0], "filename_prefix": "live"}},
}


# --- front ends and renderers -------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[CLASSIC, NODES_2])
def page(request: pytest.FixtureRequest, host: Server, browser: playwright.Browser) -> Iterator[playwright.Page]:
    settings = {"Comfy.TutorialCompleted": True, "Comfy.VueNodes.Enabled": request.param == NODES_2}
    host.post("/settings", settings | {"Comfy.Minimap.Visible": False})  # it may lie over what is to be clicked
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    open_front_end(page, host)
    page.evaluate(
        """async () => {
            const { api } = await import("/scripts/api.js");
            window.told = [];
            for (const type of ["nst.live", "execution_error", "execution_success", "execution_interrupted"])
                api.addEventListener(type, ({ detail }) => window.told.push([type, detail]));
        }"""
    )
    yield page
    page.close()


@pytest.fixture(autouse=True)
def fresh(page: playwright.Page, no_script_fails: None, tmp_path: Path) -> Iterator[None]:
    """The graph on the canvas, its main node in view; and what was to be seen at the end, for a person to look at."""
    page.evaluate("async graph => app.loadApiJson(graph, 'live')", GRAPH)
    page.wait_for_function("() => app.graph.getNodeById(5)?.widgets?.length > 20")
    page.evaluate("() => { window.told = []; }")
    into_view(page)
    yield
    page.screenshot(path=tmp_path / "end.png")
    page.evaluate("async () => (await import('/scripts/api.js')).api.interrupt()")


def into_view(page: playwright.Page) -> None:
    """The main node, with its foot."""
    page.evaluate(
        """() => {
            app.graph.nodes.forEach((node, i) => { node.pos = [-600, i * 300]; });
            app.graph.getNodeById(5).pos = [300, -400];
            app.canvas.ds.scale = 0.8;
            app.canvas.ds.offset = [300, 350];
            app.canvas.setDirty(true, true);
        }"""
    )


def run(page: playwright.Page, **values: object) -> None:
    """Queue what is on the canvas, with these in the main node's widgets."""
    page.evaluate(
        """values => {
            const node = app.graph.getNodeById(5);
            for (const [name, value] of Object.entries(values))
                node.widgets.find(widget => widget.name === name).value = value;
            app.queuePrompt(0, 1);
        }""",
        values,
    )


def wait_for(page: playwright.Page, event: str, count: int = 1) -> None:
    page.wait_for_function(
        "([event, count]) => window.told.filter(([type]) => type === event).length >= count", arg=[event, count]
    )


def prompt_of(page: playwright.Page) -> str:
    return page.evaluate("() => window.told.find(([type]) => type === 'nst.live')[1].prompt_id")


def panel(page: playwright.Page) -> playwright.Locator:
    return page.locator(".nst-live").locator("visible=true")


def end_early(page: playwright.Page) -> None:
    panel(page).get_by_role("button", name="Finish now").click()
    wait_for(page, "execution_success")


# --- what is seen -------------------------------------------------------------------------------------------------


def test_a_run_is_seen_looked_back_at_and_finished(page: playwright.Page, host: Server) -> None:
    before = page.evaluate("() => app.graph.getNodeById(5).serialize().widgets_values.length")
    assert panel(page).count() == 0  # a node that does nothing is as high as ever
    run(page, seed=1)
    wait_for(page, "nst.live", 8)
    assert page.evaluate("() => app.graph.getNodeById(5).serialize().widgets_values.length") == before
    canvas = panel(page).locator("canvas")
    inked = "canvas => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some(x => x)"
    assert canvas.evaluate(inked)
    assert {"total", "content", "style"} <= set(panel(page).locator(".nst-live-legend span").all_inner_texts())
    slider = panel(page).locator("input[type=range]")
    slider.evaluate("slider => { slider.value = 0; slider.dispatchEvent(new Event('input')); }")
    first = page.evaluate("() => window.told.find(([type, live]) => type === 'nst.live' && live.image)[1].image_step")
    playwright.expect(panel(page).locator(".nst-live-words")).to_have_text(f"Step {first} of {LONG}")
    wait_for(page, "nst.live", 10)
    playwright.expect(panel(page).locator(".nst-live-words")).to_have_text(f"Step {first} of {LONG}")  # it stays there
    slider.evaluate("slider => { slider.value = slider.max; slider.dispatchEvent(new Event('input')); }")
    end_early(page)
    page.wait_for_function("() => window.told.findLast(([type]) => type === 'nst.live')[1].state === 'done'")
    said = page.evaluate("() => window.told.findLast(([type]) => type === 'nst.live')[1].text")
    assert re.match(rf"Finished early: step \d+ of {LONG}, 96×64, ", said)
    playwright.expect(page.get_by_text(said).locator("visible=true").first).to_be_visible()
    playwright.expect(panel(page).get_by_role("button")).to_be_hidden()
    (made,) = host.get(f"/history/{prompt_of(page)}")[prompt_of(page)]["outputs"]["6"]["images"]
    assert host.view(made).size == (96, 64)


def look_at_another_tab(page: playwright.Page) -> None:
    """One whose nodes have the same ids, and back."""
    mine = page.evaluate("() => app.extensionManager.workflow.activeWorkflow.path")
    page.evaluate("async graph => app.loadApiJson(graph, 'another')", GRAPH)
    page.wait_for_timeout(1500)  # by when the front ends have said which tab is open
    playwright.expect(panel(page)).to_have_count(0)
    page.evaluate(
        """async path => {
            const { command, workflow } = app.extensionManager;
            while (workflow.activeWorkflow.path !== path) {
                await command.execute("Workspace.PreviousOpenedWorkflow");
                await new Promise(done => setTimeout(done, 500));  // older front ends are not done by then
            }
        }""",
        mine,
    )
    into_view(page)


def test_a_run_is_there_again_when_its_tab_is_come_back_to(page: playwright.Page) -> None:
    run(page, seed=11)
    wait_for(page, "nst.live", 6)
    look_at_another_tab(page)
    playwright.expect(panel(page).locator("img")).to_be_visible()
    playwright.expect(panel(page).get_by_role("button", name="Finish now")).to_be_visible()
    end_early(page)
    said = page.evaluate("() => window.told.findLast(([type]) => type === 'nst.live')[1].text")
    look_at_another_tab(page)
    playwright.expect(panel(page).locator("img")).to_be_visible()
    playwright.expect(panel(page)).to_contain_text(said)
    assert {"total", "content", "style"} <= set(panel(page).locator(".nst-live-legend span").all_inner_texts())
    assert panel(page).locator("input[type=range]").evaluate("slider => Number(slider.max)") >= 1


@pytest.mark.parametrize("count", [1, 2, 48, 49, 500, 1024])
def test_what_is_looked_back_at_is_spread_evenly(page: playwright.Page, count: int) -> None:
    kept = page.evaluate(
        """async ([pack, count]) => {
            const { Series } = await import(`/extensions/${pack}/series.js`);
            const series = new Series(48);
            for (let i = 0; i < count; i += 1) series.push(i);
            return series.items;
        }""",
        [PACK, count],
    )
    assert kept[0] == 0 and kept[-1] == count - 1 and min(count, 24) <= len(kept) <= 48
    assert len({later - earlier for earlier, later in itertools.pairwise(kept[:-1])}) <= 1


def test_the_panel_follows_its_node(page: playwright.Page) -> None:
    run(page, seed=2)
    wait_for(page, "nst.live", 4)
    narrow = panel(page).bounding_box()
    page.wait_for_function(  # the panel is right below the words
        """() => {
            const panel = document.querySelector(".nst-live").getBoundingClientRect();
            const said = [...document.querySelectorAll("body *")].find(element => !element.closest(".nst-live")
                && !element.children.length && /^\\s*Step \\d/.test(element.textContent) && element.checkVisibility());
            const gap = said ? panel.top - said.getBoundingClientRect().bottom : -1;
            return gap >= 0 && gap < 30;
        }"""
    )
    page.evaluate("() => { const node = app.graph.getNodeById(5); node.setSize([600, node.size[1]]); }")
    page.evaluate("() => app.canvas.setDirty(true, true)")
    page.wait_for_function(
        "width => document.querySelector('.nst-live').clientWidth > width", arg=narrow["width"] * 1.5
    )
    wait_for(page, "nst.live", 6)
    page.evaluate("() => app.graph.getNodeById(5).collapse()")
    playwright.expect(page.locator(".nst-live")).to_be_hidden()
    page.evaluate("() => app.graph.getNodeById(5).collapse()")
    playwright.expect(panel(page)).to_be_visible()
    end_early(page)
    page.evaluate("() => app.graph.remove(app.graph.getNodeById(5))")
    playwright.expect(page.locator(".nst-live")).to_have_count(0)


def test_a_subgraph_shows_what_goes_on_in_it_and_a_key_finishes_it(page: playwright.Page) -> None:
    page.evaluate(
        """() => {
            const inside = [4, 5].map(id => app.graph.getNodeById(id));
            inside[1].widgets.find(widget => widget.name === "seed").value = 3;
            const { node } = app.canvas.graph.convertToSubgraph(new Set(inside));
            node.pos = [300, 0];
            app.queuePrompt(0, 1);
        }"""
    )
    wait_for(page, "nst.live", 6)
    assert ":" in page.evaluate("() => window.told.find(([type]) => type === 'nst.live')[1].node_id")
    playwright.expect(panel(page)).to_be_visible()
    playwright.expect(page.get_by_text("Step ").locator("visible=true").first).to_be_visible()
    page.locator("canvas#graph-canvas").focus()
    page.keyboard.press("Alt+Shift+Enter")
    wait_for(page, "execution_success")
    said = page.evaluate("() => window.told.findLast(([type]) => type === 'nst.live')[1].text")
    assert said.startswith("Finished early: ")


def test_an_error_stands_on_its_node_and_in_the_hosts_report(page: playwright.Page) -> None:
    run(page, scales=20)
    wait_for(page, "execution_error")
    alert = panel(page).get_by_role("alert")
    playwright.expect(alert).to_contain_text("size: ")
    sentence = alert.inner_text()
    assert page.evaluate(
        "() => window.told.findLast(([t]) => t === 'execution_error')[1].exception_message"
    ).startswith(sentence)
    details = page.get_by_text("View details", exact=False)  # newer front ends first say that there is something
    if details.count():
        details.first.click()
    elsewhere = page.get_by_text(sentence[:60]).locator("visible=true")
    page.wait_for_function(
        "sentence => [...document.querySelectorAll('body *')].some(e => !e.closest('.nst-live') && !e.children.length"
        " && e.textContent.includes(sentence) && e.checkVisibility())",
        arg=sentence[:60],
    )
    assert elsewhere.count() >= 2
    page.keyboard.press("Escape")
    run(page, size=7)  # refused before anything runs
    playwright.expect(page.get_by_role("alert").filter(has_text=sentence[:20])).to_be_hidden()
    playwright.expect(alert).to_contain_text("size: 7 pixels are too few for balanced")  # on the node as well
    run(page, size=96, scales=0)
    playwright.expect(alert).to_have_text("scales: Value 0 smaller than min of 1 (or -1 for auto)")
    run(page, size=96, scales=1, steps=2)
    wait_for(page, "execution_success")
    playwright.expect(page.get_by_role("alert").filter(has_text=sentence[:20])).to_be_hidden()


def test_what_is_said_of_an_empty_mask_stays_on_the_node(page: playwright.Page) -> None:
    unpainted = {"class_type": "LoadImage", "inputs": {"image": "nst-content-landscape.jpg"}}
    style, transfer = ({**GRAPH[i], "inputs": {**GRAPH[i]["inputs"]}} for i in ("4", "5"))
    style["inputs"]["style_mask"] = transfer["inputs"]["protect_mask"] = ["2", 1]
    transfer["inputs"]["steps"] = 2
    page.evaluate("async graph => app.loadApiJson(graph, 'live')", GRAPH | {"2": unpainted, "4": style, "5": transfer})
    page.wait_for_function("() => app.graph.getNodeById(5)?.widgets?.length > 20")
    into_view(page)
    page.evaluate("() => { app.graph.getNodeById(4).pos = [-100, 0]; }")
    run(page)
    wait_for(page, "execution_success")
    page.wait_for_timeout(1500)  # newer front ends take the host's words away
    for name in ("style_mask", "protect_mask"):
        said = page.get_by_text(f"{name}: the mask is empty, and counts as none").locator("visible=true").first
        playwright.expect(said).to_be_visible()


def test_an_error_out_of_sight_is_said_beside_the_hosts_report(page: playwright.Page) -> None:
    page.evaluate("() => { app.canvas.ds.offset = [-5000, -5000]; app.canvas.setDirty(true, true); }")
    run(page, scales=19)
    wait_for(page, "execution_error")
    sentence = page.evaluate("() => window.told.findLast(([t]) => t === 'execution_error')[1].exception_message")[:60]
    playwright.expect(page.get_by_text(sentence).locator("visible=true").first).to_be_visible()


def test_a_cancel_is_no_finish(page: playwright.Page) -> None:
    run(page, seed=4)
    wait_for(page, "nst.live", 4)
    page.evaluate("async () => (await import('/scripts/api.js')).api.interrupt()")
    wait_for(page, "execution_interrupted")
    playwright.expect(panel(page).get_by_role("button")).to_be_hidden()


def test_sockets_have_colours_of_their_own_in_every_palette(page: playwright.Page) -> None:
    look = """types => types.map(type => [
        app.canvas.default_connection_color_byType[type],
        app.canvas.constructor.link_type_colors[type],
        getComputedStyle(document.documentElement).getPropertyValue(`--color-datatype-${type}`).trim(),
    ])"""
    for palette in ("dark", "light", "dark"):
        page.evaluate("id => app.extensionManager.setting.set('Comfy.ColorPalette', id)", palette)
        page.wait_for_timeout(500)
        seen = page.evaluate(look, list(TYPES))
        assert all(colour.startswith("#") and set(row) == {colour} for row in seen for colour in row)
        assert len({row[0] for row in seen}) == len(TYPES)
