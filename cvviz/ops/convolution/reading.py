"""Which lines a convolution reads, and the matrix that it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from cvviz.ops.checks import check_floating, check_tensor
from cvviz.ops.convolution.sizes import (
    axes_of,
    conv_output_size,
    conv_transpose_output_size,
    per_axis,
    return_sizes,
    stack_sizes,
)
from cvviz.ops.receptive_field import Layer


def conv_reads(
    size: int, kernel_size: int, *, stride: int = 1, padding: int | tuple[int, int] = 0, dilation: int = 1
) -> Tensor:
    """Which line of the input each output reads through each tap, along one axis: i * s + a * d - p.

    Args:
        size, kernel_size, stride, dilation: ints as of :func:`conv_output_size`.
        padding: lines on each side, or (before, after).

    Returns:
        ``(n', k)`` int64, ascending along each row. Lines below 0 or from ``size`` on are padding.

    Raises:
        TypeError, ValueError: as :func:`conv_output_size`.

    Example:
        >>> conv_reads(4, 3, stride=2, padding=1).tolist()
        [[-1, 0, 1], [1, 2, 3]]

    Reference:
        torch.nn.Unfold, https://docs.pytorch.org/docs/stable/generated/torch.nn.Unfold.html
    """
    before, after = per_axis(padding, "padding", 2, low=0)
    ((n, k, s, _, d),) = axes_of(size, kernel_size=kernel_size, stride=stride, padding=0, dilation=dilation)
    count = conv_output_size(n + before + after, k, stride=s, dilation=d)
    return torch.arange(count)[:, None] * s + torch.arange(k) * d - before


def conv_transpose_reads(
    size: int, kernel_size: int, *, stride: int = 1, padding: int = 0, output_padding: int = 0, dilation: int = 1
) -> Tensor:
    """Which line of the output each input line of a transposed convolution reaches through each tap, along one axis.

    Args:
        size, kernel_size, stride, padding, output_padding, dilation: ints as of :func:`conv_transpose_output_size`.

    Returns:
        ``(n, k)`` int64. Lines below 0 or from the output's size on are cut off.

    Raises:
        TypeError, ValueError: as :func:`conv_transpose_output_size`.

    Example:
        >>> conv_transpose_reads(2, 3, stride=2, padding=1).tolist()
        [[-1, 0, 1], [1, 2, 3]]

    Reference:
        torch.nn.Fold, https://docs.pytorch.org/docs/stable/generated/torch.nn.Fold.html
    """
    window = {"stride": stride, "padding": padding, "dilation": dilation}
    whole = conv_transpose_output_size(size, kernel_size, output_padding=output_padding, **window)
    return conv_reads(whole, kernel_size, **window)[:size]


def tap_matrices(reads: Tensor, size: int) -> Tensor:
    """Reads as matrices, one for each tap: entry (a, i, j) is 1 where output i reads line j through tap a.

    Args:
        reads: ``(n', k)`` int64, from :func:`conv_reads`.
        size: lines of the input; reads outside are padding and give no 1.

    Returns:
        ``(k, n', n)`` float64.

    Raises:
        ValueError: if ``reads`` is not two-dimensional or ``size`` is below 1.

    Example:
        >>> tap_matrices(conv_reads(3, 2), 3)[1].tolist()
        [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    check_tensor(reads, "reads")
    if reads.ndim != 2:
        raise ValueError(f"reads must have shape (n', k), got {tuple(reads.shape)}.")
    if size < 1:
        raise ValueError(f"size must be at least 1, got {size}.")
    return (reads.T[:, :, None] == torch.arange(size)).double()


def conv_matrix(
    weight: Tensor,
    size: Sequence[int],
    *,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
) -> Tensor:
    """The matrix C with which a convolution is ``C @ x.flatten()``, and its transposed convolution ``C.T @ y``.

    Args:
        weight: (F, C/g, k) or (F, C/g, kh, kw), floating point, as of ``conv1d`` and ``conv2d``.
        size: lines of the input along each axis, (L,) or (H, W).
        stride, padding, dilation: as of :func:`conv_output_size`, the same along both axes.
        groups: g, parts that share no channel; divides F.

    Returns:
        (F * n', C * n) in the dtype of ``weight``, with n and n' the numbers of places of input and output.

    Raises:
        TypeError: if ``weight`` is not a floating-point tensor.
        ValueError: if shapes do not fit, ``groups`` does not divide, or a number is out of range.

    Example:
        >>> conv_matrix(torch.tensor([[[1.0, 2.0]]]), (3,)).tolist()
        [[1.0, 2.0, 0.0], [0.0, 1.0, 2.0]]

    Reference:
        Dumoulin, Visin, "A guide to convolution arithmetic for deep learning", 2016, section 4.1,
        https://arxiv.org/abs/1603.07285
    """
    check_floating(weight, "weight")
    if weight.ndim - 2 != len(size) or len(size) not in (1, 2):
        raise ValueError(f"weight must have 2 more axes than size, 3 or 4, got {weight.ndim} and {len(size)}.")
    if groups < 1 or weight.shape[0] % groups:
        raise ValueError(f"groups must divide the {weight.shape[0]} output channels, got {groups}.")
    taps = []
    for lines, k in zip(size, weight.shape[2:], strict=True):
        reads = conv_reads(lines, k, stride=stride, padding=padding, dilation=dilation)
        taps.append(tap_matrices(reads, lines).to(weight.dtype))  # [k, n', n]
    sums = "fca,aij->ficj" if len(size) == 1 else "fcab,aij,bkl->fikcjl"
    blocks = []
    for part in weight.chunk(groups):  # [F/g, C/g, ...]
        block = torch.einsum(sums, part, *taps)
        rows = block.shape[: len(size) + 1].numel()
        blocks.append(block.reshape(rows, -1))
    matrix: Tensor = torch.block_diag(*blocks)  # type: ignore[no-untyped-call]
    return matrix


class Counts(NamedTuple):
    """What a layer with a constant input of 1 reads and gives.

    Args:
        outputs: (H', W') the layer's response.
        products: (H', W') how many products with an input each output sums; those with padding do not count.
        reach: (H, W) how many outputs each cell of the input reaches, padding included.
        border: (top, left, bottom, right) lines of padding in ``reach``.
    """

    outputs: Tensor
    products: Tensor
    reach: Tensor
    border: tuple[int, int, int, int] = (0, 0, 0, 0)

    @property
    def pixels(self) -> Tensor:
        """``reach`` of the input without its padding."""
        top, left, bottom, right = self.border
        return self.reach[top : len(self.reach) - bottom, left : self.reach.shape[1] - right]


class StackSizes(NamedTuple):
    """What a stack of layers does to the size of a map, along one axis.

    Args:
        sizes: of the map, at the input and after each layer.
        dropped: what the floor drops at each layer.
        back: sizes on the way back, at the same places; empty unless asked for.
        seen: (n,) bool: lines of the input on which the last map depends.
    """

    sizes: list[int]
    dropped: list[int]
    back: list[int]
    seen: Tensor


def conv_counts(
    size: tuple[int, int],
    kernel_size: int,
    *,
    stride: int = 1,
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0)),
    dilation: int = 1,
) -> Counts:
    """How many pixels a convolution reads for each output, and how often it reads each pixel.

    Args:
        size: rows and columns of the input.
        kernel_size, stride, dilation: ints as of :func:`conv_output_size`, for both axes.
        padding: lines (before, after) the rows and the columns.

    Returns:
        Counts in int64; ``outputs`` are those of a kernel of ones, hence equal to ``products``.

    Raises:
        TypeError, ValueError: as :func:`conv_output_size`.

    Example:
        >>> counts = conv_counts((3, 3), 3, padding=((1, 1), (1, 1)))
        >>> counts.outputs[0].tolist(), counts.reach[1, 1:4].tolist()  # both at the rim
        ([4, 6, 4], [4, 6, 4])

    Reference:
        torch.nn.Unfold, https://docs.pytorch.org/docs/stable/generated/torch.nn.Unfold.html
    """
    real, reach = [], []
    for n, (before, after) in zip(size, padding, strict=True):
        reads = conv_reads(n, kernel_size, stride=stride, padding=(before, after), dilation=dilation)
        real.append(((reads >= 0) & (reads < n)).sum(1))
        reach.append(torch.bincount((reads + before).flatten(), minlength=n + before + after))
    products = torch.outer(*real)
    (top, bottom), (left, right) = padding
    return Counts(products, products, torch.outer(*reach), (top, left, bottom, right))


def conv_transpose_counts(
    weight: Tensor,
    size: tuple[int, int],
    *,
    stride: int = 1,
    padding: int = 0,
    output_padding: int = 0,
    dilation: int = 1,
) -> Counts:
    """What a transposed convolution gives for a constant input of 1, and from how many products.

    It follows the reads of a convolution of its output backwards, so that no transposed convolution is run.

    Args:
        weight: (kh, kw), floating point.
        size: rows and columns of the input.
        stride, padding, output_padding, dilation: as of :func:`conv_transpose_output_size`, for both axes.

    Returns:
        Counts; ``outputs`` in the dtype of ``weight``, the others in int64.

    Raises:
        TypeError: if ``weight`` is not a floating-point tensor.
        ValueError: if ``weight`` is not two-dimensional, or as :func:`conv_transpose_output_size`.

    Example:
        >>> conv_transpose_counts(torch.ones(3, 3), (3, 3), stride=2).products[2].tolist()  # uneven overlap
        [2, 2, 4, 2, 4, 2, 2]

    Reference:
        torch.nn.ConvTranspose2d, https://docs.pytorch.org/docs/stable/generated/torch.nn.ConvTranspose2d.html
    """
    _check_kernel(weight)
    window = {"stride": stride, "padding": padding, "dilation": dilation}
    taps = []  # [k, n, n'] each
    for n, k in zip(size, weight.shape, strict=True):
        whole = conv_transpose_output_size(n, k, output_padding=output_padding, **window)
        taps.append(tap_matrices(conv_transpose_reads(n, k, output_padding=output_padding, **window), whole))
    down, across = taps
    outputs = torch.einsum("aip,bjq,ab->pq", down, across, weight.double()).to(weight.dtype)
    products = torch.outer(down.sum((0, 1)), across.sum((0, 1)))
    reach = torch.outer(down.sum((0, 2)), across.sum((0, 2)))
    return Counts(outputs, products.long(), reach.long())


def phase_response(weight: Tensor, *, stride: int, dilation: int = 1) -> Tensor:
    """What a transposed convolution makes of a constant input of 1, far from the rim: one number per phase.

    Output (o, q) is reached through the taps (a, b) with a*d = o + p and b*d = q + p modulo the stride, so that the
    outputs repeat every s lines. Unequal numbers are the checkerboard.

    Args:
        weight: (kh, kw), floating point.
        stride, dilation: at least 1.

    Returns:
        (s, s): entry (u, v) holds the sum of the taps with a*d = u and b*d = v modulo s. A 0 without any tap is a
        place that nothing reaches.

    Raises:
        TypeError: if ``weight`` is not a floating-point tensor or a number is not an int.
        ValueError: if ``weight`` is not two-dimensional or a number is below 1.

    Example:
        >>> phase_response(torch.ones(3, 3), stride=2).tolist()
        [[4.0, 2.0], [2.0, 1.0]]

    Reference:
        Odena, Dumoulin, Olah, "Deconvolution and Checkerboard Artifacts", 2016,
        https://distill.pub/2016/deconv-checkerboard/
    """
    _check_kernel(weight)
    (step,), (apart,) = per_axis(stride, "stride", 1, low=1), per_axis(dilation, "dilation", 1, low=1)
    for axis in (0, 1):
        places = torch.arange(weight.shape[axis]) * apart % step
        shape = [step if axis == i else length for i, length in enumerate(weight.shape)]
        weight = weight.new_zeros(shape).index_add(axis, places, weight)
    return weight


def seen_lines(layers: Sequence[Layer], size: int) -> Tensor:
    """Lines of the input on which the last map of a stack depends, along one axis.

    Args:
        layers: from the input on.
        size: lines of the input, at least 1.

    Returns:
        (n,) bool.

    Raises:
        TypeError, ValueError: as :func:`conv_output_size`, where a kernel does not fit.

    Example:
        >>> seen_lines([Layer(1, 2), Layer(1, 2)], 6).tolist()
        [True, False, False, False, True, False]
    """
    reads, sizes = [], [size]
    for layer in layers:
        window = {"stride": layer.stride, "padding": layer.padding, "dilation": layer.dilation}
        reads.append(conv_reads(sizes[-1], layer.kernel_size, **window))
        sizes.append(len(reads[-1]))
    seen = torch.ones(sizes.pop(), dtype=torch.bool)
    while reads:
        lines, below = reads.pop()[seen].flatten(), sizes.pop()
        seen = torch.zeros(below, dtype=torch.bool).index_fill(0, lines[(lines >= 0) & (lines < below)], True)
    return seen


def through_stack(layers: Sequence[Layer], size: int, *, back: bool = False) -> StackSizes:
    """All that the arithmetic says of a stack: see ``stack_sizes``, ``return_sizes`` and ``seen_lines``.

    Args:
        layers: from the input on.
        size: lines of the input, at least 1.
        back: whether to go back, by transposed convolutions without output padding.

    Raises:
        TypeError, ValueError: as these.

    Example:
        >>> through_stack([Layer(2, 2)], 5, back=True).back
        [4, 2]
    """
    sizes, dropped = stack_sizes(layers, size)
    returned = return_sizes(layers, sizes[-1]) if back else []
    return StackSizes(sizes, dropped, returned, seen_lines(layers, size))


def _check_kernel(weight: Tensor) -> None:
    check_floating(weight, "weight")
    if weight.ndim != 2:
        raise ValueError(f"weight must have shape (kh, kw), got {tuple(weight.shape)}.")
