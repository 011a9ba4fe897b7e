"""Segmentation losses: the counts behind the losses, what gets the push, and how the descents went."""

from functools import partial

import streamlit as st

from cvviz import ui
from cvviz.concepts.losses.segmentation_losses import CONCEPT, Params, Result, options_of
from cvviz.figures.segmentation_losses import course_figure, lessons_figure
from cvviz.figures.segmentation_losses_words import (
    count_table,
    course_table,
    lesson_table,
    loss_table,
    push_table,
    size_table,
)
from cvviz.zoo.faint_discs import CONTRAST, SEEN, TEST, Lesson, train


def view(params: Params, result: Result) -> None:
    if result.sizes:
        st.table(size_table(params.losses, result.sizes).set_index("Object"))
        st.caption("Every object is a disc in the middle of 32 × 32 pixels; its prediction is the same disc, moved.")
        lessons(params)
    elif result.course:
        figure = course_figure(params.losses, result.course, params.step)
        ui.chart(
            figure, key="segmentation-losses/course", alt=f"IoU over the steps. {CONCEPT.describe(params, result)}"
        )
        st.table(course_table(params.losses, result.course, params.step).set_index("Loss"))
        st.caption("Every pixel has a logit of its own here. In a network pixels share weights, and pushes add up.")
    elif result.slopes is not None:
        st.table(push_table(result.study, result.slopes).set_index("Loss"))
        st.caption(
            "A push is −∂L/∂z: vermillion raises the pixel's probability, blue lowers it. Each map has its scale."
        )
    else:
        st.caption(
            "Green: hits. Vermillion stripes: false alarms. Blue dots: misses. The line is the border of the target."
        )
        st.table(loss_table(result.study).set_index("Loss"))
        st.table(count_table(result.study).set_index("Count"))
        st.caption(
            "A pixel of probability p counts as p of a positive and 1 − p of a negative. Dice is their F1 score."
        )


def lessons(params: Params) -> None:
    st.markdown("**What networks learn under these losses**")
    st.caption(
        f"{SEEN} pictures of noise, each with one disc, 1 to 3 px in radius and {CONTRAST:g} deviations brighter. "
        f"A small network learns them under each loss and is judged on {TEST} others."
    )
    inputs = (params.losses, options_of(params))
    work = partial(train, params.losses, options_of(params), 0)
    ui.job("Train a network under each loss", work, draw_lessons, key="segmentation-losses/train", inputs=inputs)


def draw_lessons(done: tuple[Lesson, ...]) -> None:
    if not done:
        return
    losses, courses, judged = zip(*((item.loss, item.course, item.judgement) for item in done), strict=True)
    rows = lesson_table(losses, courses, judged)
    told = ", ".join(f"{name} {value}" for name, value in zip(rows["Loss"], rows["Dice now"], strict=True))
    alt = f"Mean Dice at 0.5 over the epochs, and how often a pixel said to be object is one. Dice now: {told}."
    ui.chart(lessons_figure(losses, courses, judged), key="segmentation-losses/lessons", alt=alt)
    st.table(rows.set_index("Loss"))
    st.caption(
        f"Calling everything background gets {judged[0].blank:.2%} of the pixels right and a Dice of 0. “Said and so "
        "differ”: the mean distance from the dashed line, over the pixels said to be object with at least 0.05."
    )


ui.explorer(CONCEPT, view)
