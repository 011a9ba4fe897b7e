"""Sets of images with objects and detections: a worked page of digits, and what is walked of a user's own files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cvviz.data.coco_files import CocoResults, CocoTruth, predictions_for, read_results, read_truth, write_files
from cvviz.data.memo import Memo
from cvviz.ops.detection_metrics import Predictions, Truth

XYXY = tuple[float, float, float, float]

DIGITS = tuple("0123456789")
WIDTH, HEIGHT = 360, 270
MOST_IMAGES, MOST_ROWS = 60, 1200  # of a user's own files; all of it is evaluated elsewhere
_LONGEST = 360  # px, side of a picture that stands for a user's own
_PAPER, _INK, _OTHER_INK = (247, 243, 232), (44, 62, 110), (150, 70, 44)
# Scan in scikit-learn's digits, left, top and height in px of its ink: six threes, one small and one large, two of them
# written over each other, and two eights.
_WRITTEN = (
    (347, 18, 36, 72),
    (385, 98, 38, 66),
    (345, 224, 102, 150),
    (347, 318, 32, 36),
    (431, 18, 156, 88),
    (575, 32, 160, 88),
    (379, 164, 34, 72),
    (424, 128, 166, 78),
)
PAIR = (4, 5)  # those written over each other
# Detections placed by hand. Most fit; C lies on an eight, E on the same three as A, G on nothing, I beside its three.
PLACES: tuple[XYXY, ...] = (
    (20, 34, 61, 110),
    (210, 92, 328, 246),
    (162, 32, 210, 108),
    (96, 36, 136, 106),
    (24, 42, 69, 112),
    (16, 154, 70, 242),
    (246, 28, 292, 80),
    (34, 162, 94, 246),
    (307, 24, 335, 70),
    (126, 168, 174, 246),
)
LABELS, SCORES = (3, 3, 3, 3, 3, 3, 3, 3, 3, 8), (96, 91, 86, 80, 74, 66, 57, 48, 40, 88)  # in %
LOOSE_PLACES: tuple[XYXY, ...] = (  # on every digit, a quarter of its width aside; C and G on nothing
    (29, 36, 72, 108),
    (244, 102, 326, 252),
    (186, 176, 216, 232),
    (107, 38, 142, 104),
    (323, 32, 344, 68),
    (6, 156, 57, 244),
    (246, 28, 292, 80),
    (47, 160, 111, 248),
    (175, 34, 220, 106),
    (139, 166, 183, 244),
)
TWICE_PLACES: tuple[XYXY, ...] = (  # ten on five threes
    (20, 34, 61, 110),
    (218, 100, 304, 252),
    (16, 38, 63, 108),
    (98, 36, 136, 104),
    (22, 32, 65, 106),
    (16, 154, 70, 242),
    (212, 104, 308, 254),
    (34, 162, 94, 246),
    (222, 96, 296, 246),
    (92, 38, 136, 108),
)


@dataclass(frozen=True, eq=False)
class DetectionSet:
    """Images, what is in them, and what a detector says is.

    Args:
        truth: the objects; classes are places in ``names``, images places in ``titles``.
        predictions: the detections, likewise.
        names: of the classes.
        titles: of the images.
        sizes: (width, height) of each image in px.
        picture: of an image by its place, (3, H, W) uint8, and its pixels per px of the boxes.
        notes: sentences about where all this comes from.
        memo: what is computed of the set.
    """

    truth: Truth
    predictions: Predictions
    names: tuple[str, ...]
    titles: tuple[str, ...]
    sizes: tuple[tuple[float, float], ...]
    picture: Callable[[int], tuple[Tensor, float]]
    notes: tuple[str, ...] = ()
    memo: Memo = field(default_factory=Memo)


def worked_set(
    boxes: Sequence[XYXY],
    labels: Sequence[int],
    percents: Sequence[int],
    *,
    changed: Mapping[int, float] | None = None,
    crowd: bool = False,
) -> DetectionSet:
    """A page with eight written digits, and detections placed by hand.

    Args:
        boxes: of the detections.
        labels, percents: their classes and their scores in %; the last of each stands for all that follow.
        changed: place of a detection -> a score in [0, 1] that it gets instead.
        crowd: whether the two threes written over each other are annotated as one crowd.
    """
    pixels, _ = _page()
    count = len(boxes)
    scores = [percent / 100 for percent in _filled(percents, count)]
    for place, score in (changed or {}).items():
        scores[place] = score
    predictions = Predictions(
        torch.tensor(boxes, dtype=torch.float64).reshape(-1, 4),
        torch.tensor(_filled(labels, count), dtype=torch.long),
        torch.zeros(count, dtype=torch.long),
        torch.tensor(scores, dtype=torch.float64),
    )
    return DetectionSet(
        _worked_truth(crowd), predictions, DIGITS, ("page",), ((WIDTH, HEIGHT),), lambda _: (pixels, 1.0)
    )


def _filled(values: Sequence[int], count: int) -> list[int]:
    return [*values, *[values[-1]] * count][:count]


@lru_cache(maxsize=2)
def _worked_truth(crowd: bool) -> Truth:
    _, boxes = _page()
    labels = torch.tensor([3, 3, 3, 3, 3, 3, 8, 8])
    if crowd:  # one region around both
        first, second = PAIR
        region = torch.cat([boxes[list(PAIR), :2].amin(0), boxes[list(PAIR), 2:].amax(0)])
        boxes = torch.cat([boxes[:first], region[None], boxes[second + 1 :]])
        labels = torch.cat([labels[:first], labels[second:]])
    flags = torch.zeros(len(boxes), dtype=torch.bool)
    flags[PAIR[0]] = crowd
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return Truth(boxes, labels, torch.zeros(len(boxes), dtype=torch.long), flags, areas)


@lru_cache(maxsize=1)
def _page() -> tuple[Tensor, Tensor]:
    """(3, HEIGHT, WIDTH) uint8, and the extent of each digit's ink, (T, 4) float64."""
    from sklearn.datasets import load_digits

    scans = load_digits().images
    canvas = np.empty((HEIGHT, WIDTH, 3), dtype=np.float32)
    canvas[:] = _PAPER
    canvas[23::24] -= 14  # faint lines
    boxes = []
    for place, (scan, left, top, height) in enumerate(_WRITTEN):
        glyph = _glyph(scans[scan], height)
        rows, columns = glyph.shape
        part = canvas[top : top + rows, left : left + columns]
        part += glyph[..., None] * (np.array(_OTHER_INK if place == PAIR[1] else _INK, dtype=np.float32) - part)
        boxes.append((left, top, left + columns, top + rows))
    pixels = torch.from_numpy(np.rint(canvas).astype(np.uint8)).permute(2, 0, 1).contiguous()
    return pixels, torch.tensor(boxes, dtype=torch.float64)


def _glyph(scan: NDArray[np.float64], height: int) -> NDArray[np.float32]:
    """Opacity of one digit, cut to its ink, ``height`` px high."""
    smooth = cv2.resize(np.pad(scan / 16, 1), (160, 160), interpolation=cv2.INTER_CUBIC)
    opacity = ((smooth - 0.5) / 0.2).clip(0, 1).astype(np.float32)
    rows, columns = (np.flatnonzero((opacity >= 0.5).any(axis=axis)) for axis in (1, 0))
    ink = opacity[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    width = round(height * ink.shape[1] / ink.shape[0])
    return np.asarray(cv2.resize(ink, (width, height), interpolation=cv2.INTER_AREA), dtype=np.float32)


def own_set(truth: CocoTruth, results: CocoResults, rank: int) -> tuple[DetectionSet, int]:
    """What is walked of a user's files, and the class: the one with the ``rank``-th most objects, 1 for the first.

    The images are those that hold most objects and detections of that class, as many as make a list that can be looked
    through: at most ``MOST_IMAGES`` images and ``MOST_ROWS`` boxes.

    Raises:
        ValueError: naming the first result of an image or a category that the truth does not have.
    """
    return truth.memo((results, rank), lambda: _own_set(truth, results, rank))


def _own_set(truth: CocoTruth, results: CocoResults, rank: int) -> tuple[DetectionSet, int]:
    found, objects = predictions_for(truth, results), truth.truth
    amount = objects.labels[~objects.crowd].bincount(minlength=len(truth.names))
    last = max(int(amount.count_nonzero()), 1)
    label = int(amount.argsort(descending=True, stable=True)[min(rank, last) - 1])
    images = _fullest(objects, found, label, len(truth.images))
    keep1, keep2 = (torch.isin(rows.images, images) for rows in (objects, found))
    places = torch.full((len(truth.images),), -1)
    places[images] = torch.arange(len(images))
    sizes = tuple(truth.sizes[image] for image in images.tolist())
    notes = truth.notes
    if len(images) < len(truth.images):
        total = f"{len(truth.images):,} images"
        notes = (*notes, f"Walked here: the {len(images)} of {total} with most “{truth.names[label]}”.")
    chosen = DetectionSet(
        Truth(
            objects.boxes[keep1],
            objects.labels[keep1],
            places[objects.images[keep1]],
            objects.crowd[keep1],
            objects.areas[keep1],
        ),
        Predictions(found.boxes[keep2], found.labels[keep2], places[found.images[keep2]], found.scores[keep2]),
        truth.names,
        tuple(truth.titles[image] for image in images.tolist()),
        sizes,
        lambda image: _blank(*sizes[image]),
        notes,
    )
    return chosen, label


def _fullest(truth: Truth, predictions: Predictions, label: int, count: int) -> Tensor:
    """Places of the images with most of a class, rising."""

    def per_image(images: Tensor) -> Tensor:
        return images.bincount(minlength=count)

    own = per_image(truth.images[truth.labels == label]) + per_image(predictions.images[predictions.labels == label])
    rows = per_image(truth.images) + per_image(predictions.images)
    order = own.argsort(descending=True, stable=True)[:MOST_IMAGES]
    few = rows[order].cumsum(0) <= MOST_ROWS
    few[0] = True  # one image is always shown
    return order[few].sort().values


@lru_cache(maxsize=64)
def _blank(width: float, height: float) -> tuple[Tensor, float]:
    """A plain picture in place of one that the files do not hold."""
    scale = min(1.0, _LONGEST / max(width, height))
    rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
    return torch.full((3, rows, columns), 236, dtype=torch.uint8), scale


@lru_cache(maxsize=1)
def example_files() -> tuple[bytes, bytes]:
    """The worked page as a ground-truth and a result file: a pattern for a user's own."""
    page = worked_set(PLACES, LABELS, SCORES)
    return write_files(page.truth, page.predictions, page.names, [(WIDTH, HEIGHT)])


@lru_cache(maxsize=1)
def example_pair() -> tuple[CocoTruth, CocoResults]:
    """The same, read back."""
    truth, results = example_files()
    return read_truth("example-truth.json", truth), read_results("example-results.json", results)
