"""A box descends to its target under Smooth L1, 1 - IoU, 1 - GIoU, 1 - DIoU and 1 - CIoU: slopes in closed form.

Boxes are rows ``(x1, y1, x2, y2)`` with ``x1 < x2`` and ``y1 < y2``, in pixels, and continuous: a box is as wide as
``x2 - x1``. What descends is not the box itself but four coordinates that stand for it, measured in a ``unit``:

- "corners": x1, y1, x2, y2;
- "centre": the centre's x and y, width, height;
- "log": the centre's x and y, and the logarithms of width and height.

Where edges of both boxes align, the overlap losses have a kink; the slope given there is the mean of both sides, as
autograd gives it. CIoU's weight alpha takes no slope.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from cvviz.ops.boxes import box_iou, complete_box_iou, distance_box_iou, generalized_box_iou
from cvviz.ops.checks import check_boxes, check_floating, check_positive

Loss = Literal["smooth_l1", "iou", "giou", "diou", "ciou"]
Coordinates = Literal["corners", "centre", "log"]
Optimizer = Literal["sgd", "adam"]

LOSSES: tuple[Loss, ...] = ("smooth_l1", "iou", "giou", "diou", "ciou")
MEASURES = {"iou": box_iou, "giou": generalized_box_iou, "diou": distance_box_iou, "ciou": complete_box_iou}
# How much of each penalty a loss has beside 1 - IoU: the empty share of the hull, rho^2/c^2, alpha v.
PENALTIES = {
    "smooth_l1": (0, 0, 0),
    "iou": (0, 0, 0),
    "giou": (1, 0, 0),
    "diou": (0, 1, 0),
    "ciou": (0, 1, 1),
}
OPTIMIZERS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
SMALLEST_SIDE = 0.01  # in units: a step that would make a box thinner, or turn it inside out, ends here
EPS = 1e-7  # in the denominator of alpha, as in ``complete_box_iou``


class Run(NamedTuple):
    """What a descent went through; row 0 is the start.

    Attributes:
        boxes: (steps + 1, L, N, 4), corners in pixels.
        slopes: (steps + 1, L, N, 4), derivatives of the loss there by the four coordinates, per unit.
    """

    boxes: Tensor
    slopes: Tensor


def box_losses(
    boxes: Tensor,
    target: Tensor,
    *,
    losses: Sequence[Loss] = LOSSES,
    coordinates: Coordinates = "corners",
    unit: float = 1.0,
    beta: float = 1.0,
) -> Tensor:
    """Loss of boxes against one target, each group of boxes under a loss of its own.

    Args:
        boxes: (L, N, 4), corners in pixels; group l is judged by ``losses[l]``.
        target: (4,), likewise.
        losses: L names.
        coordinates: what Smooth L1 compares; the other losses do not depend on it.
        unit: pixels in a unit of length of these coordinates.
        beta: distance in units at which Smooth L1 turns from a square into a straight line; summed over the four.

    Returns:
        (L, N), at least 0, without a unit.

    Raises:
        TypeError: if ``boxes`` or ``target`` is no floating-point tensor.
        ValueError: if a shape, a name, ``unit`` or ``beta`` does not fit.

    Example:
        A box one side to the right of its target:

        >>> box, target = torch.tensor([2.0, 0.0, 3.0, 1.0]), torch.tensor([0.0, 0.0, 1.0, 1.0])
        >>> box_losses(box.expand(5, 1, 4), target)[:, 0]
        tensor([3.0000, 1.0000, 1.3333, 1.4000, 1.4000])

    Reference:
        Girshick, "Fast R-CNN" (Smooth L1), 2015, https://arxiv.org/abs/1504.08083
    """
    problem = _problem(boxes, target, losses, coordinates, unit, beta)
    error = (problem.encode(problem.outward(boxes)) - problem.goal).abs()  # [2, 2, L N]
    smooth = torch.where(error < beta, error.square() / (2 * beta), error - beta / 2).sum((0, 1))
    values = [
        rows if name == "smooth_l1" else 1 - MEASURES[name](group, target[None])[:, 0]
        for name, group, rows in zip(losses, boxes, smooth.view(boxes.shape[:2]), strict=True)
    ]
    return torch.stack(values)


def box_loss_slopes(
    boxes: Tensor,
    target: Tensor,
    *,
    losses: Sequence[Loss] = LOSSES,
    coordinates: Coordinates = "corners",
    unit: float = 1.0,
    beta: float = 1.0,
) -> Tensor:
    """Derivatives of ``box_losses`` by the coordinates of the boxes, in closed form.

    Args:
        boxes: (L, N, 4), corners in pixels; group l is judged by ``losses[l]``.
        target: (4,), likewise.
        losses: L names.
        coordinates: by what the losses are differentiated.
        unit: pixels in a unit of length of these coordinates.
        beta: distance in units at which Smooth L1 turns from a square into a straight line.

    Returns:
        (L, N, 4), per unit.

    Raises:
        TypeError: if ``boxes`` or ``target`` is no floating-point tensor.
        ValueError: if a shape, a name, ``unit`` or ``beta`` does not fit.

    Example:
        Apart, 1 - IoU has no slope, and 1 - GIoU has one along the gap only:

        >>> box, target = torch.tensor([2.0, 0.0, 3.0, 1.0]), torch.tensor([0.0, 0.0, 1.0, 1.0])
        >>> box_loss_slopes(box.expand(2, 1, 4), target, losses=("iou", "giou"), coordinates="centre")[:, 0]
        tensor([[ 0.0000,  0.0000,  0.0000,  0.0000],
                [ 0.2222,  0.0000, -0.2222,  0.0000]])

    Reference:
        Zheng, Wang, Liu, Li, Ye, Ren, "Distance-IoU Loss: Faster and Better Learning for Bounding Box Regression",
        2020, https://arxiv.org/abs/1911.08287
    """
    problem = _problem(boxes, target, losses, coordinates, unit, beta)
    slopes = problem.slopes(problem.encode(problem.outward(boxes)))
    if coordinates == "corners":
        slopes = slopes * problem.signs
    return slopes.view(4, *boxes.shape[:2]).movedim(0, -1)


def descend(
    start: Tensor,
    target: Tensor,
    *,
    step_size: float,
    losses: Sequence[Loss] = LOSSES,
    coordinates: Coordinates = "corners",
    optimizer: Optimizer = "sgd",
    fade: bool = False,
    steps: int = 100,
    unit: float = 1.0,
    beta: float = 1.0,
) -> Run:
    """Gradient descent of boxes to one target, under each loss by itself.

    Args:
        start: (N, 4), corners in pixels.
        target: (4,), likewise.
        step_size: step size eta; with "sgd" a coordinate moves by eta times its slope, in units.
        losses: L names; all N boxes start under each of them.
        coordinates: what the steps change.
        optimizer: "sgd" (plain) or "adam" (with torch's defaults for the rest).
        fade: whether the step size falls to 0 along half a cosine.
        steps: number of steps.
        unit: pixels in a unit of length.
        beta: distance in units at which Smooth L1 turns from a square into a straight line.

    Returns:
        The boxes before every step and after the last, and the slopes there. No side becomes shorter than
        ``SMALLEST_SIDE`` units.

    Raises:
        TypeError: if ``start`` or ``target`` is no floating-point tensor.
        ValueError: if a shape, a name or a number does not fit.

    Example:
        Apart from its target, a box never moves under 1 - IoU:

        >>> box, target = torch.tensor([[2.0, 0.0, 3.0, 1.0]]), torch.tensor([0.0, 0.0, 1.0, 1.0])
        >>> run = descend(box, target, step_size=0.1, losses=("iou", "diou"), steps=20)
        >>> run.boxes[-1, :, 0, 0]
        tensor([2.0000, 1.6321])
    """
    check_boxes(start, "start")
    check_positive(step_size, "step_size")
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}.")
    if optimizer not in OPTIMIZERS:
        raise ValueError(f"optimizer must be one of {', '.join(OPTIMIZERS)}, got {optimizer!r}.")
    rows = start.expand(len(losses), *start.shape)
    problem = _problem(rows, target, losses, coordinates, unit, beta)
    places = problem.encode(problem.outward(rows)).clone()
    walk = OPTIMIZERS[optimizer]([places], lr=step_size)
    visited, slopes = [], []
    with torch.inference_mode():  # a fifth faster
        for step in range(steps + 1):
            visited.append(places.clone())
            slopes.append(problem.slopes(places))
            if fade:
                walk.param_groups[0]["lr"] = step_size * (1 + math.cos(math.pi * step / steps)) / 2
            places.grad = slopes[-1]
            walk.step()
            problem.keep_open(places)
    shape = (steps + 1, 4, *rows.shape[:2])
    outward = torch.stack([problem.decode(place) for place in visited])  # [S, 2, 2, L N]
    steep = torch.stack(slopes) * (problem.signs if coordinates == "corners" else 1)
    return Run(*(values.view(shape).movedim(1, -1) for values in (outward * problem.signs * unit, steep)))


def first_steps(there: Tensor) -> list[int | None]:
    """Step at which each column of a table is True for the first time.

    Args:
        there: (S, L), bool.

    Returns:
        L numbers in 0..S - 1, None where it never is.

    Raises:
        ValueError: if ``there`` is not of two dimensions or has no row.

    Example:
        >>> first_steps(torch.tensor([[False, False], [False, True], [False, True]]))
        [None, 1]
    """
    if there.ndim != 2 or not len(there):
        raise ValueError(f"there must have shape (S, L) with S > 0, got {tuple(there.shape)}.")
    steps = there.int().argmax(0).tolist()  # the first of several equals
    return [step if ever else None for step, ever in zip(steps, there.any(0).tolist(), strict=True)]


@dataclass(frozen=True, slots=True)
class _Problem:
    """The target, and which loss each row has, as the slopes need them.

    Boxes are held as (2, 2, R): side (near, far) x axis (x, y) x row, near edges with the opposite sign. All four
    coordinates then grow outwards, a size is the sum over the sides, and near and far edges share one formula.
    """

    target: Tensor  # [2, 2, 1]
    sides: Tensor  # [1, 2, 1]: width, height of the target
    area: Tensor  # [1, 1, 1]
    angle: Tensor  # [1, 1, 1]: atan(width / height)
    goal: Tensor  # [2, 2, 1]: coordinates of the target
    penalties: tuple[Tensor, Tensor, Tensor]  # [1, 1, R] each
    smooth: Tensor  # [1, 1, R]: whether the row's loss is Smooth L1
    half: Tensor
    signs: Tensor  # [2, 1, 1]: -1 for near edges, 1 for far ones
    edges: Tensor  # [2, 2]: outward edges of a centre and a size
    turn: Tensor  # [1, 2, 1]: 8/pi^2, negative for the width
    coordinates: Coordinates
    unit: float
    beta: float

    def outward(self, boxes: Tensor) -> Tensor:
        """(..., 4) in pixels -> (2, 2, R) in units."""
        return boxes.reshape(-1, 4).T.contiguous().view(2, 2, -1) / self.unit * self.signs

    def encode(self, outward: Tensor) -> Tensor:
        """Outward edges -> the coordinates that descend."""
        return _encode(outward, self.coordinates)

    def decode(self, places: Tensor) -> Tensor:
        """Inverse of ``encode``."""
        if self.coordinates == "corners":
            return places
        if self.coordinates == "log":
            places = torch.stack([places[0], places[1].exp()])
        return (self.edges @ places.flatten(1)).view_as(places)

    def keep_open(self, places: Tensor) -> None:
        """Widen, in place and about its centre, what a step has made thinner than allowed."""
        if self.coordinates == "corners":
            lack = SMALLEST_SIDE - places.sum(0)
            if bool((lack > 0).any()):
                places += lack.clamp(min=0) / 2
        elif self.coordinates == "centre":
            places[1].clamp_(min=SMALLEST_SIDE)

    def slopes(self, places: Tensor) -> Tensor:
        """Derivatives of every row's loss by its coordinates."""
        outward = self.decode(places)
        slopes = self.overlap_slopes(outward)
        if self.coordinates != "corners":  # chain rule
            slopes = (self.edges.T @ slopes.flatten(1)).view_as(slopes)
        if self.coordinates == "log":
            slopes[1] *= outward.sum(0)
        smooth = ((places - self.goal) / self.beta).clamp(-1, 1)
        return torch.where(self.smooth, smooth, slopes)

    def overlap_slopes(self, outward: Tensor) -> Tensor:
        """(2, 2, R): how much 1 - IoU and its penalties grow as each edge moves outwards."""
        empty_weight, distance_weight, shape_weight = self.penalties
        gap = self.target - outward
        inside = torch.heaviside(gap, self.half)  # the edge bounds the intersection
        outside = 1 - inside  # the edge bounds the hull
        sides = outward.sum(0, keepdim=True)  # [1, 2, R]
        overlap = torch.minimum(outward, self.target).sum(0, keepdim=True)
        hull = sides + self.sides - overlap  # min(a, b) + max(a, b) = a + b
        overlap = overlap.clamp(min=0)
        # An edge that moves by 1 adds a strip as long as the other side, hence the flips.
        other = sides.flip(1)
        shared = overlap.prod(1, keepdim=True)  # [1, 1, R]
        union = sides.prod(1, keepdim=True) + self.area - shared
        shared_slope = inside * overlap.flip(1) * (shared > 0)
        union_slope = other - shared_slope
        iou = shared / union
        slopes = (iou * union_slope - shared_slope) / union

        enclosing = hull.prod(1, keepdim=True)
        slopes += empty_weight / enclosing * (outside * (union / enclosing * hull.flip(1)) - union_slope)

        offset = gap.diff(dim=0) / 2  # [1, 2, R]: centre of the target - centre of the box
        diagonal2 = hull.square().sum(1, keepdim=True)
        share = offset.square().sum(1, keepdim=True) / diagonal2
        slopes -= distance_weight / diagonal2 * (self.signs * offset + 2 * share * hull * outside)

        width, height = sides.unbind(1)
        angle = self.angle - torch.atan2(width, height).unsqueeze(1)
        v = (4 / math.pi**2) * angle.square()
        alpha = shape_weight * v / ((1 + EPS) - iou + v)
        turn = other * self.turn / sides.square().sum(1, keepdim=True)  # slope of -8/pi^2 atan(w / h)
        return slopes + alpha * angle * turn


def _problem(
    boxes: Tensor, target: Tensor, losses: Sequence[Loss], coordinates: Coordinates, unit: float, beta: float
) -> _Problem:
    check_floating(boxes, "boxes")
    check_floating(target, "target")
    if boxes.ndim != 3 or boxes.shape[2] != 4 or len(boxes) != len(losses):
        raise ValueError(f"boxes must have shape ({len(losses)}, N, 4), got {tuple(boxes.shape)}.")
    if target.shape != (4,):
        raise ValueError(f"target must have shape (4,), got {tuple(target.shape)}.")
    unknown = [name for name in losses if name not in PENALTIES]
    if unknown:
        raise ValueError(f"losses must be among {', '.join(PENALTIES)}, got {unknown[0]!r}.")
    if coordinates not in ("corners", "centre", "log"):
        raise ValueError(f"coordinates must be corners, centre or log, got {coordinates!r}.")
    check_positive(unit, "unit")
    check_positive(beta, "beta")
    signs = target.new_tensor([-1.0, 1.0])
    outward = target.view(2, 2, 1) / unit * signs.view(2, 1, 1)
    sides = outward.sum(0, keepdim=True)
    width, height = sides.unbind(1)
    penalties = target.new_tensor([PENALTIES[name] for name in losses]).repeat_interleave(boxes.shape[1], 0).unbind(1)
    return _Problem(
        target=outward,
        sides=sides,
        area=sides.prod(1, keepdim=True),
        angle=torch.atan2(width, height)[:, None],
        goal=_encode(outward, coordinates),
        penalties=(penalties[0].view(1, 1, -1), penalties[1].view(1, 1, -1), penalties[2].view(1, 1, -1)),
        smooth=torch.tensor([name == "smooth_l1" for name in losses]).repeat_interleave(boxes.shape[1]).view(1, 1, -1),
        half=target.new_tensor(0.5),
        signs=signs.view(2, 1, 1),
        edges=target.new_tensor([[-1.0, 0.5], [1.0, 0.5]]),
        turn=signs.view(1, 2, 1) * 8 / math.pi**2,
        coordinates=coordinates,
        unit=unit,
        beta=beta,
    )


def _encode(outward: Tensor, coordinates: Coordinates) -> Tensor:
    """(2, 2, R) outward edges -> the coordinates that descend: as they are, or centres and (logarithms of) sizes."""
    if coordinates == "corners":
        return outward
    near, far = outward
    size = near + far
    return torch.stack([(far - near) / 2, size.log() if coordinates == "log" else size])
