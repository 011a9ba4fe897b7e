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
FADE = 0.6  # of the way to white, so that lines read on any picture
# Of arrows, each for one edge. Steepness is the change of the loss if the edge moved by one side of the box: the same
# at any zoom. Its root sets the length, so that weak pulls of distant boxes are seen beside strong ones.
GAIN = 0.5  # length in sides of the box at a steepness of 1
FLAT = 0.005  # steepness below which there is no arrow
SMALLEST = 60  # a smaller box has arrows as if of this side, in pixels
SHORTEST = 12  # length that still shows a direction, in pixels


def backdrop(pixels: Tensor, width: int, height: int) -> Tensor:
    """(3, H, W) uint8 cut about its centre to the shape of ``width`` x ``height``, scaled to that, and faded."""
    rows, columns = pixels.shape[1:]
    scale = min(columns / width, rows / height)
    across, down = max(1, round(width * scale)), max(1, round(height * scale))
    top, left = (rows - down) // 2, (columns - across) // 2
    cut = pixels[None, :, top : top + down, left : left + across].float()
    scaled = interpolate(cut, size=(height, width), mode="bilinear", antialias=True)[0]
    return torch.lerp(scaled, torch.tensor(255.0), FADE).clamp(0, 255).byte()


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
    # Fainter and without its label where the line between the centres crosses it.
    faint = terms in ("diou", "ciou")
    shapes: list[Shape] = [*_shared(target, prediction, faint=faint)]
    if terms != "iou":
        shapes += _enclosing(target, prediction, empty=terms == "giou")
    if faint:
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


def _shared(first: XYXY, second: XYXY, *, faint: bool) -> Iterator[Shape]:
    """The intersection."""
    (x1, y1), (x2, y2) = map(max, first[:2], second[:2]), map(min, first[2:], second[2:])
    if x1 < x2 and y1 < y2:
        yield Box(xyxy=(x1, y1, x2, y2), color=PURPLE, width=0, fill=0.3 if faint else 0.6)
        if not faint and min(x2 - x1, y2 - y1) > 30:
            yield Text(x=x1 + 14, y=y2 - 14, text="I", color=PURPLE, plate=True)


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
    yield Path(points=ends, color=PURPLE, width=4)
    for (x, y), color in zip(ends, (TARGET, PREDICTION), strict=True):
        yield Dot(x=x, y=y, color=color, radius=5)
    if math.dist(*ends) > 30:
        x, y = (ends[0][0] + ends[1][0]) / 2, (ends[0][1] + ends[1][1]) / 2
        yield Text(x=x, y=y, text="ρ", color=PURPLE, plate=True)


def _angle(target: XYXY, prediction: XYXY) -> Iterator[Shape]:
    """The diagonals of both boxes from one corner of the prediction; the angle of the wedge between them is in v."""
    x, y = prediction[:2]
    sides = [(box[2] - box[0], box[3] - box[1]) for box in (target, prediction)]
    length = math.hypot(*sides[1])
    angles = [math.atan2(down, across) for across, down in sides]
    steps = [angles[0] + (angles[1] - angles[0]) * step / 12 for step in range(13)]
    arc = [(x + length / 2 * math.cos(angle), y + length / 2 * math.sin(angle)) for angle in steps]
    yield Path(points=((x, y), *arc), color=VERMILLION, width=0, closed=True, fill=0.5)
    for angle, color in zip(angles, (TARGET, PREDICTION), strict=True):
        end = (x + length * math.cos(angle), y + length * math.sin(angle))
        yield Path(points=((x, y), end), color=color, dash=True)
    if abs(angles[1] - angles[0]) > 0.1 and length > 60:
        yield Text(x=arc[6][0], y=arc[6][1], text="v", color=VERMILLION, plate=True)


def _push(box: XYXY, slopes: Sequence[float], size: tuple[int, int]) -> Iterator[Shape]:
    """An arrow from the middle of each edge, against the slope."""
    middle = _center(box)
    if not any(slopes):
        if min(box[2] - box[0], box[3] - box[1]) > 30:
            yield Text(x=middle[0], y=middle[1] + 24, text="no gradient", color=VERMILLION, plate=True)
        return
    for edge, slope in enumerate(slopes):
        axis = edge % 2
        side = box[axis + 2] - box[axis]
        start, end = list(middle), list(middle)
        start[axis] = box[edge]
        steepness = abs(side * slope)
        length = max(GAIN * math.sqrt(steepness) * max(side, SMALLEST), SHORTEST)
        end[axis] = min(max(box[edge] - math.copysign(length, slope), 0.0), float(size[axis]))
        yield Dot(x=start[0], y=start[1], color=VERMILLION, radius=3)
        if steepness > FLAT and end != start:
            points = ((start[0], start[1]), (end[0], end[1]))
            yield Path(points=points, color=VERMILLION, width=4, arrow=True)
