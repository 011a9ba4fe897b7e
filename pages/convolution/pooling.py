"""Pooling: the same window under other poolings, errors over shifts, digits read after a shift, costs of heads."""

from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from cvviz import ui
from cvviz.concepts.convolution.pooling import CONCEPT, Params, Result, train_all
from cvviz.figures.pooling import Pooled, power_figure
from cvviz.figures.pooling_head import Heads
from cvviz.figures.pooling_shift import Shifted, digits_figure


def view(_: Params, result: Result) -> None:
    match result:
        case Pooled():
            view_window(result)
        case Shifted():
            view_shift(result)
        case Heads():
            view_head(result)


def view_window(result: Pooled) -> None:
    st.caption("What other poolings would make of the window shown:")
    st.table(pd.DataFrame({name: [f"{value:.5g}"] for name, value in result.others().items()}), hide_index=True)
    if result.pool == "lp":
        alt = f"The Lp norm falls from the sum to the maximum, the power mean rises to it. p is {result.p:g}."
        ui.chart(power_figure(result.cells, p=result.p), key="pooling/powers", alt=alt)


def view_shift(result: Shifted) -> None:
    invariance, equivariance = result.now
    alt = f"Errors of six poolings over shifts. Shown: change {invariance:.2f}, not moved along {equivariance:.2f}."
    ui.chart(result.chart(), key="pooling/shifts", alt=alt)
    st.caption(
        "‖·‖ is the root mean square, σ the standard deviation of the output before; unrelated maps are 1.41 σ apart. "
        "There are no edges: what leaves on the right enters on the left. Parts of a pixel are Fourier's interpolation."
    )
    st.table(result.standings(), hide_index=True)
    st.markdown("**Does it matter?** Six networks read digits in the middle of a frame, then the digits are shifted.")
    seed = st.segmented_control("Seed", (0, 1, 2), default=0, key="pooling/seed", required=True)
    ui.job(
        "Train six digit networks now", partial(train_all, seed=seed), draw_digits, key="pooling/digits", inputs=seed
    )


def draw_digits(accuracy: dict[str, Any]) -> None:
    one = ", ".join(f"{name} {shares[1]:.0%}" for name, shares in accuracy.items())
    ui.chart(
        digits_figure(list(accuracy.items())), key="pooling/accuracy", alt=f"Accuracy after a shift by 1 px: {one}."
    )
    st.caption(
        "Windows of 2 × 2, twice, so that shifts by 4 px are exact under a global average. “Flattened” reads every "
        "place of the last maps instead. “Trained shifted” saw every batch moved at random, the others none."
    )


def view_head(result: Heads) -> None:
    millions = ["Parameters", "MACs"]
    table = result.table()
    table[millions] /= 1e6
    shown = table.rename(columns={name: f"{name} (millions)" for name in millions}).style.format(
        {"Share": "{:.1%}", "Parameters (millions)": "{:,.3f}", "MACs (millions)": "{:,.1f}"}, na_rep="–"
    )
    st.table(shown, hide_index=True)
    if refusal := result.refusal():
        st.caption(
            f"What torch says when the head trained on flattened maps at 224 px gets an input of {result.px} px:"
        )
        st.code(f"RuntimeError: {refusal}", language=None, wrap_lines=True)


ui.explorer(CONCEPT, view)
