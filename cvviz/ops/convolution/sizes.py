"""Sizes of the outputs of convolutions, transposed convolutions and stacks of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import torch
from torch import Tensor

from cvviz.ops.receptive_field import Layer

PerAxis = int | Sequence[int]


@overload
def conv_output_size(size: int, kernel_size: int, *, stride: int = 1, padding: int = 0, dilation: int = 1) -> int: ...
@overload
def conv_output_size(
    size: Sequence[int],
    kernel_size: PerAxis,
    *,
    stride: PerAxis = 1,
    padding: PerAxis = 0,
    dilation: PerAxis = 1,
) -> tuple[int, ...]: ...
def conv_output_size(
    size: PerAxis, kernel_size: PerAxis, *, stride: PerAxis = 1, padding: PerAxis = 0, dilation: PerAxis = 1
) -> int | tuple[int, ...]:
    """Size of a convolution's output: floor((n + 2p - d(k - 1) - 1) / s) + 1.

    Args:
        size: n, lines of the input along one axis, or one number per axis; at least 1.
        kernel_size: k, taps along the axis, at least 1. This and the following are one number for all axes, or one
            per axis of ``size``.
        stride: s, step of the window in input lines, at least 1.
        padding: p, lines added on each side, at least 0.
        dilation: d, distance between neighbouring taps, at least 1.

    Returns:
        Lines of the output: an int for an int, a tuple for a sequence.

    Raises:
        TypeError: if a number is not an int.
        ValueError: if a number is out of range, an argument has another number of axes than ``size``, or the kernel
            with its gaps is longer than the padded input.

    Example:
        >>> conv_output_size(10, 3, stride=2)  # floor(7 / 2) + 1: the last line is never read
        4
        >>> conv_output_size((224, 200), 7, stride=2, padding=3)
        (112, 100)

    Reference:
        torch.nn.Conv2d, https://docs.pytorch.org/docs/stable/generated/torch.nn.Conv2d.html
    """
    axes = axes_of(size, kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation)
    sizes = tuple(room // s + 1 for room, s in ((_room(n, k, p, d), s) for n, k, s, p, d in axes))
    return sizes[0] if isinstance(size, int) else sizes


@overload
def conv_remainder(size: int, kernel_size: int, *, stride: int = 1, padding: int = 0, dilation: int = 1) -> int: ...
@overload
def conv_remainder(
    size: Sequence[int],
    kernel_size: PerAxis,
    *,
    stride: PerAxis = 1,
    padding: PerAxis = 0,
    dilation: PerAxis = 1,
) -> tuple[int, ...]: ...
def conv_remainder(
    size: PerAxis, kernel_size: PerAxis, *, stride: PerAxis = 1, padding: PerAxis = 0, dilation: PerAxis = 1
) -> int | tuple[int, ...]:
    """What the floor of :func:`conv_output_size` drops: (n + 2p - d(k - 1) - 1) mod s.

    So many lines at the end of the padded input are never read; and it is the ``output_padding`` with which a
    transposed convolution of the same settings comes back to n.

    Args:
        size, kernel_size, stride, padding, dilation: as of :func:`conv_output_size`.

    Returns:
        0 to s - 1: an int for an int, a tuple for a sequence.

    Raises:
        TypeError, ValueError: as :func:`conv_output_size`.

    Example:
        >>> conv_remainder(10, 3, stride=2)
        1

    Reference:
        Dumoulin, Visin, "A guide to convolution arithmetic for deep learning", 2016, https://arxiv.org/abs/1603.07285
    """
    axes = axes_of(size, kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation)
    left = tuple(_room(n, k, p, d) % s for n, k, s, p, d in axes)
    return left[0] if isinstance(size, int) else left


@overload
def conv_transpose_output_size(
    size: int, kernel_size: int, *, stride: int = 1, padding: int = 0, output_padding: int = 0, dilation: int = 1
) -> int: ...
@overload
def conv_transpose_output_size(
    size: Sequence[int],
    kernel_size: PerAxis,
    *,
    stride: PerAxis = 1,
    padding: PerAxis = 0,
    output_padding: PerAxis = 0,
    dilation: PerAxis = 1,
) -> tuple[int, ...]: ...
def conv_transpose_output_size(
    size: PerAxis,
    kernel_size: PerAxis,
    *,
    stride: PerAxis = 1,
    padding: PerAxis = 0,
    output_padding: PerAxis = 0,
    dilation: PerAxis = 1,
) -> int | tuple[int, ...]:
    """Size of a transposed convolution's output: (n - 1)s - 2p + d(k - 1) + output_padding + 1.

    Args:
        size: n, lines of the input along one axis, or one number per axis; at least 1.
        kernel_size, stride, dilation: as of :func:`conv_output_size`.
        padding: p, lines cut off on each side of what the kernel reaches, at least 0.
        output_padding: lines added back at the end, at least 0 and below the stride or the dilation. It chooses
            among the sizes that a convolution of these settings brings to n.

    Returns:
        Lines of the output: an int for an int, a tuple for a sequence.

    Raises:
        TypeError: if a number is not an int.
        ValueError: if a number is out of range, an argument has another number of axes than ``size``, or no line is
            left.

    Example:
        >>> conv_transpose_output_size(4, 3, stride=2), conv_transpose_output_size(4, 3, stride=2, output_padding=1)
        (9, 10)

    Reference:
        torch.nn.ConvTranspose2d, https://docs.pytorch.org/docs/stable/generated/torch.nn.ConvTranspose2d.html
    """
    axes = axes_of(size, kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation)
    extra = per_axis(output_padding, "output_padding", len(axes), low=0)
    sizes = []
    for (n, k, s, p, d), add in zip(axes, extra, strict=True):
        if add >= max(s, d):
            raise ValueError(
                f"output_padding must be smaller than the stride or the dilation, got {add} at {s} and {d}."
            )
        whole = (n - 1) * s + d * (k - 1) + add + 1
        if whole <= 2 * p:
            raise ValueError(f"padding must leave a line of the output: 2 × {p} of {whole} lines are cut, take less.")
        sizes.append(whole - 2 * p)
    return sizes[0] if isinstance(size, int) else tuple(sizes)


def same_padding(size: int, kernel_size: int, *, stride: int = 1, dilation: int = 1) -> tuple[int, int]:
    """Lines before and after one axis with which the output has ceil(n / s) lines; the odd one goes to the end.

    At stride 1 this is ``padding="same"`` of torch. At larger strides, where torch refuses, it is the rule of
    TensorFlow's "SAME" and of ONNX's "SAME_UPPER".

    Args:
        size, kernel_size, stride, dilation: ints as of :func:`conv_output_size`.

    Returns:
        (before, after).

    Raises:
        TypeError: if a number is not an int.
        ValueError: if a number is out of range.

    Example:
        >>> same_padding(8, 4), same_padding(8, 3, stride=2)
        ((1, 2), (0, 1))

    Reference:
        ONNX, Conv, attribute auto_pad, https://onnx.ai/onnx/operators/onnx__Conv.html
    """
    ((n, k, s, _, d),) = axes_of(size, kernel_size=kernel_size, stride=stride, padding=0, dilation=dilation)
    total = max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0)
    return total // 2, total - total // 2


def stack_sizes(layers: Sequence[Layer], size: int) -> tuple[list[int], list[int]]:
    """Lines of the map along a stack of convolutions or poolings, and what each floor drops.

    Args:
        layers: from the input on.
        size: lines of the input, at least 1.

    Returns:
        L + 1 sizes, the input's first, and L remainders, see :func:`conv_remainder`.

    Raises:
        TypeError: if ``size`` is not an int.
        ValueError: if ``size`` is below 1 or a kernel does not fit.

    Example:
        >>> stack_sizes([Layer(11, 4), Layer(3, 2)], 224)
        ([224, 54, 26], [1, 1])

    Reference:
        torch.nn.Conv2d, https://docs.pytorch.org/docs/stable/generated/torch.nn.Conv2d.html
    """
    sizes, dropped = list(per_axis(size, "size", 1, low=1)), []
    for place, layer in enumerate(layers, 1):
        try:
            room = _room(sizes[-1], layer.kernel_size, layer.padding, layer.dilation)
        except ValueError as problem:
            raise ValueError(f"Layer {place} of {len(layers)} does not fit. {problem}") from None
        sizes.append(room // layer.stride + 1)
        dropped.append(room % layer.stride)
    return sizes, dropped


def return_sizes(layers: Sequence[Layer], size: int) -> list[int]:
    """Sizes on the way back through the transposed convolutions of a stack, without output padding.

    Args:
        layers: the stack, from the input of the way there on.
        size: lines of its last map, at least 1.

    Returns:
        L + 1 sizes in the order of the way there: what comes back of the input first, ``size`` last.

    Raises:
        TypeError: if ``size`` is not an int.
        ValueError: if ``size`` is below 1 or a padding leaves nothing.

    Example:
        >>> return_sizes([Layer(2, 2), Layer(2, 2), Layer(2, 2)], 12)  # from 100 by way of 50, 25, 12
        [96, 48, 24, 12]

    Reference:
        torch.nn.ConvTranspose2d, https://docs.pytorch.org/docs/stable/generated/torch.nn.ConvTranspose2d.html
    """
    sizes = list(per_axis(size, "size", 1, low=1))
    for layer in reversed(layers):
        window = {"stride": layer.stride, "padding": layer.padding, "dilation": layer.dilation}
        sizes.insert(0, conv_transpose_output_size(sizes[0], layer.kernel_size, **window))
    return sizes


def exact_sizes(layers: Sequence[Layer], *, most: int = 1024) -> Tensor:
    """Input sizes at which every layer of a stack fits and no floor drops anything, so that each size comes back.

    Args:
        layers: from the input on.
        most: largest size tried.

    Returns:
        (N,) int64, ascending; none if the product of the strides is beyond ``most``.

    Example:
        >>> exact_sizes([Layer(2, 2), Layer(2, 2)], most=16).tolist()
        [4, 8, 12, 16]
        >>> exact_sizes([Layer(3, 2, 1), Layer(3, 2, 1)], most=16).tolist()  # an odd kernel wants an odd size
        [1, 5, 9, 13]
    """
    tried = torch.arange(1, most + 1)
    exact, sizes = torch.ones_like(tried, dtype=torch.bool), tried
    for layer in layers:
        room = sizes + 2 * layer.padding - layer.extent
        exact &= (room >= 0) & (room % layer.stride == 0)
        sizes = room // layer.stride + 1
    return tried[exact]


def axes_of(
    size: PerAxis, *, kernel_size: PerAxis, stride: PerAxis, padding: PerAxis, dilation: PerAxis
) -> list[tuple[int, int, int, int, int]]:
    """(n, k, s, p, d) of each axis, checked."""
    sizes = per_axis(size, "size", 1 if isinstance(size, int) else len(size), low=1)
    given = (("kernel_size", kernel_size, 1), ("stride", stride, 1), ("padding", padding, 0), ("dilation", dilation, 1))
    return list(zip(sizes, *(per_axis(value, name, len(sizes), low=low) for name, value, low in given), strict=True))


def per_axis(value: PerAxis, name: str, axes: int, *, low: int) -> tuple[int, ...]:
    """``value`` once per axis, checked."""
    numbers = tuple(value) if isinstance(value, Sequence) else (value,) * axes
    for number in numbers:
        if not isinstance(number, int) or isinstance(number, bool):
            raise TypeError(f"{name} must be an int or one int per axis, got {type(number).__name__}.")
        if number < low:
            raise ValueError(f"{name} must be at least {low}, got {number}.")
    if len(numbers) != axes:
        raise ValueError(f"{name} must be one number or {axes}, one per axis, got {len(numbers)}.")
    return numbers


def _room(size: int, kernel_size: int, padding: int, dilation: int) -> int:
    """Lines by which the window can move."""
    extent = dilation * (kernel_size - 1) + 1
    if extent > size + 2 * padding:
        raise ValueError(
            f"The kernel spans {extent} lines and the padded input has {size + 2 * padding}: "
            "take a smaller kernel or dilation, or more padding."
        )
    return size + 2 * padding - extent
