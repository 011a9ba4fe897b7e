"""Lines fitted under several losses on a sheet with points, and curves of the losses with their slopes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
from torch import Tensor

from cvviz.figures.scene import Path, Scene, Shape, Text
from cvviz.figures.sheet import Sheet
from cvviz.figures.theme import BLUE, GREEN, GREY, PURPLE, VERMILLION, unchecked_figure

SHEET = Sheet(x=(0, 10), y=(0, 10), x_title="x", y_title="y", width=520, height=380)


@dataclass(frozen=True, slots=True)
class Look:
    """How a loss is called, drawn, and written in LaTeX. Dash and width together tell it without its colour."""

    title: str
    color: str
    dash: str
    width: float
    terms: str


LOOKS = {
    "mse": Look("MSE", VERMILLION, "solid", 2.5, r"r^2"),
    "mae": Look("MAE", BLUE, "solid", 5, r"|r|"),
    "smooth_l1": Look("Smooth L1", GREEN, "dash", 5, r"r^2/2\beta \text{ or } |r| - \beta/2"),
    "huber": Look("Huber", PURPLE, "dash", 2.5, r"r^2/2 \text{ or } \delta(|r| - \delta/2)"),
    "log_cosh": Look("Log-cosh", GREY, "dash", 1.5, r"\ln\cosh r"),
    "quantile": Look("Quantile", BLUE, "solid", 1.5, r"\max(-\tau r,\,(1-\tau) r)"),
}


def lines_scene(
    losses: Sequence[str],
    lines: Tensor,
    points: Sequence[tuple[float, float]],
    *,
    outlier: int,
    caption: str,
    start: tuple[float, float] | None = None,
) -> Scene:
    """Points that can be dragged and one line per loss.

    Args:
        losses: L names of ``LOOKS``.
        lines: (L, 2) intercepts and slopes.
        points: (x, y) in 0 to 10.
        outlier: index of the point in another colour, or -1.
        caption: over the sheet.
        start: intercept and slope of a line to draw thin, or None.
    """
    shapes: list[Shape] = []
    if start:
        shapes += SHEET.line([(0, start[0]), (10, start[0] + 10 * start[1])], color=GREY, width=1, tip="Start")
    for name, (intercept, slope) in zip(losses, lines.tolist(), strict=True):
        look, ends = LOOKS[name], [(0, intercept), (10, intercept + 10 * slope)]
        shapes += SHEET.line(ends, color=look.color, width=look.width, dash=look.dash != "solid", tip=look.title)
    shapes += _legend(losses)
    colors = [VERMILLION if index == outlier else GREY for index in range(len(points))]
    handles = SHEET.handles("points", points, colors=colors, step=0.1, fixed=False)
    return SHEET.scene(shapes, handles=handles, caption=caption)


def _legend(losses: Sequence[str]) -> list[Shape]:
    left, top, _, _ = SHEET.frame
    shapes: list[Shape] = []
    for row, look in enumerate(LOOKS[name] for name in losses):
        y = top + 22 + 21 * row
        line = ((left + 8, y - 9), (left + 38, y - 9))
        shapes.append(Path(points=line, color=look.color, width=look.width, dash=look.dash != "solid"))
        shapes.append(Text(x=left + 40, y=y, text=look.title, color=look.color, centered=False))
    return shapes


def curves_figure(
    losses: Sequence[str], residuals: Tensor, values: Tensor, slopes: Tensor, at: float, marked: Tensor
) -> go.Figure:
    """Losses above, slopes below, over the residual; the example marked on each.

    Args:
        losses: L names of ``LOOKS``.
        residuals: (G,).
        values, slopes: (L, G).
        at: residual of the example.
        marked: (2, L) value and slope there.
    """
    x = residuals.float().numpy()
    traces: list[dict[str, Any]] = []
    for axis, rows in (("y", values), ("y2", slopes)):
        for name, row in zip(losses, rows.float().numpy(), strict=True):
            look = LOOKS[name]
            line = {"color": look.color, "dash": look.dash, "width": look.width}
            traces.append(
                {"type": "scatter", "x": x, "y": row, "yaxis": axis, "mode": "lines", "line": line, "name": look.title}
                | {"showlegend": axis == "y", "legendgroup": name}
            )
    colors = [LOOKS[name].color for name in losses]
    for axis, row in zip(("y", "y2"), marked.tolist(), strict=True):
        marker = {"color": colors, "size": 10, "line": {"width": 1.5, "color": "#fff"}}
        traces.append(
            {"type": "scatter", "x": [at] * len(row), "y": row, "yaxis": axis, "mode": "markers", "marker": marker}
            | {"showlegend": False, "cliponaxis": False, "name": "Example"}
        )
    layout = {
        "height": 480,
        "xaxis": {"title": {"text": "Residual r = prediction − target"}, "range": [-4, 4], "anchor": "y2"},
        "yaxis": {"title": {"text": "Loss"}, "range": [0, 5], "domain": [0.47, 1]},
        "yaxis2": {"title": {"text": "Slope ∂L/∂r"}, "range": [-2.6, 2.6], "domain": [0, 0.4]},
    }
    return unchecked_figure(traces, layout)
