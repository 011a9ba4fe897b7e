"""All logits of one example as points that are dragged, the pushes of each loss as arrows, and where steps lead."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import torch
from torch import Tensor

from cvviz.figures.classification_losses import LOOKS, display, tex
from cvviz.figures.scene import Path, Scene, Shape, Text
from cvviz.figures.sheet import Sheet
from cvviz.figures.theme import GREY

NAMES = ("cat", "dog", "fox", "hen", "owl")
SHEET = Sheet(x=(0, len(NAMES)), y=(-8, 8), x_title="", y_title="Logit", width=460, height=380, columns=True)
INK = "currentColor"  # of the page's text; the palette's colours stand for losses here
ARROW = 3.0  # logits of the axis per unit of push
SIDE = 0.11  # between the arrows of two losses, in classes


def logits_scene(
    losses: Sequence[str],
    logits: Tensor,
    truth: int,
    probabilities: Tensor,
    pushes: Tensor,
    ends: Tensor | None,
    *,
    field: str,
) -> Scene:
    """One column per class: its logit, which is dragged, arrows along the pushes, and bars where steps have led.

    Args:
        losses: L names of ``LOOKS``.
        logits: (C,).
        truth: index of the true class.
        probabilities: (C,) by softmax.
        pushes: (L, C) negative slopes of the losses.
        ends: (L, C) logits after steps of descent, or None where none were made.
        field: of Params, that the points edit.
    """
    shapes: list[Shape] = _legend(losses)
    for index, (name, logit, chance) in enumerate(zip(NAMES, logits.tolist(), probabilities.tolist(), strict=True)):
        x, ours = index + 0.5, index == truth
        color = INK if ours else GREY
        shapes += SHEET.line([(x, 0), (x, logit)], color=color, width=5)
        at, bottom = SHEET.to(x, SHEET.y[0])
        shapes.append(Text(x=at, y=bottom + 12, text=f"{name} (true)" if ours else name, color=color, size=13))
        shapes.append(Text(x=at, y=bottom + 29, text=f"p = {chance:.3f}", color=GREY, size=12))
        for row, loss in enumerate(losses):
            aside = x + 0.17 + SIDE * row
            push, look = float(pushes[row, index]), LOOKS[loss]
            if abs(push) >= 0.005:
                tip = f"{look.title} pushes {name} by {push:+.3f}"
                ends_at = min(max(logit + ARROW * push, SHEET.y[0]), SHEET.y[1])
                arrow = [SHEET.to(aside, logit), SHEET.to(aside, ends_at)]
                head, dash = abs(push) >= 0.1, look.dash != "solid"  # a head alone would claim too much
                shapes.append(Path(points=arrow, color=look.color, arrow=head, dash=dash, tip=tip))
            if ends is not None:
                end = float(ends[row, index])
                told = f"{look.title}: {name} ends at {end:.3g}"
                bar = [(x - 0.3, end), (x - 0.06, end)]
                shapes += SHEET.line(bar, color=look.color, width=3, dash=look.dash != "solid", tip=told)
    places = [(index + 0.5, logit) for index, logit in enumerate(logits.tolist())]
    colors = [INK if index == truth else GREY for index in range(len(places))]
    handles = SHEET.handles(field, places, colors=colors, step=0.1, fixed=True, upright=True)
    steps = "" if ends is None else "; bars on the left: where the steps lead"
    return SHEET.scene(shapes, handles=handles, caption=f"Drag a logit. Arrows: pushes −∂L/∂z{steps}")


def _legend(losses: Sequence[str]) -> list[Shape]:
    left, top, _, _ = SHEET.frame
    return [
        Text(
            x=left + 4, y=top + 16 + 16 * row, text=LOOKS[name].title, color=LOOKS[name].color, size=12, centered=False
        )
        for row, name in enumerate(losses)
    ]


def logits_formula(
    losses: Sequence[str], values: Tensor, slopes: Tensor, chances: Tensor, truth: int, temperature: float
) -> str:
    """Markdown of the slopes of softmax and sigmoid with the numbers of the strongest rival, and every loss's value.

    Args:
        losses: L names of ``LOOKS``.
        values: (L,) losses.
        slopes: (L, C) with respect to the logits.
        chances: (2, C) softmax and sigmoids.
        truth: index of the true class.
        temperature: of the softmax.
    """
    rival = int(chances[0].index_fill(0, torch.tensor(truth), -1.0).argmax())
    name, ours = NAMES[rival], NAMES[truth]
    (p, rival_p), (s, rival_s) = ((row[truth].item(), row[rival].item()) for row in chances)
    heads = []
    if "ce" in losses:
        over = "" if temperature == 1 else rf" / {temperature:g}"
        heads.append(
            rf"\frac{{\partial\,\text{{CE}}}}{{\partial z_c}} = \frac{{p_c - q_c}}{{T}}: \quad \text{{{ours}}}\;"
            rf"({p:.3f} - 1){over} = {(p - 1) / temperature:.3f}, \quad \text{{{name}}}\;"
            rf"({rival_p:.3f} - 0){over} = {rival_p / temperature:.3f}"
        )
    if "bce" in losses:
        heads.append(
            rf"\frac{{\partial\,\text{{BCE}}}}{{\partial z_c}} = \sigma(z_c) - y_c: \quad \text{{{ours}}}\; "
            rf"{s:.3f} - 1 = {s - 1:.3f}, \quad \text{{{name}}}\; {rival_s:.3f} - 0 = {rival_s:.3f}"
        )
    sums = slopes.sum(dim=1).tolist()
    rows = [
        rf"{LOOKS[loss].symbol} &= \mathbf{{{tex(value)}}}, & \textstyle\sum_c \partial / \partial z_c &= "
        rf"{tex(total if abs(total) > 1e-12 else 0.0)}"
        for loss, value, total in zip(losses, values.tolist(), sums, strict=True)
    ]
    rows_of_losses = r"\begin{aligned}" + r"\\".join(rows) + r"\end{aligned}"
    return "\n\n".join(map(display, [*heads, rows_of_losses]))


def logits_sentence(
    losses: Sequence[str], values: Tensor, slopes: Tensor, chances: Tensor, truth: int, steps: int
) -> str:
    """What the scene shows now; arguments as those of ``logits_formula``."""
    told = ", ".join(f"{name} {chance:.3f}" for name, chance in zip(NAMES, chances[0].tolist(), strict=True))
    parts = [
        f"{LOOKS[loss].title} {value:.3g} pushes {NAMES[truth]} by {-float(slope[truth]):+.2f}"
        for loss, value, slope in zip(losses, values.tolist(), slopes, strict=True)
    ][:5]
    after = f" Bars show where {steps} steps lead." if steps else ""
    return f"Five logits of a picture of a {NAMES[truth]}, softmax {told}. {'; '.join(parts)}.{after}"


def logits_table(
    losses: Sequence[str], start: Tensor, chances: Tensor, slopes: Tensor, ends: Tensor, steps: int
) -> pd.DataFrame:
    """A row for each class: logit, softmax, sigmoid, and under each loss the push and, after steps, the logit."""
    columns = {"Class": NAMES, "Logit": start.numpy(), "Softmax": chances[0].numpy(), "Sigmoid": chances[1].numpy()}
    for name, slope, end in zip(losses, slopes, ends, strict=True):
        columns[f"{LOOKS[name].title}: push"] = -slope.numpy()
        if steps:
            columns[f"{LOOKS[name].title}: after {steps} steps"] = end.numpy()
    return pd.DataFrame(columns)
