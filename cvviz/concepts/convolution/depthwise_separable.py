"""Standard, grouped, depthwise, pointwise and separable convolutions: who reads whom, weights, MACs, and time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from cvviz.concept import Concept, Preset
from cvviz.controls import Choice, Slider
from cvviz.figures.depthwise_separable import drawn_channels, drawn_groups, kernels_scene, wiring_scene
from cvviz.figures.depthwise_separable_words import KINDS, formula_text, percent, short
from cvviz.figures.scene import Scene
from cvviz.ops.conv_variants import Conv, Cost, cost, dense_weight, merge_separable, variants
from cvviz.ops.layer_timing import Timing, time_layers

Timings = dict[str, Timing]

TITLES = KINDS | {"pointwise": "Pointwise (1 × 1)", "separable": "Depthwise separable"}


@dataclass(frozen=True, slots=True)
class Params:
    """A kind of convolution and the place that it takes in a network."""

    kind: Annotated[str, Choice("Convolution", options=TITLES)] = "separable"
    m: Annotated[int, Slider("Inputs M", 1, 1024, 1)] = 64
    n: Annotated[int, Slider("Outputs N", 1, 1024, 1, help="A depthwise convolution makes M, whatever N is.")] = 128
    k: Annotated[int, Slider("Kernel size k", 1, 11, 2, unit="px")] = 3
    groups: Annotated[
        int, Slider("Groups g", 1, 128, 1, help="Must divide M and N.", when=lambda p: p.kind == "grouped")
    ] = 4
    between: Annotated[
        str,
        Choice("Between the halves", options={"none": "Nothing", "relu": "ReLU"}, when=lambda p: p.kind == "separable"),
    ] = "none"
    size: Annotated[int, Slider("Map, H = W", 1, 224, 1, unit="px")] = 56
    stride: Annotated[int, Slider("Stride", 1, 4, 1, unit="px")] = 1

    @property
    def rectify(self) -> bool:
        """Whether a ReLU stands between the halves of a separable convolution."""
        return self.kind == "separable" and self.between == "relu"


@dataclass(frozen=True, slots=True)
class Sample:
    """The channels that are drawn, with random weights.

    Args:
        kernels: (n, m, k, k) of the standard convolution that does the same; factors (n, m, 1, 1) where there is none.
        connected: (n, m) bool.
        patterns: (m, k, k) of the depthwise half, or None.
        rank: of the kernels that read one input, as a matrix with a row per output.
        difference: root mean square of layer minus standard convolution, over that of the latter.
    """

    kernels: Tensor
    connected: Tensor
    patterns: Tensor | None
    rank: int
    difference: float


@dataclass(frozen=True, slots=True)
class Result:
    """What each kind costs, and the chosen one in detail.

    Args:
        costs: kind -> cost; the grouped one only where it is chosen.
        layers: of the chosen kind.
        sizes: rows of its input and of the output of each layer.
        sample: a few of its channels.
    """

    costs: dict[str, Cost]
    layers: tuple[Conv, ...]
    sizes: tuple[int, ...]
    sample: Sample


def kinds_of(params: Params) -> dict[str, tuple[Conv, ...]]:
    """The kinds to compare."""
    groups = params.groups if params.kind == "grouped" else None
    return variants(params.m, params.n, kernel_size=params.k, stride=params.stride, groups=groups)


def compute(params: Params) -> Result:
    """Costs by formula, and a layer of the channels that are drawn."""
    kinds = kinds_of(params)
    layers = kinds[params.kind]
    sizes = [params.size]
    for layer in layers:
        sizes.append(layer.output_size(sizes[-1]))
    costs = {name: cost(parts, params.size) for name, parts in kinds.items()}
    return Result(costs, layers, tuple(sizes), sample(layers, params.rectify))


@lru_cache(maxsize=64)
def sample(layers: tuple[Conv, ...], rectify: bool) -> Sample:
    """Run the channels that are drawn, and the standard convolution that ought to give the same."""
    columns = drawn_channels(layers)
    inputs, outputs, first = len(columns[0]), len(columns[-1]), layers[0]
    groups = drawn_groups(first, columns)
    middle = inputs if len(layers) > 1 else outputs
    small = [Conv(inputs, middle, first.kernel_size, groups, first.stride), Conv(middle, outputs)][: len(layers)]
    weights = [normal(index)[tuple(map(slice, layer.weight_shape))] for index, layer in enumerate(small)]
    picture = normal(2)[None, :inputs, 0].repeat(1, 1, 2, 2)[..., : 8 + first.kernel_size, :]  # [1, m, rows, columns]
    maps = F.conv2d(picture, weights[0], stride=first.stride, padding=first.kernel_size // 2, groups=groups)
    if len(layers) > 1:
        maps = F.conv2d(maps.relu() if rectify else maps, weights[1])
    dense = dense_weight(weights[0], groups=groups) if len(layers) == 1 else merge_separable(*weights)
    if dense.shape[-1] == 1:  # one linear map at every pixel
        pixels = picture[..., :: first.stride, :: first.stride].movedim(1, -1)
        direct = F.linear(pixels, dense[..., 0, 0]).movedim(-1, 1)
    else:
        direct = F.conv2d(picture, dense, stride=first.stride, padding=first.kernel_size // 2)
    return Sample(
        kernels=weights[1] if rectify else dense,
        connected=dense.flatten(2).any(2),
        patterns=weights[0][:, 0] if len(layers) > 1 else None,
        rank=int(torch.linalg.matrix_rank(dense.transpose(0, 1).flatten(2)).max()),
        difference=float((maps - direct).norm() / direct.norm()),
    )


@lru_cache(maxsize=3)
def normal(seed: int) -> Tensor:
    """(12, 12, 11, 11) normal numbers; parts of them serve as weights, so that dragging does not change them all."""
    return torch.randn(12, 12, 11, 11, generator=torch.Generator().manual_seed(seed))


def reference(kind: str, m: int, n: int, k: int, groups: int, size: int, stride: int) -> Tensor:
    """Parameters and MACs of each kind, counted by torch on the meta device, which computes shapes alone."""
    with torch.device("meta"):
        depthwise = nn.Conv2d(m, m, k, stride, k // 2, groups=m, bias=False)
        kinds: dict[str, nn.Module] = {"standard": nn.Conv2d(m, n, k, stride, k // 2, bias=False)}
        if kind == "grouped":
            kinds["grouped"] = nn.Conv2d(m, n, k, stride, k // 2, groups=groups, bias=False)
        kinds["depthwise"] = depthwise
        kinds["pointwise"] = nn.Conv2d(m, n, 1, stride, bias=False)
        kinds["separable"] = nn.Sequential(depthwise, nn.Conv2d(m, n, 1, bias=False))
        picture = torch.zeros(1, m, size, size)
    rows = []
    for layer in kinds.values():
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            layer(picture)
        weights = sum(values.numel() for values in layer.parameters())
        rows.append([weights, counter.get_total_flops() / 2])  # a multiply-accumulate counts as two
    return torch.tensor(rows, dtype=torch.float64)


def checked(result: Result) -> Tensor:
    """Parameters and MACs, a row per kind."""
    return torch.tensor([[each.parameters, each.macs] for each in result.costs.values()], dtype=torch.float64)


def stage(params: Params, result: Result) -> tuple[Scene, Scene]:
    """Who reads whom, and the kernels."""
    kernels, connected = result.sample.kernels, result.sample.connected
    caption = "A row per output, a column per input"
    if params.kind == "separable":
        below = "factors; the ReLU keeps them apart" if params.rectify else "pattern × factor, both steps as one kernel"
        caption = f"Top: a pattern per input. Below: {below}"
    else:
        caption += "; every pair has its own" if connected.all() else "; grey: no kernel"
    return (
        wiring_scene(result.layers, result.sizes, rectify=params.rectify),
        kernels_scene(
            kernels, connected, lit=len(kernels) // 2, patterns=result.sample.patterns, caption=f"Kernels. {caption}"
        ),
    )


def describe(params: Params, result: Result) -> str:
    """What the stage shows now."""
    first, last = result.layers[0], result.layers[-1]
    k, reads = first.kernel_size, first.inputs // first.groups
    each = result.costs[params.kind]
    how = {
        "standard": f"each output reads all {reads} inputs through {k} × {k} kernels of its own",
        "grouped": f"{first.groups} groups; each output reads the {reads} inputs of its own by {k} × {k}",
        "depthwise": f"each output reads one input through one {k} × {k} kernel",
        "pointwise": f"each output is a weighted sum of all {reads} inputs, pixel by pixel",
        "separable": f"each input is filtered alone by {k} × {k}, then each output sums all {first.outputs} of them",
    }[params.kind]
    share = f", {percent(100 * each.macs / result.costs['standard'].macs)} of a standard convolution from M to N"
    return (
        f"{TITLES[params.kind]}, {first.inputs} to {last.outputs} channels: {how}. {each.parameters:,} weights and "
        f"{short(each.macs)} MACs{'' if params.kind == 'standard' else share}."
    )


def formula(params: Params, result: Result) -> str:
    """Weights, MACs, their ratio to those of a standard convolution, and what the kernel is, with the numbers."""
    return formula_text(
        params.kind,
        result.layers,
        outputs=params.n,
        kernel_size=params.k,
        rows=result.sizes[-1],
        difference=result.sample.difference,
        rectify=params.rectify,
    )


def table(params: Params, result: Result) -> pd.DataFrame:
    """A row per kind."""
    kinds, whole = kinds_of(params), result.costs["standard"].macs
    return pd.DataFrame(
        [
            (
                KINDS[name],
                " + ".join(str(layer.weight_shape) for layer in kinds[name]),
                each.parameters,
                each.macs,
                each.macs / whole,
                each.traffic,
                each.intensity,
            )
            for name, each in result.costs.items()
        ],
        columns=["kind", "weight_shapes", "weights", "macs", "share", "least_bytes", "macs_per_byte"],
    )


def measure(params: Params, progress: Callable[..., None]) -> Timings:
    """Time every kind here; see ``cvviz.ui.job``."""
    return time_layers(kinds_of(params), size=params.size, rectify=params.rectify, progress=progress)


PRESETS = {
    "Depthwise separable": Preset(
        Params(),
        "Lines: one kernel per input, then all to all. Kernels: each column is one pattern, more or less of it. "
        "8.41 times fewer MACs than standard.",
    ),
    "Standard": Preset(
        Params(kind="standard"), "Every output has its own 3 × 3 kernel for every input: 8192 kernels, 73,728 weights."
    ),
    "MobileNetV1, late": Preset(
        Params(m=512, n=512, size=14, between="relu"),
        "8.84 times fewer MACs: N is large, so only 1/k² is left, and the pointwise half is 98 % of the work. With "
        "a ReLU between the halves, no single kernel does the same.",
    ),
    "Xception": Preset(
        Params(m=728, n=728, size=19),
        "One of the three layers of a middle block. Nothing stands between the halves, so that one kernel of rank 1 "
        "does the same, up to rounding.",
    ),
    "AlexNet, 2 groups": Preset(
        Params(kind="grouped", m=96, n=256, k=5, groups=2, size=27),
        "Two halves that do not see each other, once to fit two graphics cards: half the weights, and half the kernels "
        "are missing.",
    ),
    "ResNeXt, 32 groups": Preset(
        Params(kind="grouped", m=128, n=128, groups=32, size=56),
        "32 groups of 4 channels: 1/32 of the weights and MACs; blocks along the diagonal.",
    ),
    "ShuffleNet, grouped 1 × 1": Preset(
        Params(kind="grouped", m=240, n=60, k=1, groups=3, size=28),
        "Grouped 1 × 1: nothing ever passes from one group to another, however many are stacked, unless channels are "
        "shuffled between.",
        failure=True,
    ),
    "ConvNeXt, 7 × 7 depthwise": Preset(
        Params(kind="depthwise", m=96, n=96, k=7),
        "49 taps for 1 % of the MACs of a standard 7 × 7, at 6 MACs per byte in place of 336.",
    ),
    "One output": Preset(
        Params(n=1),
        "With N = 1 the ratio 1/N + 1/k² is 1.11: the separable layer costs more than the standard one.",
        failure=True,
    ),
    "Saves MACs, not bytes": Preset(
        Params(m=32, n=64, size=112, between="relu"),
        "7.89 times fewer MACs, and yet more memory traffic than the standard layer: the map between is written and "
        "read. Measure the time below.",
        failure=True,
    ),
    "Fewer MACs, more time": Preset(
        Params(m=32, n=16, size=7),
        "17.4 % of the MACs, but so few that the price of a call decides. Measure below: where this was written, the "
        "separable layer took about three times as long.",
        failure=True,
    ),
}

CONCEPT = Concept(
    params=Params,
    compute=compute,
    stage=stage,
    describe=describe,
    presets=PRESETS,
    table=table,
    formula=formula,
    reference=reference,
    checked=checked,
    against="torch's FlopCounterMode",
    tolerance=0,
)
