"""Templates on the canvas: offered in the host's list, open whole, and the same graphs as their API forms."""

from __future__ import annotations

import json

import pytest
from canvas import as_prompt, faulty_nodes, in_one_renderer, load, open_dialogs
from live_comfyui import PACK, WORKFLOWS, Server

playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright (it drives the browser)")

pytestmark = pytest.mark.usefixtures("no_script_fails")
TITLE_HEIGHT = 30  # of a node on the canvas, above its position
OFFERED = sorted(file.stem for file in WORKFLOWS.glob("*.json"))
MORE = sorted(f"more/{file.stem}" for file in (WORKFLOWS / "more").glob("*.json"))


def api_forms() -> dict[str, str]:
    """Canvas files and their API forms, by their addresses: what has no blueprint in it has one."""
    named = {f"more/{file.stem}": file.stem for file in (WORKFLOWS / "more").glob("*.json")}
    for title in OFFERED:
        canvas = json.loads((WORKFLOWS / f"{title}.json").read_text(encoding="utf-8"))
        prefixes = [node["widgets_values"][0] for node in canvas["nodes"] if node["type"] in ("SaveImage", "SaveVideo")]
        if "definitions" not in canvas:
            named[title] = next(
                file.stem
                for file in (WORKFLOWS / "api").glob("*.json")
                if json.dumps(prefixes[0]) in file.read_text(encoding="utf-8")
            )
    return named


@in_one_renderer
@pytest.mark.usefixtures("screenshot")
def test_the_starter_opens_from_the_list_of_templates(page: playwright.Page) -> None:
    page.locator(".comfyui-logo-wrapper, .comfyui-logo").locator("visible=true").first.click()
    page.get_by_role("menuitem", name="Browse Templates").locator("visible=true").first.click()
    dialog = page.get_by_role("dialog").filter(has_text="Templates")
    dialog.get_by_text(PACK, exact=True).first.click()
    cards = dialog.locator("[data-testid^=template-workflow-]")
    playwright.expect(cards.first).to_be_visible()
    wanted = {f"template-workflow-{name}" for name in OFFERED}
    for _ in range(20):  # the host adds the next ones when the last is seen
        if wanted <= set(cards.evaluate_all("cards => cards.map(card => card.dataset.testid)")):
            break
        cards.last.scroll_into_view_if_needed()
        page.wait_for_timeout(250)
    assert wanted == set(cards.evaluate_all("cards => cards.map(card => card.dataset.testid)"))
    card = dialog.get_by_test_id("template-workflow-Start here")
    card.scroll_into_view_if_needed()
    picture = card.locator("img").first
    playwright.expect(picture).to_be_visible()
    assert picture.evaluate("async image => { await image.decode(); return image.naturalWidth }") > 100
    card.click()
    page.wait_for_function("() => app.graph.nodes.some(n => n.type === 'LoadImage')")
    playwright.expect(dialog).to_be_hidden()
    assert faulty_nodes(page) == []
    assert open_dialogs(page) == []  # such as the one that lists missing nodes


BOXES = """() => app.graph.nodes.map(node => {
    const shown = document.querySelector(`[data-node-id="${node.id}"]`)?.getBoundingClientRect();
    const { scale, offset } = app.canvas.ds, canvas = app.canvas.canvas.getBoundingClientRect();
    const name = node.title ?? node.type;
    if (!shown) return [name, ...node.pos, ...node.size, ...node.computeSize()];
    const x = (shown.x - canvas.x) / scale - offset[0], y = (shown.y - canvas.y) / scale - offset[1] + TITLE;
    return [name, x, y, shown.width / scale, shown.height / scale - TITLE, 0, 0];
})""".replace("TITLE", str(TITLE_HEIGHT))


def hidden_in_part(page: playwright.Page) -> list[str]:
    """Nodes that are too small for what is in them, and pairs that lie over each other."""
    found = []
    boxes = page.evaluate(BOXES)
    for i, (kind, x, y, width, height, least_width, least_height) in enumerate(boxes):
        if width < least_width or height < least_height:
            found.append(f"{kind} is cut off")
        for other, x2, y2, width2, height2, *_ in boxes[:i]:
            apart = x + width <= x2 or x2 + width2 <= x or y + height <= y2 - TITLE_HEIGHT
            if not apart and y2 + height2 > y - TITLE_HEIGHT:
                found.append(f"{kind} overlaps {other}")
    return found


def open_whole(page: playwright.Page, name: str) -> None:
    load(page, name)
    page.wait_for_timeout(500)  # nodes grow to what is in them
    assert faulty_nodes(page) == [] and open_dialogs(page) == [] and hidden_in_part(page) == []


@pytest.mark.every_host
@pytest.mark.parametrize("name", OFFERED)
def test_a_template_opens_whole_and_without_overlap(page: playwright.Page, server: Server, name: str) -> None:
    if "ImageCompare" in (WORKFLOWS / f"{name}.json").read_text() and not server.get("/object_info/ImageCompare"):
        pytest.skip("this host has no node to compare pictures with")
    open_whole(page, name)
    note = page.get_by_text("Press Run", exact=True).locator("visible=true").first
    shown = note.bounding_box()
    assert shown and shown["x"] > 0 and shown["y"] > 0 and shown["height"] >= 10, "the note is not to be read"


@pytest.mark.parametrize("name", MORE)
def test_a_workflow_that_is_not_offered_opens_whole_as_well(page: playwright.Page, name: str) -> None:
    open_whole(page, name)


def test_an_overlap_would_be_seen(page: playwright.Page) -> None:
    open_whole(page, "more/quickstart")
    page.evaluate(
        """() => {
            const [content, network] = ["Content", "Load VGG Features"].map(title =>
                app.graph.nodes.find(node => node.title === title));
            network.pos = [network.pos[0], content.pos[1] + content.size[1] + 10];  // its title lies over the other
            app.canvas.setDirty(true, true);
        }"""
    )
    page.wait_for_timeout(500)
    assert hidden_in_part(page) in (["Load VGG Features overlaps Content"], ["Content overlaps Load VGG Features"])


@in_one_renderer
@pytest.mark.parametrize(("canvas", "api"), sorted(api_forms().items()))
def test_a_workflow_is_the_same_graph_as_its_api_form(
    page: playwright.Page, server: Server, canvas: str, api: str
) -> None:
    load(page, canvas)
    assert faulty_nodes(page) == [] and open_dialogs(page) == []
    converted = as_prompt(page)
    headless = json.loads((WORKFLOWS / "api" / f"{api}.json").read_text(encoding="utf-8"))
    assert set(converted) == set(headless)
    for i, node in headless.items():
        if converted[i]["class_type"] == "LoadImage":  # in the API form, an example by its name
            assert f"nst-{node['inputs']['name']}" in converted[i]["inputs"]["image"]
            continue
        assert converted[i]["class_type"] == node["class_type"]
        if node["class_type"] in ("SaveVideo", "CreateVideo"):
            assert node["inputs"].items() <= converted[i]["inputs"].items()  # a host's own node may have grown
            continue
        # What the headless form leaves out has to be at its default on the canvas.
        shown = server.get(f"/object_info/{node['class_type']}")[node["class_type"]]["input"]
        inputs = {**shown["required"], **shown.get("optional", {})}
        defaults = {key: o[0]["default"] for key, (_, *o) in inputs.items() if o and "default" in o[0]}
        defaults |= {key: kind[0] for key, (kind, *_) in inputs.items() if isinstance(kind, list)}
        expected = {key: value for key, value in defaults.items() if key in converted[i]["inputs"]} | node["inputs"]
        assert converted[i]["inputs"] == expected, (i, node["class_type"])
