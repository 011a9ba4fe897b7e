"""A sheet of paper with written digits that fill given boxes: ground truth that is moved and stretched by hand."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
import torch
from torch import Tensor

from cvviz.data.digit_scenes import _glyph

XYXY = tuple[float, float, float, float]

SCANS = (1400, 1357)  # places in scikit-learn's digits of a 2 and a 1
_PAPER = (247.0, 243.0, 232.0)
_INKS = ((44.0, 62.0, 110.0), (150.0, 70.0, 44.0))


@lru_cache(maxsize=4)
def digit_pair(boxes: tuple[XYXY, XYXY], size: int) -> Tensor:
    """The sheet, (3, size, size) uint8, with a 2 whose ink fills the first box and over it a 1 that fills the second.

    Args:
        boxes: x1, y1, x2, y2 in px, within the sheet.
        size: width and height of the sheet in px.
    """
    sheet = np.full((size, size, 3), _PAPER, dtype=np.float32)
    for scan, box, ink in zip(SCANS, boxes, _INKS, strict=True):
        x1, y1, x2, y2 = _whole(box, size)
        glyph, shape = _glyph(scan), (x2 - x1, y2 - y1)
        shrinks = shape[0] <= glyph.shape[1] and shape[1] <= glyph.shape[0]
        opacity = cv2.resize(glyph, shape, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        part = sheet[y1:y2, x1:x2]
        part += opacity[..., None] * (np.array(ink, dtype=np.float32) - part)
    return torch.from_numpy(np.rint(sheet).astype(np.uint8)).permute(2, 0, 1).contiguous()


def _whole(box: Sequence[float], size: int) -> tuple[int, int, int, int]:
    """The box in whole px, at least one wide and high."""
    x1, y1 = (min(int(corner), size - 1) for corner in box[:2])
    return x1, y1, max(round(box[2]), x1 + 1), max(round(box[3]), y1 + 1)
