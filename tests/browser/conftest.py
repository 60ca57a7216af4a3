"""The newest host with its front end, a browser, and the canvas open in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from canvas import CLASSIC, NODES_2, WINDOW, open_dialogs, open_front_end
from comfyui_found import CHROMIUM_FLAGS, FRONT_END, NEWEST, NODES_2_SINCE, find_chromium
from live_comfyui import Server

if TYPE_CHECKING:  # where it is not installed, the tests are skipped
    from playwright.sync_api import Browser, Error, Page


@pytest.fixture(scope="session")
def chromium() -> str:
    return find_chromium() or pytest.skip("no Chromium: install the package chromium, or set CHROMIUM to the program")


@pytest.fixture(scope="module")
def host(server: Server) -> Server:
    if server.which == NEWEST and server.front_end is None:
        pytest.skip(f"no front end {FRONT_END}: pip could not install comfyui-frontend-package")
    return server


# Not for the session: Playwright's event loop runs as long as this does, and other tests have loops of their own.
@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=chromium, headless=True, args=CHROMIUM_FLAGS)
        yield started
        started.close()


@pytest.fixture(scope="module", params=[CLASSIC, NODES_2])
def page(request: pytest.FixtureRequest, browser: Browser, host: Server) -> Iterator[Page]:
    """The front end, open. One for all tests of a module and a renderer: loading it is most of the time they take."""
    if request.param == NODES_2 and host.front_end_version() < NODES_2_SINCE:
        pytest.skip(f"front end {'.'.join(map(str, host.front_end_version()))} has no Nodes 2.0")
    # Else the front end greets a new user with a dialog over everything.
    host.post("/settings", {"Comfy.TutorialCompleted": True, "Comfy.VueNodes.Enabled": request.param == NODES_2})
    page = browser.new_page(viewport=WINDOW)
    open_front_end(page, host)
    yield page
    page.close()


@pytest.fixture
def no_script_fails(page: Page) -> Iterator[None]:
    thrown: list[str] = []

    def note(error: Error) -> None:
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
def screenshot(page: Page, tmp_path: Path) -> Iterator[None]:
    """What was to be seen at the end of the test, failed or not, for a person to look at in pytest's own folder."""
    yield
    page.screenshot(path=tmp_path / "seen.png")
