"""Dilated convolutions: where the taps of a kernel fall, and which pixels a stack of them reaches."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor

from cvviz.ops.checks import check_floating
from cvviz.ops.receptive_field import Layer


def effective_kernel_size(kernel_size: int, dilation: int) -> int:
    """Rows between the first and the last tap of a dilated kernel, both counted: d(k - 1) + 1.

    Args:
        kernel_size: taps along one axis, at least 1.
        dilation: distance between neighbouring taps, at least 1.

    Returns:
        The effective size along that axis, in pixels of the kernel's own input.

    Raises:
        TypeError: if an argument is not an int.
        ValueError: if an argument is below 1.

    Example:
        >>> effective_kernel_size(3, 2)
        5

    Reference:
        Dumoulin, Visin, "A guide to convolution arithmetic for deep learning", 2016, https://arxiv.org/abs/1603.07285
    """
    return Layer(kernel_size, dilation=dilation).extent


def tap_offsets(kernel_size: int, dilation: int, *, padding: int = 0) -> Tensor:
    """Place of each tap along one axis, relative to the index of the output it feeds (stride 1).

    The mean of the offsets, d(k - 1)/2 - p, is how far the kernel's centre lies from the output's index; the padding
    that makes it zero also keeps the size of the map.

    Args:
        kernel_size: taps along one axis, at least 1.
        dilation: distance between neighbouring taps, at least 1.
        padding: rows added in front of the input, at least 0.

    Returns:
        ``(kernel_size,)`` int64, ascending.

    Raises:
        TypeError: if an argument is not an int.
        ValueError: if an argument is out of range.

    Example:
        >>> tap_offsets(3, 4, padding=4)
        tensor([-4,  0,  4])

    Reference:
        Dumoulin, Visin, "A guide to convolution arithmetic for deep learning", 2016, https://arxiv.org/abs/1603.07285
    """
    layer = Layer(kernel_size, padding=padding, dilation=dilation)
    return torch.arange(layer.kernel_size) * layer.dilation - layer.padding


def path_counts(layers: Sequence[Layer]) -> Tensor:
    """Number of paths from one output unit of a stack to every row of its receptive field, along one axis.

    A path picks one tap in each layer. The counts follow from the output down: each layer sets the counts above it
    ``stride`` rows apart and adds a copy of them per tap, ``dilation`` rows apart. A zero is a row that lies inside the
    receptive field and is never read. Padding moves the field and changes no count.

    Args:
        layers: from the input to the output; empty for the identity.

    Returns:
        ``(R,)`` int64 with R the size of the receptive field.

    Raises:
        ValueError: if the paths are too many for int64.

    Example:
        >>> path_counts([Layer(3, dilation=2), Layer(3, dilation=2)])
        tensor([1, 0, 2, 0, 3, 0, 2, 0, 1])

    Reference:
        Wang, Chen, Yuan et al., "Understanding Convolution for Semantic Segmentation", 2018,
        https://arxiv.org/abs/1702.08502
    """
    _check_countable(layers, axes=1)
    counts = torch.ones(1, dtype=torch.int64)
    for layer in reversed(layers):
        spread = (len(counts) - 1) * layer.stride + 1
        below = counts.new_zeros(spread + layer.extent - 1)
        for offset in tap_offsets(layer.kernel_size, layer.dilation).tolist():
            below[offset : offset + spread : layer.stride] += counts
        counts = below
    return counts


def coverage(layers: Sequence[Layer]) -> Tensor:
    """Number of paths from one output unit of a stack to every pixel of its receptive field.

    Kernels are square, so the two axes are independent and the map is the outer product of :func:`path_counts` with
    itself.

    Args:
        layers: from the input to the output; empty for the identity.

    Returns:
        ``(R, R)`` int64 with R the size of the receptive field; zero where no path leads.

    Raises:
        ValueError: if the paths are too many for int64.

    Example:
        >>> coverage([Layer(2, dilation=2)])
        tensor([[1, 0, 1],
                [0, 0, 0],
                [1, 0, 1]])

    Reference:
        Wang, Chen, Yuan et al., "Understanding Convolution for Semantic Segmentation", 2018,
        https://arxiv.org/abs/1702.08502
    """
    _check_countable(layers, axes=2)
    counts = path_counts(layers)
    return torch.outer(counts, counts)


def reach_before(dilations: Sequence[int], *, kernel_size: int = 3) -> list[tuple[int, int]]:
    """Each rate of a stack, smallest first, with the receptive field of all the smaller ones stacked.

    The stack leaves no pixel of its receptive field unread exactly when no rate exceeds that field: the copies that a
    layer makes of the field below it then touch or overlap. A larger rate r leaves the first pixel after the field
    unread, for every path that steps by r or more lands behind it. The order of the layers does not matter.

    Args:
        dilations: rates of the layers, each at least 1, of one kernel size and stride 1.
        kernel_size: taps along one axis, at least 2.

    Returns:
        (rate, field of the smaller rates) pairs, by rate.

    Raises:
        TypeError: if a number is not an int.
        ValueError: if a number is out of range.

    Example:
        >>> reach_before([5, 1, 2])
        [(1, 1), (2, 3), (5, 7)]
        >>> reach_before([1, 2, 9])  # 9 > 7: holes
        [(1, 1), (2, 3), (9, 7)]

    Reference:
        Wang, Chen, Yuan et al., "Understanding Convolution for Semantic Segmentation", 2018,
        https://arxiv.org/abs/1702.08502, which gives a related rule for rates that start at 1.
    """
    if isinstance(kernel_size, int) and kernel_size < 2:
        raise ValueError(f"kernel_size must be at least 2, got {kernel_size}.")
    pairs, field = [], 1
    for dilation in sorted(dilations):
        pairs.append((dilation, field))
        field += effective_kernel_size(kernel_size, dilation) - 1
    return pairs


def loss_of_stride(response: Tensor, stride: int) -> float:
    """Share of a map that bilinear interpolation between every ``stride``-th value does not bring back.

    Args:
        response: (H, W), floating point. Rows and columns behind the last value that is kept are left out.
        stride: step between the values that are kept, at least 1.

    Returns:
        Root mean square of the difference over that of the map; 0 where the map is zero.

    Raises:
        TypeError: if ``response`` is not a floating-point tensor or ``stride`` not an int.
        ValueError: if ``response`` is not two-dimensional or is empty, or ``stride`` is below 1.

    Example:
        >>> loss_of_stride(torch.tensor([[0.0, 1.0, 2.0]]), 2)  # a ramp comes back
        0.0
    """
    check_floating(response, "response")
    if response.ndim != 2 or response.numel() == 0:
        raise ValueError(f"response must have shape (H, W) with H, W >= 1, got {tuple(response.shape)}.")
    stride = Layer(1, stride).stride
    kept = response[::stride, ::stride]
    height, width = (stride * (length - 1) + 1 for length in kept.shape)
    known = response[:height, :width]
    guess = F.interpolate(kept[None, None], (height, width), mode="bilinear", align_corners=True)[0, 0]
    norm = float(known.norm())
    return float((known - guess).norm()) / norm if norm else 0.0


def _check_countable(layers: Sequence[Layer], *, axes: int) -> None:
    paths = prod(layer.kernel_size for layer in layers) ** axes
    if paths >= 2**63:
        raise ValueError(f"layers must have fewer than 2^63 paths to be counted exactly, got {paths:.1e}.")
