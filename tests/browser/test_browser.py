"""What a user sees of the pack in the browser: the host's own front end, in a real Chromium, on the live server."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from comfyui_found import CHROMIUM_FLAGS, FRONT_END, NEWEST, NODES_2_SINCE, ROOT, find_chromium
from live_comfyui import PACK, WORKFLOWS, Server

playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright (it drives the browser)")

WINDOW = {"width": 1400, "height": 900}
LIMIT = 120_000  # milliseconds; nothing is expected to need them
TITLE_HEIGHT = 30  # of a node on the canvas, above its position
CLASSIC, NODES_2 = "classic", "nodes 2.0"  # the two renderers
OFFERED = sorted(file.stem for file in WORKFLOWS.glob("*.json"))
MORE = sorted(f"more/{file.stem}" for file in (WORKFLOWS / "more").glob("*.json"))
BLUEPRINT = "Paint in a Style"


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


@pytest.fixture(scope="session")
def chromium() -> str:
    return find_chromium() or pytest.skip("no Chromium: install the package chromium, or set CHROMIUM to the program")


# Not for the session: Playwright's event loop runs as long as this does, and other tests have loops of their own.
@pytest.fixture(scope="module", params=[CLASSIC, NODES_2])
def page(
    request: pytest.FixtureRequest, chromium: str, server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[playwright.Page]:
    """The front end, open. One for all tests of a renderer: loading it is most of the time they take."""
    if server.which == NEWEST and server.front_end is None:
        pytest.skip(f"no front end {FRONT_END}: pip could not install comfyui-frontend-package")
    if request.param == NODES_2 and server.front_end_version() < NODES_2_SINCE:
        pytest.skip(f"front end {'.'.join(map(str, server.front_end_version()))} has no Nodes 2.0")
    # Else the front end greets a new user with a dialog over everything.
    settings = {"Comfy.TutorialCompleted": True, "Comfy.VueNodes.Enabled": request.param == NODES_2}
    server.post("/settings", settings)
    with playwright.sync_playwright() as driver:
        context = driver.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("chromium"),
            executable_path=chromium,
            headless=True,
            args=CHROMIUM_FLAGS,
            viewport=WINDOW,
        )
        context.set_default_timeout(LIMIT)
        page = context.pages[0] if context.pages else context.new_page()
        page.goto(server.url, wait_until="domcontentloaded")
        page.wait_for_function("() => window.app?.vueAppReady && window.app.graph")
        yield page
        context.close()


# What one renderer shows as the other does is tried in one.
in_one_renderer = pytest.mark.parametrize("page", [CLASSIC], indirect=True)


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
    page.screenshot(path=tmp_path / "seen.png")


# --- the canvas ---------------------------------------------------------------------------------------------------


def load(page: playwright.Page, name: str) -> None:
    """Open a workflow's file as the front end does, from the address where the host serves it."""
    url = f"/api/workflow_templates/{PACK}/{quote(name)}.json"
    page.evaluate(
        "async ([url, name]) => app.loadGraphData(await (await fetch(url)).json(), true, true, name)", [url, name]
    )


def faulty_nodes(page: playwright.Page) -> list[str]:
    """Nodes that the front end has no type for, or draws in red; those in subgraphs as well."""
    return page.evaluate(
        """() => [app.graph, ...(app.graph.subgraphs?.values() ?? [])].flatMap(graph => graph.nodes)
            .filter(n => !(n.type in LiteGraph.registered_node_types) || n.has_errors).map(n => n.type)"""
    )


def open_dialogs(page: playwright.Page) -> list[str]:
    return [d.inner_text() for d in page.get_by_role("dialog").all() if d.is_visible()]


def set_widgets(page: playwright.Page, node: str, **values: object) -> None:
    """Give widgets their values as an edit on the canvas does. A node is called by its class or its title."""
    page.evaluate(
        """([name, values]) => {
            const node = app.graph.nodes.find(n => n.type === name || n.title === name);
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


def as_prompt(page: playwright.Page) -> dict[str, Any]:
    return page.evaluate("async () => (await app.graphToPrompt()).output")


# --- templates ----------------------------------------------------------------------------------------------------


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


# --- the blueprint ------------------------------------------------------------------------------------------------


@pytest.mark.every_host
@pytest.mark.usefixtures("screenshot")
def test_the_starter_paints_and_shows_how_it_goes(page: playwright.Page, server: Server) -> None:
    load(page, "Start here")
    steps = 12 + len(server.get("/history"))  # the same run again would come from the host's cache
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
@pytest.mark.own_front_end
def test_the_blueprint_is_found_by_words_that_people_type(page: playwright.Page, server: Server) -> None:
    listed = {entry["name"]: entry["info"] for entry in server.get("/global_subgraphs").values()}
    assert PACK in listed[BLUEPRINT]["node_pack"]
    load(page, "Start here")
    # Words of its name: the search words in its file do not come through, for both front ends let the host's entry,
    # which has none, take their place.
    for words in ("paint", "style"):
        with searched(page, words):
            playwright.expect(page.get_by_text(BLUEPRINT, exact=True).locator("visible=true").last).to_be_visible()


@contextlib.contextmanager
def searched(page: playwright.Page, words: str) -> Iterator[None]:
    """The node search, with these words in it."""
    page.evaluate("() => app.extensionManager.command.execute('Workspace.SearchBox.Toggle')")
    box = page.locator(".comfy-vue-node-search-container input, [role=dialog] input[type=text]").first
    box.fill(words)
    yield
    box.press("Escape")
    playwright.expect(box).to_be_hidden()


@in_one_renderer
@pytest.mark.parametrize("words", ["style transfer", "neural style", "neural"])
def test_the_main_node_is_found_first(page: playwright.Page, words: str) -> None:
    with searched(page, words):
        playwright.expect(page.get_by_role("option").first).to_contain_text("Neural Style Transfer")


@in_one_renderer
@pytest.mark.own_front_end
def test_the_main_node_is_among_the_first_for_style(page: playwright.Page) -> None:
    """Front ends rank by id and name alone: the word itself, names that begin with it, names that have it as a word;
    and within each by a table of how often nodes are used, in which some of the host's stand and none of ours. So only
    a node that is called *Style*, and nothing else, would be first."""
    with searched(page, "style"):
        playwright.expect(page.get_by_role("option", name="Neural Style Transfer").first).to_be_visible()
        found = [option.inner_text() for option in page.get_by_role("option").all()[:8]]
    assert any(option.startswith("Neural Style Transfer") for option in found), found
    assert any(option.startswith("Paint in a Style") for option in found), found


@in_one_renderer
def test_search_words_find_the_main_node(page: playwright.Page) -> None:
    with searched(page, "van gogh"):  # neither in its id nor in its name
        playwright.expect(page.get_by_role("option", name="Neural Style Transfer").first).to_be_visible()


# --- widgets, previews, help --------------------------------------------------------------------------------------


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
