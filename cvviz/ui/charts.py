"""Plotly figures on a page."""

from __future__ import annotations

import plotly.graph_objects as go
import streamlit as st

CONFIG = {"displaylogo": False, "modeBarButtonsToRemove": ["lasso2d", "select2d", "autoScale2d"]}
# Text on the page's background, by theme; before the browser has told its theme, a grey that reads on both.
TEXT = {"light": "#0C131C", "dark": "#E6EAF0"}
UNKNOWN = "#7A828C"


def draw_chart(figure: go.Figure, *, key: str, alt: str) -> None:
    """Draw a figure in the house style.

    Streamlit's own theming would rebuild the template at each update, which costs a third of a drag's frames; the house
    template needs no more than the colour of its text.
    """
    figure.layout.font.color = TEXT.get(str(st.context.theme.type), UNKNOWN)
    st.plotly_chart(figure, key=key, config=CONFIG, alt=alt, theme=None)
