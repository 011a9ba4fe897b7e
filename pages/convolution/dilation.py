"""Dilated convolution."""

import streamlit as st

from cvviz import ui
from cvviz.concepts.convolution.dilation import CONCEPT, Params, Result


def view(params: Params, result: Result) -> None:
    if params.view == "taps":
        st.caption("The nine taps, and the products whose sum is the response at the dot.")
        st.table(CONCEPT.table(params, result).astype({"weight": int}).round(3))


ui.explorer(CONCEPT, view)
