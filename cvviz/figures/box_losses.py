"""A box on its way to its target under five losses at once: where it is, how it fares, and from where it arrives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import plotly.graph_objects as go
import torch
from numpy.typing import NDArray
from torch import Tensor

from cvviz.figures.scene import XYXY, Box, Dot, Handles, Path, Scene, Shape, Text
from cvviz.figures.theme import BLUE, GREEN, GREY, PURPLE, VERMILLION, colorize, unchecked_figure

BROWN = "#8A6D3B"  # reads on light and dark pages beside the palette
TARGET = START = GREY
ON_MAP = (PURPLE, VERMILLION)  # target and start
NEVER = 217  # grey value of the cells from which a box does not arrive
MOST = 25.0  # of distance and area shown, however far a box is thrown
LINE = 17  # height of a label, in pixels of the picture
Floats = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Look:
    """How a loss is called and drawn."""

    title: str
    color: str
    dash: str
    symbol: str

    @property
    def broken(self) -> bool:
        """Whether its lines in a scene are dashed: the second of two losses that often go one way."""
        return self.dash in ("dash", "dashdot")


LOOKS = {
    "smooth_l1": Look("Smooth L1", BROWN, "9px,3px", "x"),
    "iou": Look("IoU", BLUE, "solid", "circle"),
    "giou": Look("GIoU", VERMILLION, "dash", "square"),
    "diou": Look("DIoU", GREEN, "dot", "diamond"),
    "ciou": Look("CIoU", PURPLE, "dashdot", "triangle-up"),
}
TITLES = [look.title for look in LOOKS.values()]


def descent_scene(
    boxes: Tensor, now: int, *, reached: Sequence[int | None], size: tuple[int, int], caption: str, handles: Handles
) -> Scene:
    """The target, where each loss has brought the box by now, and the way of its centre.

    Args:
        boxes: (steps + 1, L, 4), corners in pixels, in the order of ``LOOKS``.
        now: the step shown; the way until there is thick, what is left of it until the box arrives is thin.
        reached: step at which each loss arrives, or None.
        size: (width, height) of the sheet.
        caption: one line over it.
        handles: target and start, as edited.
    """
    shapes: list[Shape] = [Box(xyxy=handles.boxes[0], color=TARGET, width=0, fill=0.18)]
    centers = ((boxes[..., :2] + boxes[..., 2:]) / 2).round(decimals=1)  # [S, L, 2]
    places = [_corners(box) for box in boxes[now]]
    for row, look in enumerate(LOOKS.values()):
        way = [(x, y) for x, y in centers[:, row].tolist()]
        arrival = reached[row]
        shapes += _way(way[now : None if arrival is None else arrival + 1], look, 1.2)
        shapes += _way(way[: now + 1], look, 3)
        shapes.append(Dot(x=way[now][0], y=way[now][1], color=look.color, radius=5, tip=look.title))
    for place, look in zip(places, LOOKS.values(), strict=True):
        shapes.append(Box(xyxy=place, color=look.color, width=2.5, dash=look.broken, fill=0.05, tip=look.title))
    shapes += _labels(places, size, handles.boxes)
    return Scene(canvas=size, shapes=shapes, caption=caption, handles=handles, max_width=760)


def _way(points: list[tuple[float, float]], look: Look, width: float) -> Iterator[Shape]:
    """The way of a centre, without the steps on which it rests."""
    moved = [point for point, _ in groupby(points)]
    if len(moved) > 1:
        yield Path(points=moved, color=look.color, width=width, dash=look.broken)


def _labels(boxes: Sequence[XYXY], size: tuple[int, int], dragged: Sequence[XYXY]) -> Iterator[Shape]:
    """The name of each loss under its box, off the other names and off edges and corners of what can be dragged."""
    edges = [edge for box in dragged for edge in (box[1], box[3])]
    corners = [(x, y) for box in dragged for x in (box[0], box[2]) for y in (box[1], box[3])]
    taken: list[tuple[float, float]] = []
    for index in sorted(range(len(boxes)), key=lambda row: boxes[row][3]):
        look = list(LOOKS.values())[index]
        x = min(max(boxes[index][0], 0.0), size[0] - 80.0)
        low = min(max(boxes[index][3] + LINE - 2, LINE), size[1] - 4.0)

        def free(y: float, left: float = x) -> bool:
            names = (abs(y - other) >= LINE or abs(left - at) >= 80 for at, other in taken)
            grips = (
                -18 < y - edge < 28 and -96 < left - corner < 16 for corner, edge in corners
            )  # a finger's are large
            return all(names) and not any(grips) and all(not -6 < y - edge < LINE + 2 for edge in edges)

        tries = [y for step in range(size[1]) for y in (low + step, low - step) if LINE <= y <= size[1] - 4]
        y = next(filter(free, tries), low)
        taken.append((x, y))
        yield Text(x=x, y=y, text=look.title, color=look.color, size=12, centered=False, plate=True)


def _corners(box: Tensor) -> XYXY:
    x1, y1, x2, y2 = box.tolist()
    return x1, y1, x2, y2


def race_figure(curves: Tensor, now: int, *, threshold: float, reached: Sequence[int | None]) -> go.Figure:
    """IoU, distance of the centres and area over the steps, one under the other.

    Args:
        curves: (3, steps + 1, L): IoU; distance in sides of the target; area over the target's.
        now: the step shown.
        threshold: IoU that counts as arrived.
        reached: first step at which each loss is there, or None.
    """
    values = curves.float().numpy()
    steps = values.shape[1] - 1
    axes = (("y", [0, 1.02], "IoU"), ("y2", None, "Distance of<br>centres (sides)"), ("y3", None, "Area<br>(× target)"))
    traces = [
        {**_line(look, values[part, :, row]), "yaxis": axis, "showlegend": part == 0}
        for part, (axis, _, _) in enumerate(axes)
        for row, look in enumerate(LOOKS.values())
    ]
    for look, step in zip(LOOKS.values(), reached, strict=True):
        if step is not None:
            traces.append(_mark(look, step, threshold))
    domains = ([0.62, 1.0], [0.31, 0.55], [0.0, 0.24])
    layout: dict[str, Any] = {
        "height": 600,
        "margin": {"l": 60, "r": 16, "t": 56, "b": 48},
        "hovermode": "x unified",
        "xaxis": {"title": {"text": "Iteration"}, "range": [0, steps], "anchor": "y3"},
        "shapes": [
            _rule({"x0": now, "x1": now, "y0": 0, "y1": 1, "yref": "paper"}),
            _rule({"x0": 0, "x1": steps, "y0": threshold, "y1": threshold}),
        ],
    }
    for index, ((axis, limits, title), domain) in enumerate(zip(axes, domains, strict=True)):
        top = max(1.0, float(np.minimum(values[index], MOST).max())) * 1.05
        scale = {"title": {"text": title}, "domain": domain, "range": limits or [0, top], "nticks": 5}
        layout[axis.replace("y", "yaxis")] = scale
    return unchecked_figure(traces, layout)


def _line(look: Look, y: Floats) -> dict[str, Any]:
    return {
        "type": "scatter",
        "y": y,
        "name": look.title,
        "legendgroup": look.title,
        "mode": "lines",
        "line": {"color": look.color, "dash": look.dash, "width": 2.5},
        "hovertemplate": "%{y:.3f}",
    }


def _mark(look: Look, x: int, y: float) -> dict[str, Any]:
    marker = {"color": look.color, "symbol": look.symbol, "size": 10}
    line = {"color": "#FFFFFF", "width": 1}
    return {
        "type": "scatter",
        "x": [x],
        "y": [y],
        "mode": "markers",
        "marker": {**marker, "line": line},
        "legendgroup": look.title,
        "showlegend": False,
        "hoverinfo": "skip",
    }


def _rule(place: dict[str, Any]) -> dict[str, Any]:
    return {"type": "line", "line": {"color": GREY, "width": 1, "dash": "dot"}, "layer": "below", **place}


def map_scenes(
    iterations: Tensor, *, steps: int, cell: int, titles: Sequence[str], start: tuple[float, float], handles: Handles
) -> list[Scene]:
    """A map for each loss, its cells coloured by the steps that a box that starts there needs; and their key.

    Args:
        iterations: (L, rows, columns); NaN where it does not arrive.
        steps: number of steps that it had.
        cell: side of a cell, in pixels of the picture.
        titles: caption of each map.
        start: centre of the start that is edited.
        handles: target and start, as edited; they lie on the first map.
    """
    size = (iterations.shape[2] * cell, iterations.shape[1] * cell)
    scenes = []
    for row, title in enumerate(titles):
        mark: list[Shape] = [Box(xyxy=handles.boxes[0], color=handles.colors[0], width=3)] if row else []
        mark += [Dot(x=start[0], y=start[1], color=handles.colors[1], radius=5, tip="The start")]
        pixels = cells(iterations[row], steps=steps).repeat_interleave(cell, 1).repeat_interleave(cell, 2)
        scenes.append(
            Scene(
                pixels=pixels, shapes=mark, caption=title, exact=True, handles=None if row else handles, max_width=420
            )
        )
    return [*scenes, key_scene(size, steps)]


def cells(iterations: Tensor, *, steps: int) -> Tensor:
    """(rows, columns) with NaN -> (3, rows, columns) uint8: darker for fewer steps, grey where none suffice."""
    colors = colorize(iterations.nan_to_num(0.0), low=0, high=steps)
    return torch.where(iterations.isnan(), torch.tensor(NEVER, dtype=torch.uint8), colors)


def key_scene(size: tuple[int, int], steps: int) -> Scene:
    """What the colours of the maps mean."""
    left, right, top = 0.1 * size[0], 0.9 * size[0], 0.3 * size[1]
    count, height = 16, 0.12 * size[1]
    colors = colorize(torch.linspace(0, steps, count)[None], low=0, high=steps)[:, 0].T.tolist()
    width = (right - left) / count
    bar: list[Shape] = [
        Box(xyxy=(left + i * width, top, left + (i + 1) * width, top + height), color=_hex(color), width=0, fill=1)
        for i, color in enumerate(colors)
    ]
    below = top + height + 0.07 * size[1]
    words = [
        Text(x=size[0] / 2, y=top - 0.09 * size[1], text="Iterations to IoU 0.9", color=GREY),
        Text(x=left, y=below, text="0", color=GREY),
        Text(x=right, y=below, text=str(steps), color=GREY),
        Text(x=0.24 * size[0], y=0.75 * size[1], text=f"Not within {steps}", color=GREY, centered=False),
    ]
    never = Box(
        xyxy=(left, 0.68 * size[1], left + 0.12 * size[0], 0.78 * size[1]),
        color=_hex([NEVER] * 3),
        width=0,
        fill=1,
    )
    return Scene(canvas=size, shapes=[*bar, never, *words], caption="Key", max_width=420)


def _hex(color: Sequence[int]) -> str:
    return "#" + "".join(f"{value:02X}" for value in color)


def arrivals_figure(iterations: Tensor, *, steps: int) -> go.Figure:
    """Share of the starts that have arrived, over the steps.

    Args:
        iterations: (L, starts); NaN for those that do not arrive.
        steps: number of steps that they had.
    """
    arrived = (iterations[:, None] <= torch.arange(steps + 1.0)[:, None]).float().mean(-1) * 100  # [L, S]
    traces = [
        {**_line(look, row), "hovertemplate": "%{y:.0f} %"}
        for look, row in zip(LOOKS.values(), arrived.numpy(), strict=True)
    ]
    layout = {
        "height": 360,
        "margin": {"l": 60, "r": 16, "t": 56, "b": 48},
        "hovermode": "x unified",
        "xaxis": {"title": {"text": "Iteration"}, "range": [0, steps]},
        "yaxis": {"title": {"text": "Starts at IoU 0.9 (%)"}, "range": [0, 100]},
    }
    return unchecked_figure(traces, layout)
