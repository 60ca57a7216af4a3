"""The front end's canvas, open in a browser: workflows on it, their nodes and widgets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from live_comfyui import PACK, Server

if TYPE_CHECKING:  # where it is not installed, the tests are skipped
    from playwright.sync_api import Page

LIMIT = 120_000  # milliseconds; nothing is expected to need them
WINDOW = {"width": 1400, "height": 900}
CLASSIC, NODES_2 = "classic", "nodes 2.0"  # the two renderers
BLUEPRINT = "Paint in a Style"

# What one renderer shows as the other does is tried in one.
in_one_renderer = pytest.mark.parametrize("page", [CLASSIC], indirect=True)


def open_front_end(page: Page, server: Server) -> None:
    page.set_default_timeout(LIMIT)
    page.goto(server.url, wait_until="domcontentloaded")
    page.wait_for_function("() => window.app?.vueAppReady && window.app.graph")


def load(page: Page, name: str) -> None:
    """Open a workflow's file as the front end does, from the address where the host serves it."""
    url = f"/api/workflow_templates/{PACK}/{quote(name)}.json"
    page.evaluate(
        "async ([url, name]) => app.loadGraphData(await (await fetch(url)).json(), true, true, name)", [url, name]
    )


def faulty_nodes(page: Page) -> list[str]:
    """Nodes that the front end has no type for, or draws in red; those in subgraphs as well."""
    return page.evaluate(
        """() => [app.graph, ...(app.graph.subgraphs?.values() ?? [])].flatMap(graph => graph.nodes)
            .filter(n => !(n.type in LiteGraph.registered_node_types) || n.has_errors).map(n => n.type)"""
    )


def open_dialogs(page: Page) -> list[str]:
    return [d.inner_text() for d in page.get_by_role("dialog").all() if d.is_visible()]


def set_widgets(page: Page, node: str, **values: object) -> None:
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


def widget(page: Page, node: str, name: str) -> object:
    find = "([type, name]) => app.graph.nodes.find(n => n.type === type).widgets.find(w => w.name === name).value"
    return page.evaluate(find, [node, name])


def as_prompt(page: Page) -> dict[str, Any]:
    return page.evaluate("async () => (await app.graphToPrompt()).output")
