"""Activations: what the layer looked at does, and a network that is trained here at four rates."""

from functools import partial

import streamlit as st

from cvviz import ui
from cvviz.concepts.losses.activations import CONCEPT, NEAR_ZERO, TITLES, Params, Result, shape_of
from cvviz.figures.activations import courses_figure
from cvviz.zoo.dead_units import RATES, Course, train_at_rates


def view(params: Params, result: Result) -> None:
    if params.view == "stack" and result.signals:
        index = min(params.layer, params.depth) - 1
        outputs = result.signals.after[index]
        silent = float((outputs == 0).all(dim=0).double().mean())
        with st.container(horizontal=True):
            st.metric("Mean", f"{float(outputs.mean()):.3g}")
            st.metric("Deviation", f"{float(outputs.std()):.3g}")
            st.metric("Outputs that are 0", f"{float((outputs == 0).double().mean()):.0%}")
            st.metric(f"Slopes below {NEAR_ZERO:g}", f"{float(result.dead[index]):.0%}")
            st.metric("Units silent for all inputs", f"{silent:.0%}")
        st.caption(f"Layer {index + 1}, 64 random inputs. With equal widths Xavier and LeCun are one rule.")
    if params.view == "unit":
        st.markdown(f"**A whole network of {TITLES[params.name]} units**")
        st.caption(
            "Three hidden layers of 64 units learn scikit-learn's digits by SGD. A unit counts as dead when it answers "
            "0 to every one of the 450 test scans."
        )
        rates = ", ".join(f"{rate:g}" for rate in RATES)
        work = partial(train_at_rates, params.name, shape_of(params), params.seed)
        inputs = (params.name, shape_of(params), params.seed)
        ui.job(f"Train at rates {rates}", work, draw_courses, key="activations/train", inputs=inputs)


def draw_courses(courses: tuple[Course, ...]) -> None:
    figure = courses_figure([(course.rate, course.dead, course.accuracy) for course in courses])
    last = ", ".join(f"rate {course.rate:g}: {float(course.dead[-1].mean()):.0%}" for course in courses)
    ui.chart(figure, key="activations/courses", alt=f"Dead units and accuracy by epoch. Dead at the end: {last}.")
    st.table(
        {
            "Learning rate": [f"{course.rate:g}" for course in courses],
            "Right": [f"{float(course.accuracy[-1]):.1%}" for course in courses],
            "Dead in layers 1, 2, 3": [", ".join(f"{share:.0%}" for share in course.dead[-1]) for course in courses],
        }
    )


ui.explorer(CONCEPT, view)
