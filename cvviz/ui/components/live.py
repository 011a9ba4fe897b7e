"""A slider that speaks while it is dragged, and the wire between live controls and the stage."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import streamlit as st

from cvviz.ui.components.assets import script, style

if TYPE_CHECKING:
    from cvviz.controls import Slider

_SLIDER = st.components.v2.component(
    "cvviz_live_slider", html='<div class="live"></div>', css=style("live"), js=script("follow") + script("live")
)
_WIRE = st.components.v2.component("cvviz_wire", html="<i hidden></i>", js=script("wire"))


def live_slider(control: Slider, field: str, value: float, *, key: str, error: str) -> None:
    """Range input, number field and play button for a field of Params. What it says arrives through the ``wire``."""
    data: dict[str, Any] = {
        "field": field,
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
    _SLIDER(key=key, data=data)


def wire(seq: int, *, key: str, on_input: Callable[[], None]) -> None:
    """Pass on what live controls say, and tell them that request ``seq`` has been answered. Draw it last in the stage.

    Its state is ``{"input": {"field": str, "text": str, "live": bool, "seq": int}}``: a field of Params and its value
    as text, whether the hand is still on the control, and a growing number. One request is under way at a time; the
    newest input wins.
    """
    _WIRE(key=key, data={"seq": seq}, height=1, on_input_change=on_input)
