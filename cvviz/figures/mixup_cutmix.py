"""The stage and the charts of Mixup and CutMix: pictures over the bars of their labels, losses, and draws of lambda."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from scipy.special import betainc
from torch import Tensor
from torch.nn.functional import pad
from torchvision.transforms.v2 import functional as tv

from cvviz.figures.scene import XYXY, Box, Dot, Scene, Shape, Text
from cvviz.figures.theme import BLUE, DASHES, GREEN, GREY, PURPLE, SYMBOLS, VERMILLION, new_figure

FIRST, SECOND, WHITE = BLUE, VERMILLION, "#FFFFFF"
_SHOWN = 300  # screen pixels across a mixed picture: two of them fit side by side beside the controls
_ROW, _GAP = 26, 3  # height of a bar and of the space over it, in screen pixels


def scenes(
    inputs: tuple[Tensor, Tensor],
    mixtures: tuple[Tensor, Tensor],
    weights: tuple[float, float],
    *,
    lam: float,
    box: XYXY,
    center: tuple[int, int],
) -> tuple[Scene, Scene, Scene, Scene]:
    """Mixup and CutMix over the bars of their labels, and the two inputs, small.

    Args:
        inputs: first and second picture, (3, H, W), floating point in [0, 1].
        mixtures: Mixup and CutMix of them.
        weights: of the first class in their labels.
        lam: nominal weight of the first.
        box: what CutMix pasted, in pixels.
        center: of the patch before clipping, in pixels.
    """
    label, exact = ((weight, f"first {weight:.3f}", f"second {1 - weight:.3f}") for weight in weights)
    nominal = (lam, f"λ {lam:.3f}", f"1 − λ {1 - lam:.3f}")
    patch: list[Shape] = []
    if box[2] > box[0] and box[3] > box[1]:  # the colour on white, so that it shows on any picture
        patch += [Box(xyxy=box, color=WHITE, width=4), Box(xyxy=box, color=SECOND, dash=True, tip="the pasted patch")]
    x, y = center
    patch += [Dot(x=x, y=y, color=WHITE, radius=6), Dot(x=x, y=y, color=SECOND, tip="centre before clipping")]
    return (
        _mixed(mixtures[0], [label], [], caption="Mixup, and its label"),
        _mixed(mixtures[1], [exact, nominal], patch, caption="CutMix, its label, and λ"),
        _input(inputs[0], caption="First", color=FIRST),
        _input(inputs[1], caption="Second", color=SECOND),
    )


def _input(image: Tensor, *, caption: str, color: str) -> Scene:
    small = tv.resize(image, [max(1, side // 2) for side in image.shape[1:]], antialias=True)
    height, width = small.shape[1:]
    frame = Box(xyxy=(0, 0, width, height), color=color, width=6)
    return Scene(pixels=_to_bytes(small), shapes=[frame], caption=caption, max_width=_SHOWN // 2)


def _mixed(image: Tensor, bars: Sequence[tuple[float, str, str]], shapes: Sequence[Shape], *, caption: str) -> Scene:
    """Picture over bars, each with the share of its first part and the words for both parts."""
    height, width = image.shape[1:]
    unit = width / _SHOWN  # picture pixels per screen pixel
    drawn = list(shapes)
    for row, (share, first, second) in enumerate(bars):
        top = height + unit * (_GAP + row * (_ROW + _GAP))
        drawn += _bar(share, first, second, top=top, bottom=top + unit * _ROW, width=width)
    below = max(1, round(unit * len(bars) * (_ROW + _GAP)))
    pixels = pad(_to_bytes(image), (0, 0, 0, below), value=128)
    return Scene(pixels=pixels, shapes=drawn, caption=caption, max_width=_SHOWN)


def _bar(share: float, first: str, second: str, *, top: float, bottom: float, width: int) -> list[Shape]:
    cut = share * width
    parts: list[Shape] = []
    for x1, x2, color, words in ((0.0, cut, FIRST, first), (cut, float(width), SECOND, second)):
        if x2 > x1:
            parts.append(Box(xyxy=(x1, top, x2, bottom), color=color, width=0, fill=1, tip=words))
        if _SHOWN * (x2 - x1) / width > 8 * len(words):
            parts.append(Text(x=(x1 + x2) / 2, y=(top + bottom) / 2, text=words, color=color, plate=True))
    return parts


def _to_bytes(image: Tensor) -> Tensor:
    return image.clamp(0, 1).mul(255).round().byte()


def loss_figure(p: float, weights: Sequence[tuple[str, float]]) -> go.Figure:
    """Cross-entropy against the probability of the first class, for labels that give it the weights named.

    Args:
        p: current prediction, marked on each curve.
        weights: up to three (name, weight of the first class); the first is drawn grey.
    """
    figure = new_figure(x_title="Predicted probability of the first class", y_title="Cross-entropy (nats)", height=320)
    at = np.linspace(0.005, 0.995, 199)
    styles = zip((GREY, GREEN, PURPLE), DASHES, SYMBOLS, strict=False)
    for (name, weight), (color, dash, symbol) in zip(weights, styles, strict=False):
        line = {"color": color, "dash": dash, "width": 2.5}
        figure.add_scatter(x=_small(at), y=_small(_loss(at, weight)), name=name, line=line, hoverinfo="skip")
        here = np.array([p])
        marker = {"color": color, "symbol": symbol, "size": 11}
        figure.add_scatter(
            x=here, y=_loss(here, weight), name=name, mode="markers", marker=marker, showlegend=False,
            hovertemplate="loss %{y:.3f}",
        )  # fmt: skip
    figure.update_xaxes(range=[0, 1])
    return figure.update_yaxes(range=[0, 5])


def _loss(p: NDArray[np.float64], weight: float) -> NDArray[np.float64]:
    return np.asarray(-weight * np.log(p) - (1 - weight) * np.log(1 - p))


def draws_figure(alpha: float, lam: float) -> go.Figure:
    """How often Beta(alpha, alpha) draws a lambda from each twentieth of [0, 1], and the one drawn now."""
    figure = new_figure(x_title="λ, nominal weight of the first picture", y_title="Share of steps (%)", height=260)
    edges = np.linspace(0, 1, 21)
    share = 100 * np.diff(betainc(alpha, alpha, edges))
    tip = "%{y:.1f} % of steps<extra></extra>"
    figure.add_bar(
        x=_small(edges[:-1] + 0.025), y=_small(share), marker={"color": GREY}, width=0.046, hovertemplate=tip
    )
    line, side = {"color": VERMILLION, "width": 3}, "top right" if lam < 0.5 else "top left"
    figure.add_vline(x=lam, line=line, annotation_text=f"λ = {lam:.3f}", annotation_position=side)
    figure.update_xaxes(range=[-0.01, 1.01])
    return figure.update_yaxes(range=[0, 50])


def _small(values: NDArray[np.float64]) -> NDArray[np.float32]:
    return values.astype(np.float32)
