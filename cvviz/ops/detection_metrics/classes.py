"""Rankings of whole classes over many images, and AP by class, size and IoU threshold as COCO means them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from cvviz.ops.boxes import box_area
from cvviz.ops.checks import check_boxes, check_range
from cvviz.ops.detection_metrics.matching import Rule, detection_overlaps, greedy
from cvviz.ops.detection_metrics.precision import Curve, Method, average_precision, precision_recall

Range = tuple[float, float]
# COCO's own floats: the ninth threshold is 0.8999999999999999, which an IoU of exactly 0.9 meets.
IOU_THRESHOLDS = (*(0.5 + step * ((0.95 - 0.5) / 9) for step in range(9)), 0.95)
_SLACK = 1e-9  # overlaps this close to a threshold are left to the matching itself
AREA_RANGES: dict[str, Range] = {
    "all": (0, 1e10),
    "small": (0, 32**2),
    "medium": (32**2, 96**2),
    "large": (96**2, 1e10),
}


@dataclass(frozen=True, eq=False)
class Truth:
    """The objects of a set of images.

    Args:
        boxes: (T, 4), corners x1, y1, x2, y2 in pixels.
        labels: (T,) int64, classes.
        images: (T,) int64, the image that each lies in.
        crowd: (T,) bool, regions that stand for a group: neither missed nor found. VOC: difficult.
        areas: (T,) in px², by which COCO calls an object small, medium or large: of its mask, where there is one.
    """

    boxes: Tensor
    labels: Tensor
    images: Tensor
    crowd: Tensor
    areas: Tensor

    def __post_init__(self) -> None:
        _check_rows("Truth", self.boxes, labels=self.labels, images=self.images, crowd=self.crowd, areas=self.areas)


@dataclass(frozen=True, eq=False)
class Predictions:
    """The detections of a set of images.

    Args:
        boxes: (D, 4), corners x1, y1, x2, y2 in pixels.
        labels: (D,) int64, classes.
        images: (D,) int64, the image that each lies in.
        scores: (D,), larger is surer.
    """

    boxes: Tensor
    labels: Tensor
    images: Tensor
    scores: Tensor

    def __post_init__(self) -> None:
        _check_rows("Predictions", self.boxes, labels=self.labels, images=self.images, scores=self.scores)


@dataclass(frozen=True, eq=False)
class Ranking:
    """The detections of one class in all images by falling score, and what each has found.

    Attributes:
        order: (D,) int64, their places in the predictions.
        targets: (A, I, D) int64, the object each is matched with at each area range and IoU threshold; -1 for none.
        outcomes: (A, I, D) int64: 1 found an object, 0 did not, -1 does not count.
        objects: (T,) int64, places of the class's objects in the truth.
        counted: (A, T) bool, those that count: no crowd, and of a size within the range.
    """

    order: Tensor
    targets: Tensor
    outcomes: Tensor
    objects: Tensor
    counted: Tensor

    @property
    def positives(self) -> Tensor:
        """(A,) int64, number of objects that count."""
        return self.counted.sum(1)

    @cached_property
    def curve(self) -> Curve:
        """Recall and precision after each detection, (A, I, D)."""
        return precision_recall(self.outcomes, self.positives[:, None])

    def average_precision(self, method: Method = "coco101") -> Tensor:
        """(A, I), NaN where no object counts."""
        found = average_precision(*self.curve, method=method)
        return found.masked_fill((self.positives == 0)[:, None], torch.nan)


def rank_class(
    truth: Truth,
    predictions: Predictions,
    label: int,
    *,
    iou_thresholds: Sequence[float] = IOU_THRESHOLDS,
    area_ranges: Sequence[Range] = (AREA_RANGES["all"],),
    rule: Rule = "coco",
    max_detections: int | None = 100,
) -> Ranking:
    """Match one class in every image, and put all of its detections into one ranking.

    Equal scores keep the order of the images, and within an image that of the predictions. An object outside an area
    range is ignored there, and so is a detection outside it that has found nothing.

    Args:
        truth: the objects.
        predictions: the detections.
        label: the class.
        iou_thresholds: I of them, each in [0, 1].
        area_ranges: A pairs of the smallest and the largest area in px², both inclusive.
        rule: "coco" or "voc".
        max_detections: best detections of an image that take part, None for all.

    Raises:
        ValueError: if a threshold is out of range or the rule unknown.

    Example:
        >>> box, zero = torch.tensor([[0.0, 0.0, 10.0, 10.0]]), torch.tensor([0])
        >>> truth = Truth(box, zero, zero, torch.tensor([False]), torch.tensor([100.0]))
        >>> ranking = rank_class(truth, Predictions(box, zero, zero, torch.tensor([0.9])), 0, iou_thresholds=[0.5])
        >>> ranking.outcomes, ranking.average_precision()
        (tensor([[[1]]]), tensor([[1.]], dtype=torch.float64))
    """
    for threshold in iou_thresholds:
        check_range(threshold, "iou_threshold", 0, 1)
    if rule not in get_args(Rule):
        raise ValueError(f"rule must be one of {', '.join(get_args(Rule))}, got {rule!r}.")
    order = _order(predictions, label, max_detections)
    objects = (truth.labels == label).nonzero().flatten()
    low, high = torch.tensor(area_ranges, dtype=torch.float64).reshape(-1, 2, 1).unbind(1)  # [A, 1] each
    areas = truth.areas[objects].double()
    ignored = truth.crowd[objects] | (areas < low) | (areas > high)  # [A, T]
    found = _targets(truth, predictions, order, objects, ignored, iou_thresholds, rule)
    targets = torch.tensor(found, dtype=torch.long)
    targets = targets.reshape(len(low), len(iou_thresholds), len(order))  # [A, I, D]
    sizes = box_area(predictions.boxes[order]).double()
    outside = ((sizes < low) | (sizes > high))[:, None]  # [A, 1, D]
    padded = F.pad(ignored, (0, 1))  # a target of -1, none, is the last column
    spared = padded.gather(1, targets.flatten(1) % padded.shape[1]).reshape(targets.shape)
    hit = targets >= 0
    outcomes = hit.long().masked_fill(torch.where(hit, spared, outside), -1)
    return Ranking(order, F.pad(objects, (0, 1), value=-1)[targets], outcomes, objects, ~ignored)


def _targets(
    truth: Truth,
    predictions: Predictions,
    order: Tensor,
    objects: Tensor,
    ignored: Tensor,
    iou_thresholds: Sequence[float],
    rule: Rule,
) -> list[list[list[int]]]:
    """Places among ``objects`` that the detections are matched with, [A, I, D]. Plain numbers, for speed."""
    targets = [[[-1] * len(order) for _ in iou_thresholds] for _ in ignored]
    crowd, ignored_rows = truth.crowd[objects], ignored.tolist()
    within = places_by_image(truth.images[objects])
    for image, ranks in places_by_image(predictions.images[order]).items():
        if image not in within:
            continue
        columns = within[image]
        regions = crowd[columns]
        boxes, things = predictions.boxes[order[ranks]], truth.boxes[objects[columns]]
        rows = detection_overlaps(boxes, things, crowd=regions if rule == "coco" else None).tolist()
        most, many = max(map(max, rows)), regions.tolist()
        for area, flags in enumerate(ignored_rows):
            spared = [flags[column] for column in columns]
            for place, threshold in enumerate(iou_thresholds):
                if most < threshold - _SLACK:
                    continue
                found = targets[area][place]
                for rank, match in zip(ranks, greedy(rule, rows, threshold, spared, many), strict=True):
                    found[rank] = columns[match] if match >= 0 else -1
    return targets


def average_precisions(
    truth: Truth,
    predictions: Predictions,
    labels: Sequence[int],
    *,
    iou_thresholds: Sequence[float] = IOU_THRESHOLDS,
    area_ranges: Sequence[Range] = tuple(AREA_RANGES.values()),
    rule: Rule = "coco",
    method: Method = "coco101",
    max_detections: int | None = 100,
) -> Tensor:
    """AP of each class at each area range and IoU threshold; see :func:`rank_class` for the arguments.

    Returns:
        (K, A, I) float64, NaN where a class has no object in a range. ``nanmean`` over the first and the last dimension
        is COCO's AP of each size.

    Raises:
        ValueError: if a threshold is out of range or the rule or method unknown.

    Example:
        Found with an IoU of 0.7, one object counts at the thresholds 0.5 to 0.7, five of ten:

        >>> box, zero = torch.tensor([[0.0, 0.0, 10.0, 10.0]]), torch.tensor([0])
        >>> truth = Truth(box, zero, zero, torch.tensor([False]), torch.tensor([100.0]))
        >>> predictions = Predictions(torch.tensor([[0.0, 0.0, 7.0, 10.0]]), zero, zero, torch.tensor([0.9]))
        >>> average_precisions(truth, predictions, [0])[0, 0].mean()
        tensor(0.5000, dtype=torch.float64)
    """
    rankings = (
        rank_class(
            truth,
            predictions,
            label,
            iou_thresholds=iou_thresholds,
            area_ranges=area_ranges,
            rule=rule,
            max_detections=max_detections,
        )
        for label in labels
    )
    found = [ranking.average_precision(method) for ranking in rankings]
    return torch.stack(found) if found else torch.empty(0, len(area_ranges), len(iou_thresholds), dtype=torch.float64)


def _order(predictions: Predictions, label: int, most: int | None) -> Tensor:
    """Places of the class's detections by falling score; images come in their order where scores are equal."""
    order = (predictions.labels == label).nonzero().flatten()
    order = order[predictions.images[order].argsort(stable=True)]
    order = order[predictions.scores[order].argsort(descending=True, stable=True)]
    if most is None:
        return order
    seen = Counter[int]()
    kept = []
    for place, image in enumerate(predictions.images[order].tolist()):
        if seen[image] < most:
            seen[image] += 1
            kept.append(place)
    return order[kept]


def places_by_image(images: Tensor) -> dict[int, list[int]]:
    """Places of the entries of each image, in their order."""
    found = defaultdict[int, list[int]](list)
    for place, image in enumerate(images.tolist()):
        found[image].append(place)
    return found


def _check_rows(kind: str, boxes: Tensor, **columns: Tensor) -> None:
    check_boxes(boxes, "boxes")
    for name, values in columns.items():
        if values.shape != boxes.shape[:1]:
            raise ValueError(f"{kind}: {name} must have shape ({len(boxes)},), one per box, got {tuple(values.shape)}.")
