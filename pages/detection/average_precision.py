"""Average precision: the list, the conventions, COCO's numbers, the confusions, and the reader's own files."""

import pandas as pd
import streamlit as st

from cvviz import ui
from cvviz.concepts.detection import average_precision as ap
from cvviz.figures import detection_walk as rows
from cvviz.figures.average_precision import report_figure, threshold_figure
from cvviz.figures.detection_study import Study
from cvviz.ui.text import literal


def table(frame: pd.DataFrame) -> None:
    st.table(frame.astype(str).rename(index=literal, columns=literal).map(literal))


def metrics(numbers: dict[str, float]) -> None:
    row = st.container(horizontal=True)
    for label, value in numbers.items():
        row.metric(label, rows.number(value))


def ranking(found: Study) -> None:
    metrics(found.walk.numbers())
    if found.walk.order:
        table(rows.shown_rows(found.walk))


def conventions(found: Study) -> None:
    table(rows.convention_rows(found.by_rule))
    for words in found.convention_words():
        st.markdown(literal(words))
    st.caption("What each hit counts: AP is the sum of weight times envelope, the best precision from there on.")
    table(rows.weight_rows(found.walk))


def coco(found: Study) -> None:
    metrics(found.summary)
    by_iou = threshold_figure(found.by_threshold, found.view.iou)
    ui.chart(by_iou, key="average-precision/iou", alt=found.threshold_words())
    table(rows.class_rows(found.class_names, found.objects, found.table[:, 0]).head(10))


def confusions(found: Study) -> None:
    st.caption(found.confusion_words())
    table(rows.confusion_rows(found.confusions(), found.walk.names))


def own_files(params: ap.Params) -> None:
    if all(given := (params.truth, params.results)):
        ui.job("Evaluate all images", ap.evaluation(*given), report, key="average-precision/own", inputs=given)
        return
    st.caption("A pattern for your own files: the worked page in COCO's format.")
    with st.container(horizontal=True):
        for name, data in zip(("truth.json", "results.json"), ap.pattern(), strict=True):
            st.download_button(name, data, f"example-{name}", icon=":material/download:", on_click="ignore")


def report(found: ap.CocoReport) -> None:
    for part in found.parts():
        metrics(part)
    st.badge(f"cvviz matches faster-coco-eval, max |Δ| {found.difference:.0e}", icon=":material/verified:")
    ui.chart(report_figure(found.precision[..., 0]), key="average-precision/report", alt="Precision over recall.")
    st.dataframe(rows.class_rows(found.names, found.objects, found.precision[..., 0].mean(2), text=False))


PANELS = {"Ranking": ranking, "Conventions": conventions, "COCO's numbers": coco, "Confusions": confusions}


def view(params: ap.Params, result: ap.Result) -> None:
    for note in result.notes:
        st.caption(literal(note))
    chosen = st.segmented_control("Show", list(PANELS), default="Ranking", key="average-precision/panel", required=True)
    PANELS[chosen](result.study)
    if params.source == "own":
        own_files(params)


ui.explorer(ap.CONCEPT, view)
