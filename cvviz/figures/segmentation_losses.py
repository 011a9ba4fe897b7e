"""A mask of probabilities, its target, its errors, where each loss pushes, and losses over the size of an object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import plotly.graph_objects as go
import torch
from torch import Tensor

from cvviz.figures.scene import PaintHandles, Path, Scene
from cvviz.figures.theme import BLUE, GREEN, GREY, PURPLE, VERMILLION, colorize, unchecked_figure
from cvviz.ops.mask_shapes import Loops
from cvviz.ops.segmentation_study import Descent, Judgement, Shrinking

WIDEST, SMALL = 330, 171  # screen pixels of a mask: of two, and of many, two of which fit a phone


@dataclass(frozen=True, slots=True)
class Look:
    """How a loss is called and drawn."""

    title: str
    color: str
    dash: str


LOOKS = {
    "bce": Look("BCE", VERMILLION, "solid"),
    "dice": Look("Dice", BLUE, "solid"),
    "jaccard": Look("Jaccard", BLUE, "dot"),
    "tversky": Look("Tversky", GREEN, "solid"),
    "focal_tversky": Look("Focal Tversky", GREEN, "dash"),
    "bce_dice": Look("BCE + Dice", PURPLE, "dashdot"),
}


def rim(loops: Loops, *, color: str = VERMILLION, scale: float = 1) -> list[Path]:
    """The target's border as shapes of a scene, ``scale`` picture pixels a cell."""
    return [
        Path(points=[(x * scale, y * scale) for x, y in loop], color=color, width=1.5, closed=True) for loop in loops
    ]


def mask_scene(
    p: Tensor, loops: Loops, *, caption: str, paint: PaintHandles | None = None, max_width: int = SMALL
) -> Scene:
    """(H, W) probabilities, dark for 0 and yellow for 1, with the target's border."""
    pixels = colorize(p, low=0, high=1)
    return Scene(pixels=pixels, shapes=rim(loops), caption=caption, exact=True, paint=paint, max_width=max_width)


def paint_colors(outside: float, inside: float) -> tuple[str, str]:
    """Colours that a mask of probabilities has off the mask and on it."""
    pixels = colorize(torch.tensor([[outside, inside]]), low=0, high=1)
    off, on = ("#{:02x}{:02x}{:02x}".format(*pixels[:, 0, column].tolist()) for column in range(2))
    return off, on


def error_scene(photo: Tensor, predicted: Tensor, target: Tensor, loops: Loops, *, caption: str) -> Scene:
    """Over the photograph: hits green, false alarms vermillion with stripes, misses blue with dots.

    Args:
        photo: (3, S, S) uint8, S a multiple of H.
        predicted, target: (H, W) bool.
        loops: the target's border.
        caption: over the picture.
    """
    cell = photo.shape[1] // target.shape[0]
    ground, (stripes, dots) = 0.75 * photo.float(), _patterns(cell, photo.shape[1])
    for where, color, pattern in (
        (predicted & target, GREEN, 0.6),
        (predicted & ~target, VERMILLION, stripes),
        (~predicted & target, BLUE, dots),
    ):
        if where.any():
            strength = where.repeat_interleave(cell, 0).repeat_interleave(cell, 1) * pattern
            ink = torch.tensor([int(color[place : place + 2], 16) for place in (1, 3, 5)])
            ground = ground + strength * (ink[:, None, None] - ground)
    return Scene(
        pixels=ground.to(torch.uint8), shapes=rim(loops, scale=cell), caption=caption, exact=True, max_width=WIDEST
    )


@lru_cache(maxsize=4)
def _patterns(cell: int, side: int) -> tuple[Tensor, Tensor]:
    """Strength of the ink, (side, side): diagonal stripes, and a dot in every cell."""
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    stripes = (x + y) % cell < cell / 2
    dots = (x % cell - cell // 2) ** 2 + (y % cell - cell // 2) ** 2 <= (cell / 3) ** 2
    return 0.3 + 0.65 * stripes, 0.3 + 0.65 * dots


def push_scenes(slopes: Tensor, loops: Loops, captions: Sequence[str]) -> list[Scene]:
    """(L, H, W) slopes as pushes on the logits: vermillion up, blue down, white none, each map to its own largest."""
    border = rim(loops, color=GREY)
    return [
        Scene(pixels=colorize(-row, scale="signed"), shapes=border, caption=caption, exact=True, max_width=SMALL)
        for row, caption in zip(slopes, captions, strict=True)
    ]


def course_figure(losses: Sequence[str], course: Descent, at: int) -> go.Figure:
    """IoU above, and below how sure the pixels of the object are, over the steps; step ``at`` is marked."""
    steps = len(course.iou) - 1
    traces = [
        {**_line(name, row), "yaxis": axis, "showlegend": axis == "y"}
        for axis, rows in (("y", course.iou), ("y2", course.sure))
        for name, row in zip(losses, rows.T.float().numpy(), strict=True)
    ]
    rule = {"type": "line", "line": {"color": GREY, "width": 1, "dash": "dot"}, "layer": "below"}
    layout = {
        "height": 460,
        "margin": {"l": 60, "r": 16, "t": 56, "b": 48},
        "hovermode": "x unified",
        "xaxis": {"title": {"text": "Step"}, "range": [0, steps], "anchor": "y2"},
        "yaxis": {"title": {"text": "IoU at threshold 0.5"}, "range": [0, 1.02], "domain": [0.54, 1]},
        "yaxis2": {"title": {"text": "Mean p<br>on the object"}, "range": [0, 1.02], "domain": [0, 0.46]},
        "shapes": [{"x0": at, "x1": at, "y0": 0, "y1": 1, "yref": "paper", **rule}],
    }
    return unchecked_figure(traces, layout)


def sizes_figure(losses: Sequence[str], sizes: Shrinking) -> go.Figure:
    """Losses above, and below the part of the push that falls on the object, over the object's share of the picture."""
    x = (100 * sizes.share).float().numpy()
    traces = [
        {**_line(name, row, x), "yaxis": axis, "showlegend": axis == "y"}
        for axis, rows in (("y", sizes.values), ("y2", sizes.mass))
        for name, row in zip(losses, rows.float().numpy(), strict=True)
    ]
    wrong = {"color": GREY, "dash": "dash", "width": 2}
    name = "Pixels wrong at 0.5"
    traces.append(
        {"type": "scatter", "x": x, "y": sizes.error.float().numpy(), "mode": "lines", "line": wrong, "name": name}
    )
    ticks = [value for value in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50) if x[0] * 0.99 <= value <= x[-1] * 1.01]
    axis = {"type": "log", "tickvals": ticks, "ticktext": [f"{value:g}" for value in ticks], "anchor": "y2"}
    layout = {
        "height": 520,
        "margin": {"l": 60, "r": 16, "t": 56, "b": 48},
        "hovermode": "x unified",
        "xaxis": {"title": {"text": "Share of the picture that is object (%)"}, **axis},
        "yaxis": {"title": {"text": "Loss"}, "rangemode": "tozero", "domain": [0.45, 1]},
        "yaxis2": {"title": {"text": "Part of the push<br>on the object"}, "range": [0, 1.02], "domain": [0, 0.37]},
    }
    return unchecked_figure(traces, layout)


def lessons_figure(losses: Sequence[str], courses: Sequence[Tensor], judged: Sequence[Judgement]) -> go.Figure:
    """How L networks learn: Dice over the epochs, and below how often what they say in the end is so."""
    rows = list(zip(losses, courses, judged, strict=True))
    traces = [
        _line(name, course.numpy(), torch.arange(1, len(course) + 1).numpy()) | {"mode": "lines+markers"}
        for name, course, _ in rows
    ]
    for name, _, item in rows:
        below = {"mode": "lines+markers", "showlegend": False, "xaxis": "x2", "yaxis": "y2"}
        traces.append(_line(name, item.was.numpy(), item.said.numpy()) | below)
    even = {"color": GREY, "dash": "dash", "width": 1.5}
    traces.append(
        {"type": "scatter", "x": [0, 1], "y": [0, 1], "mode": "lines", "line": even, "name": "As said"}
        | {"xaxis": "x2", "yaxis": "y2"}
    )
    layout = {
        "height": 620,
        "margin": {"l": 60, "r": 16, "t": 56, "b": 48},
        "xaxis": {"title": {"text": "Epoch"}, "rangemode": "tozero", "anchor": "y"},
        "yaxis": {"title": {"text": "Dice at 0.5"}, "range": [-0.02, 1], "domain": [0.58, 1]},
        "xaxis2": {"title": {"text": "Probability said at the end"}, "range": [0, 1], "anchor": "y2"},
        "yaxis2": {"title": {"text": "Share that is object"}, "range": [0, 1], "domain": [0, 0.42]},
    }
    return unchecked_figure(traces, layout)


def _line(name: str, y: Any, x: Any = None) -> dict[str, Any]:
    look = LOOKS[name]
    line = {"color": look.color, "dash": look.dash, "width": 2.5}
    given = {} if x is None else {"x": x}
    return {
        "type": "scatter",
        "y": y,
        "mode": "lines",
        "line": line,
        "name": look.title,
        "legendgroup": name,
        "hovertemplate": "%{y:.3f}",
        **given,
    }
