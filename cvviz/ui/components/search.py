"""Search over titles, summaries, tags and questions; finds while one types, opens with the keyboard."""

from __future__ import annotations

import streamlit as st

from cvviz.catalogue import SECTIONS, entries
from cvviz.ui.components.assets import script, style

_SEARCH = st.components.v2.component(
    "cvviz_search", html='<div class="search"></div>', css=style("search"), js=script("search")
)


def search() -> str | None:
    """Slug of the concept that was chosen just now, or None."""
    items = [
        {
            "slug": entry.slug,
            "title": entry.title,
            "section": SECTIONS[entry.section],
            "summary": entry.summary,
            "tags": " ".join(entry.tags),
            "questions": [item.question for item in entry.questions],
        }
        for entry in entries()
    ]
    chosen = _SEARCH(key="search", data={"items": items}, on_open_change=lambda: None).open
    return chosen if isinstance(chosen, str) else None
