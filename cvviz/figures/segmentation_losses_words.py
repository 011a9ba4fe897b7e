"""What the page of the segmentation losses says: captions, sentences, formulas and tables."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd
import torch
from torch import Tensor

from cvviz.figures.segmentation_losses import LOOKS
from cvviz.ops.segmentation_losses import Counts, Options
from cvviz.ops.segmentation_study import Descent, Judgement, MaskStudy, Shrinking

UNDEFINED = "undefined (0/0)"
NAMES = {name: look.title for name, look in LOOKS.items()}


def told(value: float, digits: int = 3) -> str:
    """A number, or that there is none."""
    return UNDEFINED if math.isnan(value) else f"{value:.{digits}f}"


def prediction_caption(painted: bool) -> str:
    """Over the mask that can be painted."""
    return f"{'Painted' if painted else 'Predicted'}: paint on it"


def error_caption(counts: Counts) -> str:
    """Over the errors."""
    tp, fp, fn = (int(part) for part in (counts.tp, counts.fp, counts.fn))
    return f"At 0.5: {tp} hits, {fp} false alarms, {fn} misses"


def push_captions(losses: Sequence[str], slopes: Tensor) -> list[str]:
    """Over the pushes of each loss."""
    most = slopes.abs().amax((1, 2)).tolist()
    return [f"{NAMES[name]}: up to {push:.2g}" for name, push in zip(losses, most, strict=True)]


def course_captions(losses: Sequence[str], iou: Tensor) -> list[str]:
    """Over the masks of the descent."""
    return [f"{NAMES[name]}: IoU {value:.2f}" for name, value in zip(losses, iou.tolist(), strict=True)]


def mask_sentence(study: MaskStudy, title: str) -> str:
    """The losses and the counts."""
    tp, fp, fn = (int(part) for part in (study.hard.tp, study.hard.fp, study.hard.fn))
    values = zip(study.losses, study.values.tolist(), strict=True)
    parts = ", ".join(f"{NAMES[name]} {told(value)}" for name, value in values)
    return (
        f"A prediction for the target “{title}”: at a threshold of 0.5 it has {tp} hits, {fp} false alarms and {fn} "
        f"misses, Dice {told(float(study.hard.dice))}. Losses: {parts}."
    )


def push_sentence(study: MaskStudy, slopes: Tensor) -> str:
    """What falls on the object."""
    size = slopes.abs()
    shares = ((size * study.target).sum((1, 2)) / size.sum((1, 2))).nan_to_num(0.0).tolist()
    parts = ", ".join(f"{NAMES[name]} {share:.0%}" for name, share in zip(study.losses, shares, strict=True))
    return f"Maps of the push on each pixel's logit, up or down. Part of the push that falls on the object: {parts}."


def course_sentence(losses: Sequence[str], iou: Tensor, step: int) -> str:
    """IoU before, now and at the end."""
    parts = "; ".join(
        f"{NAMES[name]} {start:.2f}, {now:.2f}, {end:.2f}"
        for name, start, now, end in zip(losses, *iou[[0, step, -1]].tolist(), strict=True)
    )
    return f"Masks after {step} steps of descent. IoU at the start, now and after {len(iou) - 1} steps: {parts}."


def sizes_sentence(losses: Sequence[str], sizes: Shrinking, shift: int) -> str:
    """Losses of the smallest and the largest disc."""
    parts = "; ".join(
        f"{NAMES[name]} {row[-1]:.3f} to {row[0]:.3f}" for name, row in zip(losses, sizes.values.tolist(), strict=True)
    )
    return (
        f"Losses of a disc predicted {shift} px aside, as it shrinks from {float(sizes.share[-1]):.0%} to "
        f"{float(sizes.share[0]):.1%} of the picture: {parts}."
    )


def loss_formula(study: MaskStudy) -> str:
    """Each loss with its sums filled in."""
    use = study.options
    both, all_p, true, squares = _sums(study)
    wrong = rf"{use.alpha:g}\cdot {all_p - both:.2f} + {use.beta:g}\cdot {true - both:.2f}"
    first = f"{squares if use.squared else all_p:.2f}"
    terms = {
        "bce": r"-\tfrac1N\textstyle\sum [t\ln p + (1-t)\ln(1-p)]",
        "dice": _one_minus(rf"2\cdot {both:.2f}", f"{first} + {true:.0f}", use),
        "jaccard": _one_minus(f"{both:.2f}", f"{all_p:.2f} + {true:.0f} - {both:.2f}", use),
        "tversky": _one_minus(f"{both:.2f}", f"{both:.2f} + {wrong}", use),
        "focal_tversky": rf"L_\text{{Tversky}}^{{\,1/{use.gamma:g}}}",
        "bce_dice": r"L_\text{BCE} + L_\text{Dice}",
    }
    sums = rf"\textstyle\sum pt &= {both:.2f},\quad \sum p = {all_p:.2f},\quad \sum t = {true:.0f}"
    sums += rf",\quad \sum p^2 = {squares:.2f}" if use.squared else ""
    values = zip(study.losses, study.values.tolist(), strict=True)
    return _aligned(
        [sums, *(rf"L_\text{{{NAMES[name]}}} &= {terms[name]} = {_latex(value)}" for name, value in values)]
    )


def slope_formula(study: MaskStudy) -> str:
    """What the pushes are made of; Dice's two values."""
    use, pixels = study.options, study.p.numel()
    both, all_p, true, squares = _sums(study)
    lines = [r"\frac{\partial L}{\partial z} &= \frac{\partial L}{\partial p}\,p(1-p), \qquad p = \sigma(z)"]
    if {"bce", "bce_dice"} & set(study.losses):
        lines.append(
            rf"-\frac{{\partial L_\text{{BCE}}}}{{\partial z}} &= \frac{{t - p}}{{N}} = \frac{{t - p}}{{{pixels}}}"
        )
    whole = (squares if use.squared else all_p) + true + use.smooth_dr
    if {"dice", "bce_dice"} & set(study.losses) and whole > 0:
        share = (2 * both + use.smooth_nr) / whole**2
        off = (_power(share) + (r"\cdot 2p" if use.squared else "")) if share else "0"
        on = rf"{_power(2 / whole)} - {off} \;\text{{ on the object}},\quad " if true else ""
        sign = "-" if share else ""
        lines.append(rf"-\frac{{\partial L_\text{{Dice}}}}{{\partial p}} &= {on}{sign}{off}\;\text{{ off it}}")
    return _aligned(lines)


def descent_formula(rate: float, pixels: int) -> str:
    """The step."""
    return _aligned([rf"z &\leftarrow z - {rate:.3g}\cdot N\,\frac{{\partial L}}{{\partial z}}, \qquad N = {pixels}"])


def sizes_formula(sizes: Shrinking) -> str:
    """The pixels that are wrong, as a share of the picture and in Dice, for the smallest disc and the largest."""
    parts = [
        rf"\text{{object }} {100 * share:.2g}\,\%: \quad & \text{{wrong }} {100 * error:.2g}\,\%, &&"
        rf"1 - \text{{Dice}}_{{0.5}} = {1 - dice:.3f}"
        for share, error, dice in zip(sizes.share.tolist(), sizes.error.tolist(), sizes.dice.tolist(), strict=True)
    ]
    return _aligned([parts[0], parts[-1]])


def loss_table(study: MaskStudy) -> pd.DataFrame:
    """Losses of the probabilities and of the thresholded mask."""
    rows = {"Loss": [NAMES[name] for name in study.losses]}
    rows["Of the probabilities"] = [told(value, 4) for value in study.values.tolist()]
    hard = zip(study.losses, study.hard_values.tolist(), strict=True)
    rows["Thresholded at 0.5"] = [
        f"∞ (torch: {value:.2f})" if value > 0 and name.startswith("bce") else told(value, 4) for name, value in hard
    ]
    return pd.DataFrame(rows)


def count_table(study: MaskStudy) -> pd.DataFrame:
    """Counts and scores, soft and thresholded, one under the other."""
    rows: dict[str, list[str]] = {}
    for title, part in (("TP", "tp"), ("FP", "fp"), ("FN", "fn"), ("TN", "tn")):
        rows[title] = [f"{float(getattr(study.soft, part)):.1f}", f"{float(getattr(study.hard, part)):.0f}"]
    for title, part in (
        ("Precision", "precision"),
        ("Recall", "recall"),
        ("Dice = F1", "dice"),
        ("IoU", "iou"),
        ("Pixels right", "accuracy"),
    ):
        rows[title] = [told(float(getattr(counts, part))) for counts in (study.soft, study.hard)]
    columns = ["Of the probabilities", "Thresholded at 0.5"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("Count").reset_index()


def push_table(study: MaskStudy, slopes: Tensor) -> pd.DataFrame:
    """How much of the push falls where, and what the most wrong pixel gets of it."""
    size, worst = slopes.abs(), int((study.p - study.target).abs().argmax())
    total, on, largest = size.sum((1, 2)), (size * study.target).sum((1, 2)), size.flatten(1).amax(1)
    return pd.DataFrame(
        {
            "Loss": [NAMES[name] for name in study.losses],
            "Sum of all pushes": [f"{value:.3g}" for value in total.tolist()],
            "On the object": [_share(value) for value in (on / total).tolist()],
            "Largest push": [f"{value:.2g}" for value in largest.tolist()],
            "The most wrong pixel's": [f"{value:.2g}" for value in size.flatten(1)[:, worst].tolist()],
        }
    )


def course_table(losses: Sequence[str], course: Descent, step: int) -> pd.DataFrame:
    """IoU and certainty at the start, now and at the end."""
    last = len(course.iou) - 1
    rows: dict[str, list[str]] = {"Loss": [NAMES[name] for name in losses]}
    for title, at in {"IoU at the start": 0, f"After {step}": step, f"After all {last}": last}.items():
        rows[title] = [told(value, 2) for value in course.iou[at].tolist()]
    arrived = [[index for index, value in enumerate(row) if value >= 0.9] for row in course.iou.T.tolist()]
    rows["First at IoU 0.9"] = [str(row[0]) if row else "never" for row in arrived]
    rows["Mean p on the object"] = ["–" if math.isnan(value) else f"{value:.2f}" for value in course.sure[-1].tolist()]
    return pd.DataFrame(rows)


def size_table(losses: Sequence[str], sizes: Shrinking) -> pd.DataFrame:
    """A row for each size."""
    rows: dict[str, list[str]] = {"Object": [f"{100 * share:.2g} %" for share in sizes.share.tolist()]}
    for name, values in zip(losses, sizes.values.tolist(), strict=True):
        rows[NAMES[name]] = [told(value) for value in values]
    rows["1 − Dice at 0.5"] = [told(1 - value) for value in sizes.dice.tolist()]
    rows["Pixels wrong"] = [f"{100 * value:.2g} %" for value in sizes.error.tolist()]
    return pd.DataFrame(rows)


def lesson_table(losses: Sequence[str], courses: Sequence[Tensor], judged: Sequence[Judgement]) -> pd.DataFrame:
    """A row for each trained network."""
    best = [(float(item.dice.max()), float(item.thresholds[item.dice.argmax()])) for item in judged]
    return pd.DataFrame(
        {
            "Loss": [NAMES[name] for name in losses],
            "Dice after 5 epochs": [told(float(course[4]), 2) if len(course) > 4 else "–" for course in courses],
            "Dice now": [f"{float(course[-1]):.2f}" for course in courses],
            "Best threshold": [f"{dice:.2f} at {at:.2f}" for dice, at in best],
            "Object found at 0.5": [f"{item.found:.0%}" for item in judged],
            "Calibration gap": [f"{item.gap:.2f}" for item in judged],
        }
    )


def pixel_table(study: MaskStudy) -> pd.DataFrame:
    """A row for each pixel."""
    rows, columns = torch.meshgrid(*(torch.arange(length) for length in study.p.shape), indexing="ij")
    parts = {"row": rows, "column": columns, "target": study.target.int(), "p": study.p}
    if bool(((study.p > 0) & (study.p < 1)).all()):
        parts |= {f"slope of {NAMES[name]} by z": row for name, row in zip(study.losses, study.slopes(), strict=True)}
    return pd.DataFrame({name: part.flatten().numpy() for name, part in parts.items()})


def _sums(study: MaskStudy) -> tuple[float, float, float, float]:
    """Of p t, p, t and p squared."""
    p, t = study.p, study.target
    return float((p * t).sum()), float(p.sum()), float(t.sum()), float((p * p).sum())


def _share(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.0%}"


def _one_minus(above: str, below: str, use: Options) -> str:
    plus = [f" + {_power(value)}" if value else "" for value in (use.smooth_nr, use.smooth_dr)]
    return rf"1 - \frac{{{above}{plus[0]}}}{{{below}{plus[1]}}}"


def _power(value: float) -> str:
    """A number in LaTeX, powers of ten written out."""
    text = f"{value:.3g}"
    if "e" not in text:
        return text
    mantissa, _, exponent = text.partition("e")
    return (rf"{mantissa}\cdot " if mantissa != "1" else "") + rf"10^{{{int(exponent)}}}"


def _latex(value: float) -> str:
    return r"\tfrac00\text{, undefined}" if math.isnan(value) else f"{value:.4f}"


def _aligned(lines: Sequence[str]) -> str:
    return "$$\n\\begin{aligned}\n" + " \\\\[3pt]\n".join(lines) + "\n\\end{aligned}\n$$"
