"""A ranking of detections, walked: the picture with verdicts, and the curve of precision over recall."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import plotly.graph_objects as go
import torch
from torch import Tensor

from cvviz.figures.detection_walk import LEVELS, MARKS, Walk
from cvviz.figures.scene import XYXY, Box, Dot, Handles, Path, Scene, Shape, Text
from cvviz.figures.theme import BLUE, COLORS, DASHES, GREEN, GREY, PURPLE, SYMBOLS, VERMILLION, unchecked_figure
from cvviz.ops.detection_metrics import IOU_THRESHOLDS, Method, precision_envelope, recall_weights

FATE_COLORS = {1: GREEN, 0: VERMILLION, -1: GREY}
PANEL = 240  # px, width of the panel of the curve on the screen, so that the picture gets the rest
BESIDE = 364  # px, width of the picture that stands beside it
PAPER, PRINT = 250, "#505050"  # of that panel, which is light on either theme as the pictures are
MOST_DOTS = 60
MOST_NAMES = 8  # labels of detections in an image


def picture_scene(
    walk: Walk, pixels: Tensor, scale: float, image: int, caption: str, *, field: str = "", boxes: Sequence[XYXY] = ()
) -> Scene:
    """An image with its objects and detections, coloured by what is known at the step.

    Args:
        walk: the ranking.
        pixels: (3, H, W) uint8.
        scale: pixels of ``pixels`` per px of the boxes.
        image: which one it is.
        caption: one line over it.
        field: name of the Boxes field that edits the detections, if any does.
        boxes: that field's value.
    """
    shapes = _objects(walk, scale, image, pixels.shape[2] / BESIDE)
    places = (walk.predictions.images == image).nonzero().flatten().tolist()
    looks = {place: _look(walk, place) for place in places}
    if field:
        names = tuple(f"{walk.letters[place]} {looks[place][1]}".strip() for place in places)
        colors = tuple(looks[place][0] for place in places)
        return Scene(
            pixels=pixels,
            shapes=shapes,
            caption=caption,
            handles=Handles(field=field, boxes=tuple(boxes), names=names, colors=colors),
        )
    scores = walk.predictions.scores.tolist()
    named = sorted((place for place in places if looks[place][2] > 1), key=lambda place: -scores[place])[:MOST_NAMES]
    for place in sorted(places, key=lambda place: (looks[place][2], -scores[place])):
        color, word, importance = looks[place]
        seen = place in named or importance == 3
        shapes.append(
            Box(
                xyxy=_scaled(walk.predictions.boxes[place], scale),
                color=color,
                width=(1.2, 1.6, 2.2, 3.5)[importance],
                dash=color in (VERMILLION, GREY),
                label=f"{walk.name(walk.order.index(place))} {word}" if seen else "",
                tip=f"{walk.names[int(walk.predictions.labels[place])]}, score {scores[place]:.3f}",
            )
        )
    return Scene(pixels=pixels, shapes=shapes, caption=caption)


def _look(walk: Walk, place: int) -> tuple[str, str, int]:
    """Colour, word and importance of a detection: 0 of another class, 1 to come, 2 seen, 3 at the step."""
    if place not in walk.order:
        return GREY, f"({walk.names[int(walk.predictions.labels[place])]})", 0
    rank = walk.order.index(place)
    if rank >= walk.step:
        return BLUE, "", 1
    outcome = walk.outcomes[rank]
    return FATE_COLORS[outcome], MARKS[outcome], 3 if rank == walk.step - 1 and not walk.done else 2


def _objects(walk: Walk, scale: float, image: int, unit: float) -> list[Shape]:
    """Objects found (green), missed at the end (purple), still to find and of other classes (grey).

    ``unit`` is the size of a screen pixel in the picture.
    """
    shapes: list[Shape] = []
    for thing in (walk.truth.images == image).nonzero().flatten().tolist():
        corners = _scaled(walk.truth.boxes[thing], scale)
        crowd, missed = bool(walk.truth.crowd[thing]), walk.done and thing in walk.counted - walk.found
        color = GREEN if thing in walk.found else PURPLE if missed else GREY
        name = walk.names[int(walk.truth.labels[thing])]
        tip = f"object {thing + 1}: {name}{', crowd' if crowd else ''}"
        shapes.append(
            Box(xyxy=corners, color=color, width=1.5, dash=True, fill=0.22 if missed or crowd else 0, tip=tip)
        )
        word = f"{thing + 1}{' missed' if missed else ' crowd' if crowd else ''}"
        if walk.letters or name == walk.names[walk.label]:
            at = (corners[0] + corners[2]) / 2, corners[3] - 7 * unit
            shapes.append(Text(x=at[0], y=at[1], text=word, color=color, size=10, plate=True))
    return shapes


def _scaled(box: Tensor, scale: float) -> XYXY:
    x1, y1, x2, y2 = (box * scale).tolist()
    return x1, y1, x2, y2


@lru_cache(maxsize=8)
def _paper(height: int) -> Tensor:
    return torch.full((3, height, PANEL), PAPER, dtype=torch.uint8)


def curve_scene(walk: Walk, caption: str, *, aspect: float) -> Scene:
    """Precision over recall as far as the step, what AP makes of it, and in grey the rest.

    Args:
        walk: the ranking.
        caption: one line over it.
        aspect: height of the panel over its width.
    """
    height = min(max(round(BESIDE * aspect), 220), 400)
    left, top, right, bottom = 32.0, 32.0, PANEL - 10.0, height - 34.0

    def at(recall: float, precision: float) -> tuple[float, float]:
        return left + recall * (right - left), bottom - precision * (bottom - top)

    shapes: list[Shape] = []
    for level in (0.0, 0.25, 0.5, 0.75, 1.0):
        shapes += [Path(points=(at(0, level), at(1, level)), color=GREY, width=0.5)]
        shapes += [Path(points=(at(level, 0), at(level, 1)), color=GREY, width=0.5)]
        if level != 0.25 and level != 0.75:
            (x, _), (_, y) = at(level, 0), at(0, level)
            shapes.append(Text(x=x, y=bottom + 11, text=f"{level:g}", color=PRINT, size=11))
            shapes.append(Text(x=left - 13, y=y, text=f"{level:g}", color=PRINT, size=11))
    shapes.append(Text(x=(left + right) / 2, y=height - 10, text="Recall", color=PRINT, size=12))
    shapes.append(Text(x=2, y=16, text="Precision", color=PRINT, size=12, centered=False))
    if not walk.positives:
        words = "No object: recall is 0/0"
        shapes.append(Text(x=PANEL / 2, y=height / 2, text=words, plate=True))
        return Scene(pixels=_paper(height), shapes=shapes, caption=caption, max_width=PANEL)
    points = [at(*pair) for pair in torch.stack(walk.curve, dim=1).tolist()]
    shapes += _area(walk, at)
    first = next((rank for rank, outcome in enumerate(walk.outcomes) if outcome >= 0), len(points))  # 0/0 before it
    if walk.step < len(points):
        shapes.append(Path(points=points[max(walk.step - 1, first) :], color=GREY, width=1.5, dash=True))
    shapes.append(Path(points=points[first : walk.step], color=BLUE, width=2.5))
    if len(points) <= MOST_DOTS:
        for rank, (x, y) in enumerate(points[first : walk.step], start=first):
            color, tip = FATE_COLORS[walk.outcomes[rank]], f"{walk.name(rank)}: {walk.reason(rank)}"
            shapes.append(Dot(x=x, y=y, color=color, radius=4, tip=tip))
            if walk.letters and walk.outcomes[rank] >= 0:
                lift = -11 if walk.outcomes[rank] == 1 else 12
                shapes.append(Text(x=x, y=y + lift, text=walk.name(rank), color=color, size=11))
    if walk.step > first:
        x, y = points[walk.step - 1]
        shapes.append(Dot(x=x, y=y, color=FATE_COLORS[walk.outcomes[walk.step - 1]], radius=7))
    return Scene(pixels=_paper(height), shapes=shapes, caption=caption, max_width=PANEL)


def _area(walk: Walk, at: Any) -> list[Shape]:
    """The envelope, and what AP takes of it: its area, or its height at the levels."""
    recall, precision = walk.cut
    if not len(recall):
        return []
    corners: list[tuple[float, float]] = []
    start = 0.0
    for end, high in zip(recall.tolist(), precision_envelope(precision).tolist(), strict=True):
        if end > start:
            corners += [(start, high), (end, high)]
            start = end
    if not corners:
        return []
    line = [at(*corner) for corner in (*corners, (corners[-1][0], 0.0))]
    shapes: list[Shape] = [Path(points=line, color=PURPLE, width=2, dash=True)]
    if walk.method == "all-point":
        base = [at(0, 0), *line]
        return [Path(points=base, color=PURPLE, width=0, closed=True, fill=0.25), *shapes]
    stems: list[tuple[float, float]] = []
    levels = LEVELS[walk.method]
    for place, high in enumerate(_heights(recall, precision, walk.method, levels)):
        x = place / (levels - 1)
        stems += [at(x, 0), at(x, high), at(x, 0)]
    width = 3.0 if levels == 11 else 1.0
    return [Path(points=stems, color=PURPLE, width=width), *shapes]


def _heights(recall: Tensor, precision: Tensor, method: Method, levels: int) -> list[float]:
    """Height of the envelope at each recall level; 0 where recall does not reach."""
    counts = (recall_weights(recall, method=method) * levels).round().long()
    reached = precision_envelope(precision).repeat_interleave(counts).tolist()
    return reached + [0.0] * (levels - len(reached))


def threshold_figure(curves: dict[str, Tensor], iou: float) -> go.Figure:
    """AP over IoU thresholds.

    Args:
        curves: name -> (I,) AP at COCO's ten thresholds.
        iou: the threshold that is walked.
    """
    traces = [
        {
            "type": "scatter",
            "x": np.array(IOU_THRESHOLDS, dtype=np.float32),
            "y": values.float().numpy(),
            "name": name,
            "mode": "lines+markers",
            "line": {"color": COLORS[place % 4], "dash": DASHES[place % 4], "width": 2.5},
            "marker": {"symbol": SYMBOLS[place % 4], "size": 8},
            "hovertemplate": "%{y:.3f}",
        }
        for place, (name, values) in enumerate(curves.items())
    ]
    line = {"color": GREY, "width": 1.5, "dash": "dot"}
    layout = {
        "height": 300,
        "hovermode": "x unified",
        "xaxis": {"title": {"text": "IoU threshold"}, "range": [0.48, 0.97], "dtick": 0.05},
        "yaxis": {"title": {"text": "AP"}, "range": [-0.03, 1.03]},
        "shapes": [{"type": "line", "yref": "paper", "x0": iou, "x1": iou, "y0": 0, "y1": 1, "line": line}],
    }
    return unchecked_figure(traces, layout)


def report_figure(precision: Tensor) -> go.Figure:
    """Precision over recall at three IoU thresholds, the mean of all classes.

    Args:
        precision: (K, I, 101) at COCO's thresholds and recall levels; NaN for classes without objects.
    """
    recall = np.linspace(0, 1, 101, dtype=np.float32)
    traces = [
        {
            "type": "scatter",
            "x": recall,
            "y": precision[:, place].nanmean(0).float().numpy(),
            "name": f"IoU {IOU_THRESHOLDS[place]:.2f}",
            "mode": "lines",
            "line": {"color": color, "dash": dash, "width": 2.5},
            "hovertemplate": "%{y:.3f}",
        }
        for place, color, dash in zip((0, 5, 8), COLORS, DASHES, strict=False)
    ]
    layout = {
        "height": 340,
        "hovermode": "x unified",
        "xaxis": {"title": {"text": "Recall"}, "range": [0, 1.01]},
        "yaxis": {"title": {"text": "Precision, mean of classes"}, "range": [-0.03, 1.03]},
    }
    return unchecked_figure(traces, layout)
