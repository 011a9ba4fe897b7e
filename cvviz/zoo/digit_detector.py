"""A detector of handwritten digits, trained here on :mod:`cvviz.data.digit_scenes`: one stage, with anchors.

A residual backbone gives features at strides 4, 8 and 16; a pyramid adds each level, enlarged, to the next finer one;
and one head, shared by the levels, says of every anchor which digit it shows and how to move it onto that digit.
``assets/digit-detector.md`` tells how it was trained and how good it is.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import batched_nms, clip_boxes_to_image, nms

from cvviz.ops.anchors import anchor_grid, decode_boxes
from cvviz.ops.checks import check_range, check_tensor
from cvviz.zoo.weights import ASSETS, load_weights

NUM_CLASSES = 10
SMALLEST_SIDE = 64  # px
_WIDTHS, _WIDTH = (24, 40, 96, 128), 48  # channels of the backbone, and of the pyramid and the head
_PRIOR = 0.01  # score of every anchor before training, so that the many empty ones do not drown the rest


class DigitDetector(nn.Module):
    """The network, and the anchors that its outputs belong to.

    Attributes:
        strides: px from one cell of a level to the next, finest level first.
        sizes: of each level's anchors in px: the square root of the area.
        ratios: height over width of the anchors; each size comes in each ratio.
    """

    strides = (4, 8, 16)
    sizes = ((10.0, 14.0), (20.0, 28.0), (40.0, 56.0))
    ratios = (1.2, 2.2)

    def __init__(self) -> None:
        super().__init__()
        per_cell = len(self.sizes[0]) * len(self.ratios)
        self.stem = _convolution(3, _WIDTHS[0], stride=2)
        self.stages = nn.ModuleList(
            nn.Sequential(_convolution(before, after, stride=2), _Residual(after))
            for before, after in pairwise(_WIDTHS)
        )
        self.laterals = nn.ModuleList(nn.Conv2d(channels, _WIDTH, 1) for channels in _WIDTHS[1:])
        self.classes = _head(per_cell * NUM_CLASSES, bias=-math.log(1 / _PRIOR - 1))
        self.boxes = _head(per_cell * 4, bias=0.0)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """What the network says of every anchor.

        Args:
            images: (N, 3, H, W) in [0, 1], sides of at least ``SMALLEST_SIDE`` px. Sides that the last stride does not
                divide are continued to the right and below by their last pixels.

        Returns:
            Logits of the classes, (N, A, 10), and deltas of the boxes, (N, A, 4), in the order of :meth:`anchors`.

        Raises:
            ValueError: if the shape is another.
        """
        if images.ndim != 4 or images.shape[1] != 3 or min(images.shape[2:]) < SMALLEST_SIDE:
            raise ValueError(
                f"images must have shape (N, 3, H, W) with sides of at least {SMALLEST_SIDE} px, "
                f"got {tuple(images.shape)}."
            )
        bottom, right = (self._padded(side) - side for side in images.shape[2:])
        levels = self._pyramid(F.pad((images - 0.5) / 0.25, (0, right, 0, bottom), mode="replicate"))
        logits = [_per_anchor(self.classes(level), NUM_CLASSES) for level in levels]
        deltas = [_per_anchor(self.boxes(level), 4) for level in levels]
        return torch.cat(logits, dim=1), torch.cat(deltas, dim=1)

    def anchors(self, height: int, width: int) -> Tensor:
        """All anchors of a picture: (A, 4), x1, y1, x2, y2 in px.

        Finest level first, within a level row by row, within a cell ratio by ratio and size by size. They are centred
        on their cells and may reach beyond the picture.
        """
        size = self._padded(height), self._padded(width)
        levels = anchor_grid(
            size, strides=self.strides, sizes=self.sizes, ratios=self.ratios, offset=0.5, rounded=False
        )
        return torch.cat(levels)

    def _padded(self, side: int) -> int:
        return math.ceil(side / self.strides[-1]) * self.strides[-1]

    def _pyramid(self, images: Tensor) -> list[Tensor]:
        """Features of every level, finest first, each with what the coarser ones add."""
        features = [self.stem(images)]
        for stage in self.stages:
            features.append(stage(features[-1]))
        levels: list[Tensor] = []
        for lateral, level in zip(self.laterals[::-1], features[:0:-1], strict=True):
            above = F.interpolate(levels[0], scale_factor=2.0) if levels else 0
            levels.insert(0, lateral(level) + above)
        return levels


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _convolution(channels, channels)
        self.second = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, features: Tensor) -> Tensor:
        return F.relu(features + self.second(self.first(features)))


def _convolution(before: int, after: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)
    )


def _head(channels: int, *, bias: float) -> nn.Sequential:
    last = nn.Conv2d(_WIDTH, channels, 3, padding=1)
    nn.init.normal_(last.weight, std=0.01)
    last.bias = nn.Parameter(torch.full((channels,), bias))
    return nn.Sequential(_convolution(_WIDTH, _WIDTH), last)


def _per_anchor(level: Tensor, channels: int) -> Tensor:
    """(N, K * channels, h, w) of a level to (N, h * w * K, channels)."""
    return level.permute(0, 2, 3, 1).reshape(len(level), -1, channels)


@lru_cache(maxsize=1)
def load_digit_detector() -> DigitDetector:
    """The trained detector, one for the whole process: eval mode, no gradients. Do not change it."""
    model = DigitDetector()
    load_weights(model, ASSETS / "digit-detector.safetensors")
    return model


def raw_head(model: DigitDetector, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Box and scores of every anchor, before any suppression.

    Args:
        model: the detector, in eval mode.
        pixels: (3, H, W) uint8, sides of at least ``SMALLEST_SIDE`` px.

    Returns:
        Boxes (A, 4), x1, y1, x2, y2 in px, clipped to the picture (without area where they lay beyond it), and scores
        (A, 10) in [0, 1], each class for itself. Both float32, in the order of :meth:`DigitDetector.anchors`.

    Raises:
        TypeError: if ``pixels`` is not a tensor of uint8.
        ValueError: if its shape is another.
    """
    check_tensor(pixels, "pixels")
    if pixels.dtype != torch.uint8:
        raise TypeError(f"pixels must be uint8, got {pixels.dtype}.")
    if pixels.ndim != 3 or pixels.shape[0] != 3 or min(pixels.shape[1:]) < SMALLEST_SIDE:
        raise ValueError(
            f"pixels must have shape (3, H, W) with sides of at least {SMALLEST_SIDE} px, got {tuple(pixels.shape)}."
        )
    height, width = pixels.shape[1:]
    with torch.no_grad():
        logits, deltas = model(pixels[None].float() / 255)
        boxes = decode_boxes(deltas[0], model.anchors(height, width))
    return clip_boxes_to_image(boxes, (height, width)), logits[0].sigmoid()


def detect(
    model: DigitDetector,
    pixels: Tensor,
    *,
    score_threshold: float = 0.05,
    iou_threshold: float = 0.5,
    class_aware: bool = True,
    most: int = 100,
) -> tuple[Tensor, Tensor, Tensor]:
    """Digits in a picture: the raw head's boxes after non-maximum suppression, best first.

    Args:
        model: the detector, in eval mode.
        pixels: (3, H, W) uint8, sides of at least ``SMALLEST_SIDE`` px.
        score_threshold: in [0, 1]; an anchor gives a box for every class whose score exceeds this.
        iou_threshold: in [0, 1]; a box is suppressed where its IoU with a better one exceeds this.
        class_aware: whether boxes suppress only those of their own class.
        most: how many boxes are returned at most.

    Returns:
        Boxes (K, 4) float32, x1, y1, x2, y2 in px; scores (K,) float32 in [0, 1]; labels (K,) int64.

    Raises:
        TypeError: if ``pixels`` is not a tensor of uint8.
        ValueError: if its shape is another, a threshold lies outside [0, 1], or ``most`` is negative.
    """
    check_range(score_threshold, "score_threshold", 0, 1)
    check_range(iou_threshold, "iou_threshold", 0, 1)
    check_range(most, "most", 0, math.inf)
    boxes, scores = raw_head(model, pixels)
    within = (boxes[:, 2:] > boxes[:, :2]).all(dim=1, keepdim=True)  # [A, 1]: what was clipped away shows no digit
    places, labels = ((scores > score_threshold) & within).nonzero().unbind(dim=1)  # [C] each
    boxes, scores = boxes[places], scores[places, labels]
    kept = batched_nms(boxes, scores, labels, iou_threshold) if class_aware else nms(boxes, scores, iou_threshold)
    kept = kept[:most]
    return boxes[kept], scores[kept], labels[kept]
