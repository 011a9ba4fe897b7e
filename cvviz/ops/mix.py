"""Mixup and CutMix of one pair of labelled images."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from cvviz.ops.checks import check_floating, check_range, check_same_shape

Box = tuple[int, int, int, int]


def mixup(x1: Tensor, x2: Tensor, y1: Tensor, y2: Tensor, lam: float) -> tuple[Tensor, Tensor]:
    """Blend two images, and their labels by the same weight.

    Args:
        x1, x2: (C, H, W), floating point, any range. uint8 is refused: a blend of whole numbers would be cut off.
        y1, y2: (K,), probabilities of K classes that sum to 1, such as one-hot labels.
        lam: weight of the first image and of its label, in [0, 1].

    Returns:
        The image ``lam * x1 + (1 - lam) * x2`` and the label ``lam * y1 + (1 - lam) * y2``.

    Raises:
        TypeError: if a tensor is not floating point, or a pair differs in dtype.
        ValueError: if shapes do not fit, a label is no probability vector or ``lam`` is out of range.

    Example:
        >>> import torch
        >>> x, y = mixup(torch.ones(1, 1, 2), torch.zeros(1, 1, 2), torch.eye(2)[0], torch.eye(2)[1], 0.75)
        >>> x.tolist(), y.tolist()
        ([[[0.75, 0.75]]], [0.75, 0.25])

    Reference:
        Zhang, Cisse, Dauphin, Lopez-Paz, "mixup: Beyond Empirical Risk Minimization", 2018,
        https://arxiv.org/abs/1710.09412
    """
    _check_pair(x1, x2, y1, y2)
    check_range(lam, "lam", 0, 1)
    return lam * x1 + (1 - lam) * x2, lam * y1 + (1 - lam) * y2


def cutmix(
    x1: Tensor, x2: Tensor, y1: Tensor, y2: Tensor, lam: float, center: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Paste a rectangle of the second image into the first, and weigh the labels by the area really pasted.

    Args:
        x1, x2: (C, H, W), floating point, any range.
        y1, y2: (K,), probabilities of K classes that sum to 1, such as one-hot labels.
        lam: share of the first image to keep, in [0, 1], before the rectangle is clipped; see ``cutmix_box``.
        center: (x, y) of the rectangle in whole pixels, 0 <= x <= W and 0 <= y <= H.

    Returns:
        The image, equal to ``x2`` inside the box and to ``x1`` elsewhere, and the label ``(1 - a) * y1 + a * y2``
        with ``a`` the box's share of the image.

    Raises:
        TypeError: if a tensor is not floating point, a pair differs in dtype, or ``center`` is not two ints.
        ValueError: if shapes do not fit, a label is no probability vector, or ``lam`` or ``center`` is out of range.

    Example:
        A patch with half the sides of a 4 x 4 image, centred on its corner, leaves one pixel of sixteen.

        >>> import torch
        >>> x, y = cutmix(torch.zeros(1, 4, 4), torch.ones(1, 4, 4), torch.eye(2)[0], torch.eye(2)[1], 0.75, (0, 0))
        >>> x.sum().item(), y.tolist()
        (1.0, [0.9375, 0.0625])

    Reference:
        Yun, Han, Oh, Chun, Choe, Yoo, "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable
        Features", 2019, https://arxiv.org/abs/1905.04899
    """
    _check_pair(x1, x2, y1, y2)
    height, width = x1.shape[1:]
    left, top, right, bottom = cutmix_box(height, width, lam=lam, center=center)
    x = x1.clone()
    x[:, top:bottom, left:right] = x2[:, top:bottom, left:right]
    pasted = (right - left) * (bottom - top) / (height * width)
    return x, (1 - pasted) * y1 + pasted * y2


def cutmix_box(height: int, width: int, *, lam: float, center: tuple[int, int]) -> Box:
    """Rectangle that CutMix pastes: sides sqrt(1 - lam) of the image's, clipped at its border.

    Half a side is cut down to a whole pixel, as in torchvision, so the sides before clipping are even numbers.

    Args:
        height, width: of the image, in pixels, at least 1.
        lam: share of the first image to keep, in [0, 1], before clipping.
        center: (x, y) in whole pixels, 0 <= x <= width and 0 <= y <= height.

    Returns:
        (x1, y1, x2, y2) in pixels with 0 <= x1 <= x2 <= width and 0 <= y1 <= y2 <= height; empty where x1 = x2.

    Raises:
        TypeError: if ``center`` is not two ints.
        ValueError: if an argument is out of range.

    Example:
        >>> cutmix_box(100, 200, lam=0.75, center=(100, 50))
        (50, 25, 150, 75)
        >>> cutmix_box(100, 200, lam=0.75, center=(0, 0))
        (0, 0, 50, 25)
    """
    if height < 1 or width < 1:
        raise ValueError(f"The image must have at least one pixel, got {height} x {width}.")
    check_range(lam, "lam", 0, 1)
    x, y = center
    if not (isinstance(x, int) and isinstance(y, int)):
        raise TypeError(f"center must be two ints, got {center}.")
    check_range(x, "The x of center", 0, width)
    check_range(y, "The y of center", 0, height)
    half_side = 0.5 * math.sqrt(1 - lam)
    half_width, half_height = int(half_side * width), int(half_side * height)
    return max(x - half_width, 0), max(y - half_height, 0), min(x + half_width, width), min(y + half_height, height)


def _check_pair(x1: Tensor, x2: Tensor, y1: Tensor, y2: Tensor) -> None:
    for value, name in ((x1, "x1"), (x2, "x2"), (y1, "y1"), (y2, "y2")):
        check_floating(value, name)
    if x1.ndim != 3:
        raise ValueError(f"x1 must have shape (C, H, W), got {tuple(x1.shape)}.")
    for first, second, names in ((x1, x2, ("x1", "x2")), (y1, y2, ("y1", "y2"))):
        check_same_shape(first, second, names)
        if first.dtype != second.dtype:
            raise TypeError(f"{' and '.join(names)} must have the same dtype, got {first.dtype} and {second.dtype}.")
    for label, name in ((y1, "y1"), (y2, "y2")):
        _check_probabilities(label, name)


def _check_probabilities(label: Tensor, name: str) -> None:
    if label.ndim != 1 or not len(label):
        raise ValueError(f"{name} must have shape (K,) with K at least 1, got {tuple(label.shape)}.")
    total = float(label.detach().sum())
    if not (bool(torch.all(label >= 0)) and abs(total - 1) <= 1e-4):
        raise ValueError(f"{name} must be probabilities that sum to 1, got {label.detach().tolist()}.")
