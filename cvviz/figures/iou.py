"""Two boxes on a picture: what they share, what encloses them, and where a loss pushes the edges of one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from cvviz.figures.scene import XYXY, Box, Dot, Handles, Path, Scene, Shape, Text
from cvviz.figures.theme import BLUE, GREEN, GREY, PURPLE, VERMILLION

TARGET, PREDICTION = GREEN, BLUE
FADE = 0.45  # of the way to white, so that lines read on any picture
GAIN = 0.8  # length of an arrow, in sides of the box, where moving the edge by one side would change the loss by 1
SMALLEST = 60  # arrows of smaller boxes are drawn as if of this side, in pixels


def backdrop(pixels: Tensor, width: int, height: int) -> Tensor:
    """(3, H, W) uint8 scaled to fill ``width`` x ``height``, cut there about its centre, and faded."""
    rows, columns = pixels.shape[1:]
    scale = max(width / columns, height / rows)
    size = (max(height, round(rows * scale)), max(width, round(columns * scale)))
    scaled = interpolate(pixels[None].float(), size=size, mode="bilinear", antialias=True)[0]
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    cut = scaled[:, top : top + height, left : left + width]
    return torch.lerp(cut, torch.tensor(255.0), FADE).clamp(0, 255).byte()


def overlap_scene(
    pixels: Tensor,
    *,
    target: XYXY,
    prediction: XYXY,
    terms: str,
    slopes: Sequence[float],
    caption: str,
    handles: Handles,
) -> Scene:
    """The stage.

    Args:
        pixels: (3, H, W) uint8 behind it.
        target, prediction: the boxes as measured.
        terms: "iou", "giou", "diou" or "ciou": the loss whose terms are drawn.
        slopes: derivative of the loss by x1, y1, x2, y2 of the prediction; the arrows go against it.
        caption: one line over the picture.
        handles: the boxes as edited.
    """
    shapes: list[Shape] = [*_shared(target, prediction, label=terms in ("iou", "giou"))]
    if terms != "iou":
        shapes += _enclosing(target, prediction, empty=terms == "giou")
    if terms in ("diou", "ciou"):
        shapes += _distance(target, prediction)
    if terms == "ciou":
        shapes += _angle(target, prediction)
    shapes += _push(prediction, slopes, (pixels.shape[2], pixels.shape[1]))
    return Scene(pixels=pixels, shapes=shapes, caption=caption, handles=handles)


def _hull(first: XYXY, second: XYXY) -> XYXY:
    (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = first, second
    return min(ax1, bx1), min(ay1, by1), max(ax2, bx2), max(ay2, by2)


def _center(box: XYXY) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def _shared(first: XYXY, second: XYXY, *, label: bool) -> Iterator[Shape]:
    """The intersection."""
    (x1, y1), (x2, y2) = map(max, first[:2], second[:2]), map(min, first[2:], second[2:])
    if x1 < x2 and y1 < y2:
        yield Box(xyxy=(x1, y1, x2, y2), color=PURPLE, width=0, fill=0.6)
        if label and min(x2 - x1, y2 - y1) > 30:
            yield Text(x=(x1 + x2) / 2, y=(y1 + y2) / 2, text="I", color=PURPLE, plate=True)


def _enclosing(first: XYXY, second: XYXY, *, empty: bool) -> Iterator[Shape]:
    """The smallest box around both; ``empty`` shades what neither covers."""
    hull = _hull(first, second)
    if empty:
        xs, ys = (sorted({box[axis + corner] for box in (first, second) for corner in (0, 2)}) for axis in (0, 1))
        for x1, x2 in pairwise(xs):
            for y1, y2 in pairwise(ys):
                cell = (x1, y1, x2, y2)
                if not any(_inside(_center(cell), box) for box in (first, second)):
                    yield Box(xyxy=cell, color=GREY, width=0, fill=0.55)
    yield Box(xyxy=hull, color=GREY, width=3, dash=True)
    yield Text(x=hull[2] - 14, y=hull[3] - 14, text="C", color=GREY, plate=True)


def _inside(point: tuple[float, float], box: XYXY) -> bool:
    return box[0] < point[0] < box[2] and box[1] < point[1] < box[3]


def _distance(target: XYXY, prediction: XYXY) -> Iterator[Shape]:
    """The line between the centres, and the diagonal of the enclosing box."""
    x1, y1, x2, y2 = _hull(target, prediction)
    yield Path(points=((x1, y1), (x2, y2)), color=GREY, dash=True)
    yield Text(x=x1 + 0.12 * (x2 - x1), y=y1 + 0.12 * (y2 - y1), text="c", color=GREY, plate=True)
    ends = _center(target), _center(prediction)
    yield Path(points=ends, color=PURPLE, width=3)
    for (x, y), color in zip(ends, (TARGET, PREDICTION), strict=True):
        yield Dot(x=x, y=y, color=color, radius=5)
    if math.dist(*ends) > 30:
        x, y = (ends[0][0] + ends[1][0]) / 2, (ends[0][1] + ends[1][1]) / 2
        yield Text(x=x, y=y, text="ρ", color=PURPLE, plate=True)


def _angle(target: XYXY, prediction: XYXY) -> Iterator[Shape]:
    """The diagonals of both boxes from one corner of the prediction: v is the angle between them."""
    length = math.hypot(prediction[2] - prediction[0], prediction[3] - prediction[1])
    for box, color in ((target, TARGET), (prediction, PREDICTION)):
        across, down = box[2] - box[0], box[3] - box[1]
        scale = length / math.hypot(across, down)
        end = (prediction[0] + scale * across, prediction[1] + scale * down)
        yield Path(points=(prediction[:2], end), color=color, dash=True)


def _push(box: XYXY, slopes: Sequence[float], size: tuple[int, int]) -> Iterator[Shape]:
    """An arrow from the middle of each edge, against the slope.

    Its length is that of (side x slope), which zooming leaves as it is, in sides: a scene twice as large has arrows
    twice as long.
    """
    middle = _center(box)
    if not any(slopes):
        if min(box[2] - box[0], box[3] - box[1]) > 30:
            yield Text(x=middle[0], y=middle[1] + 24, text="no gradient", color=VERMILLION, plate=True)
        return
    for edge, slope in enumerate(slopes):
        axis = edge % 2
        side = box[axis + 2] - box[axis]
        length = -GAIN * side * slope * max(side, SMALLEST)
        start, end = list(middle), list(middle)
        start[axis] = box[edge]
        end[axis] = min(max(box[edge] + length, 0.0), float(size[axis]))
        yield Dot(x=start[0], y=start[1], color=VERMILLION, radius=3)
        if abs(end[axis] - start[axis]) > 2:
            points = ((start[0], start[1]), (end[0], end[1]))
            yield Path(points=points, color=VERMILLION, width=4, arrow=True)
