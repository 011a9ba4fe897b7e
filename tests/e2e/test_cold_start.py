"""The first visitor of a fresh process, who follows a deep link, sees what the link names."""

import pytest
from playwright.sync_api import expect

from cvviz.catalogue import entries
from tests.e2e.server import ROOT, serve
from tests.e2e.stage import wait_for_stage

ENTRY = entries()[-1]


@pytest.mark.parametrize("plain", [False, True], ids=["asgi", "plain script"])
def test_deep_link_into_a_fresh_process(new_page, tmp_path, plain):
    with serve(ROOT / "app.py", tmp_path / "log.txt", plain=plain) as server:
        page = new_page()
        page.goto(f"{server.url}/{ENTRY.slug}")
        expect(page.locator("h1")).to_have_text(ENTRY.title, timeout=60_000)
        wait_for_stage(page)
        expect(page.get_by_test_id("stSidebarNavLink").filter(has_text=ENTRY.title)).to_have_attribute(
            "aria-current", "page"
        )
        expect(page.get_by_test_id("stSidebarNavLink")).to_have_count(len(entries()) + 1)
        if plain:
            # Streamlit's own discovery of pages/ answers the first visitor before the script has run; the page is
            # right behind the dialog, and nobody after that sees it.
            page.goto("about:blank")
            page.goto(f"{server.url}/{ENTRY.slug}")
            wait_for_stage(page)
        expect(page.get_by_role("dialog")).to_have_count(0)
        page.wait_for_load_state("networkidle")
        page.goto("about:blank")  # before the server goes
