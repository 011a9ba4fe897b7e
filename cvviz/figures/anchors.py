"""Anchors and points over digits: which are matched to what, and how many digits a set of anchors covers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from string import ascii_uppercase
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import torch
from torch import Tensor

from cvviz.figures.scene import XYXY, Box, Dot, Handles, Path, Scene, Shape, Text
from cvviz.figures.theme import BLUE, DASHES, GREEN, GREY, PURPLE, VERMILLION, unchecked_figure
from cvviz.ops.anchors import IGNORED, NEGATIVE, PointTargets

MOST_BOXES, MOST_DOTS = 48, 240  # more hide the digits, and take time to send
FADE = 0.5  # of the way to white, so that lines read on a photograph


@dataclass(frozen=True)
class Assignment:
    """Digits, the anchors and the points over them, and which of these is to find which digit.

    Args:
        pixels: (3, S, S) uint8.
        truth: (M, 4), the digits' boxes in px; they are called A, B, C, ...
        strides: of the levels, finest first.
        offset: of the centres of anchors and points, in cells.
        anchors: (A, 4), all levels in one.
        levels: (A,) int64, place of each anchor's stride.
        iou: (M, A).
        matches: (A,) int64: a digit, ``NEGATIVE`` or ``IGNORED``.
        high: IoU from which an anchor is positive by itself.
        chosen: the anchor that is encoded, or None where none is positive.
        deltas: (1, 4), its code; (0, 4) where there is none.
        decoded: (1, 4), the box that the code gives back, in px; or (0, 4).
        points: the anchor-free assignment.
    """

    pixels: Tensor
    truth: Tensor
    strides: tuple[int, ...]
    offset: float
    anchors: Tensor
    levels: Tensor
    iou: Tensor
    matches: Tensor
    high: float
    chosen: int | None
    deltas: Tensor
    decoded: Tensor
    points: PointTargets

    @cached_property
    def best(self) -> Tensor:
        """(A,) IoU of each anchor with the digit that it overlaps most."""
        return self.iou.amax(dim=0)

    @cached_property
    def positive(self) -> list[int]:
        """Anchors that are to find a digit, best IoU first."""
        return ranked(self.matches, self.best)

    @cached_property
    def ignored(self) -> Tensor:
        """(I,) anchors that take no part, best IoU first."""
        found = (self.matches == IGNORED).nonzero().flatten()
        return found[self.best[found].argsort(descending=True, stable=True)]

    @cached_property
    def per_digit(self) -> list[int]:
        """Positive anchors of each digit."""
        return _counts(self.matches, len(self.truth))

    @cached_property
    def points_per_digit(self) -> list[int]:
        """Positive points of each digit."""
        return _counts(self.points.matches, len(self.truth))

    @property
    def negative(self) -> int:
        """How many anchors are background."""
        return int((self.matches == NEGATIVE).sum())

    @property
    def ambiguous(self) -> int:
        """How many points could find more than one digit."""
        return int((self.points.candidates > 1).sum())

    @property
    def digit(self) -> int | None:
        """The digit of the anchor that is encoded."""
        return None if self.chosen is None else int(self.matches[self.chosen])

    @property
    def point(self) -> int | None:
        """The most central positive point of that digit."""
        if self.digit is None:
            return None
        central = self.points.centerness.where(self.points.matches == self.digit, -1.0)
        return int(central.argmax()) if central.max() >= 0 else None

    def rescued(self, anchor: int) -> bool:
        """Whether a positive anchor is one only as the best that some digit has."""
        return bool(self.best[anchor] < self.high)


def faded(pixels: Tensor) -> Tensor:
    """(3, H, W) uint8, paler."""
    return torch.lerp(pixels.float(), torch.tensor(255.0), FADE).byte()


def ranked(matches: Tensor, best: Tensor) -> list[int]:
    """Positive anchors, best IoU first, the first of equals first."""
    found = (matches >= 0).nonzero().flatten()
    order: list[int] = found[best[found].argsort(descending=True, stable=True)].tolist()
    return order


def _counts(matches: Tensor, digits: int) -> list[int]:
    counts: list[int] = matches[matches >= 0].bincount(minlength=digits).tolist()
    return counts


def name(digit: int) -> str:
    """What a digit is called."""
    return ascii_uppercase[digit]


def odds(negative: int, positive: int) -> str:
    """Positives to negatives as 1 : n."""
    if not positive:
        return f"0 : {negative:,}"
    ratio = negative / positive
    return f"1 : {ratio:,.0f}" if ratio >= 10 or not ratio else f"1 : {ratio:.1f}"


def corners(box: Tensor) -> XYXY:
    """Corners as plain numbers."""
    x1, y1, x2, y2 = box.tolist()
    return x1, y1, x2, y2


def anchors_scene(view: Assignment, *, field: str = "") -> Scene:
    """The positive anchors, the centres of the ignored ones, and the one that is encoded.

    Args:
        view: what to draw.
        field: name of the Boxes field that the digits' boxes edit, or "" where they are not moved.
    """
    shapes: list[Shape] = [*_lattice(view), *_cell(view)]
    middles = (view.anchors[view.ignored[:MOST_DOTS]] @ _HALVES).tolist()
    shapes += [Dot(x=x, y=y, color=GREY, radius=3, tip="ignored") for x, y in middles]
    for anchor in reversed(view.positive[:MOST_BOXES]):
        if anchor != view.chosen:
            shapes.append(_anchor(view, anchor, width=1.4))
    handles = None
    if field:
        handles = Handles(
            field=field,
            boxes=tuple(map(corners, view.truth)),
            names=tuple(name(digit) + " lost" * (not found) for digit, found in enumerate(view.per_digit)),
            colors=tuple(GREEN if found else VERMILLION for found in view.per_digit),
        )
    if view.chosen is not None and view.digit is not None:
        shapes.append(_anchor(view, view.chosen, width=4))
        start, end = (
            tuple((boxes @ _HALVES).tolist()) for boxes in (view.anchors[view.chosen], view.truth[view.digit])
        )
        shapes.append(Dot(x=start[0], y=start[1], color=_color(view, view.chosen), radius=5))
        shapes.append(Path(points=(start, end), color=_color(view, view.chosen), width=2.5, arrow=True))
    if not field:
        shapes += _digits(view, view.per_digit)
    count, ignored = len(view.positive), len(view.ignored)
    caption = f"Anchors: {count:,} of {len(view.matches):,} positive, {ignored:,} ignored"
    return Scene(pixels=view.pixels, shapes=shapes, caption=caption, handles=handles)


def points_scene(view: Assignment) -> Scene:
    """The positive points, larger where they are more central, and the four distances of one of them."""
    points = view.points
    shapes: list[Shape] = list(_lattice(view))
    shapes += _digits(view, view.points_per_digit)
    found = (points.matches >= 0).nonzero().flatten()[:MOST_DOTS]
    rows = zip(
        points.points[found].tolist(),
        points.matches[found].tolist(),
        points.candidates[found].tolist(),
        points.centerness[found].tolist(),
        strict=True,
    )
    for (x, y), digit, candidates, central in rows:
        tip = f"{name(digit)}, centre-ness {central:.2f}" + f", {candidates} digits claim it" * (candidates > 1)
        color = PURPLE if candidates > 1 else BLUE
        shapes.append(Dot(x=x, y=y, color=color, radius=2.5 + 4 * central, tip=tip))
    if view.point is not None:
        color = PURPLE if points.candidates[view.point] > 1 else BLUE
        shapes += _distances(points.points[view.point].tolist(), points.ltrb[view.point].tolist(), color)
    count = int((points.matches >= 0).sum())
    caption = f"Points: {count:,} of {len(points.matches):,} positive, {view.ambiguous:,} ambiguous"
    return Scene(pixels=view.pixels, shapes=shapes, caption=caption)


_HALVES = torch.tensor([[0.5, 0.0], [0.0, 0.5], [0.5, 0.0], [0.0, 0.5]])  # corners @ this = centre


def _color(view: Assignment, anchor: int) -> str:
    return PURPLE if view.rescued(anchor) else BLUE


def _anchor(view: Assignment, anchor: int, *, width: float) -> Box:
    rescued = view.rescued(anchor)
    tip = f"IoU {view.best[anchor]:.3f} with {name(int(view.matches[anchor]))}" + ", its best" * rescued
    color = _color(view, anchor)
    return Box(xyxy=corners(view.anchors[anchor]), color=color, width=max(width, 2.0 * rescued), dash=rescued, tip=tip)


def _digits(view: Assignment, found: Sequence[int]) -> Iterator[Shape]:
    """The digits' boxes; those that nothing is to find stand out, and are named where no other name stands."""
    side = view.pixels.shape[1]
    for digit in sorted(range(len(found)), key=lambda digit: not found[digit]):
        x1, y1, x2, y2 = corners(view.truth[digit])
        if found[digit]:
            yield Box(xyxy=(x1, y1, x2, y2), label=name(digit), color=GREEN, width=2.5)
            continue
        yield Box(xyxy=(x1, y1, x2, y2), color=VERMILLION, dash=True, width=2.5)
        x, y = min(max((x1 + x2) / 2, 12), side - 12), y2 + 6 if y2 < side - 12 else max(y1 - 6, 6)
        yield Text(x=x, y=y, text=f"{name(digit)} lost", color=VERMILLION, plate=True)


def _lattice(view: Assignment) -> Iterator[Path]:
    """Lines through the centres of each level, heavier on coarser ones: each level is one line there and back."""
    side = float(view.pixels.shape[1])
    for level, stride in enumerate(view.strides):
        lines = np.arange(-(-side // stride)) * stride + view.offset * stride
        across = [(x, float(line)) for place, line in enumerate(lines) for x in ((0.0, side), (side, 0.0))[place % 2]]
        for points in (across, [(y, x) for x, y in across]):
            yield Path(points=points, color=GREY, width=0.3 + 0.35 * level)


def _cell(view: Assignment) -> Iterator[Box]:
    """All anchors of one cell: that of the encoded anchor, or the one in the middle of the finest level."""
    level = 0 if view.chosen is None else int(view.levels[view.chosen])
    places = (view.levels == level).nonzero().flatten()
    across = -(-view.pixels.shape[1] // view.strides[level])
    each = len(places) // across**2
    cell = across // 2 * (across + 1) if view.chosen is None else (view.chosen - int(places[0])) // each
    for anchor in places[cell * each : (cell + 1) * each].tolist():
        if anchor not in view.positive[:MOST_BOXES]:
            tip = f"IoU {view.best[anchor]:.3f}"
            yield Box(xyxy=corners(view.anchors[anchor]), color=GREY, width=1.5, dash=True, tip=tip)


def _distances(point: Sequence[float], ltrb: Sequence[float], color: str) -> Iterator[Shape]:
    """Arrows from a point to the four edges of its box."""
    x, y = point
    left, top, right, bottom = ltrb
    ends = {"l": (x - left, y), "t": (x, y - top), "r": (x + right, y), "b": (x, y + bottom)}
    for letter, end in ends.items():
        yield Path(points=((x, y), end), color=VERMILLION, width=2.5, arrow=True)
        if abs(end[0] - x) + abs(end[1] - y) > 9:
            yield Text(x=(x + end[0]) / 2, y=(y + end[1]) / 2, text=letter, color=VERMILLION, plate=True)
    yield Dot(x=x, y=y, color=color, radius=6.5)


def digit_rows(view: Assignment) -> pd.DataFrame:
    """One row per digit: its size, the best anchor, and how many anchors and points are to find it."""
    sides = (view.truth[:, 2:] - view.truth[:, :2]).tolist()
    own = [view.best[view.matches == digit] for digit in range(len(view.truth))]
    fates = [
        "lost" if not len(values) else "by threshold" if values.max() >= view.high else "by best match"
        for values in own
    ]
    return pd.DataFrame(
        {
            "Digit": [name(digit) for digit in range(len(view.truth))],
            "Width × height (px)": [f"{width:g} × {height:g}" for width, height in sides],
            "Best IoU": [f"{value:.3f}" for value in view.iou.amax(dim=1).tolist()],
            "Positive anchors": view.per_digit,
            "Found": fates,
            "Positive points": view.points_per_digit,
        }
    )


def tally(view: Assignment) -> pd.DataFrame:
    """Anchors and points, counted by what they are to do."""
    points, found = len(view.points.matches), int((view.points.matches >= 0).sum())
    rows = (
        (len(view.matches), len(view.positive), len(view.ignored), view.negative, view.per_digit),
        (points, found, 0, points - found, view.points_per_digit),
    )
    return pd.DataFrame(
        {
            "Of": ["Anchors", "Points"],
            "All": [f"{total:,}" for total, *_ in rows],
            "Positive": [f"{positive:,}" for _, positive, *_ in rows],
            "Ignored": [f"{ignored:,}" for _, _, ignored, *_ in rows],
            "Background": [f"{negative:,}" for *_, negative, _ in rows],
            "Ratio": [odds(negative, positive) for _, positive, _, negative, _ in rows],
            "Digits lost": [counts.count(0) for *_, counts in rows],
        }
    ).set_index("Of")


def anchor_rows(view: Assignment) -> pd.DataFrame:
    """Every anchor that is not background: where it is and what it is to find."""
    kept = torch.tensor([*view.positive, *view.ignored.tolist()], dtype=torch.long)
    frame = pd.DataFrame(view.anchors[kept].numpy(), columns=["x1 (px)", "y1 (px)", "x2 (px)", "y2 (px)"])
    frame.insert(0, "stride (px)", [view.strides[level] for level in view.levels[kept].tolist()])
    frame["IoU"] = view.best[kept].numpy()
    frame["digit"] = [name(match) if match >= 0 else "" for match in view.matches[kept].tolist()]
    frame["state"] = ["ignored" if match < 0 else "positive" for match in view.matches[kept].tolist()]
    return frame


def recall_figure(groups: dict[str, Tensor], *, high: float, low: float) -> go.Figure:
    """Share of boxes whose best anchor reaches an IoU, for every IoU.

    Args:
        groups: name -> (N,) best IoU of each box.
        high, low: the thresholds of matching.
    """
    at = np.linspace(0, 1, 101, dtype=np.float32)
    traces: list[dict[str, Any]] = []
    for (title, best), color, dash in zip(groups.items(), (BLUE, VERMILLION, GREEN, PURPLE), DASHES, strict=False):
        share = (best.numpy()[None] >= at[:, None] - 1e-6).mean(axis=1, dtype=np.float32)
        traces.append(
            {
                "type": "scatter",
                "x": at,
                "y": 100 * share,
                "name": title,
                "mode": "lines",
                "line": {"color": color, "dash": dash, "width": 3 if not traces else 2},
                "hovertemplate": "IoU %{x:.2f}: %{y:.1f} %",
            }
        )
    layout = {
        "height": 360,
        "xaxis": {"title": {"text": "IoU of a digit's best anchor, at least"}, "range": [0, 1]},
        "yaxis": {"title": {"text": "Digits (%)"}, "range": [0, 103]},
        "shapes": [_upright(place) for place in sorted({low, high})],
        "annotations": [_said(high, "positive", "left"), *([_said(low, "negative", "right")] if low else [])],
    }
    return unchecked_figure(traces, layout)


def _upright(x: float) -> dict[str, object]:
    line = {"color": GREY, "width": 1.5, "dash": "dot"}
    return {"type": "line", "yref": "paper", "x0": x, "x1": x, "y0": 0, "y1": 1, "line": line, "layer": "below"}


def _said(x: float, text: str, side: str) -> dict[str, object]:
    arrow = f"{text} →" if side == "left" else f"← {text}"
    return {"x": x, "y": 2, "text": arrow, "showarrow": False, "xanchor": side, "yanchor": "bottom"}
