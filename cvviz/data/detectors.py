"""Raw output of real detectors: every window that they accept, with a score, before any grouping.

They are trained models that come with OpenCV, so nothing is downloaded. Both slide a window of one size over a pyramid
of ever smaller copies of the picture; an object is accepted at several neighbouring places and sizes.

The score of a window is ``sigmoid(m)`` of the number m that the detector itself attaches to it. For the Haar cascades
m is the sum of the weak classifiers of the last stage ("level weight"). All windows returned have passed every stage;
their last sum may still be negative, because each stage is trained to let nearly all true objects pass. For the people
detector m is the margin of a linear SVM, returned from -1 on, where its own default is 0. Neither number is a
probability: within one detector it ranks the windows, between two it means little.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from cv2.typing import MatLike
from numpy.typing import NDArray
from torch import Tensor

from cvviz.data.detections import Detections, detections
from cvviz.data.images import Picture, per_picture

MOST_SIDE = 512
MOST_WINDOWS = 300
_EMPTY = 236  # grey level
_CASCADES = {
    "face": "haarcascade_frontalface_default.xml",
    "eye": "haarcascade_eye.xml",
    "profile": "haarcascade_profileface.xml",
    "upper body": "haarcascade_upperbody.xml",
}
DETECTORS = {
    "face": "Face (Haar)",
    "eye": "Eye (Haar)",
    "profile": "Profile (Haar)",
    "upper body": "Upper body (Haar)",
    "person": "Person (HOG)",
}

Windows = tuple[NDArray[np.float64], NDArray[np.float64]]
Found = tuple[Sequence[Sequence[int]], Sequence[float]]  # rectangles x, y, width, height and their margins

cv2.setNumThreads(1)


@per_picture
def reduced(picture: Picture) -> Tensor:
    """Pixels with the longest side reduced to ``MOST_SIDE``, (3, H, W) uint8: what the detectors look at."""
    _, height, width = picture.pixels.shape
    scale = MOST_SIDE / max(height, width)
    if scale >= 1:
        return picture.pixels
    size = max(1, round(width * scale)), max(1, round(height * scale))
    array = cv2.resize(_array(picture.pixels), size, interpolation=cv2.INTER_AREA)
    return torch.from_numpy(array).permute(2, 0, 1).contiguous()


@per_picture
def detect(picture: Picture, detectors: tuple[str, ...]) -> Detections:
    """Raw windows of several detectors, each a class of its own; the ``MOST_WINDOWS`` best, by falling score.

    Args:
        picture: where to look.
        detectors: keys of ``DETECTORS``.

    Returns:
        Boxes in pixels of ``reduced(picture)``; they may reach over its border. None where the picture is smaller
        than a detector's window.
    """
    found = [_windows(picture, name) for name in detectors]
    labels = [label for label, (boxes, _) in enumerate(found) for _ in boxes]
    boxes, margins = (np.concatenate(part) for part in zip(*found, strict=True))
    return detections(boxes, 1 / (1 + np.exp(-margins)), labels, detectors).best(MOST_WINDOWS)


def backdrop(own: Detections, picture: Picture) -> tuple[Tensor, float]:
    """What to draw a user's own boxes on: their own picture if the boxes fit in it, else an empty canvas.

    Returns:
        (3, H, W) uint8 with the longest side at most ``MOST_SIDE``, and its pixels per pixel of the boxes.
    """
    width, height = own.boxes[:, 2:].amax(dim=0).clamp(min=1).tolist()
    size = picture.original_size or (0, 0)
    if width <= 1.05 * size[0] and height <= 1.05 * size[1]:  # boxes may reach a little over the border
        pixels = reduced(picture)
        return pixels, pixels.shape[2] / size[0]
    scale = MOST_SIDE / max(width, height)
    shape = (3, max(1, round(height * scale)), max(1, round(width * scale)))
    return torch.full(shape, _EMPTY, dtype=torch.uint8), scale


@per_picture
def _windows(picture: Picture, detector: str) -> Windows:
    """Corners and margins of all windows that one detector accepts."""
    grey = cv2.cvtColor(_array(reduced(picture)), cv2.COLOR_RGB2GRAY)
    rects, margins = _people(grey) if detector == "person" else _haar(grey, _CASCADES[detector])
    boxes = np.array(rects, dtype=np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return boxes, np.array(margins, dtype=np.float64).reshape(-1)


def _haar(grey: MatLike, file: str) -> Found:
    # A cascade keeps state while it runs, so that each call has its own.
    cascade = cv2.CascadeClassifier(str(Path(cv2.__file__).parent / "data" / file))
    # With minNeighbors = 0 windows are not grouped; a level is the number of stages passed, here always all of them.
    rects, _levels, weights = cascade.detectMultiScale3(grey, scaleFactor=1.1, minNeighbors=0, outputRejectLevels=True)
    return rects, weights


def _people(grey: MatLike) -> Found:
    hog = cv2.HOGDescriptor()
    width, height = hog.winSize
    if grey.shape[0] < height or grey.shape[1] < width:
        # OpenCV 4.14 does not check this: it writes outside its memory, and the process dies.
        return (), ()
    hog.setSVMDetector(np.asarray(cv2.HOGDescriptor.getDefaultPeopleDetector()))
    return hog.detectMultiScale(grey, hitThreshold=-1, winStride=(8, 8), padding=(16, 16), scale=1.05, groupThreshold=0)


def _array(pixels: Tensor) -> NDArray[np.uint8]:
    return np.ascontiguousarray(pixels.permute(1, 2, 0).numpy())
