"""Regression losses: what the farthest point does to each line, in numbers."""

import streamlit as st

from cvviz import ui
from cvviz.concepts.losses.regression_losses import CONCEPT, Params, Result


def view(params: Params, result: Result) -> None:
    if params.view == "curves":
        st.caption("Below each loss its slope: how hard a point at this residual pulls on the prediction.")
        return
    rows = CONCEPT.table(params, result)
    if len(result.without):
        x, y = params.points[result.outlier]
        st.caption(f"The vermillion point ({x:g}, {y:g}) is farthest from the line of the absolute loss.")
    st.table(rows.set_index("Loss").map(lambda value: f"{value:.3f}".replace("-", "−")))


ui.explorer(CONCEPT, view)
