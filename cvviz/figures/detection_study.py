"""All that the page of average precision tells of one set: a class's ranking under both rules, and COCO's numbers."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cvviz.figures.detection_walk import Walk, method_words, rule_words
from cvviz.ops.detection_metrics import (
    AREA_RANGES,
    METHODS,
    Method,
    Predictions,
    Ranking,
    Rule,
    Truth,
    Verdict,
    average_precisions,
    confusion_matrix,
    explain,
    rank_class,
)

Keep = Callable[[Hashable, Callable[[], Any]], Any]

RULES: dict[Rule, str] = {"coco": "COCO", "voc": "VOC"}
OTHER: dict[Rule, Rule] = {"coco": "voc", "voc": "coco"}
SUMMARY = ("AP", "AP50", "AP75", "AP small", "AP medium", "AP large")


@dataclass(frozen=True)
class View:
    """How a set is looked at.

    Args:
        label: the class that is walked.
        iou: smallest overlap of a match.
        rule: how detections are matched.
        size: of the objects that count, a key of ``AREA_RANGES``; VOC knows only "all".
        method: how AP is taken.
        step: detections looked at; None for the whole list.
    """

    label: int
    iou: float
    rule: Rule
    size: str
    method: Method
    step: int | None


@dataclass(frozen=True, eq=False)
class Study:
    """What is known of the ranking and of the whole set.

    Args:
        view: how it is looked at.
        walk: the class's ranking.
        other: the same under the other rule; None while sizes are chosen.
        labels: K classes that have an object in the set.
        table: (K, A, I) COCO's AP of these at each size and IoU threshold.
    """

    view: View
    walk: Walk
    other: Walk | None
    labels: tuple[int, ...]
    table: Tensor

    @property
    def checked(self) -> Tensor:
        """(10,) AP of the list by each method, its recall, and COCO's summary."""
        walk = self.walk
        aps = torch.tensor([walk.ap(method) for method in METHODS], dtype=torch.float64)
        none = torch.tensor([0.0 if walk.positives else torch.nan], dtype=torch.float64)
        recall = walk.curve.recall[-1:] if walk.order else none
        return torch.cat([aps, recall, self.means])

    @property
    def means(self) -> Tensor:
        """(6,) COCO's AP, AP50, AP75, and AP of small, medium and large objects."""
        every = self.table[:, 0]
        means = [every.nanmean(), every[:, 0].nanmean(), every[:, 5].nanmean()]
        return torch.stack([*means, *self.table[:, 1:].nanmean(dim=(0, 2))])

    @property
    def summary(self) -> dict[str, float]:
        """The same by name."""
        return dict(zip(SUMMARY, self.means.tolist(), strict=True))

    @property
    def class_names(self) -> list[str]:
        """Names of the K classes."""
        return [self.walk.names[label] for label in self.labels]

    @property
    def objects(self) -> Tensor:
        """(K,) objects that count in each of them."""
        counting = self.walk.truth.labels[~self.walk.truth.crowd]
        return counting.bincount(minlength=len(self.walk.names))[list(self.labels)]

    @property
    def by_threshold(self) -> dict[str, Tensor]:
        """AP at COCO's ten thresholds of the class that is walked, and the mean of all classes."""
        own = dict(zip(self.labels, self.table[:, 0], strict=True)).get(self.walk.label)
        mean = {"Mean of classes": self.table[:, 0].nanmean(0)}
        return mean if own is None else {f"Class {self.walk.names[self.walk.label]}": own} | mean

    @property
    def by_rule(self) -> dict[str, Walk | None]:
        """The two rankings by the title of their rule, the chosen one first."""
        return {RULES[self.view.rule]: self.walk, RULES[OTHER[self.view.rule]]: self.other}

    def threshold_words(self) -> str:
        """What the chart of AP by threshold shows."""
        words = (
            f"{name} {values[0]:.3f} at 0.50, {values[5]:.3f} at 0.75, {values[-1]:.3f} at 0.95"
            for name, values in self.by_threshold.items()
        )
        return f"AP by IoU threshold: {'; '.join(words)}."

    def convention_words(self) -> list[str]:
        """Which row makes the methods differ, and which the matching rules."""
        if not self.walk.positives:
            return ["No object of this class counts: there is no AP to compare."]
        first, second = self.by_rule
        rules = rule_words(self.walk, self.other, (first, second)) if self.other else ""
        return [method_words(self.walk), rules or "VOC has no sizes: let all count to compare the rules."]

    @property
    def cut(self) -> float:
        """Score of the detection at the step, 0 at the end of the list."""
        walk = self.walk
        scores = walk.predictions.scores[walk.ranking.order]
        return scores[walk.step - 1].item() if walk.step and not walk.done else 0.0

    def confusions(self) -> Tensor:
        """Confusion matrix of all detections from the score at the step on."""
        walk, iou = self.walk, self.view.iou
        return confusion_matrix(
            walk.truth, walk.predictions, len(walk.names), iou_threshold=iou, score_threshold=self.cut
        )

    def confusion_words(self) -> str:
        """What the confusion matrix is of."""
        which = f"Detections of all classes with a score from {self.cut:.2f} on" if self.cut else "All detections"
        return f"{which}, matched at IoU {self.view.iou:.2f} whatever they are called."


def study(
    truth: Truth, predictions: Predictions, view: View, *, names: tuple[str, ...], letters: tuple[str, ...], keep: Keep
) -> Study:
    """Rank a class under both rules, and take COCO's numbers of the set.

    Args:
        truth, predictions: the set.
        view: how it is looked at.
        names: of the classes.
        letters: names of the predictions, if they have some.
        keep: memory of the set: gives the result under a key, or makes and keeps it.
    """

    def walk(rule: Rule) -> Walk:
        size = view.size if rule == view.rule else "all"
        key = (view.label, view.iou, rule, size)
        ranking, verdicts = keep(("ranked", *key), lambda: _ranked(truth, predictions, *key))
        count = len(ranking.order)
        step = count if view.step is None else min(view.step, count)
        done = step == count
        return Walk(truth, predictions, ranking, verdicts, view.label, names, letters, step, done, view.method)

    labels, table = keep("coco", lambda: _coco(truth, predictions))
    return Study(view, walk(view.rule), walk(OTHER[view.rule]) if view.size == "all" else None, labels, table)


def _ranked(
    truth: Truth, predictions: Predictions, label: int, iou: float, rule: Rule, size: str
) -> tuple[Ranking, tuple[Verdict, ...]]:
    ranking = rank_class(
        truth,
        predictions,
        label,
        iou_thresholds=(iou,),
        area_ranges=(AREA_RANGES[size],),
        rule=rule,
        max_detections=100 if rule == "coco" else None,
    )
    return ranking, tuple(explain(truth, predictions, ranking, label, iou_threshold=iou, area=0, iou=0))


def _coco(truth: Truth, predictions: Predictions) -> tuple[tuple[int, ...], Tensor]:
    labels = tuple(sorted(set(truth.labels.tolist())))
    return labels, average_precisions(truth, predictions, labels)


def plain_rows(truth: Truth, predictions: Predictions) -> tuple[list[list[float]], list[list[float]]]:
    """Rows of image, class, x, y, width, height and, of objects, area and crowd; of detections, the score."""

    def rows(images: Tensor, labels: Tensor, boxes: Tensor, *more: Tensor) -> list[list[float]]:
        sides = boxes[:, 2:] - boxes[:, :2]
        columns = images.tolist(), labels.tolist(), *boxes[:, :2].T.tolist(), *sides.T.tolist()
        return [list(row) for row in zip(*columns, *(column.tolist() for column in more), strict=True)]

    return (
        rows(truth.images, truth.labels, truth.boxes, truth.areas, truth.crowd.long()),
        rows(predictions.images, predictions.labels, predictions.boxes, predictions.scores),
    )
