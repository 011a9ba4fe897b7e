"""A slider that speaks while it is dragged, and the pulse that tells it when to speak again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from cvviz.controls import Slider
from cvviz.ui.components.assets import script, style

_SLIDER = st.components.v2.component(
    "cvviz_live_slider", html='<div class="live"></div>', css=style("live"), js=script("channel", "live")
)
_PULSE = st.components.v2.component("cvviz_pulse", html="<i hidden></i>", js=script("pulse"))


def live_slider(control: Slider, value: float, *, key: str, error: str, on_change: Callable[[], None]) -> None:
    """Range input, number field and play button.

    Its state is ``{"text": str, "live": bool, "seq": int}``: the number as text, whether the hand is still on it, and a
    growing number of the request. At most one request is under way; the newest value wins. ``pulse`` ends a request.
    """
    data: dict[str, Any] = {
        "label": control.label,
        "unit": control.unit,
        "help": control.help,
        "low": control.low,
        "high": control.high,
        "step": control.step,
        "log": control.log,
        "text": control.encode(value),
        "error": error,
    }
    _SLIDER(key=key, data=data, on_input_change=on_change)


def pulse(seq: int, *, key: str) -> None:
    """Tell the page's live controls that request ``seq`` has been answered. Draw it last."""
    _PULSE(key=key, data={"seq": seq}, height=1)
