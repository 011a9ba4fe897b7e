"""The home page: what this is, where to start, and a card for every concept. Imports neither torch nor plotly."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from cvviz.catalogue import Entry, by_section, suggested_path

CARDS_PER_ROW = 3


def draw(pages: Mapping[str, st.Page]) -> None:
    """Draw the home page."""
    st.session_state["page"] = None
    st.title("Computer-vision interviews, hands on")
    st.markdown(
        "Move a slider, drag a box, use your own photo, and watch the numbers follow. Every number is computed by "
        "torch while you look and compared with a second, independent route; the code that made it goes home with you."
    )
    st.markdown("**A path to begin with**")
    with st.container(horizontal=True):
        for number, entry in enumerate(suggested_path(), start=1):
            st.page_link(pages[entry.slug], label=f"{number}. {entry.title}")
    for title, items in by_section().items():
        st.header(title, anchor=False)
        for start in range(0, len(items), CARDS_PER_ROW):
            for column, entry in zip(st.columns(CARDS_PER_ROW), items[start : start + CARDS_PER_ROW], strict=False):
                with column:
                    card(entry, pages[entry.slug])


def card(entry: Entry, page: st.Page) -> None:
    """A small picture, the title as a link, and one line."""
    with st.container(border=True, height="stretch", gap="small"):
        st.image(entry.card.read_text(encoding="utf-8"), width=160, alt="")
        st.page_link(page, label=f"**{entry.title}**", icon=entry.icon)
        st.caption(entry.summary)
