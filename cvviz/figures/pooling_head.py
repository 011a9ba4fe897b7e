"""Heads of a network: what stands between its last maps and the classes, and what that costs."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import torch
from torch import Tensor

from cvviz.figures.pooling import aligned
from cvviz.figures.theme import BLUE, GREEN, GREY, VERMILLION, unchecked_figure
from cvviz.ops.heads import head_costs, mismatch

HEADS = {
    "flatten": "Flatten",
    "adaptive": "Adaptive 7 × 7, flatten",
    "global": "Global average",
}
LOOKS = {"flatten": (VERMILLION, "dash"), "adaptive": (BLUE, "dot"), "global": (GREEN, "solid")}
GRID = 7  # cells along a side that torchvision's VGG pools to
TRAINED_AT = 224  # px
SIDES = range(1, 17)  # of the last maps


@dataclass(frozen=True, slots=True, kw_only=True)
class Heads:
    """A network's body, and what three heads on it cost.

    Args:
        net: name of the network.
        channels: of its last maps, each a 32nd of the input's side.
        px: side of the input.
        layers: widths of the fully connected layers behind flattening: hidden ones, then the classes.
        body: parameters and multiply-accumulates of the body at ``px``.
    """

    net: str
    channels: int
    px: int
    layers: tuple[int, ...]
    body: tuple[int, int]

    @property
    def side(self) -> int:
        """Cells along a side of the last maps."""
        return self.px // 32

    def costs(self) -> Tensor:
        """(4, 2) float64, parameters and MACs of the body and of each head at this size of the input."""
        heads = head_costs(self.channels, self.side, self.layers, grid=GRID)
        return torch.cat([torch.tensor([self.body], dtype=torch.float64), heads])

    def refusal(self) -> str:
        """What torch says when the flattening head, trained at 224 px, gets this input; "" if it takes it."""
        trained = self.channels * (TRAINED_AT // 32) ** 2
        return mismatch(self.channels * self.side**2, (trained, self.layers[0]))

    def stage(self) -> go.Figure:
        """Parameters of each head against the side of the input."""
        body, sides = self.body[0] / 1e6, 32 * np.array(SIDES)
        sweep = [head_costs(self.channels, side, self.layers, grid=GRID)[:, 0] / 1e6 for side in SIDES]
        traces = [
            {
                "type": "scatter",
                "x": sides,
                "y": values.numpy(),
                "name": HEADS[name],
                "mode": "lines+markers",
                "line": {"color": LOOKS[name][0], "dash": LOOKS[name][1], "width": 2.5},
                "marker": {"size": 6},
                "hovertemplate": "%{y:.4g} M",
            }
            for name, values in zip(HEADS, torch.stack(sweep, dim=1), strict=True)
        ]
        traces.append(
            {
                "type": "scatter",
                "x": sides[[0, -1]],
                "y": np.array([body, body]),
                "name": f"Body of {self.net}",
                "mode": "lines",
                "line": {"color": GREY, "dash": "dashdot", "width": 2.5},
                "hovertemplate": "%{y:.4g} M",
            }
        )
        upright = {"type": "line", "x0": self.px, "x1": self.px, "yref": "paper", "y0": 0, "y1": 1}
        layout = {
            "height": 430,
            "hovermode": "x unified",
            "xaxis": {"title": {"text": "Side of the input (px)"}, "range": [20, 524], "dtick": 64, "tick0": 32},
            "yaxis": {"title": {"text": "Parameters (millions)"}, "type": "log", "exponentformat": "none", "dtick": 1},
            "shapes": [{**upright, "line": {"color": GREY, "width": 1.5, "dash": "dot"}}],
        }
        return unchecked_figure(traces, layout)

    def words(self) -> str:
        """What the figure shows."""
        body, flat, adaptive, pooled = (f"{value / 1e6:.4g} million" for value in self.costs()[:, 0].tolist())
        return (
            f"Parameters of three heads against the side of the input. {self.net} at {self.px} px ends in "
            f"{self.channels} maps of {self.side} × {self.side}: {flat} behind flattening, {adaptive} behind adaptive "
            f"pooling to {GRID} × {GRID}, {pooled} behind global average pooling; its body has {body}."
        )

    def formula(self) -> str:
        """Parameters of each head."""
        starts = {"flatten": (self.side, self.layers), "adaptive": (GRID, self.layers), "global": (1, self.layers[-1:])}
        lines = []
        for (name, (side, widths)), cost in zip(starts.items(), self.costs()[1:, 0].tolist(), strict=True):
            inputs = rf"{side}^2\cdot {self.channels}" if side > 1 else f"{self.channels}"
            rest = "".join(rf"+{before + 1}\cdot {width}" for before, width in pairwise(widths))
            total = f"{int(cost):,}".replace(",", "{,}")
            lines.append(rf"\text{{{name}:}}\;\; ({inputs}+1)\cdot {widths[0]}{rest} &= {total}")
        return aligned(*lines)

    def checked(self) -> Tensor:
        """Costs of the body and the heads."""
        return self.costs()

    def table(self) -> pd.DataFrame:
        """Costs of the body and of each head, with a head's share of its network."""
        parameters, work = self.costs().T
        share = parameters / (parameters + parameters[0])
        fits = ["yes", "no" if self.refusal() else "yes", "yes", "yes"]
        return pd.DataFrame(
            {
                "Part": ["Body", *HEADS.values()],
                "Parameters": parameters.long().numpy(),
                "Share": [float("nan"), *share[1:].tolist()],
                "MACs": work.long().numpy(),
                f"Takes weights of {TRAINED_AT} px": fits,
            }
        )
