"""Non-maximum suppression: of boxes that overlap, keep the best. Hard, soft, per class, and step by step.

Boxes are rows ``(x1, y1, x2, y2)`` with ``x1 < x2`` and ``y1 < y2``, in any one unit. Every function needs memory for
the IoU of all N x N pairs.

Equal scores are ranked by index, lowest first. Boxes suppress each other only where their IoU *exceeds* the threshold,
so that a threshold of 1 suppresses nothing and a threshold of 0 suppresses all that overlaps. Two boxes without area
have no IoU (0/0) and never suppress each other. All of this is as in torchvision, with one exception: torchvision
ranks a score of NaN above every other, here it raises.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from cvviz.ops.boxes import box_iou
from cvviz.ops.checks import check_boxes, check_floating, check_positive, check_range, check_tensor

Method = Literal["hard", "linear", "gaussian"]


@dataclass(frozen=True, slots=True)
class Trace:
    """Every step of a suppression of N boxes that keeps K of them.

    Args:
        kept: (K,) int64, the boxes in the order in which they were chosen, which is that of falling scores.
        scores: (K,), the score at which each was chosen.
        history: (K + 1, N), the score of every box before each step, and after the last one; -1 once a box is out of
            the race: kept, suppressed, or below the score threshold.
        overlaps: (N, N), the IoU that counts: 0 between boxes of different classes.
    """

    kept: Tensor
    scores: Tensor
    history: Tensor
    overlaps: Tensor

    def lowered(self, step: int) -> Tensor:
        """Boxes whose score fell in ``step`` (0 is the first), or that it suppressed: (M,) int64, rising."""
        fell = self.history[step + 1] < self.history[step]
        fell[self.kept[step]] = False
        return fell.nonzero().flatten()


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Hard NMS: go through the boxes by falling score; keep a box unless one kept before it overlaps it too much.

    Args:
        boxes: (N, 4), corners x1, y1, x2, y2 in continuous coordinates.
        scores: (N,) floating point, any real numbers but NaN.
        iou_threshold: in [0, 1]; a box is suppressed where its IoU with a kept box exceeds this.

    Returns:
        (K,) int64, indices of the boxes kept, by falling score and then by index.

    Raises:
        TypeError: if an argument is not a tensor, or ``scores`` not of a floating-point dtype.
        ValueError: if a shape is wrong, a score is NaN, or the threshold is out of range.

    Example:
        The second box overlaps the first with an IoU of 0.8, the third overlaps neither:

        >>> boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 8.0], [20.0, 0.0, 30.0, 10.0]])
        >>> nms(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.5)
        tensor([0, 2])

    Reference:
        Neubeck, Van Gool, "Efficient Non-Maximum Suppression", 2006, https://doi.org/10.1109/ICPR.2006.479
    """
    return _nms(boxes, scores, None, iou_threshold)


def batched_nms(boxes: Tensor, scores: Tensor, idxs: Tensor, iou_threshold: float) -> Tensor:
    """Class-aware hard NMS: only boxes of the same class suppress each other.

    The classes are compared themselves. The usual trick, to move each class to a place of its own by an offset and to
    run one plain NMS, fails where the offset is too small: in torchvision, for boxes with negative coordinates.

    Args:
        boxes: (N, 4), corners x1, y1, x2, y2 in continuous coordinates.
        scores: (N,) floating point, any real numbers but NaN.
        idxs: (N,) integers, the class (or the image) of each box.
        iou_threshold: in [0, 1]; a box is suppressed where its IoU with a kept box of its class exceeds this.

    Returns:
        (K,) int64, indices of the boxes kept, by falling score and then by index.

    Raises:
        TypeError: if an argument is not a tensor, or ``scores`` not of a floating-point dtype.
        ValueError: if a shape is wrong, a score is NaN, or the threshold is out of range.

    Example:
        The same box twice, once per class:

        >>> boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 10.0]])
        >>> batched_nms(boxes, torch.tensor([0.8, 0.9]), torch.tensor([0, 1]), 0.5)
        tensor([1, 0])
    """
    return _nms(boxes, scores, idxs, iou_threshold)


def soft_nms(
    boxes: Tensor,
    scores: Tensor,
    *,
    method: Literal["linear", "gaussian"] = "gaussian",
    iou_threshold: float = 0.3,
    sigma: float = 0.5,
    score_threshold: float = 0.001,
    idxs: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Soft-NMS: each box that is kept lowers the scores of those that overlap it, instead of removing them.

    Again and again the box with the highest score is kept, and the score s of every other falls with its IoU u:
    "linear" to ``s (1 - u)`` where u exceeds ``iou_threshold``, "gaussian" to ``s exp(-u^2 / sigma)``. A box is out
    once its score falls below ``score_threshold``, or is multiplied by zero.

    Args:
        boxes: (N, 4), corners x1, y1, x2, y2 in continuous coordinates.
        scores: (N,) floating point, finite, not negative.
        method: how scores fall.
        iou_threshold: in [0, 1]; "gaussian" makes no use of it.
        sigma: width of the Gaussian, positive; "linear" makes no use of it.
        score_threshold: lowest score that is kept.
        idxs: (N,) integers, the class of each box: others are not affected. None if all are of one class.

    Returns:
        (K,) int64, indices of the boxes kept, in the order in which they were chosen; and (K,), their new scores, which
        fall in that order.

    Raises:
        TypeError: if an argument is not a tensor, or ``scores`` not of a floating-point dtype.
        ValueError: if a shape is wrong, a score is negative or not finite, or an option is out of range or unknown.

    Example:
        The second box overlaps the first with an IoU of 0.8, so that it keeps 0.2 of its score:

        >>> boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 8.0], [20.0, 0.0, 30.0, 10.0]])
        >>> soft_nms(boxes, torch.tensor([0.9, 0.8, 0.7]), method="linear")
        (tensor([0, 2, 1]), tensor([0.9000, 0.7000, 0.1600]))

    Reference:
        Bodla, Singh, Chellappa, Davis, "Soft-NMS: Improving Object Detection With One Line of Code", 2017,
        https://arxiv.org/abs/1704.04503
    """
    if method not in ("linear", "gaussian"):
        raise ValueError(f"method must be one of linear, gaussian, got {method!r}.")
    trace = trace_nms(
        boxes,
        scores,
        idxs=idxs,
        method=method,
        iou_threshold=iou_threshold,
        sigma=sigma,
        score_threshold=score_threshold,
    )
    return trace.kept, trace.scores


def trace_nms(
    boxes: Tensor,
    scores: Tensor,
    *,
    idxs: Tensor | None = None,
    method: Method = "hard",
    iou_threshold: float = 0.5,
    sigma: float = 0.5,
    score_threshold: float = 0.0,
) -> Trace:
    """All steps of hard or soft NMS: what was kept, in which order, and what became of every score.

    With "hard" and no box below the score threshold it keeps what :func:`nms` or :func:`batched_nms` keeps; with the
    other methods what :func:`soft_nms` does, whose arguments it takes.

    Raises:
        TypeError: if an argument is not a tensor, or ``scores`` not of a floating-point dtype.
        ValueError: if a shape is wrong, a score is negative or not finite, or an option is out of range or unknown.

    Example:
        >>> boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 8.0], [20.0, 0.0, 30.0, 10.0]])
        >>> trace = trace_nms(boxes, torch.tensor([0.9, 0.8, 0.7]))
        >>> trace.kept, trace.lowered(0)
        (tensor([0, 2]), tensor([1]))
    """
    _check(boxes, scores, idxs, iou_threshold)
    check_positive(sigma, "sigma")
    check_range(score_threshold, "score_threshold", 0, torch.inf)
    if method not in get_args(Method):
        raise ValueError(f"method must be one of {', '.join(get_args(Method))}, got {method!r}.")
    if not bool(((scores >= 0) & scores.isfinite()).all()):
        raise ValueError("scores must be finite and not negative.")
    overlaps = _overlaps(boxes, idxs)
    weights = _weights(overlaps, method, iou_threshold, sigma).to(scores.dtype)
    stays = (weights > 0).fill_diagonal_(False)  # a box that is kept leaves the race as well
    out = scores.new_tensor(-1)
    left = scores.where(scores >= score_threshold, out)
    kept, history = [], [left]
    for _ in range(len(boxes)):
        highest, best = left.max(dim=0)  # the first of equals
        if highest == out:
            break
        kept.append(int(best))
        lowered = left * weights[kept[-1]]
        left = lowered.where(stays[kept[-1]] & (lowered >= score_threshold), out)
        history.append(left)
    scores_by_step = torch.stack(history)  # [K + 1, N]
    chosen = torch.tensor(kept, dtype=torch.long)
    return Trace(chosen, scores_by_step[torch.arange(len(kept)), chosen], scores_by_step, overlaps)


def _weights(overlaps: Tensor, method: Method, iou_threshold: float, sigma: float) -> Tensor:
    """What the score of each column is multiplied by when the box of the row is kept; 0 suppresses it."""
    match method:
        case "hard":
            return (~_exceeds(overlaps, iou_threshold)).to(overlaps.dtype)
        case "linear":
            return torch.where(_exceeds(overlaps, iou_threshold), 1 - overlaps, 1.0)
        case "gaussian":
            return torch.exp(-overlaps.square() / sigma)


def _nms(boxes: Tensor, scores: Tensor, idxs: Tensor | None, iou_threshold: float) -> Tensor:
    _check(boxes, scores, idxs, iou_threshold)
    if bool(scores.isnan().any()):
        raise ValueError("scores must not contain NaN.")
    order = scores.argsort(descending=True, stable=True)
    overlaps = _overlaps(boxes[order], None if idxs is None else idxs[order])
    suppresses = _exceeds(overlaps, iou_threshold)  # [N, N]
    gone = torch.zeros_like(order, dtype=torch.bool)
    kept = []
    for place in range(len(order)):
        if not gone[place]:
            kept.append(place)
            gone |= suppresses[place]
    return order[kept]


def _overlaps(boxes: Tensor, idxs: Tensor | None) -> Tensor:
    overlaps = box_iou(boxes, boxes).nan_to_num(nan=0.0)
    return overlaps if idxs is None else overlaps * (idxs[:, None] == idxs)


def _exceeds(overlaps: Tensor, iou_threshold: float) -> Tensor:
    # A float32 IoU must meet the threshold in float64, as in torchvision: 0.1 rounded to float32 exceeds 0.1.
    return overlaps.double() > iou_threshold


def _check(boxes: Tensor, scores: Tensor, idxs: Tensor | None, iou_threshold: float) -> None:
    check_boxes(boxes, "boxes")
    check_floating(scores, "scores")
    if idxs is not None:
        check_tensor(idxs, "idxs")
    for name, value in (("scores", scores), ("idxs", idxs)):
        if value is not None and value.shape != boxes.shape[:1]:
            raise ValueError(f"{name} must have shape ({len(boxes)},), one per box, got {tuple(value.shape)}.")
    check_range(iou_threshold, "iou_threshold", 0, 1)
