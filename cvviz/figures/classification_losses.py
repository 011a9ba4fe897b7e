"""Losses over a logit or a probability, their slopes below, one example marked on each curve, and its formula."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from torch import Tensor

from cvviz.figures.theme import BLUE, GREEN, GREY, PURPLE, TEMPLATE, VERMILLION

REACH = 8.0  # logits on the axis either side of 0, while the example lies among them


@dataclass(frozen=True, slots=True)
class Look:
    """How a loss is called, drawn, and written in LaTeX."""

    title: str
    color: str
    dash: str
    symbol: str
    terms: str


LOOKS = {
    "ce": Look("Cross-entropy", BLUE, "solid", r"\text{CE}", r"-\ln p"),
    "bce": Look("BCE with logits", PURPLE, "dashdot", r"\text{BCE}", r"-\ln p_t"),
    "focal": Look("Focal", VERMILLION, "dash", r"\text{FL}", r"-\alpha_t (1 - p_t)^\gamma \ln p_t"),
    "smooth": Look("Smoothed, ε/C", GREEN, "dot", r"\text{LS}", r"-q \ln p - (1 - q) \ln p_0"),
    "others": Look("Smoothed, ε/(C − 1)", GREEN, "longdash", r"\text{LS}'", r"-q' \ln p - (1 - q') \ln p_0"),
    "kl": Look("KL to smoothed, ε/C", PURPLE, "longdash", r"\text{KL}", r"\text{LS} - H(q)"),
    "prob": Look("BCE on probabilities", VERMILLION, "solid", r"\text{BCE}_{32}", r"-\max(\ln \hat p_t, -100)"),
    "twice": Look("Softmax twice", GREY, "dash", r"\text{CE}\circ\text{softmax}", r"\ln(e^p + (C - 1) e^{p_0}) - p"),
}


@dataclass(frozen=True, slots=True)
class Curve:
    """One loss.

    Args:
        look: its name and line.
        x: (G,) places on the horizontal axis.
        loss, gradient: (G,) values there.
        at: (3,) place, loss and gradient of the example.
    """

    look: Look
    x: Tensor
    loss: Tensor
    gradient: Tensor
    at: Tensor


def loss_figure(
    curves: Sequence[Curve], *, x_title: str, x_range: tuple[float, float], log: bool, steep: bool
) -> go.Figure:
    """Losses above, gradients below, on one horizontal axis.

    The axes do not follow the curves, so that a curve is seen to move; an example off the scale becomes a triangle at
    the edge.

    Args:
        curves: at least one.
        x_title: title of the horizontal axis.
        x_range: its ends.
        log: whether losses and the sizes of gradients are on logarithmic axes.
        steep: whether gradients may double.
    """
    wide = x_range[1] > REACH
    loss_range = (1e-6, 200.0) if log else (0.0, 30.0 if wide else 10.0)
    slope_range = (1e-6, 5.0) if log else (-2.2, 1.1) if steep else (-1.45, 0.6)
    traces = [trace for curve in curves for trace in _lines(curve, log)]
    at = np.stack([curve.at.numpy() for curve in curves], axis=1)  # [3, L]
    colors = [curve.look.color for curve in curves]
    slopes = np.abs(at[2]) if log else at[2]
    traces += [_markers(at[0], at[1], colors, loss_range, "y"), _markers(at[0], slopes, colors, slope_range, "y2")]
    layout = go.Layout(
        template=TEMPLATE,
        height=560,
        hovermode="x unified",
        uirevision=f"{x_title} {wide} {log}",
        xaxis={"title": x_title, "range": x_range, "anchor": "y2"},
        yaxis={"title": "Loss (nats)", "domain": [0.53, 1.0], **_scale(loss_range, log)},
        yaxis2={"title": "|Slope| = |∂L/∂z|" if log else "Slope ∂L/∂z", "domain": [0, 0.47], **_scale(slope_range, log)},
        shapes=[_upright(place) for place in sorted({round(float(x), 6) for x in at[0]})],
    )
    return go.Figure(traces, layout)


def _lines(curve: Curve, log: bool) -> tuple[go.Scatter, go.Scatter]:
    slope = curve.gradient.abs() if log else curve.gradient
    shared = {
        "x": curve.x.float().numpy(),
        "name": curve.look.title,
        "legendgroup": curve.look.title,
        "mode": "lines",
        "line": {"color": curve.look.color, "dash": curve.look.dash, "width": 2.5},
        "hovertemplate": "%{y:.3g}",
    }
    return (
        go.Scatter(y=curve.loss.float().numpy(), **shared),
        go.Scatter(y=slope.float().numpy(), yaxis="y2", showlegend=False, **shared),
    )


def _markers(
    x: NDArray[np.float64], y: NDArray[np.float64], colors: list[str], limits: tuple[float, float], axis: str
) -> go.Scatter:
    shown = np.clip(y, *limits)
    symbols = np.where(y > limits[1], "triangle-up", np.where(y < limits[0], "triangle-down", "circle"))
    return go.Scatter(
        x=x.astype(np.float32),
        y=shown.astype(np.float32),
        yaxis=axis,
        mode="markers",
        marker={"color": colors, "symbol": symbols, "size": 12, "line": {"color": "#FFFFFF", "width": 1.5}},
        cliponaxis=False,
        showlegend=False,
        hoverinfo="skip",
    )


def _scale(limits: tuple[float, float], log: bool) -> dict[str, object]:
    if log:
        ends = [float(np.log10(limit)) for limit in limits]
        return {"type": "log", "range": ends, "dtick": 2, "exponentformat": "power"}
    return {"type": "linear", "range": limits}


def _upright(x: float) -> dict[str, object]:
    line = {"color": GREY, "width": 1, "dash": "dot"}
    return {"type": "line", "yref": "paper", "x0": x, "x1": x, "y0": 0, "y1": 1, "line": line, "layer": "below"}


def tex(value: float) -> str:
    """Three significant digits in LaTeX."""
    digits, _, power = f"{value:.3g}".partition("e")
    return rf"{digits} \cdot 10^{{{int(power)}}}" if power else digits


def formula_lines(head: str, lines: Sequence[tuple[str, str, float, float]]) -> str:
    """Markdown of a head and, below it, one line per loss.

    Args:
        head: LaTeX.
        lines: name of the loss, its terms with numbers in them as LaTeX, its value, its slope.
    """
    rows = [
        rf"{LOOKS[name].symbol} &= {LOOKS[name].terms} = {filled} = \mathbf{{{tex(value)}}}, && L' = {tex(slope)}"
        for name, filled, value, slope in lines
    ]
    return rf"$${head}$$" + "\n\n" + r"$$\begin{aligned}" + r"\\".join(rows) + r"\end{aligned}$$"
