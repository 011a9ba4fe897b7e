"""Curves of activation functions, signals through a stack of layers, one unit that dies, and softmax."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
import torch
from torch import Tensor

from cvviz.figures.theme import BLUE, GREEN, GREY, PURPLE, VERMILLION, unchecked_figure

SAME_SIDE = {"showlegend": False}


@dataclass(frozen=True, slots=True)
class Look:
    """How an activation is called, drawn, and written in LaTeX."""

    title: str
    color: str
    dash: str
    terms: str


LOOKS = {
    "sigmoid": Look("Sigmoid", VERMILLION, "dash", r"\sigma(x) = 1/(1+e^{-x})"),
    "tanh": Look("Tanh", BLUE, "solid", r"\tanh x"),
    "hardtanh": Look("Hard tanh", BLUE, "dot", r"\min(\max(x,-1),1)"),
    "hardsigmoid": Look("Hard sigmoid", VERMILLION, "dot", r"\min(\max(x/6+1/2,0),1)"),
    "relu": Look("ReLU", GREEN, "longdash", r"\max(x,0)"),
    "leaky_relu": Look("Leaky ReLU", GREEN, "dash", r"\max(x,0)+s\min(x,0)"),
    "prelu": Look("PReLU", GREEN, "dot", r"\max(x,0)+w\min(x,0)"),
    "elu": Look("ELU", PURPLE, "dash", r"x \text{ or } \alpha(e^x-1)"),
    "selu": Look("SELU", PURPLE, "longdash", r"1.0507\,(x \text{ or } 1.6733\,(e^x-1))"),
    "gelu": Look("GELU", PURPLE, "dashdot", r"x\,\Phi(x)"),
    "gelu_tanh": Look("GELU, tanh", PURPLE, "dot", r"\tfrac{x}{2}(1+\tanh\sqrt{2/\pi}(x+0.0447x^3))"),
    "silu": Look("SiLU", BLUE, "dash", r"x\,\sigma(x)"),
    "mish": Look("Mish", VERMILLION, "longdashdot", r"x\tanh\ln(1+e^x)"),
    "softplus": Look("Softplus", GREY, "solid", r"\ln(1+e^{\beta x})/\beta"),
}


def curves_figure(names: Sequence[str], x: Tensor, curves: Tensor, at: float, marked: Tensor) -> go.Figure:
    """Values above, slopes below, with one place marked.

    Args:
        names: K keys of ``LOOKS``.
        x: (G,).
        curves: (2, K, G) values and slopes.
        at: the place.
        marked: (2, K) value and slope there.
    """
    traces: list[dict[str, Any]] = []
    for axis, rows in zip(("y", "y2"), curves, strict=True):
        for name, row in zip(names, rows.float().numpy(), strict=True):
            look = LOOKS[name]
            line = {"color": look.color, "dash": look.dash, "width": 2.5}
            traces.append(
                {"type": "scatter", "x": x.float().numpy(), "y": row, "yaxis": axis, "mode": "lines", "line": line}
                | {"name": look.title, "showlegend": axis == "y", "legendgroup": name}
            )
    for axis, row in zip(("y", "y2"), marked.tolist(), strict=True):
        marker = {"color": [LOOKS[name].color for name in names], "size": 10, "line": {"width": 1.5, "color": "#fff"}}
        traces.append(
            {"type": "scatter", "x": [at] * len(row), "y": row, "yaxis": axis, "mode": "markers", "marker": marker}
            | {"name": "Here"}
            | SAME_SIDE
        )
    layout = {
        "height": 520,
        "xaxis": {"title": {"text": "Input x"}, "range": [-6, 6], "anchor": "y2"},
        "yaxis": {"title": {"text": "Value"}, "range": [-2.2, 4.2], "domain": [0.44, 1]},
        "yaxis2": {"title": {"text": "Slope"}, "range": [-0.25, 1.3], "domain": [0, 0.36]},
    }
    return unchecked_figure(traces, layout)


def stack_figure(stds: Tensor, dead: Tensor, outputs: Tensor, layer: int, title: str) -> go.Figure:
    """Spread of signals and gradients layer by layer, and the outputs of one layer as a histogram.

    Args:
        stds: (2, L) standard deviations of outputs and of gradients.
        dead: (L,) share of slopes that are nearly 0.
        outputs: of one layer, any shape.
        layer: which, 1 to L.
        title: of the activation.
    """
    places = list(range(1, stds.shape[1] + 1))
    floor = 1e-16
    signals, gradients = stds.clamp(min=floor).double().numpy()
    shares, edges = (part.double().numpy() for part in histogram_of(outputs))
    traces = [
        {"type": "scatter", "x": places, "y": signals, "mode": "lines+markers", "name": "Outputs"}
        | {"line": {"color": BLUE}, "marker": {"symbol": "circle"}},
        {"type": "scatter", "x": places, "y": gradients, "mode": "lines+markers", "name": "Gradients"}
        | {"line": {"color": VERMILLION, "dash": "dash"}, "marker": {"symbol": "square"}},
        {"type": "scatter", "x": places, "y": dead.double().numpy(), "mode": "lines", "name": "Share of slopes near 0"}
        | {"line": {"color": GREY, "dash": "dot"}, "yaxis": "y3"},
        {"type": "bar", "x": (edges[:-1] + edges[1:]) / 2, "y": shares, "xaxis": "x2", "yaxis": "y2"}
        | {"marker": {"color": BLUE}, "width": edges[1] - edges[0], "name": f"{title}, layer {layer}"}
        | SAME_SIDE,
    ]
    layout = {
        "height": 560,
        "xaxis": {"title": {"text": "Layer"}, "range": [0.5, len(places) + 0.5], "anchor": "y"},
        "yaxis": {
            "title": {"text": "Standard deviation"},
            "type": "log",
            "range": [-12, 6],
            "domain": [0.5, 1],
            "exponentformat": "power",
        },
        "yaxis3": {
            "overlaying": "y",
            "side": "right",
            "range": [0, 1],
            "tickvals": [0, 0.5, 1],
            "showgrid": False,
            "title": {"text": "Share"},
        },
        "xaxis2": {"title": {"text": f"Output of layer {layer}"}, "anchor": "y2"},
        "yaxis2": {"title": {"text": "Share of outputs"}, "domain": [0, 0.33], "rangemode": "tozero"},
        "margin": {"l": 64, "r": 56, "t": 32, "b": 48},
        "shapes": [
            {"type": "line", "x0": layer, "x1": layer, "yref": "y domain", "y0": 0, "y1": 1}
            | {"line": {"color": GREY, "width": 1, "dash": "dot"}}
        ],
    }
    return unchecked_figure(traces, layout)


def unit_figure(x: Tensor, y: Tensor, grid: Tensor, lines: Tensor, title: str) -> go.Figure:
    """Data that one unit learns, and the unit at the start and now.

    Args:
        x, y: (B,) data.
        grid: (G,).
        lines: (2, G) output of the unit at the start, and after the steps.
        title: of the activation.
    """
    start, now = lines.float().numpy()
    traces = [
        {"type": "scatter", "x": x.float().numpy(), "y": y.float().numpy(), "mode": "markers", "name": "Data"}
        | {"marker": {"color": GREY, "size": 5, "opacity": 0.6}},
        {"type": "scatter", "x": grid.float().numpy(), "y": start, "mode": "lines", "name": f"{title} unit, start"}
        | {"line": {"color": GREY, "dash": "dot", "width": 2}},
        {"type": "scatter", "x": grid.float().numpy(), "y": now, "mode": "lines", "name": f"{title} unit, now"}
        | {"line": {"color": VERMILLION, "width": 3}},
    ]
    layout = {
        "height": 420,
        "xaxis": {"title": {"text": "Input x"}, "range": [-3, 3]},
        "yaxis": {"title": {"text": "Output, target"}, "range": [-1.5, 3]},
    }
    return unchecked_figure(traces, layout)


def softmax_figure(logits: Sequence[int], probabilities: Tensor, temperature: float) -> go.Figure:
    """Probabilities at temperature 1 and at another, as bars.

    Args:
        logits: K numbers.
        probabilities: (2, K) at 1 and at ``temperature``.
        temperature: T.
    """
    cold, now = probabilities
    names = [f"{index + 1}: z = {logit}" for index, logit in enumerate(logits)]
    traces = [
        {"type": "bar", "x": names, "y": cold.double().numpy(), "name": "T = 1", "marker": {"color": GREY}},
        {"type": "bar", "x": names, "y": now.double().numpy(), "name": f"T = {temperature:.3g}"}
        | {"marker": {"color": BLUE}, "text": [f"{p:.3g}" for p in now.tolist()], "textposition": "outside"},
    ]
    layout = {
        "height": 400,
        "barmode": "group",
        "xaxis": {"title": {"text": "Class and logit"}, "type": "category"},
        "yaxis": {"title": {"text": "Probability"}, "range": [0, 1.1]},
    }
    return unchecked_figure(traces, layout)


def courses_figure(courses: Sequence[tuple[float, Tensor, Tensor]]) -> go.Figure:
    """Dead units and accuracy over the epochs, one colour a learning rate.

    Args:
        courses: rate, (E, L) share of dead units of each layer, (E,) accuracy.
    """
    traces: list[dict[str, Any]] = []
    for (rate, dead, accuracy), color in zip(courses, (BLUE, GREEN, VERMILLION, PURPLE), strict=False):
        x = list(range(len(accuracy)))
        for values, dash, what in ((dead.mean(dim=1), "solid", "dead"), (accuracy, "dot", "accuracy")):
            line = {"color": color, "dash": dash, "width": 2.5}
            traces.append(
                {"type": "scatter", "x": x, "y": values.double().numpy(), "mode": "lines", "line": line}
                | {"name": f"{rate:g}: {what}"}
            )
    layout = {
        "height": 340,
        "xaxis": {"title": {"text": "Epoch"}},
        "yaxis": {"title": {"text": "Share"}, "range": [-0.03, 1.03], "tickformat": ".0%"},
    }
    return unchecked_figure(traces, layout)


def histogram_of(values: Tensor, bins: int = 41) -> tuple[Tensor, Tensor]:
    """(bins,) shares and (bins + 1,) edges over the range of the values, of some width even if all are alike."""
    low, high = float(values.min()), float(values.max())
    room = max((high - low) * 0.02, 1e-12 * max(1.0, abs(low), abs(high)), 1e-6 if high == low else 0.0)
    edges = torch.linspace(low - room, high + room, bins + 1, dtype=torch.float64)
    counts = torch.histc(values.double(), bins=bins, min=float(edges[0]), max=float(edges[-1]))
    return counts / values.numel(), edges
