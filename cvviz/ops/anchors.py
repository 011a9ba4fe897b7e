"""Anchors: boxes laid over the image in a grid, matched to ground truth and moved onto it. Anchor-free points beside.

Boxes are rows ``(x1, y1, x2, y2)`` with ``x1 < x2`` and ``y1 < y2``, in px, coordinates continuous: the first pixel of
an image is the box ``(0, 0, 1, 1)``. The order of the corners is not checked, because that would read every value.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from cvviz.ops.checks import check_boxes, check_floating, check_positive, check_range, check_same_shape

NEGATIVE = -1  # the match of an anchor that is background
IGNORED = -2  # the match of an anchor that takes no part in the loss

Weights = tuple[float, float, float, float]


class PointTargets(NamedTuple):
    """What P points of all levels should predict, finest level first, row by row within a level.

    Attributes:
        points: (P, 2), x, y in px.
        levels: (P,) int64, place of the point's stride among the strides.
        matches: (P,) int64, the box that the point is to predict, ``NEGATIVE`` where none is.
        candidates: (P,) int64, the boxes that fulfil every condition there; above 1 the point is ambiguous.
        ltrb: (P, 4), distances in px to the left, top, right and bottom edge of that box; 0 where there is none.
        centerness: (P,) in [0, 1], 1 at the centre of that box; 0 where there is none.
    """

    points: Tensor
    levels: Tensor
    matches: Tensor
    candidates: Tensor
    ltrb: Tensor
    centerness: Tensor


def anchor_grid(
    image_size: tuple[int, int],
    *,
    strides: Sequence[int],
    sizes: Sequence[Sequence[float]],
    ratios: Sequence[float],
    offset: float = 0.0,
    rounded: bool = True,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
) -> list[Tensor]:
    """One set of anchors around every cell of every feature map.

    A level of stride s has ceil(H / s) x ceil(W / s) cells. The anchors of the cell in row i and column j are centred
    on ``((j + offset) s, (i + offset) s)``. Of size a and ratio r, an anchor is ``a / sqrt(r)`` wide and ``a sqrt(r)``
    high, so that its area is a squared whatever the ratio.

    The defaults are torchvision's: centres on the top left corner of each cell, half a stride away from the middle of
    what the cell sees, and corners rounded to whole px about the centre, halves to the even number. torchvision divides
    the image by the number of cells and rounds down for the stride, which gives s wherever s divides both sides, as
    after the padding of its detectors; elsewhere its anchors drift towards the top left, ours do not.

    Args:
        image_size: height and width in px, each at least 1.
        strides: of each of L levels, in px, each at least 1.
        sizes: of each level, one or more, in px, each positive.
        ratios: height over width, one or more, each positive; the same on every level.
        offset: of the centres, in cells, in [0, 1]; 0 is torchvision's, 0.5 the middle of the cell.
        rounded: whether to round the corners as torchvision does. A size below 1 px then leaves no area.
        dtype: a floating-point dtype.
        device: as in :func:`torch.arange`.

    Returns:
        L tensors of shape (rows * columns * A, 4). Within a level: row by row, the A anchors of a cell together, ratio
        by ratio and, within a ratio, size by size. Anchors may reach beyond the image.

    Raises:
        TypeError: if ``dtype`` is not a floating-point one.
        ValueError: if an argument is out of range or empty, or ``sizes`` has not one entry per stride.

    Example:
        A square, and a box twice as high as it is wide with (nearly, being rounded) the same area; second cell:

        >>> (grid,) = anchor_grid((16, 16), strides=[8], sizes=[[8]], ratios=[1, 2])
        >>> grid[2:4]
        tensor([[ 4., -4., 12.,  4.],
                [ 5., -6., 11.,  6.]])

    Reference:
        Ren, He, Girshick, Sun, "Faster R-CNN: Towards Real-Time Object Detection with Region Proposal Networks", 2015,
        https://arxiv.org/abs/1506.01497
    """
    if len(sizes) != len(strides):
        raise ValueError(f"sizes must have one entry per stride, got {len(sizes)} for {len(strides)} strides.")
    if not all(sizes) or not ratios:
        raise ValueError("sizes and ratios must not be empty.")
    if not dtype.is_floating_point:
        raise TypeError(f"dtype must be a floating-point dtype, got {dtype}.")
    for ratio in ratios:
        check_positive(ratio, "ratio")
    options = {"dtype": dtype, "device": device}
    slopes = torch.tensor(ratios, **options).sqrt()  # type: ignore[arg-type]
    levels = []
    for centers, level_sizes in zip(_centers(image_size, strides, offset, dtype, device), sizes, strict=True):
        for size in level_sizes:
            check_positive(size, "size")
        lengths = torch.tensor(level_sizes, **options)  # type: ignore[arg-type]
        widths, heights = torch.outer(1 / slopes, lengths).flatten(), torch.outer(slopes, lengths).flatten()
        around = torch.stack([-widths, -heights, widths, heights], dim=1) / 2  # [A, 4]
        if rounded:
            around = around.round()
        levels.append((centers.repeat(1, 2)[:, None] + around).flatten(0, 1))  # [cells, A, 4] -> [cells * A, 4]
    return levels


def match_anchors(iou: Tensor, *, high: float, low: float, best_match: bool = True) -> Tensor:
    """Which ground-truth box each anchor is to predict, if any.

    An anchor goes to the box with which it has the highest IoU, the first of equals: positive from ``high`` on,
    background below ``low``, ignored between. With ``best_match``, each box also makes every anchor positive that has
    its highest IoU, however low, ties included. As in torchvision such an anchor goes to the box that *it* overlaps
    most, which may be another one, so that a box can still go without; and a box that no anchor touches has its highest
    IoU, 0, with all of them, so that every anchor becomes positive.

    Args:
        iou: (M, A) in [0, 1], of M ground-truth boxes and A anchors.
        high: in [0, 1]; an IoU of this is positive.
        low: in [0, high]; an IoU of this is ignored.
        best_match: whether each box also takes its best anchors; torchvision's ``allow_low_quality_matches``.

    Returns:
        (A,) int64: the index of a box, -1 for background, -2 for ignored. All background if there is no box.

    Raises:
        TypeError: if ``iou`` is not a floating-point tensor.
        ValueError: if its shape is not (M, A), or the thresholds are out of range or order.

    Example:
        The second box has no IoU of 0.7 with any anchor; its best one, of 0.4, is positive all the same:

        >>> iou = torch.tensor([[0.8, 0.5, 0.2, 0.1], [0.0, 0.1, 0.4, 0.2]])
        >>> match_anchors(iou, high=0.7, low=0.3)
        tensor([ 0, -2,  1, -1])

    Reference:
        Ren, He, Girshick, Sun, "Faster R-CNN: Towards Real-Time Object Detection with Region Proposal Networks", 2015,
        https://arxiv.org/abs/1506.01497
    """
    check_floating(iou, "iou")
    if iou.ndim != 2:
        raise ValueError(f"iou must have shape (M, A), got {tuple(iou.shape)}.")
    check_range(high, "high", 0, 1)
    check_range(low, "low", 0, high)
    if iou.numel() == 0:
        return torch.full((iou.shape[1],), NEGATIVE, device=iou.device)
    highest, nearest = iou.max(dim=0)  # [A]: over the boxes
    matches = nearest.where(highest >= high, IGNORED).where(highest >= low, NEGATIVE)
    if not best_match:
        return matches
    rescued = (iou == iou.amax(dim=1, keepdim=True)).any(dim=0)  # [A]: the best anchor of some box
    return nearest.where(rescued, matches)


def encode_boxes(boxes: Tensor, anchors: Tensor, *, weights: Weights = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    """How to move and stretch each anchor so that it becomes its box.

    With centre (x, y), width w and height h of a box, and those of its anchor with index a: ``t_x = (x - x_a) / w_a``,
    ``t_y = (y - y_a) / h_a``, ``t_w = log(w / w_a)``, ``t_h = log(h / h_a)``, each multiplied by its weight.

    Args:
        boxes: (N, 4), x1, y1, x2, y2 in px, floating point.
        anchors: (N, 4), likewise; the anchor of each box.
        weights: of t_x, t_y, t_w, t_h; all positive. torchvision's second stage has 10, 10, 5, 5, which brings the four
            to about the same spread.

    Returns:
        (N, 4), without a unit; all 0 if the anchor is the box; infinite or NaN if a box or an anchor has no area.

    Raises:
        TypeError: if an argument is not a floating-point tensor.
        ValueError: if the shapes are not one shape (N, 4), or a weight is not positive.

    Example:
        The box lies a quarter of the anchor's width to the right, and is e times as high:

        >>> box = torch.tensor([[1.0, -2 * math.e, 5.0, 2 * math.e]])
        >>> encode_boxes(box, torch.tensor([[0.0, -2.0, 4.0, 2.0]]))
        tensor([[0.2500, 0.0000, 0.0000, 1.0000]])

    Reference:
        Girshick, Donahue, Darrell, Malik, "Rich Feature Hierarchies for Accurate Object Detection and Semantic
        Segmentation", 2014, appendix C, https://arxiv.org/abs/1311.2524
    """
    _check_pair(boxes, anchors, ("boxes", "anchors"), weights)
    (center, side), (anchor_center, anchor_side) = _center_and_side(boxes), _center_and_side(anchors)
    deltas = torch.cat([(center - anchor_center) / anchor_side, (side / anchor_side).log()], dim=1)
    return deltas * deltas.new_tensor(weights)


def decode_boxes(
    deltas: Tensor,
    anchors: Tensor,
    *,
    weights: Weights = (1.0, 1.0, 1.0, 1.0),
    clip: float = math.log(1000 / 16),
) -> Tensor:
    """The boxes that the deltas make of their anchors; undoes :func:`encode_boxes`.

    Args:
        deltas: (N, 4), t_x, t_y, t_w, t_h times their weights, floating point.
        anchors: (N, 4), x1, y1, x2, y2 in px, floating point.
        weights: as they were encoded.
        clip: the largest t_w and t_h, so that one wild prediction does not overflow: the default lets a side grow
            62.5-fold, from 16 to 1000 px. Beyond it the gradient is zero.

    Returns:
        (N, 4), x1, y1, x2, y2 in px; of positive width and height; not cut to the image.

    Raises:
        TypeError: if an argument is not a floating-point tensor.
        ValueError: if the shapes are not one shape (N, 4), or a weight is not positive.

    Example:
        A quarter of the width to the right, twice as wide:

        >>> decode_boxes(torch.tensor([[0.25, 0.0, math.log(2), 0.0]]), torch.tensor([[0.0, 0.0, 4.0, 4.0]]))
        tensor([[-1.,  0.,  7.,  4.]])

    Reference:
        Girshick, Donahue, Darrell, Malik, "Rich Feature Hierarchies for Accurate Object Detection and Semantic
        Segmentation", 2014, appendix C, https://arxiv.org/abs/1311.2524
    """
    _check_pair(deltas, anchors, ("deltas", "anchors"), weights)
    deltas = deltas / deltas.new_tensor(weights)
    anchor_center, anchor_side = _center_and_side(anchors)
    center = anchor_center + deltas[:, :2] * anchor_side
    half = deltas[:, 2:].clamp(max=clip).exp() * anchor_side / 2
    return torch.cat([center - half, center + half], dim=1)


def center_sampling(
    boxes: Tensor,
    image_size: tuple[int, int],
    *,
    strides: Sequence[int],
    ranges: Sequence[tuple[float, float]],
    radius: float = 1.5,
    offset: float = 0.0,
) -> PointTargets:
    """The anchor-free assignment of FCOS: one point per cell, which predicts its distances to the edges of a box.

    A point of a level with stride s is to predict a box if it lies inside the box, both its coordinates are less than
    ``radius * s`` away from the centre of the box, and the farthest edge is at a distance strictly within the range of
    the level. Of several such boxes it takes the one with the smallest area, the first of equals.

    This is torchvision's rule with two differences. torchvision finds the smallest area in float32 after subtracting it
    from 1e8, where neighbouring numbers are 8 apart: areas that differ by less can count as equal. And the paper
    includes both ends of a range, so that a distance of exactly the border belongs to two levels, here to none.

    Args:
        boxes: (M, 4), x1, y1, x2, y2 in px, floating point.
        image_size: height and width in px, each at least 1.
        strides: of each of L levels, in px, each at least 1.
        ranges: of each level, the smallest and the largest distance to the farthest edge, in px. torchvision's are 0 to
            8 s on the first level, 4 s to 8 s, and 4 s to infinity on the last.
        radius: in strides, positive; infinity turns the sampling off: every point inside a box is positive.
        offset: of the points, in cells, in [0, 1]; 0 is torchvision's, 0.5 the paper's.

    Returns:
        The targets of all points.

    Raises:
        TypeError: if ``boxes`` is not a floating-point tensor.
        ValueError: if a shape or an argument is wrong, or ``ranges`` has not one entry per stride.

    Example:
        Four points of stride 8 lie inside a box of 12 x 12, each 2 px from two of its edges and 10 px from the others:
        their centre-ness is the root of 2/10 x 2/10:

        >>> box = torch.tensor([[6.0, 6.0, 18.0, 18.0]])
        >>> targets = center_sampling(box, (32, 32), strides=[8], ranges=[(0, 64)], radius=1.0)
        >>> hit = targets.matches >= 0
        >>> targets.points[hit].tolist()
        [[8.0, 8.0], [16.0, 8.0], [8.0, 16.0], [16.0, 16.0]]
        >>> targets.ltrb[hit][0], targets.centerness[hit]
        (tensor([ 2.,  2., 10., 10.]), tensor([0.2000, 0.2000, 0.2000, 0.2000]))

    Reference:
        Tian, Shen, Chen, He, "FCOS: A Simple and Strong Anchor-Free Object Detector", 2020,
        https://arxiv.org/abs/2006.09214
    """
    check_boxes(boxes, "boxes")
    check_floating(boxes, "boxes")
    if len(ranges) != len(strides):
        raise ValueError(f"ranges must have one entry per stride, got {len(ranges)} for {len(strides)} strides.")
    check_positive(radius, "radius")
    grids = _centers(image_size, strides, offset, boxes.dtype, boxes.device)
    points = torch.cat(grids)  # [P, 2]
    levels = torch.arange(len(grids), device=boxes.device).repeat_interleave(
        torch.tensor([len(grid) for grid in grids], device=boxes.device)
    )
    reach = boxes.new_tensor(strides)[levels, None] * radius  # [P, 1]
    low, high = boxes.new_tensor(ranges)[levels].unsqueeze(-1).unbind(1)  # [P, 1] each

    ltrb = torch.cat([points[:, None] - boxes[:, :2], boxes[:, 2:] - points[:, None]], dim=-1)  # [P, M, 4]
    center, side = _center_and_side(boxes)
    near = (points[:, None] - center).abs().amax(-1) < reach  # [P, M]
    farthest = ltrb.amax(-1)
    fits = near & (ltrb.amin(-1) > 0) & (farthest > low) & (farthest < high)

    candidates = fits.sum(dim=1)
    if len(boxes) == 0:
        return PointTargets(
            points, levels, candidates - 1, candidates, points.new_zeros(len(points), 4), points.new_zeros(len(points))
        )
    smallest = side.prod(dim=1).where(fits, math.inf).argmin(dim=1)  # [P]
    found = candidates > 0
    target = ltrb.gather(1, smallest[:, None, None].expand(-1, 1, 4))[:, 0].where(found[:, None], 0)  # [P, 4]
    return PointTargets(
        points, levels, smallest.where(found, NEGATIVE), candidates, target, _centerness(target).where(found, 0)
    )


def _centers(
    image_size: tuple[int, int],
    strides: Sequence[int],
    offset: float,
    dtype: torch.dtype,
    device: torch.device | str | None,
) -> list[Tensor]:
    """x, y of every cell of each level, row by row: (rows * columns, 2)."""
    if min(image_size) < 1:
        raise ValueError(f"image_size must be at least 1 by 1, got {image_size[0]} by {image_size[1]}.")
    if not strides or min(strides) < 1:
        raise ValueError(f"strides must be one or more numbers of at least 1, got {list(strides)}.")
    check_range(offset, "offset", 0, 1)
    levels = []
    for stride in strides:
        rows, columns = (
            (torch.arange(math.ceil(side / stride), dtype=dtype, device=device) + offset) * stride
            for side in image_size
        )
        y, x = torch.meshgrid(rows, columns, indexing="ij")
        levels.append(torch.stack([x, y], dim=-1).flatten(0, 1))
    return levels


def _center_and_side(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """(x, y) and (w, h), each (N, 2)."""
    side = boxes[:, 2:] - boxes[:, :2]
    return boxes[:, :2] + side / 2, side


def _centerness(ltrb: Tensor) -> Tensor:
    left, top, right, bottom = ltrb.unbind(-1)
    across = torch.minimum(left, right) / torch.maximum(left, right)
    return (across * torch.minimum(top, bottom) / torch.maximum(top, bottom)).sqrt()


def _check_pair(first: Tensor, second: Tensor, names: tuple[str, str], weights: Weights) -> None:
    for value, name in zip((first, second), names, strict=True):
        check_boxes(value, name)
        check_floating(value, name)
    check_same_shape(first, second, names)
    for weight in weights:
        check_positive(weight, "weight")
