"""How long convolutions take here, beside what their MACs and their memory traffic would lead one to expect."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter

import torch
from torch import nn

from cvviz.ops.conv_variants import BYTES, Conv, Cost, cost

LAYOUTS = {"NCHW": torch.contiguous_format, "NHWC": torch.channels_last}
ROUNDS = 3
MOST_MACS, MOST_TRAFFIC = 8_000_000_000, 100_000_000  # of a kind, for one run; the latter in bytes

Progress = Callable[[float, str], None]


@dataclass(frozen=True, slots=True)
class Timing:
    """What was measured of one kind of convolution.

    Args:
        cost: what it costs on paper.
        seconds: layout of the memory -> time of a run. "NCHW" holds a channel's map in one piece, "NHWC" the
            channels of a pixel ("channels last").
        copying: seconds for copying as many bytes as it must move at least, at the speed measured here.
    """

    cost: Cost
    seconds: Mapping[str, float]
    copying: float


def time_layers(
    kinds: Mapping[str, Sequence[Conv]],
    *,
    size: int,
    rectify: bool = False,
    budget: float = 0.06,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Timing]:
    """Time kinds of convolution on one picture of noise, in float32, in both layouts of memory.

    All are measured in turn, and that ``ROUNDS`` times; of its rounds each keeps the fastest, so that what else the
    machine does for a moment does not fall on one of them alone. Torch uses as many threads as it is set to.

    Args:
        kinds: name -> layers in a row; see ``cvviz.ops.conv_variants.variants``.
        size: rows and columns of the input.
        rectify: whether a ReLU stands between layers.
        budget: seconds of repetitions in a round, above 0; three at least, of which the median counts.
        seed: of weights and picture.
        progress: called with a fraction and words before each measurement.

    Returns:
        name -> what was measured, in the order of ``kinds``.

    Raises:
        ValueError: if ``kinds`` is empty, or a kind costs more than ``MOST_MACS`` or moves more than ``MOST_TRAFFIC``.

    Example:
        >>> timing = time_layers({"standard": [Conv(8, 8, 3)]}, size=8, budget=0.001)["standard"]
        >>> timing.cost.macs, timing.seconds["NCHW"] > 0
        (36864, True)

    Reference:
        https://docs.pytorch.org/tutorials/intermediate/memory_format_tutorial.html
    """
    if not kinds:
        raise ValueError("kinds must hold at least one kind of convolution.")
    costs = {name: cost(layers, size) for name, layers in kinds.items()}
    most_macs, most_bytes = (max(getattr(each, what) for each in costs.values()) for what in ("macs", "traffic"))
    if most_macs > MOST_MACS or most_bytes > MOST_TRAFFIC:
        raise ValueError(
            f"The time is measured up to {MOST_MACS / 1e9:g} GMAC and {MOST_TRAFFIC / 1e6:g} MB, so that it takes "
            f"seconds and little memory; this is {most_macs / 1e9:.3g} GMAC and {most_bytes / 1e6:.3g} MB. "
            "Make the map smaller or take fewer channels."
        )
    amount = min(each.traffic for each in costs.values())
    runs: dict[tuple[str, str], Callable[[], object]] = {("copying", "memory"): _copy(amount)}
    runs |= {(name, layout): _run(kinds[name], size, layout, rectify, seed) for layout in LAYOUTS for name in kinds}
    best = dict.fromkeys(runs, float("inf"))
    for turn in range(ROUNDS):
        for place, (key, run) in enumerate(runs.items()):
            if progress:
                progress((turn * len(runs) + place) / (ROUNDS * len(runs)), " ".join(key))
            best[key] = min(best[key], median_seconds(run, budget=budget))
    rate = best.pop(("copying", "memory")) / amount  # seconds per byte
    return {
        name: Timing(each, {layout: best[name, layout] for layout in LAYOUTS}, each.traffic * rate)
        for name, each in costs.items()
    }


def median_seconds(run: Callable[[], object], *, budget: float) -> float:
    """Median time of one call.

    Args:
        run: what is timed; called once more than is counted, to pay for memory and the choice of kernels.
        budget: seconds to spend on repetitions, above 0; three are counted at least.

    Returns:
        Seconds per call.

    Raises:
        ValueError: if ``budget`` is not positive.

    Example:
        >>> 0 < median_seconds(lambda: sum(range(100)), budget=0.001) < 1
        True
    """
    if not budget > 0:
        raise ValueError(f"budget must be positive, got {budget:g}.")
    run()
    times: list[float] = []
    deadline = perf_counter() + budget
    while len(times) < 3 or perf_counter() < deadline:
        start = perf_counter()
        run()
        times.append(perf_counter() - start)
    return median(times)


def _copy(traffic: int) -> Callable[[], object]:
    """Read half of so many bytes and write them elsewhere."""
    source = torch.ones(max(1, traffic // (2 * BYTES)))
    target = torch.empty_like(source)
    return lambda: target.copy_(source)


def _run(layers: Sequence[Conv], size: int, layout: str, rectify: bool, seed: int) -> Callable[[], object]:
    """A call of the layers on a picture of noise."""
    generator = torch.Generator().manual_seed(seed)
    parts: list[nn.Module] = []
    for layer in layers:
        if rectify and parts:
            parts.append(nn.ReLU(inplace=True))
        parts.append(convolution(layer, generator))
    network = nn.Sequential(*parts).to(memory_format=LAYOUTS[layout])
    picture = torch.randn(1, layers[0].inputs, size, size, generator=generator)
    picture = picture.contiguous(memory_format=LAYOUTS[layout])

    def call() -> None:
        with torch.inference_mode():
            network(picture)

    return call


def convolution(layer: Conv, generator: torch.Generator) -> nn.Conv2d:
    """The layer as a module of torch, without bias, with normal weights from ``generator``.

    Args:
        layer: what to build.
        generator: of the weights, which are scaled to keep the variance of independent inputs.

    Returns:
        A module that takes (B, M, H, W).

    Example:
        >>> convolution(Conv(4, 8, 3, groups=2), torch.Generator()).weight.shape
        torch.Size([8, 2, 3, 3])
    """
    module = nn.Conv2d(
        layer.inputs,
        layer.outputs,
        layer.kernel_size,
        stride=layer.stride,
        padding=layer.kernel_size // 2,
        groups=layer.groups,
        bias=False,
        device="meta",  # its own first weights would come from the global generator
    )
    fan_in = layer.parameters / layer.outputs
    weight = torch.randn(layer.weight_shape, generator=generator) / fan_in**0.5
    module.weight = nn.Parameter(weight, requires_grad=False)
    return module
