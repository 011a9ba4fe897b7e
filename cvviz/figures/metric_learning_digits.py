"""Digits embedded by a network: where each test scan lies after every epoch, and how well neighbours agree."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import torch
from torch import Tensor

from cvviz.figures.theme import BLUE, COLORS, GREEN, GREY, PURPLE, VERMILLION, unchecked_figure

FLOOR = 1e-4  # of what is shown on a logarithmic axis


@lru_cache(maxsize=8)  # plotly validates every frame
def embedding_figure(places: Tensor, labels: Tensor, *, titles: tuple[str, str]) -> go.Figure:
    """Every test scan as its digit, with a slider over the epochs.

    Args:
        places: (E, N, 2); the last is shown first.
        labels: (N,) digits.
        titles: of the axes.
    """
    data = places.float().numpy()
    low, high = data.min(axis=(0, 1)), data.max(axis=(0, 1))
    room = 0.05 * (high - low) + 1e-6
    digits = labels.tolist()
    base: dict[str, Any] = {
        "type": "scatter",
        "mode": "text",
        "text": [str(digit) for digit in digits],
        "textfont": {"size": 12, "color": [COLORS[digit % len(COLORS)] for digit in digits]},
        "hovertemplate": "%{text}: %{x:.3f}, %{y:.3f}<extra></extra>",
        "showlegend": False,
    }
    frames = [
        {"name": str(epoch), "data": [{"type": "scatter", "x": rows[:, 0], "y": rows[:, 1]}]}
        for epoch, rows in enumerate(data)
    ]
    layout: dict[str, Any] = {
        "height": 560,
        "margin": {"l": 60, "r": 16, "t": 48, "b": 120},
        "xaxis": {"title": {"text": titles[0]}, "range": [float(low[0] - room[0]), float(high[0] + room[0])]},
        "yaxis": {"title": {"text": titles[1]}, "range": [float(low[1] - room[1]), float(high[1] + room[1])]},
        "sliders": [_slider(len(data))],
        "updatemenus": [_play()],
    }
    figure = unchecked_figure([{**base, "x": data[-1, :, 0], "y": data[-1, :, 1]}], layout)
    figure.frames = frames
    return figure


def _animate(frames: Any, pause: int) -> list[Any]:
    return [frames, {"mode": "immediate", "frame": {"duration": pause, "redraw": True}, "transition": {"duration": 0}}]


def _slider(epochs: int) -> dict[str, Any]:
    steps = [{"method": "animate", "label": str(epoch), "args": _animate([str(epoch)], 0)} for epoch in range(epochs)]
    return {
        "active": epochs - 1,
        "steps": steps,
        "currentvalue": {"prefix": "Epoch ", "xanchor": "right"},
        "pad": {"t": 50, "b": 0},
    }


def _play() -> dict[str, Any]:
    return {
        "type": "buttons",
        "showactive": False,
        "x": 1,
        "y": 1,
        "xanchor": "right",
        "yanchor": "bottom",
        "pad": {"b": 6},
        "bgcolor": "rgba(128,128,128,0.15)",
        "buttons": [{"method": "animate", "label": "Play", "args": _animate(None, 150)}],
    }


def course_figure(
    loss: Tensor, spread: Tensor, shares: dict[str, Tensor], *, raw: tuple[float, float], margin: float | None
) -> go.Figure:
    """Recall@1, R-precision and the share that still pushes above; loss and spread below.

    Args:
        loss, spread: (E,).
        shares: three of (E,), by name.
        raw: recall@1 and R-precision of the pixels.
        margin: where a collapsed triplet loss lies, or None.
    """
    looks = ((BLUE, "solid", "circle"), (GREEN, "dash", "square"), (PURPLE, "dot", "diamond"))
    both = torch.stack([loss, spread]).clamp(min=FLOOR)
    ends = [float(both.min().log10()) - 0.2, float(both.max().log10()) + 0.3]
    x = list(range(len(loss)))
    traces = [_curve(x, values, name, look, "y") for (name, values), look in zip(shares.items(), looks, strict=True)]
    traces += [
        _curve(x, both[0], "Loss", (VERMILLION, "solid", "circle"), "y2"),
        _curve(x, both[1], "Spread", (GREY, "dash", "square"), "y2"),
    ]
    rules = [_rule(raw[0], BLUE, "y"), _rule(raw[1], GREEN, "y")]
    notes = [_note(raw[0], "pixels: recall@1", BLUE, "y"), _note(raw[1], "pixels: R-precision", GREEN, "y")]
    if margin is not None:
        rules.append(_rule(margin, VERMILLION, "y2"))
        notes.append(_note(math.log10(margin), "margin", VERMILLION, "y2"))
    layout = {
        "height": 520,
        "margin": {"l": 60, "r": 16, "t": 64, "b": 48},
        "hovermode": "x unified",
        "xaxis": {"title": {"text": "Epoch"}, "range": [0, max(len(x) - 1, 1)], "anchor": "y2"},
        "yaxis": {"title": {"text": "Share"}, "range": [0, 1.05], "tickformat": ".0%", "domain": [0.46, 1]},
        "yaxis2": {"title": {"text": "Loss, spread"}, "type": "log", "range": ends, "dtick": 1}
        | {"exponentformat": "power"}
        | {"domain": [0, 0.36]},
        "shapes": rules,
        "annotations": notes,
    }
    return unchecked_figure(traces, layout)


def _curve(x: list[int], y: Tensor, name: str, look: tuple[str, str, str], axis: str) -> dict[str, Any]:
    color, dash, symbol = look
    return {
        "type": "scatter",
        "x": x,
        "y": y.float().numpy(),
        "yaxis": axis,
        "name": name,
        "mode": "lines+markers",
        "line": {"color": color, "dash": dash, "width": 2},
        "marker": {"symbol": symbol, "size": 5},
        "hovertemplate": "%{y:.1%}" if axis == "y" else "%{y:.4f}",
    }


def _rule(y: float, color: str, axis: str) -> dict[str, Any]:
    line = {"color": color, "width": 1, "dash": "dot"}
    return {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "yref": axis, "y0": y, "y1": y, "line": line}


def _note(y: float, text: str, color: str, axis: str) -> dict[str, Any]:
    place = {"xref": "paper", "x": 1, "xanchor": "right", "yref": axis, "y": y, "yanchor": "top"}
    return {**place, "text": text, "showarrow": False, "font": {"size": 11, "color": color}}


def retrieval_table(rows: Sequence[tuple[str, Sequence[tuple[float, float]]]], unseen: Sequence[int]) -> pd.DataFrame:
    """Recall@1 and R-precision, of the digits trained on and of the others.

    Args:
        rows: what was compared, and its two numbers for the digits trained on and for the others, if there are any.
        unseen: these others.
    """
    groups = [" of digits trained on", f" of {unseen[0]} to {unseen[-1]}"] if unseen else [""]
    measures = [(group, number) for group in range(len(groups)) for number in (0, 1)]
    columns = {"Neighbours by": [("Recall@1", "R-precision")[number] + groups[group] for group, number in measures]}
    columns |= {name: [f"{numbers[group][number]:.1%}" for group, number in measures] for name, numbers in rows}
    return pd.DataFrame(columns).set_index("Neighbours by")
