"""Receptive fields of stacks of convolutions and poolings, and of graphs of them; where their gradient goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd, lcm
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from cvviz.ops.checks import check_floating, check_range


@dataclass(frozen=True, slots=True)
class Layer:
    """One convolution or pooling as its receptive field sees it, the same along both axes.

    Args:
        kernel_size: taps along one axis, at least 1.
        stride: step of the window in its own input, at least 1.
        padding: rows added on each side of its own input, at least 0.
        dilation: distance between neighbouring taps, at least 1.

    Raises:
        TypeError: if an argument is not an int.
        ValueError: if an argument is out of range.
    """

    kernel_size: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1

    def __post_init__(self) -> None:
        for name, low in (("kernel_size", 1), ("stride", 1), ("padding", 0), ("dilation", 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool):
                raise TypeError(f"{name} must be an int, got {type(value).__name__}.")
            if value < low:
                raise ValueError(f"{name} must be at least {low}, got {value}.")

    @property
    def extent(self) -> int:
        """Rows between the first and the last tap, both counted: d(k - 1) + 1."""
        return self.dilation * (self.kernel_size - 1) + 1


@dataclass(frozen=True, slots=True)
class Field:
    """Input pixels that the units of a map depend on, along one axis; pixel i spans i to i + 1.

    Args:
        spans: (first, end) of units 0 to P - 1, in input pixels. They may lie outside the input, in the padding.
        step: input pixels from unit i to unit i + P. P is 1 unless the network up-samples.
    """

    spans: tuple[tuple[int, int], ...] = ((0, 1),)
    step: int = 1

    @property
    def size(self) -> int:
        """Extent of the field in input pixels; the largest one where units differ."""
        return max(end - first for first, end in self.spans)

    @property
    def jump(self) -> int:
        """Input pixels between neighbouring units."""
        return self.step // len(self.spans)

    @property
    def start(self) -> float:
        """Centre of the first unit's field, in input pixels."""
        return sum(self.spans[0]) / 2

    def span(self, unit: int) -> tuple[int, int]:
        """(first, end) of the field of ``unit``, which may be negative."""
        turns, phase = divmod(unit, len(self.spans))
        first, end = self.spans[phase]
        return first + turns * self.step, end + turns * self.step

    def inside(self, unit: int, size: int) -> float:
        """Share of the field of ``unit`` that lies on an input of ``size`` pixels; the rest is padding."""
        first, end = self.span(unit)
        return max(min(end, size) - max(first, 0), 0) / (end - first)


def receptive_field(layers: Sequence[Layer]) -> list[Field]:
    """Receptive field after each layer of a chain of convolutions and poolings.

    ``size += (extent - 1) * jump``, ``start += ((extent - 1) / 2 - padding) * jump``, then ``jump *= stride``,
    from ``size = jump = 1`` and ``start = 0.5`` at the input.

    Args:
        layers: the chain, from the input on.

    Returns:
        One Field per layer: ``size`` and ``jump`` in input pixels, and ``start``, the centre of the first unit, where
        pixel i of the input is centred at i + 0.5.

    Raises:
        TypeError: if an item is not a Layer.

    Example:
        >>> last = receptive_field([Layer(7, stride=2, padding=3), Layer(3, stride=2, padding=1)])[-1]
        >>> last.size, last.jump, last.start
        (11, 4, 0.5)

    Reference:
        André Araujo, Wade Norris, Jack Sim, "Computing Receptive Fields of Convolutional Neural Networks", 2019,
        https://distill.pub/2019/computing-receptive-fields/
    """
    return node_fields(chain(layers))[1:]


@dataclass(frozen=True, slots=True)
class Node:
    """One step of a network as receptive fields see it.

    Args:
        kind: "window" is a convolution or pooling, "transpose" a transposed convolution, "sum" and "concat" merge.
        name: dotted name of the module that does it.
        sources: indices of the nodes that it reads.
        layer: the window; None for the input and for merges.
        shares: part of the channels of a "concat" that comes from each source.
        ceil_mode: whether an incomplete last window of a pooling counts.
    """

    kind: Literal["input", "window", "transpose", "sum", "concat"]
    name: str = "input"
    sources: tuple[int, ...] = ()
    layer: Layer | None = None
    shares: tuple[float, ...] = ()
    ceil_mode: bool = False


def chain(layers: Sequence[Layer]) -> list[Node]:
    """Nodes of a plain stack, the input first. Raises TypeError if an item is not a Layer."""
    for layer in layers:
        if not isinstance(layer, Layer):
            raise TypeError(f"layers must hold Layer values, got {type(layer).__name__}.")
    return [Node("input")] + [Node("window", str(i), (i,), layer) for i, layer in enumerate(layers)]


def node_fields(nodes: Sequence[Node]) -> list[Field]:
    """Field of every node; a merge sees the union of what its sources see.

    Raises:
        ValueError: if the branches of a merge have different jumps, or a map is finer than the input.
    """
    fields: list[Field] = []
    for node in nodes:
        read = [fields[source] for source in node.sources]
        if node.layer is None:
            fields.append(_union(read) if read else Field())
        elif node.kind == "window":
            fields.append(_through_window(read[0], node.layer))
        else:
            fields.append(_through_transpose(read[0], node.layer))
    return fields


def _through_window(field: Field, layer: Layer) -> Field:
    period = len(field.spans)
    phases = period // gcd(period, layer.stride)
    spans = []
    for unit in range(phases):
        first = unit * layer.stride - layer.padding
        spans.append((field.span(first)[0], field.span(first + layer.extent - 1)[1]))
    return Field(tuple(spans), field.step * layer.stride * phases // period)


def _through_transpose(field: Field, layer: Layer) -> Field:
    period = len(field.spans) * layer.stride
    if field.step % period:
        raise ValueError(f"a stride of {layer.stride} makes units of {field.jump} px finer than the input.")
    spans = []
    for unit in range(period):
        # Unit o reads the units i with o = i * stride - padding + tap, 0 <= tap < kernel_size.
        last = (unit + layer.padding) // layer.stride
        first = -((layer.kernel_size - 1 - unit - layer.padding) // layer.stride)
        spans.append((field.span(first)[0], field.span(last)[1]))
    return Field(tuple(spans), field.step)


def _union(fields: Sequence[Field]) -> Field:
    jumps = sorted({field.jump for field in fields})
    if len(jumps) > 1:
        raise ValueError(f"branches that meet must have one jump, got {jumps}.")
    period = lcm(*(len(field.spans) for field in fields))
    spans = [[field.span(unit) for field in fields] for unit in range(period)]
    union = tuple((min(first for first, _ in read), max(end for _, end in read)) for read in spans)
    return Field(union, jumps[0] * period)


def node_sizes(nodes: Sequence[Node], input_size: int) -> list[int]:
    """Units along one side of every node's map; 0 where the window no longer fits."""
    sizes: list[int] = []
    for node in nodes:
        size = sizes[node.sources[0]] if node.sources else input_size
        if node.layer and node.kind == "window":
            size = _window_count(size, node.layer, node.ceil_mode)
        elif node.layer and size:
            size = (size - 1) * node.layer.stride - 2 * node.layer.padding + node.layer.kernel_size
        sizes.append(size)
    return sizes


def _window_count(size: int, layer: Layer, ceil_mode: bool) -> int:
    room = size + 2 * layer.padding - layer.extent
    if room < 0 or not size:
        return 0
    count = room // layer.stride + 1
    # The extra, incomplete window of ceil_mode counts only if it starts before the padding on the far side.
    return count + int(ceil_mode and room % layer.stride > 0 and count * layer.stride < size + layer.padding)


def gradient_mass(nodes: Sequence[Node], *, node: int = -1, unit: tuple[int, ...] = (0, 0)) -> Tensor:
    """Share of a unit's gradient that each input pixel of its field receives, with equal weights everywhere.

    The network is made linear: equal weights, no activations, every pooling an average. The result is also the
    expected squared gradient over independent random weights of mean zero: it obeys the same recursion. Nothing is
    clipped at the border of the input, so that the picture is the same for every unit of a map that does not up-sample.

    Args:
        nodes: the network, the input first.
        node: index of the node that the unit belongs to.
        unit: (row, column) of the unit, or (row,) alone for the sum over columns.

    Returns:
        (size, size) or (size,) float64, non-negative, of sum 1: the unit's field, from its first pixel on.

    Raises:
        ValueError: if ``unit`` has no index or more than two.

    Example:
        >>> (gradient_mass(chain([Layer(3), Layer(3)]), unit=(0,)) * 9).round()
        tensor([1., 2., 3., 2., 1.], dtype=torch.float64)

    Reference:
        Wenjie Luo, Yujia Li, Raquel Urtasun, Richard Zemel, "Understanding the Effective Receptive Field in Deep
        Convolutional Neural Networks", 2016, https://arxiv.org/abs/1701.04128
    """
    if len(unit) not in (1, 2):
        raise ValueError(f"unit must be (row,) or (row, column), got {unit}.")
    node %= len(nodes)
    if len(unit) == 2 and all(len(step.sources) < 2 for step in nodes[: node + 1]):
        # Along a chain of equal weights the map is the product of its sums.
        rows, columns = (gradient_mass(nodes, node=node, unit=(at,)) for at in unit)
        return torch.outer(rows, columns)
    patches = {node: _Patch(torch.ones((1, 1) + (1,) * len(unit), dtype=torch.float64), unit)}
    for index in range(node, 0, -1):
        if index not in patches:
            continue
        patch, current = patches.pop(index), nodes[index]
        if current.layer is not None:
            patch = _spread(patch, current.layer) if current.kind == "window" else _gather(patch, current.layer)
        for source, share in zip(current.sources, current.shares or (1.0,) * len(current.sources), strict=True):
            part = _Patch(patch.values * share, patch.first)
            patches[source] = _add(patches[source], part) if source in patches else part
    mass = patches[0].values[0, 0]
    return mass / mass.sum()


def effective_size(profile: Tensor, *, share: float = 0.95) -> int:
    """Shortest run of rows that holds a share of a gradient.

    Args:
        profile: (size,) gradient mass by row, non-negative, such as ``gradient_mass(..., unit=(0,))``.
        share: part of the total that the run must hold, in (0, 1].

    Returns:
        Length of the run in rows.

    Raises:
        TypeError: if ``profile`` is not a floating-point tensor.
        ValueError: if ``profile`` is empty, not one-dimensional, negative or all zero, or ``share`` is out of range.

    Example:
        >>> effective_size(torch.tensor([1.0, 2.0, 4.0, 2.0, 1.0]), share=0.8)
        3
    """
    _check_profile(profile)
    if not 0 < share <= 1:
        raise ValueError(f"share must lie in (0, 1], got {share:g}.")
    before = F.pad(profile.double().cumsum(0), (1, 0))  # [size + 1] mass before each row
    # Less the rounding of the sums, or a share of 1 would never be reached.
    wanted = before + (share - 1e-12) * before[-1]
    ends = torch.searchsorted(before, wanted)
    return int((ends - torch.arange(len(ends)))[ends < len(before)].min())


def thresholded_span(profile: Tensor, *, threshold: float) -> tuple[int, int]:
    """What a tool that ignores small gradients reads: the span of the rows that reach a part of the largest.

    Args:
        profile: (size,) gradient by row, non-negative.
        threshold: part of the largest value, in [0, 1]; at 0 every positive row counts.

    Returns:
        (first, end) in rows.

    Raises:
        TypeError: if ``profile`` is not a floating-point tensor.
        ValueError: if ``profile`` is empty, not one-dimensional, negative or all zero, or ``threshold`` out of range.

    Example:
        >>> thresholded_span(torch.tensor([0.0, 0.01, 1.0, 0.5]), threshold=0.1)
        (2, 4)
    """
    _check_profile(profile)
    check_range(threshold, "threshold", 0, 1)
    reached = ((profile >= threshold * profile.max()) & (profile > 0)).nonzero()
    return int(reached[0]), int(reached[-1]) + 1


def _check_profile(profile: Tensor) -> None:
    check_floating(profile, "profile")
    if profile.ndim != 1 or not len(profile):
        raise ValueError(f"profile must have shape (size,) with size > 0, got {tuple(profile.shape)}.")
    if not (bool((profile >= 0).all()) and profile.max() > 0):
        raise ValueError("profile must be non-negative with a positive sum.")


class _Patch(NamedTuple):
    """The part of a map's gradient that is not zero, (1, 1, rows, columns) or (1, 1, rows), and its first indices."""

    values: Tensor
    first: tuple[int, ...]

    @property
    def end(self) -> tuple[int, ...]:
        return tuple(at + side for at, side in zip(self.first, self.values.shape[2:], strict=True))


def _spread(patch: _Patch, layer: Layer) -> _Patch:
    """Gradient on the input of a window, one axis after the other, for equal weights are separable."""
    values = patch.values
    dims = len(patch.first)
    transpose = F.conv_transpose2d if dims == 2 else F.conv_transpose1d
    for axis in range(dims):
        taps = [layer.kernel_size if axis == i else 1 for i in range(dims)]
        stride = [layer.stride if axis == i else 1 for i in range(dims)]
        dilation = [layer.dilation if axis == i else 1 for i in range(dims)]
        kernel = values.new_full((1, 1, *taps), 1 / layer.kernel_size)
        values = transpose(values, kernel, stride=stride, dilation=dilation)
    return _Patch(values, tuple(at * layer.stride - layer.padding for at in patch.first))


def _gather(patch: _Patch, layer: Layer) -> _Patch:
    """Gradient on the input of a transposed convolution: unit i collects outputs i * stride - padding + tap."""
    reach = layer.kernel_size - 1 - layer.padding
    low = tuple(-((reach - at) // layer.stride) for at in patch.first)
    high = tuple((end - 1 + layer.padding) // layer.stride for end in patch.end)
    pads: list[int] = []
    for axis in reversed(range(len(low))):  # F.pad takes the last axis first
        pads.append(patch.first[axis] - (low[axis] * layer.stride - layer.padding))
        pads.append(high[axis] * layer.stride + reach + 1 - patch.end[axis])
    dims = len(low)
    kernel = patch.values.new_full((1, 1) + (layer.kernel_size,) * dims, (layer.stride / layer.kernel_size) ** dims)
    convolve = F.conv2d if dims == 2 else F.conv1d
    return _Patch(convolve(F.pad(patch.values, pads), kernel, stride=layer.stride), low)


def _add(one: _Patch, two: _Patch) -> _Patch:
    first = tuple(map(min, one.first, two.first))
    end = tuple(map(max, one.end, two.end))
    padded = []
    for patch in (one, two):
        sides = zip(first, patch.first, patch.end, end, strict=True)
        pads = [pad for low, at, stop, high in reversed([*sides]) for pad in (at - low, high - stop)]
        padded.append(F.pad(patch.values, pads))
    return _Patch(padded[0] + padded[1], first)
