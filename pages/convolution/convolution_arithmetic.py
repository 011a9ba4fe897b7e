"""Arithmetic of convolutions."""

import streamlit as st

from cvviz import ui
from cvviz.concepts.convolution.convolution_arithmetic import CONCEPT, Params, Result, metrics

NOTES = {
    "positions": "In the cells: how often each input cell is read, and how many real pixels each output reads. The "
    "remainder counts the lines at the end of the padded input that no window reaches; it is also the output padding "
    "with which a transposed convolution comes back to this size.",
    "transposed": "In the cells: how many outputs each input reaches, and what comes out of a flat input. A phase is "
    "the place of an output within one stride. Inside the dashes outputs of one phase are equal; unequal phases are "
    "the checkerboard.",
    "matrix": "The kernel's weights are 1, 2, 3 and so on, so that equal numbers are one weight. The gradient of a "
    "convolution with respect to its input is the product with Cᵀ.",
    "network": "One axis. The remainder of a layer is what its floor drops, and the output padding that its transposed "
    "convolution would need on the way back.",
}


def view(params: Params, result: Result) -> None:
    with st.container(horizontal=True):
        for label, value in metrics(params, result).items():
            st.metric(label, value)
    st.caption(NOTES[params.view])
    if params.view == "network":
        st.dataframe(CONCEPT.table(params, result), hide_index=True)


ui.explorer(CONCEPT, view)
