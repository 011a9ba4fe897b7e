"""Overlap of axis-aligned boxes: IoU, GIoU, DIoU, CIoU and the terms that they are made of.

Boxes are rows ``(x1, y1, x2, y2)`` with ``x1 < x2`` and ``y1 < y2``, in any one unit. Coordinates are continuous: a box
is as wide as ``x2 - x1``, and the first pixel of an image is the box ``(0, 0, 1, 1)``. The order of the corners is not
checked, because that would read every value: other boxes give numbers without meaning.

A box without area has IoU 0 with every box that has one, and NaN (0/0) with another box without area.

Half-precision boxes are computed in float32, since the area of a box of 480 x 480 pixels exceeds float16.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from cvviz.ops.checks import check_boxes


class BoxTerms(NamedTuple):
    """What the overlap measures of each pair of boxes are made of, each of shape (N, M).

    Attributes:
        intersection: area that the boxes share.
        union: area that at least one of them covers.
        enclosing: area of the smallest box around both, C.
        center_distance2: squared distance between the centres, rho^2.
        diagonal2: squared diagonal of the smallest box around both, c^2.
        aspect: difference of shape, v: the angle between the diagonals of the two boxes as a fraction of 90 degrees,
            squared. In [0, 1), and 0 if the boxes have one ratio of width to height, whatever their sizes.
    """

    intersection: Tensor
    union: Tensor
    enclosing: Tensor
    center_distance2: Tensor
    diagonal2: Tensor
    aspect: Tensor


def box_area(boxes: Tensor) -> Tensor:
    """Area of each box, (x2 - x1)(y2 - y1).

    Args:
        boxes: (N, 4), corners x1, y1, x2, y2 in continuous coordinates.

    Returns:
        (N,), in squared units of the coordinates.

    Raises:
        TypeError: if ``boxes`` is not a tensor.
        ValueError: if its shape is not (N, 4).

    Example:
        >>> box_area(torch.tensor([[0.0, 0.0, 4.0, 3.0]]))
        tensor([12.])
    """
    check_boxes(boxes, "boxes")
    return _area(_sides(_upcast(boxes)))


def box_iou(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """Intersection over union of every pair of boxes.

    Args:
        boxes1: (N, 4), corners x1, y1, x2, y2 in continuous coordinates.
        boxes2: (M, 4), likewise.

    Returns:
        (N, M) in [0, 1]: 1 for equal boxes, 0 for boxes that share no area, where the gradient is zero as well.

    Raises:
        TypeError: if an argument is not a tensor.
        ValueError: if a shape is not (N, 4).

    Example:
        A quarter-size box inside the other:

        >>> box_iou(torch.tensor([[0.0, 0.0, 2.0, 2.0]]), torch.tensor([[1.0, 1.0, 2.0, 2.0]]))
        tensor([[0.2500]])
    """
    intersection, union = _intersection_and_union(*_pairs(boxes1, boxes2))
    return intersection / union


def generalized_box_iou(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """GIoU of every pair of boxes: IoU less the share of the smallest enclosing box that neither covers.

    Args:
        boxes1: (N, 4), corners x1, y1, x2, y2 in continuous coordinates.
        boxes2: (M, 4), likewise.

    Returns:
        (N, M) in (-1, 1]: at most IoU, and equal to it where one box lies inside the other.

    Raises:
        TypeError: if an argument is not a tensor.
        ValueError: if a shape is not (N, 4).

    Example:
        Two unit squares, two units apart, in an enclosing box of which they cover half:

        >>> generalized_box_iou(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.tensor([[3.0, 0.0, 4.0, 1.0]]))
        tensor([[-0.5000]])

    Reference:
        Rezatofighi, Tsoi, Gwak, Sadeghian, Reid, Savarese, "Generalized Intersection over Union: A Metric and a Loss
        for Bounding Box Regression", 2019, https://arxiv.org/abs/1902.09630
    """
    first, second = _pairs(boxes1, boxes2)
    intersection, union = _intersection_and_union(first, second)
    enclosing = _area(_enclosing_sides(first, second))
    return intersection / union - (enclosing - union) / enclosing


def distance_box_iou(boxes1: Tensor, boxes2: Tensor, *, eps: float = 1e-7) -> Tensor:
    """DIoU of every pair of boxes: IoU less the squared distance of the centres over the squared enclosing diagonal.

    Args:
        boxes1: (N, 4), corners x1, y1, x2, y2 in continuous coordinates.
        boxes2: (M, 4), likewise.
        eps: added to the squared diagonal.

    Returns:
        (N, M) in (-1, 1]: at most IoU, and equal to it where the centres coincide.

    Raises:
        TypeError: if an argument is not a tensor.
        ValueError: if a shape is not (N, 4).

    Example:
        Two unit squares with centres 3 apart; the enclosing box of 4 x 1 has a squared diagonal of 17:

        >>> distance_box_iou(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.tensor([[3.0, 0.0, 4.0, 1.0]]))
        tensor([[-0.5294]])

    Reference:
        Zheng, Wang, Liu, Li, Ye, Ren, "Distance-IoU Loss: Faster and Better Learning for Bounding Box Regression",
        2020, https://arxiv.org/abs/1911.08287
    """
    first, second = _pairs(boxes1, boxes2)
    intersection, union = _intersection_and_union(first, second)
    return intersection / union - _center_distance2(first, second) / (_diagonal2(first, second) + eps)


def complete_box_iou(boxes1: Tensor, boxes2: Tensor, *, eps: float = 1e-7) -> Tensor:
    """CIoU of every pair of boxes: DIoU less alpha v, v the difference of shape and alpha = v / (1 - IoU + v).

    No gradient flows through alpha, as in the paper and in torchvision.

    Args:
        boxes1: (N, 4), corners x1, y1, x2, y2 in continuous coordinates.
        boxes2: (M, 4), likewise.
        eps: added to the squared diagonal and to the denominator of alpha, which is 0/0 for equal boxes.

    Returns:
        (N, M) in (-1.5, 1]: at most DIoU, and equal to it where both boxes have one ratio of width to height.

    Raises:
        TypeError: if an argument is not a tensor.
        ValueError: if a shape is not (N, 4).

    Example:
        A box of 2 x 1 and one of 1 x 2 about one centre, IoU 1/3:

        >>> complete_box_iou(torch.tensor([[0.0, 0.5, 2.0, 1.5]]), torch.tensor([[0.5, 0.0, 1.5, 2.0]]))
        tensor([[0.2996]])

    Reference:
        Zheng, Wang, Liu, Li, Ye, Ren, "Distance-IoU Loss: Faster and Better Learning for Bounding Box Regression",
        2020, https://arxiv.org/abs/1911.08287
    """
    first, second = _pairs(boxes1, boxes2)
    intersection, union = _intersection_and_union(first, second)
    iou = intersection / union
    distance = _center_distance2(first, second) / (_diagonal2(first, second) + eps)
    aspect = _aspect(first, second)
    weight = (aspect / (1 - iou + aspect + eps)).detach()
    return iou - distance - weight * aspect


def box_terms(boxes1: Tensor, boxes2: Tensor) -> BoxTerms:
    """The quantities in the formulas of IoU, GIoU, DIoU and CIoU, for every pair of boxes.

    Args:
        boxes1: (N, 4), corners x1, y1, x2, y2 in continuous coordinates.
        boxes2: (M, 4), likewise.

    Returns:
        Six tensors of shape (N, M).

    Raises:
        TypeError: if an argument is not a tensor.
        ValueError: if a shape is not (N, 4).

    Example:
        >>> terms = box_terms(torch.tensor([[0.0, 0.0, 2.0, 2.0]]), torch.tensor([[1.0, 1.0, 3.0, 3.0]]))
        >>> terms.intersection, terms.union, terms.enclosing
        (tensor([[1.]]), tensor([[7.]]), tensor([[9.]]))
    """
    first, second = _pairs(boxes1, boxes2)
    intersection, union = _intersection_and_union(first, second)
    return BoxTerms(
        intersection=intersection,
        union=union,
        enclosing=_area(_enclosing_sides(first, second)),
        center_distance2=_center_distance2(first, second),
        diagonal2=_diagonal2(first, second),
        aspect=_aspect(first, second),
    )


def _pairs(boxes1: Tensor, boxes2: Tensor) -> tuple[Tensor, Tensor]:
    """Both arguments checked and shaped so that they broadcast to every pair: [N, 1, 4] and [1, M, 4]."""
    check_boxes(boxes1, "boxes1")
    check_boxes(boxes2, "boxes2")
    return _upcast(boxes1)[:, None], _upcast(boxes2)[None]


def _upcast(boxes: Tensor) -> Tensor:
    """A dtype in which the product of two coordinates does not overflow."""
    if boxes.is_floating_point():
        return boxes if boxes.dtype in (torch.float32, torch.float64) else boxes.float()
    return boxes.long()


def _sides(boxes: Tensor) -> Tensor:
    return boxes[..., 2:] - boxes[..., :2]  # [..., 2]: width, height


def _area(sides: Tensor) -> Tensor:
    width, height = sides.unbind(-1)
    return width * height


def _intersection_and_union(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    top_left = torch.maximum(first[..., :2], second[..., :2])  # [N, M, 2]
    bottom_right = torch.minimum(first[..., 2:], second[..., 2:])
    # Without the clamp, two negative sides would multiply to a positive area.
    intersection = _area((bottom_right - top_left).clamp(min=0))  # [N, M]
    return intersection, _area(_sides(first)) + _area(_sides(second)) - intersection


def _enclosing_sides(first: Tensor, second: Tensor) -> Tensor:
    top_left = torch.minimum(first[..., :2], second[..., :2])  # [N, M, 2]
    return torch.maximum(first[..., 2:], second[..., 2:]) - top_left


def _center_distance2(first: Tensor, second: Tensor) -> Tensor:
    centers1, centers2 = (first[..., :2] + first[..., 2:]) / 2, (second[..., :2] + second[..., 2:]) / 2
    return (centers1 - centers2).square().sum(-1)


def _diagonal2(first: Tensor, second: Tensor) -> Tensor:
    return _enclosing_sides(first, second).square().sum(-1)


def _aspect(first: Tensor, second: Tensor) -> Tensor:
    (width1, height1), (width2, height2) = _sides(first).unbind(-1), _sides(second).unbind(-1)
    angle = torch.atan(width1 / height1) - torch.atan(width2 / height2)
    return (angle / (math.pi / 2)).square()
