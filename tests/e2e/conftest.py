"""A browser and a running app for the tests of this folder. Every test of it is marked ``browser``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Error, Page, expect, sync_playwright

from tests.e2e.chromium import MISSING, find
from tests.e2e.server import ROOT, Server, serve

expect.set_options(timeout=20_000)  # two browsers and two servers share the cores
FOLDER = Path(__file__).parent
ARGUMENTS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
# Streamlit looks for its server below the path of a deep link before it looks at the root.
KNOWN = ("/_stcore/health", "/_stcore/host-config")
# What a plain script's first visitor is told; the tests that must not meet it look for its dialog.
LEGACY = "The page that you have requested does not seem to exist."


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if FOLDER in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = find()
    if path is None:
        pytest.fail(MISSING, pytrace=False)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield running
        running.close()


@pytest.fixture(scope="session")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(ROOT / "app.py", tmp_path_factory.mktemp("app") / "log.txt") as server:
        yield server


NewPage = Callable[..., Page]


@pytest.fixture(scope="session")
def tabs(browser: Browser) -> Iterator[Callable[..., Page]]:
    """One tab for each kind of screen. The tests take turns at it: what it has loaded and compiled stays, which is most
    of the time that a page takes; a session of the app does not, since every address that is opened begins a new one.
    """
    open_tabs: dict[str, Page] = {}

    def tab(**options: Any) -> Page:
        kind = repr(sorted(options.items()))
        if kind not in open_tabs or open_tabs[kind].is_closed():
            open_tabs[kind] = browser.new_context(**options).new_page()
            open_tabs[kind].set_default_timeout(30_000)
        return open_tabs[kind]

    yield tab
    for page in open_tabs.values():
        page.context.close()


@pytest.fixture
def new_page(tabs: Callable[..., Page]) -> Iterator[NewPage]:
    """Gives the tab of a screen, empty; at the end, none of them may have logged an error."""
    taken: list[Page] = []
    errors: list[str] = []

    def note(message: ConsoleMessage) -> None:
        known = message.location.get("url", "").endswith(KNOWN) or message.text.startswith(LEGACY)
        if message.type == "error" and not known:
            errors.append(f"{message.text} ({message.location.get('url')})")

    def note_exception(problem: Error) -> None:
        errors.append(str(problem))

    def take(width: int = 1440, height: int = 900, **options: Any) -> Page:
        page = tabs(viewport={"width": width, "height": height}, **options)
        page.on("console", note)
        page.on("pageerror", note_exception)
        taken.append(page)
        return page

    yield take
    for page in taken:
        page.mouse.up()
        page.goto("about:blank")
        page.remove_listener("console", note)
        page.remove_listener("pageerror", note_exception)
    assert errors == []


@pytest.fixture
def page(new_page: NewPage) -> Page:
    return new_page()
