"""What only the browser can do: copy the address, and turn pages with the arrow keys."""

from __future__ import annotations

import streamlit as st

from cvviz.ui.components.assets import script, style

_COPY = st.components.v2.component(
    "cvviz_copy_link",
    html='<button type="button"><span class="words">Copy link</span></button><span role="status"></span>',
    css=style("copy"),
    js=script("copy"),
)
_KEYS = st.components.v2.component("cvviz_page_keys", html="<i hidden></i>", js=script("keys"))


def copy_link(*, key: str) -> None:
    """Button that copies the address of the view, without the present mode."""
    _COPY(key=key, width="content")


def page_keys(*, key: str) -> str | None:
    """ "previous" or "next" in the run after an arrow key was pressed outside of a control, else None."""
    pressed = _KEYS(key=key, on_turn_change=lambda: None, height=1).turn
    return pressed if pressed in ("previous", "next") else None
