"""What a unit sees: a picture lit by its gradient, the gradient itself, and growth along the network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
import torch
from torch import Tensor
from torch.nn import functional as F

from cvviz.figures.theme import BLUE, GREEN, GREY, VERMILLION, colorize, new_figure

SIDE = 480  # longest side of a picture on the stage
FLOOR = 1e-9  # relative gradient at the dark end of the scale
# The mean of ImageNet in 0..255: what zero padding looks like once a picture has been normalised.
PADDING = (124, 116, 104)
PALE = 225  # grey of what a threshold cuts away; no colour of the scale
SHADE = 0.35  # brightness where no gradient arrives


def framed(pixels: Tensor, margin: int) -> Tensor:
    """Square picture (3, n, n) in a frame of padding, at most ``SIDE`` wide; float, 0 to 255."""
    frame = torch.tensor(PADDING, dtype=torch.float32)[:, None, None]
    canvas = frame.repeat(1, *(side + 2 * margin for side in pixels.shape[1:]))  # [3, n + 2m, n + 2m]
    canvas[:, margin : margin + pixels.shape[1], margin : margin + pixels.shape[2]] = pixels
    return shrunk(canvas)


def lit(canvas: Tensor, relative: Tensor, top: int, left: int, side: int) -> Tensor:
    """The framed picture, each pixel as bright as its gradient.

    Args:
        canvas: (3, S, S) from ``framed``.
        relative: (size, size) gradient, its peak 1.
        top, left: place of the field on the canvas before it was shrunk, in pixels; it may hang over.
        side: side of that canvas.

    Returns:
        (3, S, S) uint8.
    """
    light = torch.zeros(side, side)
    rows, columns = ((max(at, 0), min(at + len(relative), side)) for at in (top, left))
    if rows[0] < rows[1] and columns[0] < columns[1]:
        seen = relative[rows[0] - top : rows[1] - top, columns[0] - left : columns[1] - left]
        light[rows[0] : rows[1], columns[0] : columns[1]] = seen
    return (canvas * (SHADE + (1 - SHADE) * shrunk(light[None]))).round().to(torch.uint8)


def shrunk(pixels: Tensor) -> Tensor:
    """(C, H, H) at most ``SIDE`` wide."""
    if pixels.shape[-1] <= SIDE:
        return pixels
    return F.interpolate(pixels[None], size=(SIDE, SIDE), mode="area")[0]


def heat(relative: Tensor) -> tuple[Tensor, Tensor]:
    """Colours of a gradient on a log scale from ``FLOOR`` to 1, and the gradient at the same size.

    Shrinking keeps the largest value of each cell, so that a threshold cuts the same extent.
    """
    if len(relative) > SIDE:
        relative = F.adaptive_max_pool2d(relative[None, None], SIDE)[0, 0]
    return colorize(relative.clamp(min=FLOOR).log10(), low=float(np.log10(FLOOR)), high=0.0), relative


def cut(colors: Tensor, relative: Tensor, threshold: float) -> Tensor:
    """``heat`` with all below the threshold pale."""
    return torch.where(relative >= threshold, colors, torch.full_like(colors, PALE))


def growth_chart(
    sizes: Sequence[int], effective: Sequence[int], jumps: Sequence[int], *, input_size: int, chosen: int
) -> go.Figure:
    """Field, effective field and jump along the steps of a network, the input first.

    Args:
        sizes: field after each step, in pixels.
        effective: rows that hold 95 % of the gradient; 0 where that was not measured.
        jumps: pixels between neighbouring units.
        input_size: side of the input in pixels, drawn as a line.
        chosen: step to mark.
    """
    figure = new_figure(x_title="Step (0 is the input)", y_title="Input pixels", height=360)
    steps = np.arange(len(sizes), dtype=np.int16)
    measured = [size or np.nan for size in effective]
    for name, values, color, dash in (
        ("Receptive field", sizes, BLUE, "solid"),
        ("Rows with 95 % of the gradient", measured, VERMILLION, "dash"),
        ("Jump", jumps, GREEN, "dot"),
    ):
        line = {"color": color, "dash": dash, "width": 2}
        data = np.array(values, dtype=np.float32)
        figure.add_trace(go.Scatter(x=steps, y=data, name=name, mode="lines", line=line))
    marker = {"color": BLUE, "size": 10}
    at = np.array([sizes[chosen]], dtype=np.float32)
    figure.add_trace(
        go.Scatter(x=steps[chosen : chosen + 1], y=at, mode="markers", marker=marker, showlegend=False, name="Chosen")
    )
    figure.add_hline(
        y=input_size,
        line={"color": GREY, "width": 1, "dash": "dash"},
        annotation={"text": f"input: {input_size} px", "font": {"color": GREY}, "xanchor": "right"},
    )
    figure.update_yaxes(rangemode="tozero")
    return figure
