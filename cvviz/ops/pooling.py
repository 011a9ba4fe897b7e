"""Poolings: where their windows lie, and the powers between average and maximum."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from cvviz.ops.checks import check_floating, check_range

Span = tuple[int, int]
Pool = Literal["max", "average", "lp"]
Kind = Literal["strided", "adaptive", "global"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """Where the windows of a pooling lie, by the names and rules of torch.

    Args:
        kind: "strided" by size and step; "adaptive" by the size of the output; "global" is one window for all.
        kernel_size, stride, padding, ceil_mode, count_include_pad: of "strided".
        output_size: of "adaptive".
    """

    kind: Kind = "strided"
    kernel_size: int = 2
    stride: int = 2
    padding: int = 0
    ceil_mode: bool = False
    count_include_pad: bool = True
    output_size: int = 1

    def spans(self, size: int) -> list[Span]:
        """(first, end) of each window along an axis, in lines of the padded map; see the functions below."""
        if self.kind == "strided":
            return window_spans(
                size, self.kernel_size, stride=self.stride, padding=self.padding, ceil_mode=self.ceil_mode
            )
        return adaptive_spans(size, self.output_size if self.kind == "adaptive" else 1)


def pool2d(image: Tensor, pool: Pool, windows: Windows, *, p: float = 2.0) -> Tensor:
    """Pool every channel by itself.

    Args:
        image: (C, H, W), floating point.
        pool: "max", padded with minus infinity; "average", padded with zeros, which count or do not; "lp", the norm,
            where zeros add nothing.
        windows: where they lie.
        p: of "lp".

    Returns:
        (C, rows, columns).

    Raises:
        TypeError: if ``image`` is not floating point.
        ValueError: if ``image`` is not three-dimensional, or no window fits.

    Example:
        >>> pool2d(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]), "average", Windows()).item()
        2.5

    Reference:
        torch.nn.AvgPool2d, https://docs.pytorch.org/docs/stable/generated/torch.nn.AvgPool2d.html
    """
    _check_image(image)
    rows, columns = (windows.spans(size) for size in image.shape[1:])
    if pool == "lp":
        padded = F.pad(image, (windows.padding,) * 4) if windows.kind == "strided" else image
        return power_pool2d(padded, rows, columns, p=p)
    if windows.kind != "strided":
        size = len(rows), len(columns)
        return F.adaptive_max_pool2d(image, size) if pool == "max" else F.adaptive_avg_pool2d(image, size)
    window = windows.kernel_size, windows.stride, windows.padding
    if pool == "max":
        return F.max_pool2d(image, *window, ceil_mode=windows.ceil_mode)
    return F.avg_pool2d(image, *window, windows.ceil_mode, windows.count_include_pad)


def window_spans(size: int, kernel_size: int, *, stride: int, padding: int = 0, ceil_mode: bool = False) -> list[Span]:
    """Where the windows of a pooling lie along one axis.

    Args:
        size: lines of the map, at least 1.
        kernel_size: lines of a window, at least 1.
        stride: step between windows, at least 1.
        padding: lines added at each end, at most half the window.
        ceil_mode: whether a window may hang over the end, as long as it starts before the padding there.

    Returns:
        (first, end) of each window in lines of the padded map; the end is exclusive and never beyond the padding.

    Raises:
        ValueError: if an argument is out of range or no window fits.

    Example:
        >>> window_spans(5, 2, stride=2)  # the last line is read by no window
        [(0, 2), (2, 4)]
        >>> window_spans(5, 2, stride=2, ceil_mode=True)
        [(0, 2), (2, 4), (4, 5)]

    Reference:
        torch.nn.MaxPool2d, https://docs.pytorch.org/docs/stable/generated/torch.nn.MaxPool2d.html
    """
    if min(size, kernel_size, stride) < 1:
        raise ValueError(f"size, kernel_size and stride must be at least 1, got {size}, {kernel_size} and {stride}.")
    check_range(padding, "padding", 0, kernel_size // 2)
    padded = size + 2 * padding
    if padded < kernel_size:
        raise ValueError(
            f"A window of {kernel_size} px does not fit into {padded} px, padding included: take a smaller one."
        )
    steps = (padded - kernel_size) / stride
    count = (math.ceil(steps) if ceil_mode else math.floor(steps)) + 1
    starts = [index * stride for index in range(count) if index * stride < size + padding]
    return [(start, min(start + kernel_size, padded)) for start in starts]


def adaptive_spans(size: int, output_size: int) -> list[Span]:
    """Where the windows of an adaptive pooling lie along one axis: unequal and overlapping unless the sizes divide.

    Args:
        size: lines of the map, at least 1.
        output_size: windows wanted, at least 1; more than ``size`` repeats lines.

    Returns:
        (first, end) of each window, the end exclusive.

    Raises:
        ValueError: if an argument is below 1.

    Example:
        >>> adaptive_spans(7, 3)  # 3 lines each, neighbours share one
        [(0, 3), (2, 5), (4, 7)]

    Reference:
        torch.nn.AdaptiveAvgPool2d, https://docs.pytorch.org/docs/stable/generated/torch.nn.AdaptiveAvgPool2d.html
    """
    if min(size, output_size) < 1:
        raise ValueError(f"size and output_size must be at least 1, got {size} and {output_size}.")
    return [(i * size // output_size, -((-(i + 1) * size) // output_size)) for i in range(output_size)]


def power_pool2d(
    image: Tensor, rows: Sequence[Span], columns: Sequence[Span], *, p: float, mean: bool = False
) -> Tensor:
    """Lp norm of every window, or its power mean; p = 1 is the sum or the mean, and both tend to the maximum.

    Unlike torch's ``lp_pool2d`` it takes absolute values, so that it is a norm for every p, and a window that hangs
    over the edge counts the cells that it has.

    Args:
        image: (C, H, W), floating point.
        rows, columns: windows along either axis, as (first, end).
        p: at least 1.
        mean: divide the sum of powers by the number of cells (GeM pooling).

    Returns:
        (C, rows, columns). Where a window holds only zeros, it is 0 with gradient 0.

    Raises:
        TypeError: if ``image`` is not floating point.
        ValueError: if ``image`` is not three-dimensional or ``p`` is below 1.

    Example:
        >>> power_pool2d(torch.tensor([[[3.0, 4.0]]]), [(0, 1)], [(0, 2)], p=2).item()
        5.0

    Reference:
        Radenović, Tolias, Chum, "Fine-tuning CNN Image Retrieval with No Human Annotation", 2018,
        https://arxiv.org/abs/1711.02512
    """
    _check_image(image)
    check_range(p, "p", 1, math.inf)
    largest = image.detach().abs().amax().clamp_min(torch.finfo(image.dtype).tiny)  # so that no power overflows
    members = [_members(spans, length, image) for spans, length in zip((rows, columns), image.shape[1:], strict=True)]
    sums = members[0] @ (image / largest).abs() ** p @ members[1].T  # [C, rows, columns]: windows are rectangles
    if mean:
        sums = sums / torch.outer(members[0].sum(1), members[1].sum(1))
    empty = sums == 0
    return torch.where(empty, sums, sums.masked_fill(empty, 1.0) ** (1 / p)) * largest


def _members(spans: Sequence[Span], length: int, like: Tensor) -> Tensor:
    # (spans, length), 1 where a span holds the line.
    lines = torch.arange(length)
    bounds = torch.tensor(spans)
    return ((lines >= bounds[:, :1]) & (lines < bounds[:, 1:])).to(like.dtype)


def _check_image(image: Tensor) -> None:
    check_floating(image, "image")
    if image.ndim != 3:
        raise ValueError(f"image must have shape (C, H, W), got {tuple(image.shape)}.")
