"""Metric learning: the anchor's pairs, what counts, the descent; and digits embedded under the same loss."""

from functools import partial

import streamlit as st

from cvviz import ui
from cvviz.concepts.losses.metric_learning import CONCEPT, LABELS, NAMES, Params, Result
from cvviz.figures.metric_learning import descent_figure
from cvviz.figures.metric_learning_digits import course_figure, embedding_figure
from cvviz.figures.metric_learning_words import effective_negatives, kinds_table, measure_of, pairs_table
from cvviz.zoo.embedding_digits import UNSEEN, Course, main_axes, raw_retrieval, train


def view(params: Params, result: Result) -> None:
    with st.container(horizontal=True):
        st.metric("Loss", f"{float(result.push.loss):.3f}")
        st.metric("Steepest slope", f"{float(result.push.gradient.norm(dim=1).max()):.3f}")
        st.metric("Recall@1", f"{float(result.recall[-1]):.0%}")
        if params.loss == "info_nce":
            count = effective_negatives(result.measured, LABELS, params.temperature)
            st.metric("Negatives that share the push, of 6", f"{count:.1f}")
    if params.loss == "triplet":
        st.table(kinds_table(result.measured, LABELS, result.push.triplets, params.margin))
    index, measure = NAMES.index(params.anchor), measure_of(params.recipe)
    st.table(pairs_table(result.measured, LABELS, result.weights, index, measure))
    if params.steps:
        ends = f"Loss from {float(result.losses[0]):.3g} to {float(result.losses[-1]):.3g}, recall@1 likewise."
        ui.chart(descent_figure(result.losses, result.recall), key="metric-learning/descent", alt=ends)
    st.markdown("**The same loss on handwritten digits**")
    unseen = UNSEEN if params.unseen else ()
    work = partial(train, params.recipe, int(params.size), params.seed, unseen=unseen)
    inputs = (params.recipe, params.size, params.seed, params.unseen)
    ui.job("Train on digits", lambda progress: work(progress), draw_course, key="metric-learning/train", inputs=inputs)


def draw_course(course: Course) -> None:
    places, share = main_axes(course.embeddings)
    titles = ("First number", "Second number")
    figure = embedding_figure(places, course.labels, titles=titles)
    ui.chart(figure, key="metric-learning/embedding", alt="x")
    shares = {"Recall@1": course.recall, "R-precision": course.precision, "Still pushing": course.pushing}
    margin = course.recipe.margin if course.recipe.name == "triplet" else None
    figure = course_figure(course.loss, course.spread, shares, raw=raw_retrieval(), margin=margin)
    ui.chart(figure, key="metric-learning/course", alt="x")


ui.explorer(CONCEPT, view)
