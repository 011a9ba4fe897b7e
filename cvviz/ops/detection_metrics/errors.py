"""Why a detection counts as it does, and which classes are taken for which."""

from __future__ import annotations

from collections import Counter
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from cvviz.ops.checks import check_range
from cvviz.ops.detection_metrics.classes import Predictions, Ranking, Truth, places_by_image
from cvviz.ops.detection_metrics.matching import detection_overlaps, greedy

Kind = Literal["match", "ignored", "duplicate", "class", "place", "both", "background"]
_NEAR = 0.1  # overlap below which a detection shows nothing; TIDE's value


class Verdict(NamedTuple):
    """What one detection counts as, and why.

    Attributes:
        kind: "match"; "ignored", for a crowd or an object of another size; "duplicate", where its object is taken;
            "class", on an object of another class; "place", where the overlap is too small; "both" of the two;
            "background", where nothing is.
        partner: the object that the reason is about, -1 for none.
        overlap: IoU with it.
    """

    kind: Kind
    partner: int
    overlap: float


def explain(
    truth: Truth, predictions: Predictions, ranking: Ranking, label: int, *, iou_threshold: float, area: int, iou: int
) -> list[Verdict]:
    """The reason of every outcome in a ranking.

    Args:
        truth, predictions, label: what the ranking was made of.
        ranking: of one class.
        iou_threshold: smallest overlap of a match, the one at the place ``iou`` of the ranking.
        area, iou: places of the area range and of the IoU threshold in the ranking.

    Returns:
        One verdict for each detection, in the order of the ranking.

    Example:
        A detection on an object of another class:

        >>> from cvviz.ops.detection_metrics import rank_class
        >>> box, one = torch.tensor([[0.0, 0.0, 10.0, 10.0]]), torch.tensor([1])
        >>> truth = Truth(box, one, one, torch.tensor([False]), torch.tensor([100.0]))
        >>> predictions = Predictions(box, 0 * one, one, torch.tensor([0.9]))
        >>> ranking = rank_class(truth, predictions, 0, iou_thresholds=[0.5])
        >>> explain(truth, predictions, ranking, 0, iou_threshold=0.5, area=0, iou=0)
        [Verdict(kind='class', partner=0, overlap=1.0)]

    Reference:
        Bolya, Foley, Hays, Hoffman, TIDE: A General Toolbox for Identifying Object Detection Errors, 2020,
        https://arxiv.org/abs/2008.08115
    """
    overlaps = _in_image(truth, predictions, ranking.order)  # [D, T]
    own = truth.labels == label
    same, other = (_best(overlaps.where(mask, -1.0)) for mask in (own, ~own))
    rows = zip(ranking.outcomes[area, iou].tolist(), ranking.targets[area, iou].tolist(), same, other, strict=True)
    found = []
    for place, (outcome, target, mine, others) in enumerate(rows):
        if target >= 0:
            found.append(Verdict("match" if outcome == 1 else "ignored", target, overlaps[place, target].item()))
        else:
            found.append(Verdict("ignored", -1, 0.0) if outcome < 0 else _miss(mine, others, iou_threshold))
    return found


def _miss(same: tuple[int, float], other: tuple[int, float], iou_threshold: float) -> Verdict:
    """What is wrong with a detection that found nothing, from its best overlaps with either kind of object."""
    if same[1] >= iou_threshold:
        return Verdict("duplicate", *same)
    if other[1] >= iou_threshold:
        return Verdict("class", *other)
    if same[1] >= _NEAR:
        return Verdict("place", *same)
    if other[1] >= _NEAR:
        return Verdict("both", *other)
    return Verdict("background", -1, 0.0)


def confusion_matrix(
    truth: Truth, predictions: Predictions, classes: int, *, iou_threshold: float = 0.5, score_threshold: float = 0.0
) -> Tensor:
    """Which class was found where which one is, whatever the classes: COCO's matching with all of them as one.

    Args:
        truth: the objects; crowds and what matches them are left out.
        predictions: the detections.
        classes: number of classes, K.
        iou_threshold: smallest overlap of a match.
        score_threshold: smallest score that takes part: unlike AP, this table belongs to one operating point.

    Returns:
        (K + 1, K + 1) int64. Row: the true class, last: nothing is there. Column: the predicted one, last: missed.

    Raises:
        ValueError: if the IoU threshold is out of range.

    Example:
        >>> box, one = torch.tensor([[0.0, 0.0, 10.0, 10.0]]), torch.tensor([1])
        >>> truth = Truth(box, one, one, torch.tensor([False]), torch.tensor([100.0]))
        >>> confusion_matrix(truth, Predictions(box, 0 * one, one, torch.tensor([0.9])), 2)
        tensor([[0, 0, 0],
                [1, 0, 0],
                [0, 0, 0]])
    """
    check_range(iou_threshold, "iou_threshold", 0, 1)
    order = predictions.scores.argsort(descending=True, stable=True)
    order = order[predictions.scores[order] >= score_threshold]
    rows, columns = places_by_image(predictions.images[order]), places_by_image(truth.images)
    said, true, crowd = predictions.labels[order].tolist(), truth.labels.tolist(), truth.crowd.tolist()
    pairs = Counter[tuple[int, int]]()
    for image in {*rows, *columns}:
        found, things = rows.get(image, []), columns.get(image, [])
        overlaps = detection_overlaps(predictions.boxes[order[found]], truth.boxes[things], crowd=truth.crowd[things])
        spared = [crowd[thing] for thing in things]
        matched = list(greedy("coco", overlaps.tolist(), iou_threshold, spared, spared))
        for place, match in zip(found, matched, strict=True):
            if match < 0 or not spared[match]:
                pairs[classes if match < 0 else true[things[match]], said[place]] += 1
        for column, thing in enumerate(things):
            if column not in matched and not spared[column]:
                pairs[true[thing], classes] += 1
    table = torch.zeros(classes + 1, classes + 1, dtype=torch.long)
    for (row, column), count in pairs.items():
        table[row, column] = count
    return table


def _in_image(truth: Truth, predictions: Predictions, order: Tensor) -> Tensor:
    """(D, T) overlaps, -1 with objects of other images."""
    overlaps = detection_overlaps(predictions.boxes[order], truth.boxes)
    return overlaps.where(predictions.images[order][:, None] == truth.images, -1.0)


def _best(overlaps: Tensor) -> list[tuple[int, float]]:
    """Place and value of the largest in each row; (-1, -1) where there is none."""
    if not overlaps.shape[1]:
        return [(-1, -1.0)] * len(overlaps)
    values, places = overlaps.max(dim=1)
    return list(zip(places.tolist(), values.tolist(), strict=True))
