"""Non-maximum suppression: how many boxes are left, and which ones the step shown affects."""

import streamlit as st

from cvviz import ui
from cvviz.concepts.detection.nms import CONCEPT, Params, Result, boxes_of
from cvviz.figures.nms import lowered_rows, survivor_rows
from cvviz.zoo.pretrained import PRETRAINED, download

MOST_ROWS = 6


def view(params: Params, result: Result) -> None:
    for note in result.notes:
        st.caption(note)
    if result.pending:
        name = result.pending
        model = PRETRAINED[name]
        ui.job(
            f"Download {model.title}, {model.megabytes:.0f} MB",
            lambda progress: download(name, progress),
            lambda _: None,
            key="nms/download",
            inputs=name,
        )
        return
    boxes, step = result.view, result.step
    counts = {
        "Raw boxes": len(boxes.scores),
        "In the race": int(boxes.competing.sum()),
        "Survivors": len(boxes.trace.kept),
    }
    if result.outcome:
        counts |= {"Objects found": len(result.outcome.found), "Missed": len(result.outcome.missed)}
        counts |= {"Extra boxes": len(result.outcome.extra)}
    with st.container(horizontal=True):
        for label, count in counts.items():
            st.metric(label, count)
    if result.done or step == 0:
        title, rows = "left at the end, best first", survivor_rows(boxes)
    else:
        verb = "suppresses" if params.method == "hard" else "lowers"
        title, rows = f"that step {step} {verb}, largest overlap first", lowered_rows(boxes, step)
    if len(rows):
        shown = f"{MOST_ROWS} of {len(rows)} boxes" if len(rows) > MOST_ROWS else boxes_of(len(rows))
        st.caption(f"{shown} {title}")
        st.table(rows.head(MOST_ROWS))


ui.explorer(CONCEPT, view)
