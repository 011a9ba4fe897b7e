"""Anchors: what became of each digit, and how many digits the set covers."""

import streamlit as st

from cvviz import ui
from cvviz.concepts.detection.anchors import CONCEPT, SCENES, Params, coverage
from cvviz.figures.anchors import MOST_BOXES, Assignment, digit_rows, recall_figure, tally


def view(params: Params, result: Assignment) -> None:
    st.table(tally(result).astype(str))
    st.caption(
        "Left. Green: digits. Blue: positive anchors, the thick one is encoded; purple, dashed: by best match alone; "
        f"the {MOST_BOXES} best are drawn. "
        "Grey: all anchors of its cell, and centres of ignored ones. Lines cross at the centres of each level. "
        "Right. Blue: positive points, larger where more central; purple: claimed by several digits. "
        "Red, dashed: a digit that nothing is to find."
    )
    st.table(digit_rows(result).set_index("Digit").astype(str))
    groups = coverage(params)
    (title, share), *thirds = ((title, (best >= params.high).float().mean().item()) for title, best in groups.items())
    st.markdown("**What this set can cover**")
    ui.chart(
        recall_figure(groups, high=params.high, low=min(params.low, params.high)),
        key="anchors/recall",
        alt=f"Share of digits whose best anchor reaches each IoU. {title}: {share:.1%} at {params.high:.2f}.",
    )
    st.caption(
        f"Over {SCENES} scenes, {share:.1%} of the digits have an anchor with an IoU of {params.high:.2f} or more ("
        + "; ".join(f"{title}: {share:.1%}" for title, share in thirds)
        + "). The others depend on best match."
    )


ui.explorer(CONCEPT, view)
