"""A drawn crowd and a simulated detector that looks at it: raw boxes whose true objects are known.

People stand side by side at a chosen distance, and at the right somebody rides a motorcycle towards us: two objects of
different classes in nearly the same place. The detector answers to each object several times, with jittered boxes whose
scores fall with their distance from the truth, and to nothing a few times more.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cvviz.data.detections import Detections, detections
from cvviz.ops.boxes import box_iou

WIDTH, HEIGHT = 512, 256
PEOPLE, WINDOWS, FALSE_ALARMS = 6, 7, 6
NAMES = ("person", "motorcycle")
_PERSON = (52.0, 150.0)  # px, width and height
_RIDER = ((436.0, 62.0, 488.0, 202.0), (434.0, 102.0, 490.0, 216.0))
_CLOTHES = ((96, 125, 139), (141, 110, 99), (120, 144, 108), (158, 135, 170), (176, 150, 96), (110, 120, 160))


@dataclass(frozen=True, eq=False)
class Crowd:
    """A scene.

    Args:
        pixels: (3, HEIGHT, WIDTH) uint8.
        raw: what the simulated detector says, by falling score.
        truth: (T, 4) float64, the objects' boxes: people from left to right, the rider, the motorcycle.
        labels: (T,) int64, their classes, as in ``raw``.
    """

    pixels: Tensor
    raw: Detections
    truth: Tensor
    labels: Tensor


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the objects.

    Args:
        found: the objects that have a box of their own.
        missed: those that have none.
        extra: boxes that found nothing new.
    """

    found: tuple[int, ...]
    missed: tuple[int, ...]
    extra: tuple[int, ...]


def outcome(scene: Crowd, kept: Tensor, *, iou_threshold: float = 0.5) -> Outcome:
    """Match survivors with objects as evaluations do: by falling score, each with the best free one of its class.

    Args:
        scene: the objects.
        kept: (K,) int64, boxes of ``scene.raw`` by falling score.
        iou_threshold: smallest IoU of a match.
    """
    same = scene.raw.labels[kept][:, None] == scene.labels
    overlaps = box_iou(scene.raw.boxes[kept], scene.truth) * same  # [K, T]
    found: list[int] = []
    extra: list[int] = []
    for index, row in zip(kept.tolist(), overlaps.tolist(), strict=True):
        free = {thing: overlap for thing, overlap in enumerate(row) if overlap >= iou_threshold and thing not in found}
        if free:
            found.append(max(free, key=free.__getitem__))
        else:
            extra.append(index)
    missed = tuple(thing for thing in range(len(scene.truth)) if thing not in found)
    return Outcome(tuple(sorted(found)), missed, tuple(extra))


@lru_cache(maxsize=16)
def crowd(spacing: float, seed: int) -> Crowd:
    """The scene of one seed, with the centres of neighbours ``spacing`` widths of a person apart, 0.2 to 1.2."""
    generator = torch.Generator().manual_seed(seed)
    truth = torch.cat([_people(spacing, generator), torch.tensor(_RIDER, dtype=torch.float64)])
    labels = torch.tensor([0] * (PEOPLE + 1) + [1])
    boxes, scores = _windows(truth, generator)
    classes = labels.repeat_interleave(WINDOWS).tolist()
    corner = _uniform((FALSE_ALARMS, 2), generator) * torch.tensor([WIDTH - 60.0, HEIGHT - 110.0])
    size = torch.tensor([25.0, 60.0]) + _uniform((FALSE_ALARMS, 2), generator) * torch.tensor([35.0, 50.0])
    alarms = torch.cat([corner, corner + size], dim=1)
    alarm_scores = 0.05 + 0.3 * _uniform((FALSE_ALARMS,), generator)
    rows, values = torch.cat([boxes, alarms]), torch.cat([scores, alarm_scores])
    raw = detections(rows.tolist(), values.tolist(), classes + [0] * FALSE_ALARMS, NAMES)
    return Crowd(_draw(truth), raw.best(len(values)), truth, labels)


def _people(spacing: float, generator: torch.Generator) -> Tensor:
    size = torch.tensor(_PERSON) * (1 + 0.1 * (_uniform((PEOPLE, 2), generator) - 0.5))  # [P, 2]
    left = 26 + spacing * _PERSON[0] * torch.arange(PEOPLE)
    bottom = 216 + 10 * _uniform((PEOPLE,), generator)
    return torch.stack([left, bottom - size[:, 1], left + size[:, 0], bottom], dim=1)  # [P, 4]


def _windows(truth: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Jittered boxes (T * WINDOWS, 4), object by object, and their scores."""
    best = 0.75 + 0.22 * _uniform((len(truth), 1), generator)
    spread = torch.full((WINDOWS, 1), 0.06, dtype=torch.float64)
    spread[0] = 0.01  # one window of each object fits well
    noise = torch.randn(len(truth), WINDOWS, 4, generator=generator, dtype=torch.float64) * spread
    size = (truth[:, 2:] - truth[:, :2]).repeat(1, 2)[:, None]  # [T, 1, 4]
    boxes = truth[:, None] + noise * size  # [T, WINDOWS, 4]
    fit = torch.cat([box_iou(true[None], near) for true, near in zip(truth, boxes, strict=True)])  # [T, WINDOWS]
    return boxes.flatten(0, 1), (best * fit).flatten()


def _uniform(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator, dtype=torch.float64)


def _draw(truth: Tensor) -> Tensor:
    canvas = np.empty((HEIGHT, WIDTH, 3), dtype=np.uint8)
    canvas[:] = np.linspace((232, 236, 240), (205, 208, 210), HEIGHT)[:, None].astype(np.uint8)
    canvas[200:] = (188, 184, 178)
    *people, rider, motorcycle = truth.tolist()
    for place, box in sorted(enumerate(people), key=lambda item: item[1][3]):  # who stands nearer covers the others
        _draw_person(canvas, box, _CLOTHES[place % len(_CLOTHES)])
    _draw_person(canvas, rider, (90, 90, 96))
    _draw_motorcycle(canvas, motorcycle)
    return torch.from_numpy(canvas).permute(2, 0, 1).contiguous()


def _draw_person(canvas: NDArray[np.uint8], box: list[float], color: tuple[int, int, int]) -> None:
    x1, y1, x2, y2 = (round(number) for number in box)
    width, height, middle = x2 - x1, y2 - y1, (x1 + x2) // 2
    dark = tuple(number * 2 // 3 for number in color)
    for side in (-1, 1):
        leg = middle + side * width // 6
        cv2.line(canvas, (leg, y1 + height * 6 // 10), (leg, y2 - 4), dark, width // 5, cv2.LINE_AA)
        arm = middle + side * width * 2 // 5
        cv2.line(canvas, (middle, y1 + height // 4), (arm, y1 + height // 2), dark, width // 7, cv2.LINE_AA)
    trunk = (middle, y1 + height * 42 // 100)
    cv2.ellipse(canvas, trunk, (width * 3 // 10, height * 24 // 100), 0, 0, 360, color, -1, cv2.LINE_AA)
    cv2.circle(canvas, (middle, y1 + height // 10), height // 10, (224, 187, 160), -1, cv2.LINE_AA)


def _draw_motorcycle(canvas: NDArray[np.uint8], box: list[float]) -> None:
    x1, y1, x2, y2 = (round(number) for number in box)
    width, height, middle = x2 - x1, y2 - y1, (x1 + x2) // 2
    wheel = (middle, y2 - height * 28 // 100)
    cv2.ellipse(canvas, wheel, (width // 7, height * 28 // 100), 0, 0, 360, (50, 50, 54), -1, cv2.LINE_AA)
    fairing = (middle, y1 + height * 4 // 10)
    cv2.ellipse(canvas, fairing, (width // 3, height // 4), 0, 0, 360, (150, 60, 50), -1, cv2.LINE_AA)
    cv2.line(canvas, (x1 + 3, y1 + height // 5), (x2 - 3, y1 + height // 5), (50, 50, 54), 5, cv2.LINE_AA)
    for x in (x1 + 5, x2 - 5):
        cv2.line(canvas, (x, y1 + height // 5), (x, y1 + 4), (50, 50, 54), 4, cv2.LINE_AA)
    cv2.circle(canvas, fairing, width // 6, (250, 244, 214), -1, cv2.LINE_AA)
