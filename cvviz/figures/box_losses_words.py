"""What the page of the box losses says in formulas and tables."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd
import torch
from torch import Tensor

from cvviz.figures.box_losses import TITLES
from cvviz.ops.boxes import box_terms

SYMBOLS = {"centre": ("x", "y", "w", "h"), "corners": ("x1", "y1", "x2", "y2"), "log": ("x", "y", "ln w", "ln h")}


def formula_text(losses: Sequence[float], boxes: Tensor, target: Tensor, errors: Sequence[float]) -> str:
    """Every loss with its terms filled in, each for its own box.

    Args:
        losses: values in the order of the looks.
        boxes: (5, 4) corners in pixels, in this order.
        target: (4,) likewise.
        errors: the four coordinates of the box under Smooth L1 less those of the target, in units.
    """
    smooth, iou, giou, diou, ciou = losses
    terms = torch.cat(box_terms(boxes[1:], target[None]), dim=1)  # [4, 6]
    of_iou, of_giou, of_diou, of_ciou = terms.tolist()
    overlap = of_ciou[0] / of_ciou[1]
    v = of_ciou[5]
    alpha = v / (1 - overlap + v) if v else 0.0
    angles = [math.atan2(x2 - x1, y2 - y1) for x1, y1, x2, y2 in (target.tolist(), boxes[4].tolist())]
    listed = ", ".join(f"{round(error, 2) + 0.0:.2f}" for error in errors)
    return rf"""$$
\begin{{aligned}}
L_\text{{smooth}} &= \textstyle\sum_k s_\beta(e_k) = {smooth:.3f}, \quad e = ({listed}) \\[3pt]
L_\text{{IoU}} &= 1 - \tfrac{{I}}{{U}} = 1 - \tfrac{{{of_iou[0]:.0f}}}{{{of_iou[1]:.0f}}} = {iou:.3f} \\[3pt]
L_\text{{GIoU}} &= 1 - \tfrac{{I}}{{U}} + \tfrac{{C - U}}{{C}}
  = 1 - {of_giou[0] / of_giou[1]:.3f} + \tfrac{{{of_giou[2]:.0f} - {of_giou[1]:.0f}}}{{{of_giou[2]:.0f}}}
  = {giou:.3f} \\[3pt]
L_\text{{DIoU}} &= 1 - \tfrac{{I}}{{U}} + \tfrac{{\rho^2}}{{c^2}}
  = 1 - {of_diou[0] / of_diou[1]:.3f} + \tfrac{{{of_diou[3]:.0f}}}{{{of_diou[4]:.0f}}} = {diou:.3f} \\[3pt]
L_\text{{CIoU}} &= L_\text{{DIoU}} + \alpha v
  = 1 - {overlap:.3f} + \tfrac{{{of_ciou[3]:.0f}}}{{{of_ciou[4]:.0f}}} + {alpha:.4f} \cdot {v:.4f}
  = {ciou:.3f} \\[3pt]
v &= \tfrac{{4}}{{\pi^2}}\big(\arctan\tfrac{{w_t}}{{h_t}} - \arctan\tfrac{{w}}{{h}}\big)^2
  = \tfrac{{4}}{{\pi^2}}({angles[0]:.3f} - {angles[1]:.3f})^2 = {v:.4f} \\[3pt]
\alpha &= \tfrac{{v}}{{1 - \text{{IoU}} + v}} = \tfrac{{{v:.4f}}}{{{1 - overlap:.3f} + {v:.4f}}} = {alpha:.4f}
\end{{aligned}}
$$"""


def map_formula(step: float, steps: int, *, fade: bool, adam: bool) -> str:
    """The step that every start takes, and what its cell shows."""
    push = r"\hat m_t / (\sqrt{\hat v_t} + \epsilon)" if adam else r"\nabla L(u_t)"
    fading = rf"\,\tfrac{{1 + \cos(\pi t / {steps})}}{{2}}" if fade else ""
    return rf"""$$
\begin{{aligned}}
u_{{t+1}} &= u_t - \eta_t \, {push}, \qquad \eta_t = {step:.3g}{fading} \\[3pt]
n &= \min \{{\, t \le {steps} : \text{{IoU}}(u_t) \ge 0.9 \,\}}
\end{{aligned}}
$$"""


def map_table(iterations: Tensor) -> pd.DataFrame:
    """How many starts arrive under each loss, and how fast.

    Args:
        iterations: (L, starts); NaN for those that do not arrive.
    """
    arrived = [row[row.isfinite()] for row in iterations]
    return pd.DataFrame(
        {
            "Loss": TITLES,
            "Starts that arrive": [f"{len(row)} of {iterations.shape[1]}" for row in arrived],
            "Their median iteration": [f"{row.median():.0f}" if len(row) else "–" for row in arrived],
            "Slowest": [f"{row.max():.0f}" if len(row) else "–" for row in arrived],
        }
    ).set_index("Loss")


def outcome_table(
    reached: Sequence[int | None], settled: Sequence[int | None], iou: Tensor, areas: Tensor, boxes: Tensor
) -> pd.DataFrame:
    """How each descent ends, and what its first step does.

    Args:
        reached: first step at IoU 0.9 or more, or None.
        settled: first step from which on it stays there, or None.
        iou: (steps + 1, L).
        areas: (steps + 1, L), over the target's.
        boxes: (steps + 1, L, 4), corners in pixels.
    """
    centers, sizes = (boxes[:2, :, :2] + boxes[:2, :, 2:]) / 2, boxes[:2, :, 2:] - boxes[:2, :, :2]
    moves = (centers[1] - centers[0]).tolist()
    grows = (sizes[1] - sizes[0]).tolist()
    return pd.DataFrame(
        {
            "Loss": TITLES,
            "IoU 0.9 after": [_count(step) for step in reached],
            "for good from": [_count(step) for step in settled],
            "Final IoU": [f"{value:.3f}" for value in iou[-1].tolist()],
            "Largest area": [f"{value:.2f} ×" for value in areas.max(0).values.tolist()],
            "1st step: centre (px)": [f"{signed(x, 2)}, {signed(y, 2)}" for x, y in moves],
            "width, height (px)": [f"{signed(width, 2)}, {signed(height, 2)}" for width, height in grows],
        }
    ).set_index("Loss")


def push_table(losses: Tensor, iou: Tensor, slopes: Tensor, space: str) -> pd.DataFrame:
    """Value, IoU and pushes at one step: a push is the slope with the opposite sign.

    Args:
        losses, iou: (L,).
        slopes: (L, 4).
        space: name of the coordinates.
    """
    columns = {"Loss": TITLES, "Value": [f"{value:.3f}" for value in losses.tolist()]}
    columns["IoU"] = [f"{value:.3f}" for value in iou.tolist()]
    for symbol, column in zip(SYMBOLS[space], (-slopes).T.tolist(), strict=True):
        columns[f"−∂L/∂{symbol}"] = [signed(value, 3) for value in column]
    return pd.DataFrame(columns).set_index("Loss")


def signed(value: float, digits: int) -> str:
    """A number with its sign, if anything is left of it after rounding; "0" where there was nothing to round."""
    if abs(value) < 1e-12:
        return "0"
    rounded = round(value, digits)
    return f"{rounded:+.{digits}f}".replace("-", "−") if rounded else f"{0:.{digits}f}"


def _count(step: int | None) -> str:
    return "never" if step is None else str(step)
