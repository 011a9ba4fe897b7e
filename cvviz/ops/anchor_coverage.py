"""How well a set of anchors covers boxes, without laying out the set."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from cvviz.ops.anchors import anchor_grid
from cvviz.ops.boxes import box_iou
from cvviz.ops.checks import check_boxes, check_floating


def best_anchor_iou(
    boxes: Tensor,
    image_size: tuple[int, int],
    *,
    strides: Sequence[int],
    sizes: Sequence[Sequence[float]],
    ratios: Sequence[float],
    offset: float = 0.0,
    rounded: bool = True,
) -> Tensor:
    """The highest IoU of each box with any anchor of the grid of :func:`cvviz.ops.anchors.anchor_grid`.

    Of anchors of one shape the one with the nearest centre fits best: the overlap shrinks with the distance on either
    axis, whatever the distance on the other. So one anchor of each shape and level is looked at rather than thousands.

    Args:
        boxes: (N, 4), x1, y1, x2, y2 in px, floating point.
        image_size, strides, sizes, ratios, offset, rounded: as for the grid.

    Returns:
        (N,) in [0, 1]. The share of values of at least t is the recall of the set at an IoU of t: what would be found
        if all anchors were reported as they lie.

    Raises:
        TypeError: if ``boxes`` is not a floating-point tensor.
        ValueError: if its shape is not (N, 4), or the grid's arguments are wrong.

    Example:
        The centre of the box lies halfway between two anchors of its size: they share half of the box.

        >>> box = torch.tensor([[0.0, -4.0, 8.0, 4.0]])
        >>> best_anchor_iou(box, (64, 64), strides=[8], sizes=[[8]], ratios=[1])
        tensor([0.3333])

    Reference:
        Hosang, Benenson, Dollar, Schiele, "What Makes for Effective Detection Proposals?", 2015,
        https://arxiv.org/abs/1502.05082
    """
    check_boxes(boxes, "boxes")
    check_floating(boxes, "boxes")
    # The grids of a one-pixel image: the anchors of one cell, centred on (0, 0).
    shapes = anchor_grid(
        (1, 1), strides=strides, sizes=sizes, ratios=ratios, rounded=rounded, dtype=boxes.dtype, device=boxes.device
    )
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2  # [N, 2]
    best = boxes.new_zeros(len(boxes))
    for stride, around in zip(strides, shapes, strict=True):
        last = boxes.new_tensor([math.ceil(side / stride) - 1 for side in (image_size[1], image_size[0])])
        cells = (centers / stride - offset).round().clamp(min=torch.zeros_like(last), max=last)
        apart = boxes - ((cells + offset) * stride).repeat(1, 2)  # the box as seen from the nearest centre
        best = torch.maximum(best, box_iou(apart, around).amax(dim=1))
    return best
