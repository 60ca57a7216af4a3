"""The node search of the front end: by which words the pack's nodes and its blueprint are found."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from canvas import BLUEPRINT, in_one_renderer, load
from live_comfyui import PACK, Server

playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright (it drives the browser)")

pytestmark = pytest.mark.usefixtures("no_script_fails")


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
