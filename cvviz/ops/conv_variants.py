"""Standard, grouped, depthwise, pointwise and separable convolutions: who reads whom, and what each costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd

import torch
from torch import Tensor

from cvviz.ops.checks import check_floating

BYTES = 4  # of a float32


@dataclass(frozen=True, slots=True)
class Conv:
    """A square convolution without bias, padded by ``kernel_size // 2``.

    Args:
        inputs: channels that it reads, at least 1.
        outputs: channels that it makes, at least 1.
        kernel_size: taps along one axis, at least 1.
        groups: output channel o reads the inputs of its own group alone; a divisor of ``inputs`` and ``outputs``.
        stride: step between output positions, at least 1.

    Raises:
        TypeError: if a number is not an int.
        ValueError: if a number is below 1, or ``groups`` does not divide both numbers of channels.

    Example:
        >>> Conv(128, 128, 3, groups=32).weight_shape
        (128, 4, 3, 3)

    Reference:
        Xie, Girshick, Dollár, Tu, He, "Aggregated Residual Transformations for Deep Neural Networks", 2017,
        https://arxiv.org/abs/1611.05431
    """

    inputs: int
    outputs: int
    kernel_size: int = 1
    groups: int = 1
    stride: int = 1

    def __post_init__(self) -> None:
        for name in ("inputs", "outputs", "kernel_size", "groups", "stride"):
            _check_count(getattr(self, name), name)
        if self.inputs % self.groups or self.outputs % self.groups:
            allowed = ", ".join(map(str, common_divisors(self.inputs, self.outputs)))
            raise ValueError(
                f"groups must divide {self.inputs} inputs and {self.outputs} outputs, got {self.groups}. "
                f"These do: {allowed}."
            )

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """(N, M/g, k, k), as torch stores it."""
        return self.outputs, self.inputs // self.groups, self.kernel_size, self.kernel_size

    @property
    def parameters(self) -> int:
        """Number of weights."""
        outputs, inputs, height, width = self.weight_shape
        return outputs * inputs * height * width

    def output_size(self, size: int) -> int:
        """Rows of the output for ``size`` rows of input, both at least 1."""
        _check_count(size, "size")
        return (size + 2 * (self.kernel_size // 2) - self.kernel_size) // self.stride + 1


@dataclass(frozen=True, slots=True)
class Cost:
    """What one or several convolutions in a row cost for one square picture.

    Args:
        parameters: number of weights.
        macs: multiply-accumulates, taps on the padding included, as torch counts them.
        ends: values of the first input and of the last output.
        between: values of the maps between the convolutions, counted twice: written, and read again.
    """

    parameters: int
    macs: int
    ends: int
    between: int

    @property
    def traffic(self) -> int:
        """Least number of bytes moved: every weight and every value once per reading or writing, in float32."""
        return BYTES * (self.parameters + self.ends + self.between)

    @property
    def intensity(self) -> float:
        """Arithmetic intensity in MACs per byte."""
        return self.macs / self.traffic


def cost(layers: Sequence[Conv], size: int) -> Cost:
    """Cost of convolutions in a row.

    Args:
        layers: from input to output, at least one; each reads as many channels as the one before makes.
        size: rows and columns of the input, at least 1.

    Returns:
        The cost for one picture.

    Raises:
        TypeError: if ``size`` is not an int.
        ValueError: if there is no layer, channels do not fit, or ``size`` is below 1.

    Example:
        >>> cost([Conv(64, 64, 3, groups=64), Conv(64, 128)], 56).macs
        27496448

    Reference:
        Williams, Waterman, Patterson, "Roofline: An Insightful Visual Performance Model for Multicore Architectures",
        2009, https://doi.org/10.1145/1498765.1498785
    """
    if not layers:
        raise ValueError("layers must hold at least one convolution.")
    values, macs, side = [layers[0].inputs * size * size], 0, size
    for before, layer in zip((None, *layers), layers, strict=False):
        if before and before.outputs != layer.inputs:
            raise ValueError(f"layers must fit: {before.outputs} channels are made, {layer.inputs} are read.")
        side = layer.output_size(side)
        values.append(layer.outputs * side * side)
        macs += layer.parameters * side * side
    weights = sum(layer.parameters for layer in layers)
    return Cost(weights, macs, values[0] + values[-1], 2 * sum(values[1:-1]))


def variants(
    inputs: int, outputs: int, *, kernel_size: int, stride: int = 1, groups: int | None = None
) -> dict[str, tuple[Conv, ...]]:
    """The kinds of convolution that compete for one place in a network.

    Args:
        inputs: channels M.
        outputs: channels N. The depthwise convolution makes as many as it reads, whatever N is.
        kernel_size: k, of all but the pointwise convolutions.
        stride: of every kind; of the separable one, of its depthwise half.
        groups: of the grouped convolution, which is left out if None.

    Returns:
        kind -> its layers: "standard", "grouped", "depthwise", "pointwise", "separable".

    Raises:
        TypeError: if a number is not an int.
        ValueError: if a number is below 1, or ``groups`` does not divide both numbers of channels.

    Example:
        >>> [layer.parameters for layer in variants(64, 128, kernel_size=3)["separable"]]
        [576, 8192]

    Reference:
        Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications", 2017,
        https://arxiv.org/abs/1704.04861
    """
    depthwise = Conv(inputs, inputs, kernel_size, groups=inputs, stride=stride)
    grouped = {} if groups is None else {"grouped": (Conv(inputs, outputs, kernel_size, groups, stride),)}
    return {
        "standard": (Conv(inputs, outputs, kernel_size, stride=stride),),
        **grouped,
        "depthwise": (depthwise,),
        "pointwise": (Conv(inputs, outputs, stride=stride),),
        "separable": (depthwise, Conv(inputs, outputs)),
    }


def separable_ratio(outputs: int, kernel_size: int) -> float:
    """Cost of a depthwise separable convolution over that of the standard one: 1/N + 1/k².

    It holds for weights and MACs alike, whatever the number of inputs, the size of the map and the stride.

    Args:
        outputs: channels N, at least 1.
        kernel_size: k, at least 1.

    Returns:
        The ratio, above 1 where the separable convolution costs more.

    Raises:
        TypeError: if a number is not an int.
        ValueError: if a number is below 1.

    Example:
        >>> round(1 / separable_ratio(128, 3), 2)
        8.41

    Reference:
        Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications", 2017,
        https://arxiv.org/abs/1704.04861
    """
    _check_count(outputs, "outputs")
    _check_count(kernel_size, "kernel_size")
    return 1 / outputs + 1 / kernel_size**2


def common_divisors(first: int, second: int) -> list[int]:
    """Numbers that divide both, ascending.

    Args:
        first, second: at least 1.

    Returns:
        All of them, 1 included.

    Raises:
        TypeError: if a number is not an int.
        ValueError: if a number is below 1.

    Example:
        >>> common_divisors(64, 96)
        [1, 2, 4, 8, 16, 32]
    """
    _check_count(first, "first")
    _check_count(second, "second")
    most = gcd(first, second)
    return [number for number in range(1, most + 1) if most % number == 0]


def dense_weight(weight: Tensor, *, groups: int) -> Tensor:
    """Kernel of the standard convolution that does the same as a grouped one: zeros wherever nothing is connected.

    Args:
        weight: (N, M/g, k, k), floating point.
        groups: g, a divisor of N.

    Returns:
        (N, M, k, k), block-diagonal in its first two axes.

    Raises:
        TypeError: if ``weight`` is not a floating-point tensor.
        ValueError: if its shape does not fit ``groups``.

    Example:
        >>> dense_weight(torch.ones(2, 1, 1, 1), groups=2)[..., 0, 0]
        tensor([[1., 0.],
                [0., 1.]])
    """
    _check_weight(weight, "weight")
    outputs, inputs, *kernel = weight.shape
    if groups < 1 or outputs % groups:
        raise ValueError(f"groups must divide the {outputs} outputs of weight, got {groups}.")
    dense = weight.new_zeros(groups, outputs // groups, groups, inputs, *kernel)
    blocks = dense.diagonal(dim1=0, dim2=2)  # [N/g, M/g, k, k, g], a view of dense
    blocks.copy_(weight.reshape(groups, -1, inputs, *kernel).movedim(0, -1))
    return dense.flatten(2, 3).flatten(0, 1)


def merge_separable(depthwise: Tensor, pointwise: Tensor, *, multiplier: int = 1) -> Tensor:
    """Kernel of the standard convolution that does the same as a separable one with nothing between its halves.

    Args:
        depthwise: (D M, 1, k, k), floating point; D neighbours per input, as torch's ``groups=M`` orders them.
        pointwise: (N, D M, 1, 1).
        multiplier: D, patterns per input.

    Returns:
        (N, M, k, k): W[o, i] = p[o, i] d[i], summed over the D patterns of input i.

    Raises:
        TypeError: if a tensor is not one of floating point.
        ValueError: if the shapes do not fit.

    Example:
        >>> merge_separable(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]), torch.tensor([[[[10.0]]]]))
        tensor([[[[10., 20.],
                  [30., 40.]]]])

    Reference:
        Chollet, "Xception: Deep Learning with Depthwise Separable Convolutions", 2017,
        https://arxiv.org/abs/1610.02357
    """
    _check_weight(depthwise, "depthwise")
    _check_weight(pointwise, "pointwise")
    filters = len(depthwise)
    if depthwise.shape[1] != 1 or multiplier < 1 or filters % multiplier:
        raise ValueError(f"depthwise must have shape ({multiplier} M, 1, k, k), got {tuple(depthwise.shape)}.")
    if pointwise.shape[1:] != (filters, 1, 1):
        raise ValueError(f"pointwise must have shape (N, {filters}, 1, 1), got {tuple(pointwise.shape)}.")
    products = pointwise * depthwise[:, 0]  # [N, D*M, k, k]
    return products.unfold(1, multiplier, multiplier).sum(-1)


def nearest_separable(weight: Tensor, *, multiplier: int = 1) -> tuple[Tensor, Tensor]:
    """Separable convolution whose kernel is nearest to a given one.

    The slice of the kernel that reads input i, as a matrix of N rows and k² columns, becomes a sum of D products of a
    column (factors) and a row (a pattern): its truncated singular value decomposition. Exact from D = min(N, k²) on.

    Args:
        weight: (N, M, k, k), floating point.
        multiplier: D, patterns per input, from 1 to min(N, k²).

    Returns:
        depthwise (D M, 1, k, k) and pointwise (N, D M, 1, 1); the D patterns of an input are neighbours, as torch's
        ``groups=M`` orders them.

    Raises:
        TypeError: if ``weight`` is not a floating-point tensor.
        ValueError: if it has another shape, or ``multiplier`` is out of range.

    Example:
        >>> blur = torch.ones(1, 1, 3, 3)
        >>> torch.allclose(merge_separable(*nearest_separable(blur)), blur)
        True

    Reference:
        Eckart, Young, "The approximation of one matrix by another of lower rank", 1936,
        https://doi.org/10.1007/BF02288367
    """
    _check_weight(weight, "weight")
    outputs, inputs, height, width = weight.shape
    most = min(outputs, height * width)
    if not 1 <= multiplier <= most:
        raise ValueError(f"multiplier must lie in [1, {most}], got {multiplier}.")
    slices = weight.transpose(0, 1).flatten(2)  # [M, N, k*k]
    left, values, right = torch.linalg.svd(slices, full_matrices=False)
    factors = left[..., :multiplier] * values[:, None, :multiplier]  # [M, N, D]
    patterns = right[:, :multiplier]  # [M, D, k*k]
    pointwise = factors.permute(1, 0, 2).reshape(outputs, inputs * multiplier, 1, 1)
    return patterns.reshape(inputs * multiplier, 1, height, width), pointwise


def _check_count(value: int, name: str) -> None:
    if not isinstance(value, int):
        raise TypeError(f"{name} must be an int, got {type(value).__name__}.")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}.")


def _check_weight(value: Tensor, name: str) -> None:
    check_floating(value, name)
    if value.ndim != 4 or value.numel() == 0:
        raise ValueError(f"{name} must have shape (N, M, k, k) and hold something, got {tuple(value.shape)}.")
