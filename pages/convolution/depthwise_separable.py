"""Kinds of convolution: what each costs on paper, and the time that each takes here."""

from functools import partial

import streamlit as st

from cvviz import ui
from cvviz.concepts.convolution.depthwise_separable import CONCEPT, Params, Result, Timings, kinds_of, measure
from cvviz.figures.depthwise_separable import cost_figure, time_figure
from cvviz.figures.depthwise_separable_words import cost_table, cost_words, time_table, time_words


def view(params: Params, result: Result) -> None:
    """Costs of all kinds, and their measured times."""
    costs = cost_figure(result.costs, chosen=params.kind)
    ui.chart(costs, key="depthwise-separable/costs", alt=cost_words(result.costs, chosen=params.kind))
    st.table(cost_table(kinds_of(params), result.costs))
    st.markdown("**Time on this machine: one picture, one thread, float32**")
    ui.job(
        "Measure here now",
        partial(measure, params),
        draw,
        key="depthwise-separable/time",
        inputs=(tuple(kinds_of(params).items()), params.size, params.rectify),
    )


def draw(timings: Timings) -> None:
    """What was measured."""
    ui.chart(time_figure(timings), key="depthwise-separable/times", alt=time_words(timings))
    st.table(time_table(timings))
    st.caption(time_words(timings))


ui.explorer(CONCEPT, view)
