"""What the page of metric learning says in formulas, sentences and tables."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd
import torch
from torch import Tensor

from cvviz.figures.activations_words import power
from cvviz.figures.metric_learning import NAMES
from cvviz.ops.metric_forces import Push, Recipe
from cvviz.ops.metric_learning import EASY, HARD, SEMI, all_triplets, pair_masks, pairwise_distances, triplet_kinds

LOSSES = {"triplet": "Triplet", "contrastive": "Contrastive", "info_nce": "InfoNCE"}
MINING = {
    "one": "One triplet of the anchor",
    "random": "A random triplet for each anchor",
    "all": "All that have a loss (batch all)",
    "semi": "Semi-hard negatives",
    "hard": "Hardest of each anchor (batch hard)",
}
SHORT = {"one": "one", "random": "random", "all": "all active", "semi": "semi-hard", "hard": "batch hard"}
KINDS = {EASY: "Easy: no loss", SEMI: "Semi-hard: in order, within the margin", HARD: "Hard: the negative is nearer"}
RUNAWAY = 1e4  # from here on numbers are written with a power of ten
MEASURES = {"triplet": "d", "contrastive": "d", "info_nce": "s"}


def measure_of(recipe: Recipe) -> str:
    """What the loss compares: d, d² or s."""
    return "d²" if recipe.name == "triplet" and recipe.squared else MEASURES[recipe.name]


def caption_text(scale: float, steps: int) -> str:
    """How to read the plane; ``scale`` is the length of an arrow for a slope of 1."""
    after = f"After {steps} steps from the grey points: solid" if steps else "Solid"
    return f"{after} lines attract, dashed repel; arrows {scale:.2g} × the downhill slope"


def margin_radii(recipe: Recipe, measured: Tensor, triplet: Sequence[int]) -> tuple[float, ...]:
    """Radii around the anchor: the positive's distance and where its margin ends; or the contrastive margin alone."""
    if recipe.name == "contrastive":
        return (0.0, recipe.margin)
    if recipe.name == "info_nce":
        return ()
    near = float(measured[triplet[0], triplet[1]])
    radii = (near, near + recipe.margin)
    return (math.sqrt(radii[0]), math.sqrt(radii[1])) if recipe.squared else radii


def triplet_lines(embeddings: Tensor, recipe: Recipe, triplet: Sequence[int], push: Push, rule: str) -> list[str]:
    """One triplet with its numbers, its three slopes, and the mean of the batch."""
    a, p, n = triplet
    square, hat = "^2" if recipe.squared else "", r"\hat " if recipe.unit else ""
    distances = pairwise_distances(embeddings, squared=recipe.squared)
    near, far = float(distances[a, p]), float(distances[a, n])
    value = max(near - far + recipe.margin, 0.0)
    chosen = [a, p, n] in push.triplets.tolist()
    names = rf"\text{{{NAMES[a]}}}", rf"\text{{{NAMES[p]}}}", rf"\text{{{NAMES[n]}}}"
    lines = [
        rf"\ell &= \max\big(d{square}({names[0]},{names[1]}) - d{square}({names[0]},{names[2]}) + m,\;0\big)",
        rf"&= \max({tex(near)} - {tex(far)} + {recipe.margin:g},\;0) = {tex(value)}"
        + ("" if chosen else r"\quad\text{(not chosen)}"),
    ]
    apart = embeddings[a] - embeddings[torch.tensor([p, n])]
    sides = 2 * apart if recipe.squared else apart / distances[a, torch.tensor([p, n])].clamp(min=1e-12)[:, None]
    toward, away = sides.tolist() if value else ([0.0, 0.0], [0.0, 0.0])
    first = [near_part - far_part for near_part, far_part in zip(toward, away, strict=True)]

    def slope(of: str) -> str:
        return rf"\tfrac{{\partial \ell}}{{\partial {hat}{of}}}"

    lines += [
        rf"{slope('a')} &= {vector(first)},\quad {slope('p')} = {vector([-part for part in toward])}",
        rf"{slope('n')} &= {vector(away)}",
    ]
    count, mean = len(push.triplets), rf"{tex(float(push.loss), 4)}\quad\text{{({rule})}}"
    return [*lines, rf"L &= \tfrac{{1}}{{{count}}}\textstyle\sum \ell = {mean}" if count else rf"L &= {mean}"]


def contrastive_lines(distances: Tensor, recipe: Recipe, triplet: Sequence[int], push: Push) -> list[str]:
    """A positive and a negative pair of the anchor with their numbers, and the mean of the batch."""
    a, p, n = triplet
    near, far, margin = float(distances[a, p]), float(distances[a, n]), recipe.margin
    count = len(distances) * (len(distances) - 1) // 2
    return [
        rf"\ell_+(\text{{{NAMES[a]}}},\text{{{NAMES[p]}}}) &= \tfrac12 d^2 = \tfrac12\cdot {tex(near)}^2 = "
        rf"{tex(near**2 / 2)}",
        rf"\ell_-(\text{{{NAMES[a]}}},\text{{{NAMES[n]}}}) &= \tfrac12\max(m - d,\,0)^2",
        rf"&= \tfrac12\max({margin:g} - {tex(far)},\,0)^2 = {tex(max(margin - far, 0.0) ** 2 / 2)}",
        rf"L &= \tfrac{{1}}{{{count}}}\textstyle\sum_{{i<j}} \ell = {tex(float(push.loss), 4)}",
    ]


def info_nce_lines(
    similarities: Tensor, labels: Tensor, recipe: Recipe, triplet: Sequence[int], push: Push
) -> list[str]:
    """The anchor and one positive among its negatives, with their numbers, and the mean of the batch."""
    a, p, _ = triplet
    other = pair_masks(labels)[1][a]
    logits = similarities[a] / recipe.temperature
    against = float(logits[other].logsumexp(dim=0))
    positive = float(logits[p])
    value = float(torch.nn.functional.softplus(torch.tensor(against - positive, dtype=torch.float64)))
    terms = [tex(x, 2) for x in similarities[a][other].tolist()]
    pooled, own = against * recipe.temperature, float(similarities[a, p])
    count, mean = int(pair_masks(labels)[0].sum()), tex(float(push.loss), 4)
    return [
        r"\ell &= -\ln\frac{e^{s_+/\tau}}{e^{s_+/\tau} + \sum_n e^{s_n/\tau}}",
        r"&= \ln\big(1 + e^{(S - s_+)/\tau}\big)",
        rf"&= \ln\big(1 + e^{{({tex(pooled)} {minus(own)})/{recipe.temperature:.3g}}}\big) = {tex(value)}",
        rf"s_+ &= s(\text{{{NAMES[a]}}},\text{{{NAMES[p]}}}), \quad S = \tau\ln\textstyle\sum_n e^{{s_n/\tau}}",
        *(rf"{'s_n' if row == 0 else ''} &: {','.join(terms[row : row + 3])}" for row in range(0, len(terms), 3)),
        rf"L &= \tfrac{{1}}{{{count}}}\textstyle\sum_{{a,p}} \ell = {mean}",
    ]


def minus(value: float) -> str:
    """What stands where ``value`` is subtracted."""
    return f"- {tex(value)}" if value >= 0 else f"+ {tex(-value)}"


def tex(value: float, digits: int = 3) -> str:
    """A number in LaTeX, with a power of ten where it has run away."""
    return f"{value:.{digits}f}" if abs(value) < RUNAWAY else power(value)


def brief(value: float) -> str:
    """A number in words, likewise."""
    return f"{value:.3f}" if abs(value) < RUNAWAY else f"{value:.2g}"


def vector(values: Sequence[float]) -> str:
    """Two numbers in brackets."""
    return "(" + ",\\,".join(tex(round(value, 2) + 0.0, 2) for value in values) + ")"


def kinds_table(measured: Tensor, labels: Tensor, chosen: Tensor, margin: float) -> pd.DataFrame:
    """How many triplets of each kind there are, and how many of them are in the mean.

    Args:
        measured: (N, N) distances, squared if the loss squares them.
        labels: (N,).
        chosen: (T, 3) in the mean.
        margin: of the loss.
    """
    every, taken = (triplet_kinds(measured, part, margin=margin) for part in (all_triplets(labels), chosen))
    return pd.DataFrame(
        {
            "Triplets": list(KINDS.values()),
            "There are": [int((every == kind).sum()) for kind in KINDS],
            "In the mean": [int((taken == kind).sum()) for kind in KINDS],
        }
    ).set_index("Triplets")


def pairs_table(measured: Tensor, labels: Tensor, weights: Tensor, anchor: int, measure: str) -> pd.DataFrame:
    """The anchor's pairs, nearest first.

    Args:
        measured: (N, N) distances or similarities.
        labels: (N,).
        weights: (N, N) symmetric slopes of the loss by the measure.
        anchor: index.
        measure: name of what is measured.
    """
    order = measured[anchor].argsort(descending=measure == "s").tolist()
    others = [index for index in order if index != anchor]
    return pd.DataFrame(
        {
            f"{NAMES[anchor]} and": [NAMES[index] for index in others],
            "Class": ["same" if labels[index] == labels[anchor] else "other" for index in others],
            measure: [brief(float(measured[anchor, index])).replace("-", "−") for index in others],
            f"∂L/∂{measure}": [slope_text(float(weights[anchor, index])) for index in others],
            "Effect": [verb(float(weights[anchor, index]), measure) for index in others],
        }
    ).set_index(f"{NAMES[anchor]} and")


def slope_text(value: float) -> str:
    """A signed slope; 0 is written without digits."""
    text = f"{value:+.4f}" if abs(value) < RUNAWAY else f"{value:+.2g}"
    return "0" if value == 0 else text.replace("-", "−")


def verb(slope: float, measure: str) -> str:
    """What descent does to a pair: a positive slope by a distance, or a negative one by a similarity, attracts."""
    if abs(slope) < 1e-6:
        return "none"
    return "attract" if (slope > 0) != (measure == "s") else "repel"


def effective_negatives(similarities: Tensor, labels: Tensor, temperature: float) -> float:
    """How many negatives share InfoNCE's push, as the exponential of the entropy of their shares; mean over anchors."""
    other = pair_masks(labels)[1]
    logits = (similarities / temperature).masked_fill(~other, -math.inf)
    shares = logits.softmax(dim=1)
    entropy = -(shares * shares.clamp(min=1e-300).log()).sum(dim=1)
    return float(entropy.exp().mean())
