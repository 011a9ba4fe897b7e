"""Embeddings on a plane: who pulls and pushes whom, the margin around an anchor, and the way down."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import plotly.graph_objects as go
from torch import Tensor

from cvviz.figures.scene import Dot, Path, Scene, Shape, Text
from cvviz.figures.sheet import XY, Sheet
from cvviz.figures.theme import BLUE, GREEN, GREY, PURPLE, VERMILLION, unchecked_figure

SHEET = Sheet(
    x=(-2.4, 2.4), y=(-1.8, 1.8), x_title="First coordinate", y_title="Second coordinate", width=536, height=426
)
CLASS_COLORS = (BLUE, VERMILLION, GREEN)
LETTERS = ("A", "B", "C")
ARROW = 3.0  # units of the plane for a slope of 1
LONGEST = 0.9  # arrow, in units of the plane
RIM = 0.12  # where an arrow begins, so that a short one is not hidden by its point
NAMES = tuple(f"{letter}{rank}" for letter in LETTERS for rank in (1, 2, 3))
COLORS = tuple(color for color in CLASS_COLORS for _ in range(3))


def plane_scene(
    points: Sequence[XY],
    way: Tensor,
    embeddings: Tensor,
    gradient: Tensor,
    weights: Tensor,
    *,
    anchor: int,
    circles: Sequence[float],
    unit: bool,
    caption: str,
) -> Scene:
    """Points that can be dragged, and where the loss pushes them.

    Args:
        points: nine (x, y), three to a class: the start.
        way: (S + 1, 9, 2) from the start to where they are now.
        embeddings: (9, 2) what the loss sees: the points, or their places on the unit circle.
        gradient: (9, 2) at the points as they are now.
        weights: (9, 9) symmetric: positive where a pair attracts, negative where it repels.
        anchor: index of the point whose pairs and circles are drawn thick.
        circles: radii around the anchor; the first solid, the second dashed.
        unit: whether the unit circle is drawn.
        caption: over the sheet.
    """
    seen, now = embeddings.tolist(), way[-1].tolist()
    shapes: list[Shape] = []
    if unit:
        shapes += circle((0, 0), 1.0, color=GREY, width=1.2)
    for radius, dash in zip(circles, (False, True), strict=False):
        shapes += circle(seen[anchor], radius, color=PURPLE, width=1.6, dash=dash)
    shapes += _pairs(seen, weights, anchor)
    moved = len(way) > 1
    if moved:
        for index, color in enumerate(COLORS):
            shapes += SHEET.line(way[:, index].tolist(), color=color, width=1.2)
    shapes += _arrows(now, gradient)
    if unit:
        for index, color in enumerate(COLORS):
            shapes += SHEET.line([now[index], seen[index]], color=GREY, width=0.7)
            shapes += _dot(seen[index], color, 5, NAMES[index])
    if moved:
        for index, color in enumerate(COLORS):
            shapes += _dot(now[index], color, 9, NAMES[index], label=NAMES[index])
    colors = (GREY,) * len(NAMES) if moved else COLORS
    handles = SHEET.handles("points", points, colors=colors, step=0.05, fixed=True, labels=NAMES)
    return SHEET.scene(shapes, handles=handles, caption=caption)


def arrow_scale(gradient: Tensor) -> float:
    """Length of an arrow for a slope of 1: ``ARROW``, or less where the longest would leave the sheet."""
    longest = float(gradient.norm(dim=1).max())
    return ARROW if longest * ARROW <= LONGEST else LONGEST / longest


def circle(center: Sequence[float], radius: float, *, color: str, width: float, dash: bool = False) -> list[Path]:
    """A circle, cut at the edge of the sheet."""
    turns = [2 * math.pi * step / 72 for step in range(73)]
    points = [(center[0] + radius * math.cos(turn), center[1] + radius * math.sin(turn)) for turn in turns]
    return SHEET.line(points, color=color, width=width, dash=dash)


def _pairs(places: Sequence[Sequence[float]], weights: Tensor, anchor: int) -> Iterator[Shape]:
    """A line for every pair that counts: solid where it attracts, dashed where it repels."""
    rows = weights.tolist()
    most = max(max(map(abs, row)) for row in rows)
    for first, row in enumerate(rows):
        for second in range(first):
            share = abs(row[second]) / most if most else 0.0
            if share > 0.005:
                thick = anchor in (first, second)
                width = (0.8 + 2.2 * share) if thick else (0.3 + 0.9 * share)
                ends = [(x, y) for x, y in (places[first], places[second])]
                color = PURPLE if thick else GREY
                yield from SHEET.line(ends, color=color, width=width, dash=row[second] < 0)


def _arrows(places: Sequence[Sequence[float]], gradient: Tensor) -> Iterator[Shape]:
    scale = arrow_scale(gradient)
    for (x, y), slope, color in zip(places, gradient.tolist(), COLORS, strict=True):
        steep = math.hypot(*slope)
        across, up = (-part / steep if steep else 0.0 for part in slope)
        length = RIM + scale * steep
        start, end = (x + RIM * across, y + RIM * up), (x + length * across, y + length * up)
        if scale * steep > 0.01 and _inside(start) and _inside(end):
            yield Path(points=[SHEET.to(*start), SHEET.to(*end)], color=color, width=3, arrow=True)


def _dot(place: Sequence[float], color: str, radius: float, tip: str, label: str = "") -> Iterator[Shape]:
    x, y = place
    if _inside((x, y)):
        across, down = SHEET.to(x, y)
        yield Dot(x=across, y=down, color=color, radius=radius, tip=tip)
        if label:
            yield Text(x=across, y=down, text=label, color="#FFFFFF", size=10)


def _inside(place: XY) -> bool:
    x, y = place
    return SHEET.x[0] <= x <= SHEET.x[1] and SHEET.y[0] <= y <= SHEET.y[1]


def descent_figure(losses: Tensor, recall: Tensor) -> go.Figure:
    """Loss and recall@1 of the nine points over the steps.

    Args:
        losses, recall: (S + 1,).
    """
    steps = len(losses) - 1
    line = {"type": "scatter", "mode": "lines", "x": list(range(steps + 1))}
    traces: list[dict[str, Any]] = [
        {**line, "y": losses.float().numpy(), "name": "Loss", "line": {"color": BLUE, "width": 2.5}},
        {**line, "y": recall.float().numpy(), "name": "Recall@1", "yaxis": "y2"}
        | {"line": {"color": VERMILLION, "dash": "dash", "width": 2.5, "shape": "hv"}},
    ]
    top = max(float(losses[losses.isfinite()].max()) if losses.isfinite().any() else 1.0, 0.05) * 1.08
    layout = {
        "height": 260,
        "margin": {"l": 60, "r": 60, "t": 40, "b": 48},
        "xaxis": {"title": {"text": "Step"}, "range": [0, max(steps, 1)]},
        "yaxis": {"title": {"text": "Loss"}, "range": [0, top]},
        "yaxis2": {"title": {"text": "Recall@1"}, "range": [0, 1.08], "overlaying": "y", "side": "right"}
        | {"tickvals": [0, 0.5, 1]}
        | {"tickformat": ".0%", "showgrid": False},
    }
    return unchecked_figure(traces, layout)
