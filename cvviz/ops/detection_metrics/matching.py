"""Which detection has found which object, under COCO's rule and under VOC's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, get_args

import torch
from torch import Tensor

from cvviz.ops.boxes import box_area, box_iou, box_terms
from cvviz.ops.checks import check_range, check_tensor

Rule = Literal["coco", "voc"]
_MOST = 1 - 1e-10  # COCO lets an overlap that rounding left just below 1 meet a threshold of 1


def detection_overlaps(boxes: Tensor, objects: Tensor, *, crowd: Tensor | None = None) -> Tensor:
    """IoU of detections with objects; with a crowd region, the share of the detection that lies inside it.

    Args:
        boxes: (D, 4) detections, corners x1, y1, x2, y2 in continuous coordinates.
        objects: (T, 4), likewise.
        crowd: (T,) bool, the objects that stand for a group. None if there is none.

    Returns:
        (D, T) float64 in [0, 1]; 0 where two boxes without area would give 0/0.

    Raises:
        TypeError: if an argument is not a tensor.
        ValueError: if a shape is wrong.

    Example:
        A detection in a crowd region twice as wide:

        >>> box, region = torch.tensor([[0.0, 0.0, 2.0, 2.0]]), torch.tensor([[0.0, 0.0, 4.0, 2.0]])
        >>> detection_overlaps(box, region), detection_overlaps(box, region, crowd=torch.tensor([True]))
        (tensor([[0.5000]], dtype=torch.float64), tensor([[1.]], dtype=torch.float64))

    Reference:
        Lin et al., Microsoft COCO: Common Objects in Context, 2014, https://arxiv.org/abs/1405.0312
    """
    check_tensor(boxes, "boxes")
    check_tensor(objects, "objects")
    boxes, objects = boxes.double(), objects.double()  # 0.7 in float32 is below a threshold of 0.7
    overlaps = box_iou(boxes, objects)
    if crowd is not None:
        _check_flags(crowd, len(objects), "crowd")
        if bool(crowd.any()):
            inside = box_terms(boxes, objects).intersection / box_area(boxes)[:, None]  # [D, T]
            overlaps = torch.where(crowd, inside, overlaps)
    return overlaps.nan_to_num(nan=0.0)


def match_detections(
    overlaps: Tensor,
    *,
    iou_threshold: float,
    rule: Rule = "coco",
    ignored: Tensor | None = None,
    crowd: Tensor | None = None,
) -> Tensor:
    """Give each detection of one class in one image its object, best score first.

    COCO: the free object that it overlaps most, if that overlap reaches the threshold; objects that count come before
    ignored ones, whatever the overlap. VOC: the object that it overlaps most, free or not; if that one is taken, the
    detection is a duplicate, even where another object would do. Of equal overlaps COCO takes the last, VOC the first.

    Args:
        overlaps: (D, T) in [0, 1], detections by falling score.
        iou_threshold: smallest overlap of a match, which itself is enough, in [0, 1].
        rule: "coco" or "voc".
        ignored: (T,) bool, objects that are neither missed nor found (VOC: difficult). VOC lets any number of
            detections match them, COCO one.
        crowd: (T,) bool, objects of which COCO lets any number of detections match one. They should be ignored too.

    Returns:
        (D,) int64, the object of each detection; -1 for none.

    Raises:
        TypeError: if an argument is not a tensor.
        ValueError: if a shape is wrong, the threshold is out of range or the rule unknown.

    Example:
        Both overlap object 0 most. COCO gives the second what is left, VOC calls it a duplicate:

        >>> overlaps = torch.tensor([[0.9, 0.5], [0.8, 0.6]])
        >>> match_detections(overlaps, iou_threshold=0.5), match_detections(overlaps, iou_threshold=0.5, rule="voc")
        (tensor([0, 1]), tensor([ 0, -1]))

    Reference:
        Everingham, Van Gool, Williams, Winn, Zisserman, The PASCAL Visual Object Classes (VOC) Challenge, 2010,
        https://doi.org/10.1007/s11263-009-0275-4, and Lin et al., 2014, https://arxiv.org/abs/1405.0312
    """
    check_tensor(overlaps, "overlaps")
    if overlaps.ndim != 2:
        raise ValueError(f"overlaps must have shape (D, T), got {tuple(overlaps.shape)}.")
    check_range(iou_threshold, "iou_threshold", 0, 1)
    if rule not in get_args(Rule):
        raise ValueError(f"rule must be one of {', '.join(get_args(Rule))}, got {rule!r}.")
    count = overlaps.shape[1]
    flags = []
    for name, value in (("ignored", ignored), ("crowd", crowd)):
        if value is not None:
            _check_flags(value, count, name)
        flags.append([False] * count if value is None else value.tolist())
    return torch.tensor(list(greedy(rule, overlaps.tolist(), iou_threshold, *flags)), dtype=torch.long)


def greedy(
    rule: Rule, rows: list[list[float]], iou_threshold: float, ignored: list[bool], crowd: list[bool]
) -> Iterator[int]:
    """:func:`match_detections` on plain numbers, unchecked: for callers with many small images."""
    match = _coco if rule == "coco" else _voc
    return match(rows, iou_threshold, ignored, crowd)


def _coco(rows: list[list[float]], iou_threshold: float, ignored: list[bool], crowd: list[bool]) -> Iterator[int]:
    least = min(iou_threshold, _MOST)
    free = set(range(len(ignored)))
    for row in rows:
        found = [place for place in free if row[place] >= least]
        best = max(found, key=lambda place: (not ignored[place], row[place], place), default=-1)
        if best >= 0 and not crowd[best]:
            free.remove(best)
        yield best


def _voc(rows: list[list[float]], iou_threshold: float, ignored: list[bool], _: list[bool]) -> Iterator[int]:
    taken = set[int]()
    for row in rows:
        best = max(range(len(row)), key=row.__getitem__, default=-1)
        if best < 0 or row[best] < iou_threshold or best in taken:
            yield -1
            continue
        if not ignored[best]:
            taken.add(best)
        yield best


def _check_flags(value: Tensor, count: int, name: str) -> None:
    check_tensor(value, name)
    if value.shape != (count,) or value.dtype != torch.bool:
        raise ValueError(f"{name} must be bool of shape ({count},), got {value.dtype} of {tuple(value.shape)}.")
