"""Metric learning: the anchor's pairs, what counts, the descent; and digits embedded under the same loss."""

from functools import partial

import streamlit as st

from cvviz import ui
from cvviz.concepts.losses.metric_learning import CONCEPT, LABELS, NAMES, Params, Result
from cvviz.figures.metric_learning import descent_figure
from cvviz.figures.metric_learning_digits import course_figure, embedding_figure, retrieval_table
from cvviz.figures.metric_learning_words import brief, effective_negatives, kinds_table, measure_of, pairs_table
from cvviz.zoo.embedding_digits import UNSEEN, Course, main_axes, raw_retrieval, train


def view(params: Params, result: Result) -> None:
    with st.container(horizontal=True):
        st.metric("Loss", brief(float(result.push.loss)))
        st.metric("Steepest slope", f"{float(result.push.gradient.norm(dim=1).max()):.3g}")
        st.metric("Recall@1", f"{float(result.recall[-1]):.0%}")
        if params.loss == "info_nce":
            count = effective_negatives(result.measured, LABELS, params.temperature)
            st.metric("Negatives that share the push", f"{count:.1f} of 6")
        if params.loss == "contrastive":
            st.metric("Pairs that repel", f"{int((result.weights < 0).sum()) // 2} of 27")
    if params.steps:
        first, last = (f"loss {loss:.3g}, recall@1 {share:.0%}" for loss, share in result.ends)
        alt = f"Loss and recall@1 over {params.steps} steps. At the start {first}; at the end {last}."
        ui.chart(descent_figure(result.losses, result.recall), key="metric-learning/descent", alt=alt)
    if params.loss == "triplet":
        st.table(kinds_table(result.measured, LABELS, result.push.triplets, params.margin))
    index, measure = NAMES.index(params.anchor), measure_of(params.recipe)
    st.table(pairs_table(result.measured, LABELS, result.weights, index, measure))
    st.markdown("**The same loss on handwritten digits**")
    one = params.loss == "triplet" and params.mining == "one"
    st.caption(
        f"A network of 64, 128 and {params.size} units embeds scikit-learn's digits: 1,347 scans to train on, 450 held "
        f"out. Each batch has 6 of every digit.{' Triplets are drawn at random for each anchor.' if one else ''}"
    )
    unseen = UNSEEN if params.unseen else ()
    work = partial(train, params.recipe, int(params.size), params.seed, unseen=unseen)
    inputs = (params.recipe, params.size, params.seed, params.unseen)
    ui.job("Train on digits", work, draw_course, key="metric-learning/train", inputs=inputs)


def draw_course(course: Course) -> None:
    places, share = main_axes(course.embeddings)
    size, epoch = course.embeddings.shape[2], len(course.loss) - 1
    if course.collapsed:
        st.warning(
            f"Collapsed: the 450 scans lie {float(course.spread[-1]):.2g} from their mean, and every triplet costs "
            f"{float(course.loss[-1]):.4f}, the margin.",
            icon=":material/compress:",
        )
    names = ("First number", "Second number") if size == 2 else ("First principal axis", "Second principal axis")
    shown = "" if size == 2 else f" The two axes hold {share:.0%} of the variance of {size}."
    told = f"recall@1 {float(course.recall[-1]):.1%}, spread {float(course.spread[-1]):.2g}"
    alt = f"450 held-out scans, drawn as their digits, where the network puts them after epoch {epoch}: {told}."
    ui.chart(embedding_figure(places, course.labels, titles=names), key="metric-learning/embedding", alt=alt)
    st.caption(f"Held-out scans. Play, or drag the slider, to see them move.{shown}")
    rows = [("64 pixels", raw_retrieval(course.unseen)), (f"{size} numbers", course.retrieval)]
    st.table(retrieval_table(rows, course.unseen))
    shares = {"Recall@1": course.recall, "R-precision": course.precision, "Still pushing": course.pushing}
    margin = course.recipe.margin if course.recipe.name == "triplet" else None
    figure = course_figure(course.loss, course.spread, shares, raw=raw_retrieval()[0], margin=margin)
    alt = f"By epoch: {told}, loss {float(course.loss[-1]):.3g}, still pushing {float(course.pushing[-1]):.0%}."
    ui.chart(figure, key="metric-learning/course", alt=alt)
    st.caption(
        "Dotted: neighbours by pixels, and the margin. Still pushing: the share of what is compared with a slope."
    )


ui.explorer(CONCEPT, view)
