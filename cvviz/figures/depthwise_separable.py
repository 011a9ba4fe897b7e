"""Kinds of convolution: which channel reads which, their kernels, their cost on paper, and their time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
import torch
import torch.nn.functional as F
from torch import Tensor

from cvviz.figures.depthwise_separable_words import KINDS, percent
from cvviz.figures.scene import Box, Path, Scene, Shape, Text
from cvviz.figures.theme import BLUE, COLORS, GREEN, GREY, PURPLE, VERMILLION, colorize, unchecked_figure
from cvviz.ops.conv_variants import BYTES, Conv, Cost
from cvviz.ops.layer_timing import Timing

MOST = 12  # channels drawn in a column
WIDTH, HEAD, HEIGHT, MARGIN = 320, 44, 340, 46
GAP, NOWHERE = 3, 150  # between kernels: pixels, and the grey of no weight


def drawn_channels(layers: Sequence[Conv]) -> tuple[tuple[int, ...], ...]:
    """Channels that are drawn of each map, counted from 0: all of few; of many, some of each of some groups.

    Args:
        layers: one convolution, or a depthwise and a pointwise one.

    Returns:
        A column per map. Every group that is drawn has as many channels as the others.
    """
    if len(layers) > 1:
        inputs = _some(layers[0].inputs, MOST)
        return inputs, inputs, _some(layers[1].outputs, MOST)
    groups = layers[0].groups
    reads, makes = layers[0].inputs // groups, layers[0].outputs // groups
    shown = groups if groups <= 4 else min(groups, MOST // min(4, max(reads, makes)))
    each = MOST // shown
    return tuple(
        tuple(group * size + channel for group in _some(groups, shown) for channel in _some(size, each))
        for size in (reads, makes)
    )


def drawn_groups(layer: Conv, columns: Sequence[Sequence[int]]) -> int:
    """Groups of a layer of which something is drawn."""
    return len({channel * layer.groups // layer.inputs for channel in columns[0]})


def _some(count: int, most: int) -> tuple[int, ...]:
    """All of ``count``, or the first ones and the last."""
    return tuple(range(count)) if count <= most else (*range(most - 1), count - 1)


def wiring_scene(layers: Sequence[Conv], sizes: Sequence[int], *, rectify: bool) -> Scene:
    """Maps as columns of small planes, and a line wherever there is a kernel; one output's lines are thick.

    Args:
        layers: one convolution, or a depthwise and a pointwise one.
        sizes: rows and columns of the input and of the output of each layer.
        rectify: whether a ReLU stands between two layers.
    """
    columns = drawn_channels(layers)
    places = [MARGIN + (WIDTH - 2 * MARGIN) * index / len(layers) for index in range(len(columns))]
    lit = columns[-1][len(columns[-1]) // 2]
    shapes: list[Shape] = []
    for index, layer in enumerate(layers):
        chosen = columns[index + 1] if len(layers) > index + 1 else (lit,)
        shapes += _lines(layer, columns[index : index + 2], places[index : index + 2], chosen)
        middle, k = (places[index] + places[index + 1]) / 2, layer.kernel_size
        words = f"{k} × {k}" + (", ReLU" if rectify and index == 0 and len(layers) > 1 else "")
        shapes.append(Text(x=middle, y=30, text=words, color=VERMILLION, size=12))
    counts = [layers[0].inputs, *(layer.outputs for layer in layers)]
    for index, (column, x, count, size) in enumerate(zip(columns, places, counts, sizes, strict=True)):
        window = layers[index].kernel_size if index < len(layers) else 1
        shapes += _planes(column, x, window, lit if index == len(layers) else -1)
        shapes.append(Text(x=x, y=10, text=f"{count} × {size}²", color=GREY, size=12))
        if index in (0, len(layers)):
            shapes += _numbers(column, x + (28 if index else -28))
    caption = "A line per kernel"
    if any(len(column) < count for column, count in zip(columns, counts, strict=True)):
        caption += f"; drawn: {len(columns[0])} of {counts[0]} inputs, {len(columns[-1])} of {counts[-1]} outputs"
    return Scene(canvas=(WIDTH, HEIGHT), shapes=shapes, caption=caption, max_width=460)


def _heights(count: int) -> list[float]:
    return [HEAD + (HEIGHT - HEAD) * (place + 0.5) / count for place in range(count)]


def _lines(
    layer: Conv, columns: Sequence[Sequence[int]], places: Sequence[float], chosen: Sequence[int]
) -> Iterator[Path]:
    """One zigzag per output, from input to output and back, instead of one line per kernel."""
    reads, makes = layer.inputs // layer.groups, layer.outputs // layer.groups
    others = GREY if layer.groups == 1 else ""  # where all read all, one output would drown among its like
    sources = list(zip(columns[0], _heights(len(columns[0])), strict=True))
    left, right = places[0] + 11, places[1] - 11
    order = {group: index for index, group in enumerate(sorted({channel // makes for channel in columns[1]}))}
    outputs = zip(columns[1], _heights(len(columns[1])), strict=True)
    for channel, height in sorted(outputs, key=lambda output: output[0] in chosen):
        group = channel // makes
        near = [y for source, y in sources if source // reads == group]
        points = [point for y in near for point in ((right, height), (left, y))]
        thick = channel in chosen
        color, dash = COLORS[order[group] % 4], order[group] // 4 % 2 == 1
        yield Path(points=points, color=color if thick else others or color, width=2.5 if thick else 0.8, dash=dash)


def _planes(column: Sequence[int], x: float, window: int, lit: int) -> Iterator[Box]:
    """Maps as squares, each with the window that is read of it; a map that is made has one pixel marked."""
    side = min(20.0, 0.8 * (HEIGHT - HEAD) / len(column))
    half = side / 2 * min(window / 8, 1)
    for channel, y in zip(column, _heights(len(column)), strict=True):
        corners = (x - side / 2, y - side / 2, x + side / 2, y + side / 2)
        strong = channel == lit
        yield Box(xyxy=corners, color=GREY, width=2.5 if strong else 1, fill=0.25, tip=f"Channel {channel + 1}")
        yield Box(xyxy=(x - half, y - half, x + half, y + half), color=VERMILLION, width=0, fill=0.9)


def _numbers(column: Sequence[int], x: float) -> Iterator[Text]:
    """Numbers of the channels, from 1, with dots where some are left out."""
    heights = _heights(len(column))
    for place, (channel, y) in enumerate(zip(column, heights, strict=True)):
        yield Text(x=x, y=y, text=str(channel + 1), color=GREY, size=11)
        if place and channel > column[place - 1] + 1:
            yield Text(x=x, y=(y + heights[place - 1]) / 2, text="⋮", color=GREY, size=11)


def kernels_scene(kernels: Tensor, connected: Tensor, *, lit: int, patterns: Tensor | None, caption: str) -> Scene:
    """Kernels as a table, a row per output and a column per input, and grey where there is none.

    Args:
        kernels: (n, m, k, k) of the channels that are drawn.
        connected: (n, m) bool.
        lit: row to frame.
        patterns: (m, k', k') of the depthwise half, drawn above; None for none.
        caption: of the scene.
    """
    outputs, inputs = connected.shape
    above = 0.0 if patterns is None else 1.5  # rows of tiles: the patterns and a gap
    tile = min(40, WIDTH // inputs - GAP - 1, int(HEIGHT / (outputs + above)) - GAP - 1)
    body = _tiles(kernels, connected, tile)
    head = body[:, :0]
    if patterns is not None:
        head = _tiles(patterns[None], torch.ones(1, inputs, dtype=torch.bool), tile)
        head = F.pad(head, (0, 0, 0, tile // 2), value=NOWHERE)
    sheet = torch.cat([head, body], dim=1)
    (height, width), (left, top) = sheet.shape[1:], ((WIDTH - sheet.shape[2]) // 2, (HEIGHT - sheet.shape[1]) // 2)
    pixels = F.pad(sheet, (left, WIDTH - left - width, top, HEIGHT - top - height), value=NOWHERE)
    row = top + head.shape[1] + lit * (tile + GAP)
    frame = Box(xyxy=(left + 1, row + 1, left + width - 1, row + tile + 2 * GAP - 1), color=GREEN, width=2.5)
    return Scene(pixels=pixels, shapes=[frame], caption=caption, exact=True, max_width=460)


def _tiles(kernels: Tensor, connected: Tensor, tile: int) -> Tensor:
    """(3, rows, columns) picture of (n, m, k, k) kernels, framed by the grey of no weight."""
    outputs, inputs, k, _ = kernels.shape
    values = kernels.transpose(1, 2).reshape(outputs * k, inputs * k)
    most = 2 * float(kernels[connected].std(correction=0)) or 1.0  # stronger weights take the colour of the end
    colors = colorize(values, scale="signed", low=-most, high=most)
    colors = F.interpolate(colors[None], (outputs * tile, inputs * tile), mode="nearest")[0]
    mask = connected.repeat_interleave(tile, 0).repeat_interleave(tile, 1)
    colors = torch.where(mask, colors, torch.tensor(NOWHERE, dtype=torch.uint8))
    apart = F.pad(colors.reshape(3, outputs, tile, inputs, tile), (0, GAP, 0, 0, 0, GAP), value=NOWHERE)
    return F.pad(apart.flatten(3).flatten(1, 2), (GAP, 0, GAP, 0), value=NOWHERE)


def cost_figure(costs: Mapping[str, Cost], *, chosen: str) -> go.Figure:
    """Weights and MACs as shares of the standard convolution above, least memory traffic below; one kind is lit.

    The separable convolution's bar is made of the depthwise and the pointwise one.

    Args:
        costs: kind -> cost, "standard" among them.
        chosen: the kind that is lit.
    """
    light = [1.0 if name == chosen else 0.45 for name in costs]
    labels = [f"<b>{KINDS[name]}</b>" if name == chosen else KINDS[name] for name in costs]
    shares = {name: 100 * each.macs / costs["standard"].macs for name, each in costs.items()}
    halves = {"depthwise": VERMILLION, "pointwise": BLUE}
    most = max(each.traffic for each in costs.values())
    unit, scale = ("kB", 1e3) if most < 1e5 else ("MB", 1e6)
    words = [f"{each.traffic / scale:.3g} {unit}, {each.intensity:.3g} MAC/B" for each in costs.values()]
    parts = {
        "Input and output": (GREEN, "", [BYTES * each.ends / scale for each in costs.values()]),
        "Map between": (PURPLE, "x", [BYTES * each.between / scale for each in costs.values()]),
        "Weights": (GREY, "/", [BYTES * each.parameters / scale for each in costs.values()]),
    }
    own = [share if name != "separable" else shares["depthwise"] for name, share in shares.items()]
    rest = [0.0 if name != "separable" else share - shares["depthwise"] for name, share in shares.items()]
    colors = [halves.get(name, VERMILLION if name == "separable" else GREY) for name in costs]
    traces = [
        _bar(labels, own, colors, light, "x"),
        _bar(labels, rest, [BLUE] * len(costs), light, "x"),
        *(
            _bar(labels, values, [color] * len(costs), light, "x2", name, hatch)
            for name, (color, hatch, values) in parts.items()
        ),
        _label(labels, list(shares.values()), [percent(share) for share in shares.values()], "x"),
        _label(labels, [each.traffic / scale for each in costs.values()], words, "x2"),
    ]
    widest = max(100.0, *shares.values())
    row = {"title": {"text": ""}, "autorange": "reversed", "showgrid": False}
    layout = {
        "height": 240 + 52 * len(costs),
        "barmode": "stack",
        "bargap": 0.25,
        "margin": {"l": 60, "r": 16, "t": 8, "b": 104},
        "legend": {
            "orientation": "h",
            "x": 0,
            "y": 0,
            "yref": "container",
            "yanchor": "bottom",
            "traceorder": "normal",
        },
        "xaxis": {"title": {"text": "Weights and MACs (% of standard)"}, "range": [0, 1.18 * widest], "anchor": "y"},
        "yaxis": row | {"domain": [0.62, 1]},
        "xaxis2": {
            "title": {"text": f"Least memory traffic ({unit})"},
            "range": [0, 1.9 * most / scale],
            "anchor": "y2",
        },
        "yaxis2": row | {"domain": [0, 0.38], "anchor": "x2"},
    }
    return unchecked_figure(traces, layout)


def _bar(
    labels: list[str],
    values: list[float],
    colors: list[str],
    light: list[float],
    axis: str,
    name: str = "",
    hatch: str = "",
) -> dict[str, Any]:
    return {
        "type": "bar",
        "orientation": "h",
        "x": values,
        "y": labels,
        "xaxis": axis,
        "yaxis": axis.replace("x", "y"),
        "name": name,
        "showlegend": bool(name),
        "marker": {"color": colors, "opacity": light, "pattern": {"shape": hatch, "solidity": 0.35}},
        "hovertemplate": f"{name} %{{x:.3g}}<extra></extra>",
    }


def _label(labels: list[str], values: list[float], words: list[str], axis: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "x": values,
        "y": labels,
        "text": [f" {word}" for word in words],
        "mode": "text",
        "textposition": "middle right",
        "xaxis": axis,
        "yaxis": axis.replace("x", "y"),
        "cliponaxis": False,
        "showlegend": False,
        "hoverinfo": "skip",
    }


def time_figure(timings: Mapping[str, Timing]) -> go.Figure:
    """Measured times beside those that MACs and memory traffic would lead one to expect.

    Args:
        timings: kind -> what was measured, "standard" among them.
    """
    labels = [KINDS[name] for name in timings]
    whole = timings["standard"]
    marks = {
        "If time followed the MACs": (
            BLUE,
            "circle-open",
            [whole.seconds["NCHW"] * each.cost.macs / whole.cost.macs for each in timings.values()],
        ),
        "Copying as many bytes": (PURPLE, "triangle-up-open", [each.copying for each in timings.values()]),
        "Measured, NCHW": (VERMILLION, "square", [each.seconds["NCHW"] for each in timings.values()]),
        "Measured, channels last": (GREEN, "diamond", [each.seconds["NHWC"] for each in timings.values()]),
    }
    traces = [
        {
            "type": "scatter",
            "x": [1000 * seconds for seconds in times],
            "y": labels,
            "mode": "markers",
            "marker": {"color": color, "symbol": symbol, "size": 12, "line": {"width": 2, "color": color}},
            "name": name,
            "hovertemplate": f"{name}: %{{x:.3g}} ms<extra>%{{y}}</extra>",
        }
        for name, (color, symbol, times) in marks.items()
    ]
    layout = {
        "height": 190 + 34 * len(labels),
        "margin": {"l": 60, "r": 16, "t": 84, "b": 48},
        "xaxis": {"title": {"text": "Time (ms, logarithmic)"}, "type": "log", "exponentformat": "none"},
        "yaxis": {"title": {"text": ""}, "autorange": "reversed", "type": "category"},
    }
    return unchecked_figure(traces, layout)
