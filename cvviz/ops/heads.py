"""Heads of a network: what flattening, pooling to a grid and global pooling cost in fully connected layers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def dense_costs(widths: Sequence[int]) -> tuple[int, int]:
    """Parameters, biases included, and multiply-accumulates of fully connected layers.

    Args:
        widths: inputs, then the outputs of each layer; each at least 1.

    Returns:
        (parameters, multiply-accumulates of one example).

    Raises:
        ValueError: if there is no layer or a width is below 1.

    Example:
        >>> dense_costs([512, 1000])
        (513000, 512000)

    Reference:
        torch.nn.Linear, https://docs.pytorch.org/docs/stable/generated/torch.nn.Linear.html
    """
    if len(widths) < 2 or min(widths) < 1:
        raise ValueError(f"widths must be at least two numbers of at least 1, got {list(widths)}.")
    layers = list(pairwise(widths))
    return sum((before + 1) * after for before, after in layers), sum(before * after for before, after in layers)


def head_costs(channels: int, side: int, layers: Sequence[int], *, grid: int = 7) -> Tensor:
    """Costs of three heads on maps of ``side`` x ``side`` cells.

    Args:
        channels: maps, at least 1.
        side: cells along a side, at least 1.
        layers: widths of the fully connected layers; the last is the number of classes.
        grid: cells along a side that the second head pools to.

    Returns:
        (3, 2) float64, parameters and multiply-accumulates of: all layers on the flattened maps; all layers on the
        maps pooled to the grid; the last layer alone on the mean of each map. Poolings are not counted as work.

    Raises:
        ValueError: if a number is below 1.

    Example:
        >>> head_costs(512, 7, [10])[:, 0].tolist()
        [250890.0, 250890.0, 5130.0]

    Reference:
        Lin, Chen, Yan, "Network In Network", 2014, https://arxiv.org/abs/1312.4400
    """
    starts = [(channels * side**2, *layers), (channels * grid**2, *layers), (channels, layers[-1])]
    return torch.tensor([dense_costs(widths) for widths in starts], dtype=torch.float64)


def body_costs(body: nn.Module, side: int) -> tuple[int, int, int]:
    """Parameters and multiply-accumulates of a convolutional body, and the channels of its last maps.

    Convolutions and batch normalisations have parameters; only convolutions are counted as work, as papers do.

    Args:
        body: takes (1, 3, side, side); on the meta device it costs neither memory nor time.
        side: of the input, in px.

    Returns:
        (parameters, multiply-accumulates, channels).

    Raises:
        ValueError: if ``body`` has parameters in a layer of another kind.

    Example:
        >>> body_costs(nn.Conv2d(3, 8, 3, stride=2, padding=1), 32)
        (224, 55296, 8)
    """
    parameters, work, hooks = 0, [0], []

    def count(layer: nn.Conv2d, _: object, output: Tensor) -> None:
        work[0] += layer.weight[0].numel() * output[0].numel()

    for layer in body.modules():
        if isinstance(layer, nn.Conv2d):
            height, width = layer.kernel_size
            taps = layer.in_channels // layer.groups * height * width
            parameters += layer.out_channels * (taps + int(layer.bias is not None))
            hooks.append(layer.register_forward_hook(count))
        elif isinstance(layer, nn.BatchNorm2d):
            parameters += 2 * layer.num_features * int(layer.affine)
        elif any(True for _ in layer.parameters(recurse=False)):
            raise ValueError(f"body must hold convolutions and batch normalisations, got a {type(layer).__name__}.")
    try:
        with torch.no_grad():
            maps = body(torch.empty(1, 3, side, side, device=next(body.parameters()).device))
    finally:
        for hook in hooks:
            hook.remove()
    return parameters, work[0], int(maps.shape[1])


def mismatch(inputs: int, layer: tuple[int, int]) -> str:
    """What torch says when a fully connected layer gets other than the inputs it has weights for.

    Args:
        inputs: what it gets.
        layer: (inputs, outputs) that it has weights for.

    Returns:
        The message of the error, or "" if there is none.

    Example:
        >>> mismatch(9, (8, 2))
        'mat1 and mat2 shapes cannot be multiplied (1x9 and 8x2)'
    """
    if inputs == layer[0]:
        return ""
    try:
        F.linear(torch.zeros(1).expand(1, inputs), torch.zeros(1).expand(layer[1], layer[0]))  # one number in memory
    except RuntimeError as error:
        return str(error)
    return ""
