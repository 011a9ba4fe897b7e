"""Box losses: the race in curves and numbers, and its repetition by other libraries."""

from collections.abc import Iterable
from dataclasses import replace

import streamlit as st
from torch import Tensor

from cvviz import ui
from cvviz.concepts.losses.box_losses import ARRIVED, CONCEPT, STEPS, Params, Result, ratio_pull, repeated
from cvviz.figures.box_losses import TITLES, arrivals_figure, race_figure
from cvviz.figures.box_losses_words import map_table, outcome_table, push_table, signed


def view(params: Params, result: Result) -> None:
    if result.iterations is not None:
        arrivals(result, result.iterations)
        return
    way = result.walk
    figure = race_figure(way.curves, params.t, threshold=ARRIVED, reached=way.reached)
    ends = ", ".join(f"{title} {value:.2f}" for title, value in zip(TITLES, way.curves[0, -1].tolist(), strict=True))
    alt = f"IoU, distance of the centres and area of the box over {STEPS} iterations. IoU at the end: {ends}."
    ui.chart(figure, key="box-losses/race", alt=alt)
    st.table(outcome_table(way.reached, way.settled, way.curves[0], way.curves[2], way.boxes))
    st.markdown(f"**Value and pushes at iteration {params.t}**")
    st.table(push_table(way.losses[params.t], way.curves[0, params.t], way.slopes[params.t], params.space))
    st.caption(
        "A push is the negative slope per unit: what a step of plain SGD is η times of. Each row is taken at that "
        f"loss's own box. {alpha_told(params, result)}"
    )
    st.markdown("**The whole way by torchvision's losses, autograd and torch.optim**")
    st.caption("The badge above repeats the first steps at every change. This repeats all of them.")
    ui.job(
        "Repeat the descent",
        lambda _: repeated(params).amax(0).tolist(),
        draw_gaps,
        key="box-losses/repeat",
        inputs=replace(params, t=0),
    )


def alpha_told(params: Params, result: Result) -> str:
    alpha, held, through = ratio_pull(params, result)
    if alpha < 0.01:
        return "In CIoU's the ratios hardly differ: v and α are next to nothing."
    return (
        f"In CIoU's α = {alpha:.3f} counts as a constant: its pushes on width and height are {pair(held.tolist())}. "
        f"With α differentiated too they would be {pair(through.tolist())}."
    )


def pair(pushes: Iterable[float]) -> str:
    return " and ".join(signed(push, 3) for push in pushes)


def draw_gaps(gaps: list[float]) -> None:
    st.table({"Loss": TITLES, "Largest distance of an edge (px)": [f"{gap:.1g}" for gap in gaps]})
    if max(gaps) > 1:
        st.caption("Steps across a kink enlarge any difference in rounding: two exact programs may part here.")


def arrivals(result: Result, iterations: Tensor) -> None:
    told = ", ".join(f"{title} {share:.0%}" for title, share in result.shares.items())
    alt = f"Share of the starts at IoU {ARRIVED} over the iterations. After {STEPS}: {told}."
    figure = arrivals_figure(iterations.flatten(1), steps=STEPS)
    ui.chart(figure, key="box-losses/arrivals", alt=alt)
    st.table(map_table(iterations.flatten(1)))
    st.caption(
        "Every cell is the centre of a start of the size of “Start”, wherever that lies; pull its corner to change "
        f"the size. The dot is the start of the other view. Grey: not at IoU {ARRIVED} within {STEPS} iterations."
    )


ui.explorer(CONCEPT, view)
