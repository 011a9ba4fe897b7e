"""Top and bottom of a concept page: title, copy link, present mode, previous and next."""

from __future__ import annotations

import streamlit as st

from cvviz.catalogue import Entry, neighbours
from cvviz.ui.components.browser import copy_link, page_keys
from cvviz.ui.state import PRESENT


def presenting() -> bool:
    """Whether the page is shown to a room."""
    return PRESENT in st.query_params


def draw_header(entry: Entry) -> None:
    """Title, one sentence, and what one does with the page as a whole."""
    title, actions = st.columns([3, 1], vertical_alignment="bottom")
    with title:
        st.title(entry.title)
        st.markdown(entry.summary)
    with actions, st.container(horizontal=True, horizontal_alignment="right"):
        copy_link(key="copy-link")
        if presenting():
            st.button("Leave", icon=":material/close_fullscreen:", on_click=_leave, help="Leave the present mode")
        else:
            help_text = "Large type and no sidebar, for a shared screen. Arrow keys turn the page."
            st.button("Present", icon=":material/present_to_all:", on_click=_present, help=help_text)


def draw_pager(entry: Entry) -> None:
    """Links to the concepts before and after; in present mode the arrow keys follow them."""
    before, after = neighbours(entry.slug)
    pages = st.session_state["pages"]
    query = {PRESENT: "true"} if presenting() else None
    if presenting():
        turn = page_keys(key="page-keys")
        goal = {"previous": before, "next": after}.get(turn or "")
        if goal:
            st.switch_page(pages[goal.slug], query_params=query)
    st.divider()
    left, right = st.columns(2)
    if before:
        left.page_link(pages[before.slug], label=before.title, icon=":material/arrow_back:", query_params=query)
    if after:
        with right.container(horizontal_alignment="right"):
            st.page_link(pages[after.slug], label=after.title, icon=":material/arrow_forward:", query_params=query)


def _present() -> None:
    st.query_params[PRESENT] = "true"


def _leave() -> None:
    del st.query_params[PRESENT]
