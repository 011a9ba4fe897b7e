"""Detectors as rows of stages, what a second stage adds per proposal, measured time, and published accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, log10
from typing import Any

import plotly.graph_objects as go

from cvviz.figures.theme import BLUE, GREEN, GREY, PURPLE, VERMILLION, unchecked_figure


@dataclass(frozen=True, slots=True)
class Look:
    """How a step is called and drawn; hatched if hardly anything is multiplied in it."""

    title: str
    color: str
    hatch: str = ""


STAGE_LOOKS = {
    "backbone": Look("Backbone", BLUE),
    "neck": Look("Neck", GREEN),
    "head": Look("Head", VERMILLION),
    "box": Look("Box head", PURPLE),
}
STEP_LOOKS = {
    "prepare": Look("Prepare", GREY),
    **{name: STAGE_LOOKS[name] for name in ("backbone", "neck", "head")},
    "proposals": Look("Proposals", VERMILLION, "/"),
    "pooling": Look("RoI pooling", PURPLE, "/"),
    "box": STAGE_LOOKS["box"],
    "detections": Look("Detections", GREY, "/"),
}


@dataclass(frozen=True, slots=True)
class Row:
    """A detector: its name, and GMACs of its stages; of the last, ``per_proposal`` times the proposals it gets."""

    title: str
    gmacs: Sequence[float]
    per_proposal: float = 0.0

    @property
    def total(self) -> float:
        """GMACs of all stages."""
        return sum(self.gmacs)


def stages_figure(one: Row, two: Row, *, proposals: int, crossover: float, most: int) -> go.Figure:
    """Both detectors as rows of stages above; below, the cost of the two-stage one against its number of proposals.

    Args:
        one: the one-stage detector.
        two: the two-stage detector, at ``proposals``.
        proposals: given to its second stage now.
        crossover: number of proposals at which both cost the same; it may lie off the axis.
        most: right end of the axis of proposals.
    """
    top = _round_up(max(one.total, sum(two.gmacs[:3]) + two.per_proposal * most))
    widest = _round_up(max(one.total, two.total))
    traces = [*_bars((two, one)), _steps_without_macs(one, two, widest), *_slabs(two, most), _level(one, most)]
    traces.append(_mark(proposals, two.total, "circle", f"N = {proposals}"))
    if 0 <= crossover <= most:
        traces.append(_mark(crossover, one.total, "diamond-open", "Equal cost"))
    layout = {
        "height": 560,
        "barmode": "stack",
        "uniformtext": {"mode": "hide", "minsize": 10},
        "uirevision": f"{top} {widest}",
        "margin": {"l": 60, "r": 16, "t": 48, "b": 48},
        "xaxis": {"title": {"text": "Proposals N for the second stage"}, "range": [0, most], "anchor": "y"},
        "yaxis": {"title": {"text": "GMAC per picture"}, "range": [0, top], "domain": [0, 0.5]},
        "xaxis2": {"title": {"text": "GMAC per picture"}, "range": [0, 1.1 * widest], "anchor": "y2"},
        "yaxis2": {
            "domain": [0.66, 1],
            "anchor": "x2",
            "range": [-0.35, 1.7],
            "showgrid": False,
            "zeroline": False,
            "tickvals": [0, 1],
            "ticktext": [_wrapped(two.title), _wrapped(one.title)],
        },
    }
    return unchecked_figure(traces, layout)


def _bars(rows: Sequence[Row]) -> list[dict[str, Any]]:
    return [
        {
            "type": "bar",
            "orientation": "h",
            "x": [row.gmacs[index] for row in rows],
            "y": [*range(len(rows))],
            "width": 0.6,
            "xaxis": "x2",
            "yaxis": "y2",
            "name": look.title,
            "legendgroup": look.title,
            "marker": {"color": look.color},
            "text": [f"{row.gmacs[index]:.3g}" if row.gmacs[index] else "" for row in rows],
            "textposition": "inside",
            "insidetextanchor": "middle",
            "textangle": 0,
            "hovertemplate": f"{look.title}: %{{x:.4g}} GMAC<extra></extra>",
        }
        for index, look in enumerate(STAGE_LOOKS.values())
    ]


def _steps_without_macs(one: Row, two: Row, width: float) -> dict[str, Any]:
    """Where along the rows the work is that is not counted."""
    between, end = sum(two.gmacs[:3]), two.total
    words, sides = ["decode, NMS, RoI pooling ", " NMS"], ["middle left", "middle right"]
    if between < 0.25 * width:  # no room on the left
        words[0], sides[0] = " decode, NMS, RoI pooling", "middle right"
        if end - between < 0.4 * width:
            words = ["", " decode, NMS, RoI pooling, NMS"]
    return {
        "type": "scatter",
        "x": [one.total, between, end],
        "y": [1.45, 0.45, 0.45],
        "xaxis": "x2",
        "yaxis": "y2",
        "mode": "markers+text",
        "marker": {"color": GREY, "symbol": "triangle-down", "size": 9},
        "text": ["decode, NMS ", *words],
        "textposition": ["middle left", *sides],
        "textfont": {"size": 11},
        "showlegend": False,
        "cliponaxis": False,
        "hoverinfo": "skip",
    }


def _slabs(row: Row, most: int) -> list[dict[str, Any]]:
    """What does not depend on the proposals as slabs, what does as a wedge upon them."""
    traces = []
    left = right = 0.0
    for index, look in enumerate(STAGE_LOOKS.values()):
        last = index == len(STAGE_LOOKS) - 1
        left += 0 if last else row.gmacs[index]
        right += row.per_proposal * most if last else row.gmacs[index]
        traces.append(
            {
                "type": "scatter",
                "x": [0, most],
                "y": [left, right],
                "mode": "lines",
                "line": {"color": look.color, "width": 1.5},
                "fill": "tonexty" if index else "tozeroy",
                "fillcolor": _faint(look.color),
                "legendgroup": look.title,
                "showlegend": False,
                "hoverinfo": "skip",
            }
        )
    return traces


def _level(row: Row, most: int) -> dict[str, Any]:
    return {
        "type": "scatter",
        "x": [0, most],
        "y": [row.total, row.total],
        "mode": "lines",
        "line": {"color": GREY, "width": 3, "dash": "dash"},
        "name": row.title.partition(",")[0],
        "hovertemplate": f"{row.title}: {row.total:.4g} GMAC<extra></extra>",
    }


def _mark(x: float, y: float, symbol: str, name: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "x": [x],
        "y": [y],
        "mode": "markers",
        "marker": {"color": GREY if "open" in symbol else PURPLE, "symbol": symbol, "size": 13, "line": {"width": 2.5}},
        "name": name,
        "cliponaxis": False,
        "hovertemplate": "N = %{x:.0f}: %{y:.4g} GMAC<extra></extra>",
    }


@dataclass(frozen=True, slots=True)
class Measured:
    """A detector that was measured: GMACs by stage and milliseconds by step."""

    title: str
    gmacs: dict[str, float]
    milliseconds: dict[str, float]


def time_figure(rows: Sequence[Measured]) -> go.Figure:
    """Shares of the multiply-accumulates and of the time, one above the other, for each detector."""
    places, shares, labels = [], [], []
    for place, row in enumerate(reversed(rows)):
        for offset, values, unit in ((0.08, row.gmacs, "GMAC"), (-0.26, row.milliseconds, "ms")):
            whole = sum(values.values())
            places.append(place + offset)
            shares.append({name: 100 * value / whole for name, value in values.items()})
            labels.append(f"{whole:.3g} {unit}" if whole < 1000 else f"{whole:,.0f} {unit}")
    traces: list[dict[str, Any]] = [
        {
            "type": "bar",
            "orientation": "h",
            "x": [share.get(name, 0.0) for share in shares],
            "y": places,
            "width": 0.3,
            "name": look.title,
            "marker": {"color": look.color, "pattern": {"shape": look.hatch, "solidity": 0.4}},
            "text": ["" if look.hatch or share.get(name, 0) < 3 else f"{share[name]:.0f} %" for share in shares],
            "textposition": "inside",
            "insidetextanchor": "middle",
            "textangle": 0,
            "hovertemplate": f"{look.title}: %{{x:.1f}} %<extra></extra>",
        }
        for name, look in STEP_LOOKS.items()
    ]
    traces.append(
        {
            "type": "scatter",
            "x": [0] * len(rows),
            "y": [place + 0.36 for place in range(len(rows))],
            "mode": "text",
            "text": [row.title for row in reversed(rows)],
            "textposition": "middle right",
            "showlegend": False,
            "hoverinfo": "skip",
        }
    )
    layout = {
        "height": 180 + 100 * len(rows),
        "barmode": "stack",
        "uniformtext": {"mode": "hide", "minsize": 10},
        "margin": {"l": 60, "r": 16, "t": 80, "b": 48},
        "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0, "traceorder": "normal"},
        "xaxis": {"title": {"text": "Share of the whole (%)"}, "range": [0, 100]},
        "yaxis": {
            "showgrid": False,
            "zeroline": False,
            "range": [-0.5, len(rows) - 0.45],
            "tickvals": places,
            "ticktext": labels,
        },
    }
    return unchecked_figure(traces, layout)


def second_stage_figure(points: Sequence[tuple[int, float]]) -> go.Figure:
    """Measured milliseconds of pooling and box head against the number of proposals, and what proportion would be."""
    most, seconds = points[-1]
    traces = [
        {
            "type": "scatter",
            "x": [0, most],
            "y": [0.0, 1000 * seconds],
            "mode": "lines",
            "line": {"color": GREY, "width": 2, "dash": "dash"},
            "name": "In proportion",
            "hoverinfo": "skip",
        },
        {
            "type": "scatter",
            "x": [count for count, _ in points],
            "y": [1000 * seconds for _, seconds in points],
            "mode": "markers",
            "marker": {"color": PURPLE, "size": 11, "symbol": "triangle-up"},
            "name": "Measured",
            "hovertemplate": "%{x} proposals: %{y:.0f} ms<extra></extra>",
        },
    ]
    layout = {
        "height": 300,
        "xaxis": {"title": {"text": "Proposals N"}, "rangemode": "tozero"},
        "yaxis": {"title": {"text": "Pooling and box head (ms)"}, "rangemode": "tozero"},
    }
    return unchecked_figure(traces, layout)


@dataclass(frozen=True, slots=True)
class Point:
    """A detector as it was published, with the MACs counted here; ``ap`` in percent."""

    title: str
    two_stage: bool
    gmacs: float
    ap: float

    @property
    def label(self) -> str:
        """Its name in few letters."""
        return f" {self.title.replace(', ResNet-50', ', R50').replace(', MobileNetV3', ', Mobile')} "


def accuracy_figure(points: Sequence[Point]) -> go.Figure:
    """Published accuracy against cost."""
    traces = []
    for two_stage, name, color, symbol in (
        (False, "One stage", BLUE, "circle"),
        (True, "Two stages", PURPLE, "triangle-up"),
    ):
        kind = [point for point in points if point.two_stage == two_stage]
        traces.append(
            {
                "type": "scatter",
                "x": [point.gmacs for point in kind],
                "y": [point.ap for point in kind],
                "text": [point.label for point in kind],
                "mode": "markers+text",
                # Those of one backbone lie close together: the names of the costlier ones go to the right.
                "textposition": ["middle right" if 140 < point.gmacs < 200 else "middle left" for point in kind],
                "textfont": {"size": 12},
                "marker": {"color": color, "symbol": symbol, "size": 12},
                "name": name,
                "cliponaxis": False,
                "hovertemplate": "%{text}: %{x:.3g} GMAC, AP %{y:.1f}<extra></extra>",
            }
        )
    layout = {
        "height": 420,
        "xaxis": {
            "title": {"text": "GMAC per picture (logarithmic)"},
            "type": "log",
            "range": [-1.5, 3.9],
            "dtick": 1,
        },
        "yaxis": {"title": {"text": "COCO box AP (%)"}, "range": [18, 50]},
    }
    return unchecked_figure(traces, layout)


def _wrapped(title: str) -> str:
    return title.replace(", ", ",<br>")


def _faint(color: str) -> str:
    red, green, blue = (int(color[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.35)"


def _round_up(value: float) -> float:
    """The next of a few round numbers, so that an axis stands still while its curve moves a little."""
    power = 10.0 ** ceil(log10(value) - 1)
    return next(step * power for step in (1, 1.5, 2, 3, 5, 7, 10) if step * power >= value)
