"""One stage or two: cost by stage, time measured here, and what the published detectors reach."""

from functools import partial

import streamlit as st

from cvviz import ui
from cvviz.concepts.detection.detector_stages import (
    CONCEPT,
    Params,
    Result,
    Timings,
    digits,
    measure,
    measured_rows,
    published,
    stage_table,
    time_table,
)
from cvviz.figures.detector_stages import accuracy_figure, second_stage_figure, time_figure


def view(params: Params, result: Result) -> None:
    one, two = result.totals.tolist()
    second = params.proposals * result.gmacs[1, 3].item()
    with st.container(horizontal=True):
        st.metric("One stage", f"{digits(one)} GMAC")
        st.metric("Two stages", f"{digits(two)} GMAC")
        st.metric("Of it the second", f"{second / two:.1%}")
        st.metric("Equal at N", f"{result.crossover:,.0f}" if result.crossover >= 0 else "never")
    st.dataframe(stage_table(params, result), hide_index=True)
    st.markdown("**Time on this machine**")
    st.caption(
        "SSDlite at 320 pixels first, as a yardstick, then the two above, on one core. Random weights, made-up "
        "outputs: 300 scores above the threshold, N proposals at random places. Hatched: hardly anything to multiply."
    )
    ui.job("Measure here now", partial(measure, params), draw_times, key="detector-stages/time", inputs=params)
    st.markdown("**Accuracy for the cost**")
    alt = "Published COCO AP of eight detectors against GMAC: both kinds lie along one rising band."
    ui.chart(accuracy_figure(published()), key="detector-stages/accuracy", alt=alt)
    st.caption("AP as torchvision publishes it, each at its own size; MACs counted here, proposals included.")


def draw_times(timings: Timings) -> None:
    rows = measured_rows(timings)
    times = [f"{row.title}, {sum(row.milliseconds.values()):,.0f} ms" for row in rows]
    alt = f"Shares of MACs and of time by step. {'; '.join(times)}."
    ui.chart(time_figure(rows), key="detector-stages/shares", alt=alt)
    st.dataframe(time_table(timings), hide_index=True, height="content")
    points = next((timing.second_stage for timing in timings if timing.second_stage), ())
    if points:
        alt = f"Pooling and box head take {1000 * points[-1][1]:.0f} ms for {points[-1][0]} proposals."
        ui.chart(second_stage_figure(points), key="detector-stages/second-stage", alt=alt)


ui.explorer(CONCEPT, view)
