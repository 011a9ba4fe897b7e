"""A browser and a running app for the tests of this folder. Every test of it is marked ``browser``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

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


@pytest.fixture
def new_page(browser: Browser) -> Iterator[NewPage]:
    """Opens pages in contexts of their own; at the end, none of them may have logged an error."""
    contexts, errors = [], []

    def note(message: ConsoleMessage) -> None:
        known = message.location.get("url", "").endswith(KNOWN) or message.text.startswith(LEGACY)
        if message.type == "error" and not known:
            errors.append(f"{message.text} ({message.location.get('url')})")

    def make(width: int = 1440, height: int = 900, **options: Any) -> Page:
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("console", note)
        page.on("pageerror", lambda error: errors.append(str(error)))
        return page

    yield make
    for context in contexts:
        context.close()
    assert errors == []


@pytest.fixture
def page(new_page: NewPage) -> Page:
    return new_page()
