"""What a shift of the input does to poolings: pictures before and after, curves over shifts, digits recognised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd
import plotly.graph_objects as go
import torch
from torch import Tensor

from cvviz.figures.pooling import aligned
from cvviz.figures.scene import Box, Scene, Shape, Text
from cvviz.figures.theme import BLUE, GREEN, GREY, PURPLE, VERMILLION, colorize, unchecked_figure
from cvviz.ops.shift import Kind

TITLES: dict[Kind, str] = {
    "subsample": "Every s-th pixel",
    "max": "Max",
    "average": "Average",
    "lp": "Lp",
    "blur": "Max, blurred before the stride",
    "global": "Global average",
}
SHORT: dict[Kind, str] = {"blur": "Max + blur", "global": "Global", "subsample": "Every s-th"}


class Look(NamedTuple):
    """Colour, dash and marker of a curve."""

    color: str
    dash: str
    symbol: str


LOOKS: dict[Kind, Look] = {
    "subsample": Look(GREY, "dash", "x"),
    "max": Look(VERMILLION, "solid", "circle"),
    "average": Look(BLUE, "solid", "square"),
    "lp": Look(PURPLE, "dash", "diamond"),
    "blur": Look(GREEN, "solid", "triangle-up"),
    "global": Look(GREY, "dot", "line-ew"),
}
# Of digit networks, in their order: those of the poolings above, flattened maps, training on shifted digits.
DIGIT_LOOKS = (
    *(LOOKS[kind] for kind in ("subsample", "max", "average", "blur")),
    Look(PURPLE, "dash", "diamond"),
    Look(VERMILLION, "dot", "star"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shifted:
    """A shift of the input, and what every pooling makes of it.

    Args:
        kind: the pooling shown.
        stride: its stride in px.
        shift: how far the input is shifted, in px.
        image: (H, W) after the shift.
        before, after: (h, w), the pooling's outputs.
        moved: (h, w), ``before`` moved along with the input, by fractions of a pixel.
        errors: (K, 2, D) of invariance and equivariance at shifts of 0 to D - 1 px, K in the order of ``TITLES``.
    """

    kind: Kind
    stride: int
    shift: int
    image: Tensor
    before: Tensor
    after: Tensor
    moved: Tensor
    errors: Tensor

    @property
    def now(self) -> tuple[float, float]:
        """Errors of invariance and equivariance of the pooling shown, at this shift."""
        invariance, equivariance = self.errors[list(TITLES).index(self.kind), :, self.shift].tolist()
        return invariance, equivariance

    @property
    def exact(self) -> bool:
        """Whether the outputs move by whole pixels."""
        return self.shift % self.stride == 0

    @property
    def step(self) -> str:
        """How far the output should move, in its own pixels."""
        return f"{self.shift // self.stride}" if self.exact else f"{self.shift}/{self.stride}"

    def stage(self) -> list[Scene]:
        """Input, outputs, and what is wrong with the output if it should have stayed, or moved along."""
        low, high = float(self.before.min()), float(self.before.max())
        reach = (high - low) / 2 or 1.0
        invariance, equivariance = self.now
        size = "{1} × {0}".format(*self.after.shape)
        single = self.after.numel() == 1
        grey = [(self.before, f"Output before: {size}"), (self.after, f"Output after: {size}")]
        wrong = []
        if not single:
            grey.append((self.moved, f"Before, moved by {self.step}"))
            wrong.append((self.after - self.before, f"After − before: {invariance:.3f}"))
            wrong.append((self.after - self.moved, f"After − moved: {equivariance:.3f}"))
        return [
            _scene(_grey(self.image, 0.0, float(self.image.max())), f"Input, moved by {self.shift} px"),
            *(_scene(_grey(map_, low, high), caption, map_ if single else None) for map_, caption in grey),
            *(_scene(colorize(map_, scale="signed", low=-reach, high=reach), caption) for map_, caption in wrong),
        ]

    def words(self) -> str:
        """What the pictures show."""
        invariance, equivariance = self.now
        verdict = (
            "it did not change" if invariance < 1e-9 else f"it changed by {invariance:.3f} of its standard deviation"
        )
        along = (
            "and it equals the output before, moved by whole pixels"
            if self.exact
            else f"and it is {equivariance:.3f} away from the output before moved by {self.shift}/{self.stride} pixels"
        )
        height, width = self.after.shape
        return (
            f"The input is shifted by {self.shift} px, its far edge coming in again. Output of "
            f"“{TITLES[self.kind]}”, {width} × {height}, before and after: {verdict}, {along}."
        )

    def formula(self) -> str:
        """Both errors."""
        invariance, equivariance = self.now
        along = "" if self.kind == "global" else rf"S_{{{self.step}}}\,"
        return aligned(
            rf"\text{{change}} &= \lVert P(S_{{{self.shift}}}\,x)-P(x)\rVert\,/\,\sigma = {invariance:.4f}",
            rf"\text{{not moved}} &= \lVert P(S_{{{self.shift}}}\,x)-{along}P(x)\rVert\,/\,\sigma = {equivariance:.4f}",
        )

    def checked(self) -> Tensor:
        """All errors."""
        return self.errors

    def table(self) -> pd.DataFrame:
        """Errors of every pooling at every shift."""
        shifts = range(self.errors.shape[2])
        rows = [(TITLES[kind], shift) for kind in TITLES for shift in shifts]
        errors = self.errors.transpose(1, 2).reshape(-1, 2)  # [K * D, 2]
        frame = pd.DataFrame(rows, columns=["pooling", "shift in px"])
        frame["change"], frame["not moved along"] = errors.numpy().T
        return frame

    def standings(self) -> pd.DataFrame:
        """Errors of every pooling at this shift."""
        rows = [
            (TITLES[kind], *errors) for kind, errors in zip(TITLES, self.errors[:, :, self.shift].tolist(), strict=True)
        ]
        names = [f"After a shift by {self.shift} px", "Change (σ)", "Not moved along (σ)"]
        return pd.DataFrame([(name, f"{first:.3f}", f"{second:.3f}") for name, first, second in rows], columns=names)

    def chart(self) -> go.Figure:
        """Errors over shifts: of invariance above, of equivariance below; dotted uprights where the stride divides."""
        shifts = torch.arange(self.errors.shape[2])
        traces: list[dict[str, Any]] = []
        for kind, errors in zip(TITLES, self.errors.float().numpy(), strict=True):
            for row, values in enumerate(errors):
                traces.append(
                    {
                        "type": "scatter",
                        "x": shifts.numpy(),
                        "y": values,
                        "yaxis": "y2" if row else "y",
                        "name": _name(kind),
                        "legendgroup": kind,
                        "showlegend": not row,
                        "mode": "lines+markers",
                        "line": {
                            "color": LOOKS[kind].color,
                            "dash": LOOKS[kind].dash,
                            "width": 4 if kind == self.kind else 2,
                        },
                        "marker": {"symbol": LOOKS[kind].symbol, "size": 7, "color": LOOKS[kind].color},
                        "hovertemplate": "%{y:.3f}",
                    }
                )
        here = {"color": GREY, "width": 3}
        uprights = [
            _upright(at, {"color": GREY, "width": 1, "dash": "dot"}) for at in range(0, len(shifts), self.stride)
        ]
        layout = {
            "height": 520,
            "hovermode": "x unified",
            "xaxis": {"title": {"text": "Shift of the input (px)"}, "anchor": "y2", "range": [-0.3, len(shifts) - 0.7]},
            "yaxis": {"title": {"text": "Change (σ)"}, "domain": [0.53, 1.0], "rangemode": "tozero"},
            "yaxis2": {"title": {"text": "Not moved along (σ)"}, "domain": [0.0, 0.47], "rangemode": "tozero"},
            "shapes": [*uprights, _upright(self.shift, here)],
        }
        return unchecked_figure(traces, layout)


def _upright(at: float, line: dict[str, Any]) -> dict[str, Any]:
    return {"type": "line", "x0": at, "x1": at, "yref": "paper", "y0": 0, "y1": 1, "line": line, "layer": "below"}


def _name(kind: Kind) -> str:
    return SHORT.get(kind, TITLES[kind])


def _grey(values: Tensor, low: float, high: float) -> Tensor:
    span = high - low if high - low > 1e-12 else 1.0
    shown = (values - low) / span if high - low > 1e-12 else values  # a flat map keeps its own grey
    return (shown.clamp(0, 1) * 255).round().to(torch.uint8).expand(3, -1, -1)


def _scene(pixels: Tensor, caption: str, value: Tensor | None = None) -> Scene:
    _, height, width = pixels.shape
    shapes: list[Shape] = [Box(xyxy=(0, 0, width, height), color=GREY, width=2)]  # white pictures end somewhere too
    if value is not None:
        shapes.append(Text(x=0.5, y=0.5, text=f"{float(value):.6f}", plate=True, color=GREY))
    return Scene(pixels=pixels, shapes=shapes, caption=caption, exact=True, max_width=171)


def digits_figure(accuracy: Sequence[tuple[str, Tensor]], *, stride: int = 4) -> go.Figure:
    """Accuracy of digit networks on shifted digits.

    Args:
        accuracy: (name, (D,) shares at diagonal shifts of 0 to D - 1 px) of each network.
        stride: of a whole network, in px.
    """
    traces = [
        {
            "type": "scatter",
            "x": torch.arange(len(shares)).numpy(),
            "y": 100 * shares.float().numpy(),
            "name": name,
            "mode": "lines+markers",
            "line": {"color": look.color, "dash": look.dash, "width": 2.5},
            "marker": {"symbol": look.symbol, "size": 8, "color": look.color},
            "hovertemplate": "%{y:.1f} %",
        }
        for (name, shares), look in zip(accuracy, DIGIT_LOOKS, strict=False)
    ]
    most = max(len(shares) for _, shares in accuracy)
    line = {"color": GREY, "width": 1, "dash": "dot"}
    layout = {
        "height": 400,
        "hovermode": "x unified",
        "xaxis": {
            "title": {"text": "Shift of the digits, right and down (px)"},
            "range": [-0.3, most - 0.7],
            "dtick": 1,
        },
        "yaxis": {"title": {"text": "Test accuracy (%)"}, "range": [0, 102]},
        "shapes": [_upright(at, line) for at in range(0, most, stride)],
    }
    return unchecked_figure(traces, layout)
