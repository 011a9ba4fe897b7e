"""A ranking of detections, walked: what each counts as and why, and the formula and the tables of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from cvviz.ops.detection_metrics import (
    METHODS,
    Curve,
    Method,
    Predictions,
    Ranking,
    Truth,
    Verdict,
    average_precision,
    precision_envelope,
    recall_weights,
)

METHOD_TITLES: dict[str, str] = {"voc11": "VOC 11-point", "all-point": "All-point", "coco101": "COCO 101-point"}
LEVELS = {"voc11": 11, "coco101": 101}
FATES = {1: "TP", 0: "FP", -1: "ignored"}
MARKS = {1: "✓", 0: "✗", -1: "–"}
AROUND = 4  # rows of the table on either side of the step


@dataclass(frozen=True)
class Walk:
    """One class's detections by falling score, and how far down the list we are.

    Args:
        truth, predictions: the set.
        ranking: of the class at one area range and one IoU threshold.
        verdicts: (D,) why each counts as it does.
        label: the class, a place in ``names``.
        names: of the classes.
        letters: names of the predictions where they have some; else they are called by rank.
        step: detections looked at so far, 0 to D.
        done: whether the end is shown rather than a step.
        method: how AP is taken.
    """

    truth: Truth
    predictions: Predictions
    ranking: Ranking
    verdicts: tuple[Verdict, ...]
    label: int
    names: tuple[str, ...]
    letters: tuple[str, ...]
    step: int
    done: bool
    method: Method

    @cached_property
    def order(self) -> list[int]:
        """Places of the detections in the predictions."""
        return self.ranking.order.tolist()

    @cached_property
    def outcomes(self) -> list[int]:
        """1 found an object, 0 did not, -1 does not count."""
        return self.ranking.outcomes[0, 0].tolist()

    @cached_property
    def targets(self) -> list[int]:
        """Object that each is matched with, -1 for none."""
        return self.ranking.targets[0, 0].tolist()

    @cached_property
    def curve(self) -> Curve:
        """Recall and precision after each detection, (D,)."""
        recall, precision = self.ranking.curve
        return Curve(recall[0, 0], precision[0, 0])

    @property
    def positives(self) -> int:
        """Objects that count."""
        return int(self.ranking.positives[0])

    @cached_property
    def counted(self) -> set[int]:
        """The objects that count."""
        return set(self.ranking.objects[self.ranking.counted[0]].tolist())

    @cached_property
    def found(self) -> set[int]:
        """Those of them that are found by the step."""
        pairs = zip(self.targets[: self.step], self.outcomes[: self.step], strict=True)
        return {target for target, outcome in pairs if outcome == 1}

    @property
    def cut(self) -> Curve:
        """The curve as far as the step."""
        return Curve(self.curve.recall[: self.step], self.curve.precision[: self.step])

    def ap(self, method: Method | None = None, *, step: int | None = None) -> float:
        """AP of the list as if it ended after ``step``, by default of all; NaN where there is nothing to find."""
        if not self.positives:
            return float("nan")
        recall, precision = self.curve
        return average_precision(recall[:step], precision[:step], method=method or self.method).item()

    def numbers(self) -> dict[str, float]:
        """Precision and recall at the step, AP as if the list ended there, and AP of the whole list."""
        at = [values[-1].item() if self.step and self.positives else float("nan") for values in self.cut]
        at[1] = at[1] if any(self.counts()) else float("nan")  # all ignored so far: 0/0
        return {"Precision": at[1], "Recall": at[0], "AP so far": self.ap(step=self.step), "AP of the list": self.ap()}

    def name(self, rank: int) -> str:
        """What the detection at a rank, from 0, is called."""
        return self.letters[self.order[rank]] if self.letters else f"#{rank + 1}"

    def counts(self) -> tuple[int, int]:
        """TP and FP so far."""
        seen = self.outcomes[: self.step]
        return seen.count(1), seen.count(0)

    def reason(self, rank: int) -> str:
        """Why the detection at a rank counts as it does."""
        kind, partner, overlap = self.verdicts[rank]
        thing = f"object {partner + 1}"
        match kind:
            case "match":
                return f"IoU {overlap:.2f} with {thing}"
            case "ignored":
                return f"{thing} does not count" if partner >= 0 else "of another size, and on nothing"
            case "duplicate":
                first = next((place for place in range(rank) if self.targets[place] == partner), None)
                taken = "" if first is None else f", which {self.name(first)} has taken"
                return f"IoU {overlap:.2f} with {thing}{taken}"
            case "class":
                return f"{thing} is “{self.names[int(self.truth.labels[partner])]}”: IoU {overlap:.2f}"
            case "place":
                return f"only IoU {overlap:.2f} with {thing}"
            case "both":
                return f"only IoU {overlap:.2f}, and {thing} is “{self.names[int(self.truth.labels[partner])]}”"
        return "no object there"

    def image(self) -> int | None:
        """The image to show: of the detection at the step; at the end of the surest mistake, else of the surest."""
        if not self.order:
            return None
        place = self.step - 1 if self.step and not self.done else 0
        if self.done and 0 in self.outcomes:
            place = self.outcomes.index(0)
        return int(self.predictions.images[self.order[place]])


def number(value: float) -> str:
    """Three digits, or a dash where there is no number."""
    return "–" if value != value else f"{value:.3f}"


def picture_caption(walk: Walk, title: str) -> str:
    """The verdict at the step, or the balance; ``title`` is the image's, where there are several."""
    hits, misses = walk.counts()
    name = walk.names[walk.label]
    if walk.step and not walk.done:
        rank = walk.step - 1
        words = f"{walk.name(rank)} {FATES[walk.outcomes[rank]]}, {walk.reason(rank)}"
        return f"{title}: {words}" if title else words
    missed = f"{hits} TP, {misses} FP, {walk.positives - hits} missed"
    words = f"“{name}”: {missed if walk.done else f'{walk.positives} to find'}"
    return f"{words}; here {title}" if title else words


def curve_caption(walk: Walk) -> str:
    """Rank, precision, recall and AP at the step."""
    if not walk.step or not walk.positives:
        return f"{walk.step} of {len(walk.order)} looked at"
    at = f"{walk.step} of {len(walk.order)}: P {walk.cut.precision[-1]:.2f}, R {walk.cut.recall[-1]:.2f}"
    return f"{at}, AP {'' if walk.done else 'so far '}{number(walk.ap(step=walk.step))}"


def formula_text(walk: Walk) -> str:
    """Precision and recall at the step, and AP of the list so far as a sum over the heights of the envelope."""
    hits, misses = walk.counts()
    if not walk.positives:
        return "No object counts here, so recall is 0/0 and AP undefined: the class is left out of the mean."
    recall, precision = walk.cut
    at = precision[-1].item() if walk.step else float("nan")
    share = rf"\frac{{{hits}}}{{{hits} + {misses}}} = {at:.3f}" if hits + misses else r"\frac{0}{0}"
    lines = [
        rf"\text{{precision}} &= \frac{{\mathrm{{TP}}}}{{\mathrm{{TP}} + \mathrm{{FP}}}} = {share}",
        rf"\text{{recall}} &= \frac{{\mathrm{{TP}}}}{{\text{{objects}}}} = "
        rf"\frac{{{hits}}}{{{walk.positives}}} = {hits / walk.positives:.3f}",
    ]
    whole = LEVELS.get(walk.method, walk.positives)
    terms = _terms(recall, precision, walk.method, whole)
    few = terms if len(terms) < 5 else [*terms[:3], r"\dots"]
    shown = " + ".join(few) or "0"
    name = r"\mathrm{AP}_{\text{" + {"voc11": "11", "all-point": "all", "coco101": "101"}[walk.method] + "}}"
    lines.append(rf"{name} &= \frac{{1}}{{{whole}}} \big({shown}\big) = \mathbf{{{walk.ap(step=walk.step):.3f}}}")
    return "$$\n\\begin{aligned}\n" + "\\\\[6pt]\n".join(lines) + "\n\\end{aligned}\n$$"


def _terms(recall: Tensor, precision: Tensor, method: Method, whole: int) -> list[str]:
    """Levels (or steps of recall) at each height of the envelope, highest first."""
    if not len(recall):
        return []
    heights: dict[float, float] = {}
    weights = (recall_weights(recall, method=method) * whole).tolist()
    for weight, high in zip(weights, precision_envelope(precision).tolist(), strict=True):
        if weight > 0:
            heights[round(high, 9)] = heights.get(round(high, 9), 0.0) + weight
    return [rf"{round(weight)} \cdot {high:.3f}" for high, weight in heights.items()]


def walk_rows(walk: Walk) -> pd.DataFrame:
    """Every detection of the class by falling score, for download."""
    recall, precision = walk.curve
    hits, misses = ((np.array(walk.outcomes) == fate).cumsum() for fate in (1, 0))
    rows = {
        "rank": range(1, len(walk.order) + 1),
        "name": [walk.name(rank) for rank in range(len(walk.order))],
        "image": walk.predictions.images[walk.ranking.order].numpy(),
        "score": walk.predictions.scores[walk.ranking.order].numpy(),
        "outcome": [FATES[outcome] for outcome in walk.outcomes],
        "reason": [walk.reason(rank) for rank in range(len(walk.order))],
        "tp": hits,
        "fp": misses,
        "precision": precision.numpy(),
        "recall": recall.numpy(),
        "envelope": precision_envelope(precision).numpy(),
    }
    weights = {f"weight {method}": recall_weights(recall, method=method).numpy() for method in METHODS}
    return pd.DataFrame(rows | weights)


def shown_rows(walk: Walk) -> pd.DataFrame:
    """The rows around the step, as text; those still to come have no numbers."""
    first = max(0, min(walk.step - 1 - AROUND, len(walk.order) - 2 * AROUND - 1))
    scores, (recall, precision) = walk.predictions.scores[walk.ranking.order].tolist(), walk.curve
    rows = []
    for rank in range(first, min(first + 2 * AROUND + 1, len(walk.order))):
        row = {"Score": f"{scores[rank]:.2f}"}
        seen = rank < walk.step
        row["Counts as"] = FATES[walk.outcomes[rank]] if seen else ""
        row["Because"] = walk.reason(rank) if seen else ""
        counted = max(walk.outcomes[: rank + 1]) >= 0  # before that precision is 0/0
        row["Precision"] = number(precision[rank].item() if counted else float("nan")) if seen else ""
        row["Recall"] = number(recall[rank].item()) if seen else ""
        row["AP so far"] = number(walk.ap(step=rank + 1)) if seen else ""
        rows.append(row)
    marks = [
        f"{'→ ' if rank == walk.step - 1 and not walk.done else ''}{rank + 1}"
        for rank in range(first, first + len(rows))
    ]
    names = [f"{mark} {walk.name(first + place)}" if walk.letters else mark for place, mark in enumerate(marks)]
    return pd.DataFrame(rows, index=pd.Index(names, name="Rank"))


def weight_rows(walk: Walk, most: int = 6) -> pd.DataFrame:
    """What each hit weighs in each AP: the rows of which the three methods disagree most, in their order."""
    recall, precision = walk.curve
    weights = {method: recall_weights(recall, method=method) for method in METHODS}
    envelope = precision_envelope(precision)
    spread = (torch.stack(list(weights.values())) * envelope).T  # [D, 3]
    gaps = spread.amax(1) - spread.amin(1)
    hits = [rank for rank, outcome in enumerate(walk.outcomes) if outcome == 1]
    chosen = sorted(sorted(hits, key=lambda rank: -gaps[rank])[:most])
    rows = []
    for rank in chosen:
        row = {"Recall": f"{recall[rank]:.3f}", "Envelope": f"{envelope[rank]:.3f}"}
        for method, title in METHOD_TITLES.items():
            whole = LEVELS.get(method, walk.positives)
            row[title] = f"{round(weights[method][rank].item() * whole)}/{whole} = {weights[method][rank]:.4f}"  # type: ignore[index]
        rows.append(row)
    return pd.DataFrame(rows, index=pd.Index([f"{rank + 1} {walk.name(rank)}" for rank in chosen], name="Hit"))


def method_words(walk: Walk) -> str:
    """The row that makes the chosen AP differ most from the exact area, or 11 points where that is the chosen one."""
    if not len(walk.order) or not walk.positives:
        return "Nothing to weigh."
    other: Method = "voc11" if walk.method == "all-point" else "all-point"
    recall, precision = walk.curve
    pair: tuple[Method, Method] = (walk.method, other)
    weights = [recall_weights(recall, method=method) for method in pair]
    high = precision_envelope(precision)
    gaps = (weights[0] - weights[1]) * high
    rank = int(gaps.abs().argmax())
    difference = walk.ap(pair[0]) - walk.ap(pair[1])
    if abs(difference) < 5e-5 and gaps.abs()[rank] < 5e-5:
        return f"{METHOD_TITLES[pair[0]]} and {METHOD_TITLES[pair[1]].lower()} agree on every row."
    parts = [_share(walk, method, weight[rank].item()) for method, weight in zip(pair, weights, strict=True)]
    place = f"rank {rank + 1}{f', {walk.name(rank)}' if walk.letters else ''}"
    return (
        f"{METHOD_TITLES[pair[0]]} less {METHOD_TITLES[pair[1]].replace('All', 'all')}: {_signed(difference)}. "
        f"The row that differs most is {place}: {parts[0]} against {parts[1]}, each times {high[rank]:.3f}."
    )


def _share(walk: Walk, method: Method, weight: float) -> str:
    whole = LEVELS.get(method, walk.positives)
    what = "step of recall" if method == "all-point" else "levels"
    return f"{round(weight * whole)}/{whole} ({what})"


def _signed(value: float) -> str:
    return f"{value:+.4f}".replace("-", "−")


def rule_words(walk: Walk, other: Walk, names: tuple[str, str]) -> str:
    """The first detection that the two rules judge differently.

    Args:
        walk, other: the same list under two rules.
        names: of the rules.
    """
    pairs = enumerate(zip(walk.outcomes, other.outcomes, strict=False))
    rank = next((rank for rank, (first, second) in pairs if first != second), None)
    if rank is None:
        return "Both rules judge every detection alike here."
    first, second = ((FATES[some.outcomes[rank]], some.reason(rank)) for some in (walk, other))
    return (
        f"Rank {rank + 1}{f', {walk.name(rank)},' if walk.letters else ''} is {first[0]} under {names[0]}'s rule "
        f"({first[1]}) and {second[0]} under {names[1]}'s ({second[1]})."
    )


def convention_rows(walks: dict[str, Walk | None]) -> pd.DataFrame:
    """AP of one list by every method under each matching rule, by the rule's title."""
    columns = {
        f"{title}'s matching": [f"{walk.ap(method):.4f}" if walk and walk.positives else "–" for method in METHODS]
        for title, walk in walks.items()
    }
    return pd.DataFrame(columns, index=pd.Index([METHOD_TITLES[method] for method in METHODS], name="AP by"))


def class_rows(names: Sequence[str], objects: Tensor, table: Tensor, *, text: bool = True) -> pd.DataFrame:
    """AP of each class, most objects first.

    Args:
        names: K classes.
        objects: (K,) how many count in each.
        table: (K, I) AP at COCO's thresholds, NaN for a class without objects.
        text: whether the numbers are text of three digits.
    """
    aps = {"AP": table.mean(1), "AP50": table[:, 0], "AP75": table[:, 5]}
    columns = {title: [number(value) if text else value for value in values.tolist()] for title, values in aps.items()}
    frame = pd.DataFrame({"Objects": objects.numpy()} | columns, index=pd.Index(names, name="Class"))
    return frame.sort_values("Objects", ascending=False, kind="stable")


def confusion_rows(table: Tensor, names: Sequence[str]) -> pd.DataFrame:
    """A confusion matrix as text, without the classes of which there is neither an object nor a detection."""
    used = [place for place in range(len(names)) if int(table[place].sum() + table[:, place].sum())]
    places, values = [*used, len(names)], table.tolist()
    return pd.DataFrame(
        [[str(values[row][column] or "·") for column in places] for row in places],
        columns=[*(f"called {names[place]}" for place in used), "missed"],
        index=pd.Index([*(names[place] for place in used), "nothing"], name="There is"),
    )
