"""Dilated convolution."""

import streamlit as st

from cvviz import ui
from cvviz.concepts.convolution.dilation import CONCEPT, Params, Result

SIGNED = "Response: blue below 0, white at 0, vermillion above."
GREY = "Response: grey, divided by the sum of the weights."
PATHS = (
    "Brighter: more paths from the output to this pixel, on a log scale. The next output reads the same map one pixel "
    "on; pixels that both read are shared."
)


def view(params: Params, _: Result) -> None:
    st.caption(PATHS if params.view == "stack" else GREY if params.kernel == "box" else SIGNED)


ui.explorer(CONCEPT, view)
