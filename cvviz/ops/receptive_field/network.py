"""The receptive field of any convolutional network, read from its graph."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any, Literal

from torch import fx, nn

from cvviz.ops.receptive_field.layers import Field, Layer, Node, node_fields, node_sizes

# Functions and methods, by name: those that leave every unit in its place, that merge maps, that end the spatial part.
# fmt: off
_PLAIN = {
    "relu", "relu_", "relu6", "hardtanh", "hardswish", "hardsigmoid", "leaky_relu", "elu", "silu", "gelu", "sigmoid",
    "tanh", "dropout", "batch_norm", "layer_norm", "group_norm", "stochastic_depth", "permute", "transpose",
    "contiguous", "view", "reshape", "unsqueeze", "getitem", "clone",
}
# fmt: on
_MERGES = {"add", "iadd", "add_", "sub", "mul", "imul", "mul_", "truediv"}
_ENDS = {"flatten", "mean", "adaptive_avg_pool2d", "adaptive_max_pool2d", "size", "getattr", "dim"}
_POOLS: dict[str, Any] = {"max_pool2d": nn.MaxPool2d, "avg_pool2d": nn.AvgPool2d}
# Files of torch.nn.modules whose modules leave every unit in its place.
_PLAIN_FILES = {"activation", "batchnorm", "normalization", "instancenorm", "dropout", "linear", "channelshuffle"}
_END_MODULES = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.Flatten)

# Index of the node that made a map, and the map's channels; None for a value that is not a map.
_Place = tuple[int, int] | None


def module_receptive_field(module: nn.Module, input_size: int | Sequence[int], *, axis: Literal[0, 1] = 0) -> Field:
    """Receptive field of a network's last spatial map, the one before global pooling or flattening.

    Branches count with the union of what they see. Squeeze-and-excitation gates and normalisation over a whole map see
    everything; they are left out, as the literature does: this is the field of the local path.

    Args:
        module: an image network that ``torch.fx`` can trace, on any device; parameters are not read, so that one made
            on the meta device will do. It is traced in evaluation mode and left as it was.
        input_size: side of a square input in pixels, or a shape that ends in (height, width).
        axis: 0 for the extent along rows, 1 along columns.

    Returns:
        ``size``, ``jump`` and ``start`` in input pixels.

    Raises:
        ValueError: if the module cannot be traced, holds an operation without a local field such as attention, or
            shrinks the input to nothing.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())
        >>> field = module_receptive_field(net, 32)
        >>> field.size, field.jump, field.start
        (4, 2, 1.0)

    Reference:
        André Araujo, Wade Norris, Jack Sim, "Computing Receptive Fields of Convolutional Neural Networks", 2019,
        https://distill.pub/2019/computing-receptive-fields/
    """
    nodes = trace(module, axis=axis)
    side = input_size if isinstance(input_size, int) else tuple(input_size)[-2:][axis]
    if not node_sizes(nodes, side)[-1]:
        raise ValueError(f"module shrinks an input of {side} px to nothing.")
    return node_fields(nodes)[-1]


def trace(module: nn.Module, *, axis: Literal[0, 1] = 0) -> list[Node]:
    """Nodes of a network up to its last spatial map, in the order they run; see ``module_receptive_field``.

    Raises:
        ValueError: if the module cannot be traced or holds an operation without a local field.
    """
    with _evaluating(module):
        try:
            graph = fx.Tracer().trace(module)
        except Exception as error:
            raise ValueError(f"module must be traceable by torch.fx: {error}") from error
    nodes = [Node("input")]
    places: dict[fx.Node, _Place] = {}
    for step in graph.nodes:
        read = [place for source in step.all_input_nodes if (place := places[source])]
        if step.op == "placeholder":
            places[step] = (0, 3)
        elif step.op == "output" or not read:
            places[step] = None
        elif step.op == "call_module":
            part = module.get_submodule(str(step.target))
            places[step] = _through_module(part, str(step.target), nodes, read[0], axis)
        else:
            places[step] = _through_function(step, nodes, read, axis)
    return nodes


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode, which leaves out auxiliary heads, for a while."""
    training = [part for part in module.modules() if part.training]
    module.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True


def _through_module(part: nn.Module, name: str, nodes: list[Node], place: tuple[int, int], axis: int) -> _Place:
    source, channels = place
    if isinstance(part, _END_MODULES):
        return None
    if isinstance(part, (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)):
        nodes.append(Node("window", name, (source,), _window(part, axis), ceil_mode=getattr(part, "ceil_mode", False)))
        return len(nodes) - 1, getattr(part, "out_channels", channels)
    if isinstance(part, nn.ConvTranspose2d):
        layer = _window(part, axis)
        if layer.dilation > 1 or layer.kernel_size < layer.stride or part.output_padding[axis]:
            raise ValueError(f"{name} must have kernel_size >= stride, no dilation and no output padding.")
        nodes.append(Node("transpose", name, (source,), layer))
        return len(nodes) - 1, part.out_channels
    if part.__module__.rpartition(".")[2] in _PLAIN_FILES and not isinstance(part, nn.MultiheadAttention):
        return place
    raise ValueError(f"module has no local receptive field: {name} is a {type(part).__name__}.")


def _through_function(step: fx.Node, nodes: list[Node], read: list[tuple[int, int]], axis: int) -> _Place:
    operation = step.target if isinstance(step.target, str) else getattr(step.target, "__name__", str(step.target))
    name = _unused(".".join([*list(step.meta.get("nn_module_stack", {}))[-1:], operation]), nodes)
    if operation in _ENDS:
        return None
    if operation == "chunk":
        pieces = step.args[1] if len(step.args) > 1 else step.kwargs["chunks"]
        return read[0][0], read[0][1] // int(str(pieces))
    if operation in _POOLS:
        return _through_module(_POOLS[operation](*step.args[1:], **step.kwargs), name, nodes, read[0], axis)
    sources = tuple(index for index, _ in read)
    if operation in _PLAIN or (operation in _MERGES and len(set(sources)) == 1):
        return read[0]
    if operation in _MERGES:
        nodes.append(Node("sum", name, sources))
        return len(nodes) - 1, read[0][1]
    if operation == "cat":
        total = sum(channels for _, channels in read)
        nodes.append(Node("concat", name, sources, shares=tuple(channels / total for _, channels in read)))
        return len(nodes) - 1, total
    raise ValueError(f"module has no local receptive field: it calls {name}.")


def _unused(name: str, nodes: list[Node]) -> str:
    taken = {node.name for node in nodes}
    return next(free for i in count() if (free := f"{name}_{i}" if i else name) not in taken)


def _window(part: Any, axis: int) -> Layer:
    def along(value: Any) -> int:
        return int(value[axis] if isinstance(value, tuple) else value)

    kernel_size, dilation = along(part.kernel_size), along(getattr(part, "dilation", 1))
    same = {"same": dilation * (kernel_size - 1) // 2, "valid": 0}
    padding = same[part.padding] if isinstance(part.padding, str) else along(part.padding)
    return Layer(kernel_size, along(part.stride), padding, dilation)
