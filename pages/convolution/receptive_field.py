"""Receptive field: the unit in numbers, the growth along the network, and every step of it."""

import streamlit as st

from cvviz import ui
from cvviz.concepts.convolution.receptive_field import CONCEPT, Params, Result
from cvviz.figures.receptive_field import growth_chart, laid_over


def view(params: Params, result: Result) -> None:
    field = result.fields[result.index]
    held = result.effective[result.index]
    rows, columns = result.spans
    laid = laid_over(result.unit, result.sizes[result.index], params.px)
    with st.container(horizontal=True):
        st.metric("Field", f"{field.size:.6g} px")
        st.metric("Jump", f"{field.jump:.6g} px")
        st.metric("95 % of the gradient", f"{held} rows" if held else "not measured")
    st.markdown(
        f"The field is centred at ({sum(rows) / 2:.6g}, {sum(columns) / 2:.6g}) px, the vermillion dot. Stretching the "
        f"map over the input would put the unit at ({laid[0]:.6g}, {laid[1]:.6g}) px, the green dot. The picture is as "
        "bright as the root of the gradient; its frame is zero padding."
    )
    chart = growth_chart(result.fields, result.effective, input_size=params.px, chosen=result.index)
    alt = f"Field, effective field and jump after each step; at the chosen one the field is {field.size:.6g} px."
    ui.chart(chart, key="receptive-field/growth", alt=alt)
    st.caption(
        r"The solid line climbs by $k_\text{eff} - 1$ jumps a layer: a stride adds nothing itself, but each later "
        "layer adds more. Dips are the shortcuts of residual blocks. Weights are equal, activations off, poolings "
        "averages; nothing is clipped at the border."
    )
    steps = CONCEPT.table(params, result).drop(columns="Kind")
    gaps = ["k", "s", "p", "d", "95 % rows"]
    steps[gaps] = steps[gaps].astype("string").fillna("–")
    right = st.column_config.TextColumn(alignment="right")
    st.dataframe(steps, hide_index=True, height=320, column_config=dict.fromkeys(gaps, right))


ui.explorer(CONCEPT, view)
