"""The raw head of the digit detector as detections, before any suppression."""

from __future__ import annotations

from functools import lru_cache

import torch.nn.functional as F
from torch import Tensor

from cvviz.data.detections import Detections, detections
from cvviz.data.digit_scenes import DigitScene, digit_scene
from cvviz.data.images import Picture, per_picture
from cvviz.zoo.digit_detector import SMALLEST_SIDE, load_digit_detector, raw_head

SIDE = 256  # px, of a picture
LOW = 0.05  # score from which a raw box is worth showing
DIGITS = tuple("0123456789")


@lru_cache(maxsize=16)
def digit_boxes(seed: int, density: float, noise: float, most: int) -> tuple[DigitScene, Detections]:
    """A held-out scene, and what the trained detector says of it.

    Args:
        seed, density, noise: of the scene, see ``digit_scene``.
        most: boxes that are kept, the best.

    Returns:
        The scene, and one detection for every anchor and class with a score of at least ``LOW``, by falling score.
    """
    scene = digit_scene(seed, split="test", density=density, noise=noise)
    return scene, raw_detections(scene.pixels).best(most)


@per_picture
def picture_digits(picture: Picture, most: int) -> tuple[Tensor, Detections]:
    """A picture with its longest side at ``SIDE`` px, padded to what the detector needs, and what it says of it.

    Args:
        picture: where to look.
        most: boxes that are kept, the best.
    """
    _, height, width = picture.pixels.shape
    scale = SIDE / max(height, width)
    size = [max(1, round(height * scale)), max(1, round(width * scale))]
    small = F.interpolate(picture.pixels[None].contiguous(), size, mode="bilinear", antialias=True)[0]
    missing = [max(0, SMALLEST_SIDE - length) for length in size]
    pixels = F.pad(small, (0, missing[1], 0, missing[0]))
    return pixels, raw_detections(pixels).best(most)


def raw_detections(pixels: Tensor) -> Detections:
    """One detection for every anchor and class of a picture (3, H, W) uint8 with a score of at least ``LOW``."""
    boxes, scores = raw_head(load_digit_detector(), pixels)
    anchors, labels = (scores >= LOW).nonzero().unbind(dim=1)
    return detections(boxes[anchors].tolist(), scores[anchors, labels].tolist(), labels.tolist(), DIGITS)
