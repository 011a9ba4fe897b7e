"""The site: page configuration, navigation from the catalogue, and the page that was asked for.

Streamlit executes this file as a script on every full run, and ``app.py`` imports it.
"""

from __future__ import annotations

import logging
from pathlib import Path

import streamlit as st

from cvviz.catalogue import Entry, by_section, entries
from cvviz.ui import home, warmup
from cvviz.ui.components.search import search

ROOT = Path(__file__).parents[2]


def page_of(entry: Entry) -> st.Page:
    """Streamlit's page of a concept."""
    path = ROOT / "pages" / entry.section / f"{entry.slug.replace('-', '_')}.py"
    return st.Page(path, title=entry.title, icon=entry.icon, url_path=entry.slug)


def main() -> None:
    """Run the page that the address names."""
    warmup.start()
    presenting = "present" in st.query_params
    st.set_page_config(
        page_title="cvviz",
        page_icon=ROOT / "assets" / "icon.png",
        layout="wide",
        initial_sidebar_state="collapsed" if presenting else "auto",
    )
    st.html(ROOT / "assets" / "css" / "site.css")
    if presenting:
        st.html(ROOT / "assets" / "css" / "present.css")
    pages = {entry.slug: page_of(entry) for entry in entries()}
    home_page = st.Page(lambda: home.draw(pages), title="Home", icon=":material/home:", url_path="home", default=True)
    grouped = {title: [pages[entry.slug] for entry in group] for title, group in by_section().items()}
    page = st.navigation({"": [home_page], **grouped}, position="hidden" if presenting else "sidebar", expanded=True)
    st.set_page_config(page_title=f"{page.title} · cvviz")
    st.session_state["pages"] = pages
    if not presenting:
        with st.sidebar:
            chosen = search()
        if chosen in pages:
            st.switch_page(pages[chosen])
    try:
        if page.url_path in pages:
            warmup.load(page.url_path)
        page.run()
    except Exception:  # a page that cannot even start leaves the navigation alive
        logging.getLogger(__name__).exception("page %s", page.url_path)
        st.error("This page could not be shown. The log says why; the other pages are not affected.")


if __name__ == "__main__":
    main()
