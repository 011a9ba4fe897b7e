"""Losses over a logit or a probability, their slopes below, one example marked on each curve, and its formula."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from torch import Tensor

from cvviz.figures.theme import BLUE, GREEN, GREY, PURPLE, VERMILLION, unchecked_figure

Floats = NDArray[np.floating]
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
    "others": Look("Smoothed, ε/(C − 1)", GREEN, "9px,3px", r"\text{LS}'", r"-q' \ln p - (1 - q') \ln p_0"),
    "kl": Look("KL to smoothed, ε/C", PURPLE, "9px,3px", r"\text{KL}", r"\text{LS} - H(q)"),
    "prob": Look("BCE on probabilities", VERMILLION, "dot", r"\text{BCE}_{32}", r"-\max(\ln \hat p_t, -100)"),
    "twice": Look("Softmax twice", GREY, "dash", r"\text{CE}_2", r"\ln(e^p + (C - 1) e^{p_0}) - p"),
}
BINARY = frozenset({"bce", "focal", "prob"})  # of a sigmoid; the rest are of a softmax


@dataclass(frozen=True, slots=True)
class Axis:
    """The horizontal axis: its title and its ends."""

    title: str
    low: float
    high: float


def axis_for(kind: str, z: float, widest: float) -> Axis:
    """The horizontal axis of a "logit", as far as the example at ``z`` asks for, or of the "probability"."""
    if kind == "probability":
        return Axis("Probability p of the true class", -0.01, 1.01)
    reach = REACH if abs(z) <= REACH else widest
    return Axis("Logit z of the true class (the others: 0)", -reach, reach)


def loss_figure(
    losses: Sequence[str], curves: Tensor, points: Tensor, axis: Axis, *, log: bool, steep: bool
) -> go.Figure:
    """Losses above, slopes below, on one horizontal axis.

    The axes do not follow the curves, so that a curve is seen to move; an example off the scale becomes a triangle at
    the edge.

    Args:
        losses: L names of ``LOOKS``.
        curves: (3, L, G) places, losses and slopes.
        points: (3, L) the same of the example.
        axis: the horizontal one.
        log: whether losses and the sizes of slopes are on logarithmic axes.
        steep: whether slopes may be twice as large.
    """
    wide = axis.high > REACH
    loss_range = (1e-6, 200.0) if log else (0.0, 30.0 if wide else 10.0)
    slope_range = (1e-6, 5.0) if log else (-2.2, 1.1) if steep else (-1.45, 0.6)
    (x, loss, slope), (at, at_loss, at_slope) = curves.float().numpy(), points.double().numpy()
    if log:
        slope, at_slope = np.abs(slope), np.abs(at_slope)
    looks = [LOOKS[name] for name in losses]
    traces = [_line(*row) for row in zip(looks, x, loss, strict=True)]
    traces += [_line(*row, lower=True) for row in zip(looks, x, slope, strict=True)]
    colors = [look.color for look in looks]
    traces += [_markers(at, at_loss, colors, loss_range, "y"), _markers(at, at_slope, colors, slope_range, "y2")]
    layout = {
        "height": 560,
        "hovermode": "x unified",
        "uirevision": f"{axis.title} {wide} {log}",
        "xaxis": {"title": {"text": axis.title}, "range": [axis.low, axis.high], "anchor": "y2"},
        "yaxis": {"title": {"text": "Loss (nats)"}, "domain": [0.53, 1.0], **_scale(loss_range, log)},
        "yaxis2": {
            "title": {"text": "|∂L/∂z|" if log else "Slope ∂L/∂z"},
            "domain": [0, 0.47],
            **_scale(slope_range, log),
        },
        "shapes": [_upright(place) for place in sorted({round(float(place), 6) for place in at})],
    }
    return unchecked_figure(traces, layout)


def _line(look: Look, x: Floats, y: Floats, *, lower: bool = False) -> dict[str, Any]:
    return {
        "type": "scatter",
        "x": x,
        "y": y,
        "yaxis": "y2" if lower else "y",
        "name": look.title,
        "legendgroup": look.title,
        "showlegend": not lower,
        "mode": "lines",
        "line": {"color": look.color, "dash": look.dash, "width": 2.5},
        "hovertemplate": "%{y:.3g}",
    }


def _markers(x: Floats, y: Floats, colors: list[str], limits: tuple[float, float], axis: str) -> dict[str, Any]:
    low, high = limits
    return {
        "type": "scatter",
        "x": x,
        "y": np.clip(y, low, high),
        "yaxis": axis,
        "mode": "markers",
        "marker": {
            "color": colors,
            "symbol": np.where(y > high, "triangle-up", np.where(y < low, "triangle-down", "circle")),
            "size": 12,
            "line": {"color": "#FFFFFF", "width": 1.5},
        },
        "cliponaxis": False,
        "showlegend": False,
        "hoverinfo": "skip",
    }


def _scale(limits: tuple[float, float], log: bool) -> dict[str, object]:
    if log:
        ends = [float(np.log10(limit)) for limit in limits]
        return {"type": "log", "range": ends, "dtick": 2, "exponentformat": "power"}
    return {"type": "linear", "range": list(limits)}


def _upright(x: float) -> dict[str, object]:
    line = {"color": GREY, "width": 1, "dash": "dot"}
    return {"type": "line", "yref": "paper", "x0": x, "x1": x, "y0": 0, "y1": 1, "line": line, "layer": "below"}


@dataclass(frozen=True, slots=True)
class Settings:
    """What the formulas hold beside probabilities: C, ε, γ, α (-1 for none), and whether y is 1."""

    classes: int
    epsilon: float
    gamma: float
    alpha: float
    positive: bool


def formula_text(losses: Sequence[str], values: Tensor, logs: Tensor, settings: Settings) -> str:
    """Markdown of the probabilities and, below them, one line per loss with its numbers.

    Args:
        losses: L names of ``LOOKS``.
        values: (2, L) losses and slopes.
        logs: (3,) log p and log p_0 of the softmax, log p_t of the sigmoid.
        settings: the rest.
    """
    p, p0, pt = (tex(value) for value in logs.exp().tolist())
    heads = []
    if not BINARY.issuperset(losses):
        heads.append(rf"p = \frac{{e^{{z/T}}}}{{e^{{z/T}} + C - 1}} = {p}, \quad p_0 = \frac{{1 - p}}{{C - 1}} = {p0}")
    if not BINARY.isdisjoint(losses):
        heads.append(rf"p_t = \sigma(z) = {pt}")
    rows = []
    for name, loss, slope in zip(losses, *values.tolist(), strict=True):
        look, filled = LOOKS[name], _filled(name, loss, logs, settings)
        terms = look.terms if settings.alpha != -1 else look.terms.replace(r"\alpha_t ", "")
        rows.append(rf"{look.symbol} &= {terms} = {filled} = \mathbf{{{tex(loss)}}}, \; L' = {tex(slope)}")
    head = r", \quad ".join(heads)
    return display(head) + "\n\n" + display(r"\begin{aligned}" + r"\\".join(rows) + r"\end{aligned}")


def display(formula: str) -> str:
    """A formula on lines of its own; on one line with its dollars, Streamlit would set it as cramped as in a text."""
    return f"$$\n{formula}\n$$"


def _filled(name: str, loss: float, logs: Tensor, settings: Settings) -> str:
    """Terms of a loss with numbers in place of the symbols."""
    p, _, pt = (tex(value) for value in logs.exp().tolist())
    nats, nats0, nats_t = (tex(-value) for value in logs.tolist())
    classes, epsilon, positive = settings.classes, settings.epsilon, settings.positive
    mixed = 1 - epsilon + epsilon / classes
    match name:
        case "bce":
            return rf"-\ln {pt}"
        case "focal":
            alpha = settings.alpha if positive else 1 - settings.alpha
            weight = "" if settings.alpha == -1 else rf"{alpha:g} \cdot "
            return rf"{weight}({tex(-math.expm1(float(logs[2])))})^{{{settings.gamma:g}}} \cdot {nats_t}"
        case "prob":
            sigmoid = np.float32(math.exp(float(logs[2])) if positive else -math.expm1(float(logs[2])))
            return rf"-\max(\ln {tex(float(sigmoid if positive else 1 - sigmoid))}, -100)"
        case "smooth" | "others":
            on = mixed if name == "smooth" else 1 - epsilon
            return rf"{on:.4g} \cdot {nats} + {1 - on:.4g} \cdot {nats0}"
        case "kl":
            off = epsilon / classes
            entropy = -mixed * math.log(mixed) - ((classes - 1) * off * math.log(off) if off else 0)
            return rf"{tex(loss + entropy)} - {tex(entropy)}"
        case "twice":
            first, other = logs[:2].exp().tolist()
            return rf"\ln {tex(math.exp(first) + (classes - 1) * math.exp(other))} - {p}"
    return rf"-\ln {p}"


def tex(value: float) -> str:
    """Three significant digits in LaTeX."""
    digits, _, power = f"{value + 0.0:.3g}".partition("e")
    return rf"{digits} \cdot 10^{{{int(power)}}}" if power else digits
