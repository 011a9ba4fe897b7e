"""Convolution."""

import streamlit as st

from cvviz import ui
from cvviz.concepts.convolution.convolution import CONCEPT, Params, Result
from cvviz.figures.convolution import keeps_brightness


def view(_: Params, result: Result) -> None:
    outputs, weights = result.output, result.weight
    kept = [keeps_brightness(weight) for weight in weights]
    if any(kept):
        st.caption("Grey output: 0 to 255. Blue is below, vermillion above, where a picture would clip.")
    if not all(kept):
        st.caption("Signed output: blue below 0, white at 0, vermillion above.")
    with st.container(horizontal=True):
        st.metric("Outputs", f"{outputs.numel():,}")
        st.metric("Multiplications", f"{outputs.numel() * weights[0].numel():,}")
        st.metric("Sum of the weights", f"{float(weights[0].sum()):.4g}")
        st.metric("Below 0", f"{float((outputs < 0).double().mean()):.0%}")
        st.metric("Above 255", f"{float((outputs > 255).double().mean()):.0%}")


ui.explorer(CONCEPT, view)
