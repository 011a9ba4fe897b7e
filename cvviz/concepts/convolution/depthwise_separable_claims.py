"""Sentences from interview notes, judged by measurements; see ``depthwise_separable``."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import get_model
from torchvision.ops.misc import Conv2dNormActivation

from cvviz.concept import Claim, Evidence, magnitude
from cvviz.concepts.convolution.depthwise_separable import Params, compute, reference
from cvviz.ops.conv_variants import merge_separable, nearest_separable, separable_ratio, variants
from cvviz.ops.layer_timing import time_layers

# Inputs, outputs and stride of MobileNetV1's thirteen blocks; its first layer has 3 inputs, 32 outputs and stride 2.
BLOCKS = [(32, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1), (256, 512, 2)]
BLOCKS += [(512, 512, 1)] * 5 + [(512, 1024, 2), (1024, 1024, 1)]


def _normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _counted(m: int, n: int, k: int, size: int = 56, stride: int = 1) -> list[float]:
    """MACs of the standard, depthwise, pointwise and separable layer, by torch."""
    found: list[float] = reference("standard", m, n, k, 1, size, stride)[:, 1].tolist()
    return found


def _network() -> tuple[float, float, float]:
    """Multiply-accumulates of MobileNetV1, of it pointwise, and of the same network of standard convolutions."""
    standard = separable = _counted(3, 32, 3, 224, 2)[0]
    pointwise, side = 0.0, 112
    for m, n, stride in BLOCKS:
        whole, depthwise, _, both = _counted(m, n, 3, side, stride)
        standard, separable, pointwise = standard + whole, separable + both, pointwise + both - depthwise
        side //= stride
    head = 1024 * 1000
    return separable + head, pointwise, standard + head


def _saving() -> Evidence:
    cases = {(32, 3): 7.02, (128, 3): 8.41, (1024, 3): 8.92, (256, 5): 22.8}
    counted = {case: _counted(64, *case) for case in cases}
    ratios = {case: macs[0] / macs[3] for case, macs in counted.items()}
    separable, _, standard = _network()
    text = "; ".join(f"N = {n}, k = {k}: {ratio:.2f}" for (n, k), ratio in ratios.items())
    agree = all(abs(ratio * separable_ratio(*case) - 1) < 1e-12 for case, ratio in ratios.items())
    near = all(abs(ratios[case] - value) < 0.05 for case, value in cases.items())
    whole = standard / separable
    words = f"{text}. Whole MobileNetV1: {standard / 1e6:.0f} to {separable / 1e6:.0f} million MACs, {whole:.2f} times."
    return Evidence(agree and near and 8 < whole < 9, words)


def _factors() -> Evidence:
    nothing, relu = (compute(Params(between=between)).sample for between in ("none", "relu"))
    rank = int(torch.linalg.matrix_rank(_normal(64, 9)))
    text = (
        f"Both steps against one kernel W = p·d: RMS difference {magnitude(nothing.difference)}, rank {nothing.rank} "
        f"per input (free weights: {rank}). With a ReLU between the steps: {relu.difference:.0%}."
    )
    return Evidence(nothing.difference < 1e-5 and nothing.rank == 1 and relu.difference > 0.1, text)


def _convert() -> Evidence:
    weight = _normal(64, 64, 3, 3)
    kept = {}
    for multiplier in (1, 2, 9):
        near = merge_separable(*nearest_separable(weight, multiplier=multiplier), multiplier=multiplier)
        kept[multiplier] = 1 - float((near - weight).norm() / weight.norm()) ** 2
    words = ", ".join(f"{share:.0%} with {number}" for number, share in kept.items())
    text = f"Energy of random 64 × 64 × 3 × 3 weights kept by the nearest patterns per input: {words}."
    return Evidence(kept[1] < 0.25 and kept[9] > 1 - 1e-9, text)


def _pointwise() -> Evidence:
    picture, weight = _normal(1, 16, 9, 9), _normal(8, 16, 1, 1, seed=1)
    layer = F.conv2d(picture, weight)
    linear = F.linear(picture.movedim(1, -1), weight[..., 0, 0]).movedim(-1, 1)
    error = float((layer - linear).abs().max())
    text = f"1 × 1 convolution against a Linear at each of 81 pixels: max |Δ| {magnitude(error)}."
    return Evidence(error < 1e-12, text)


def _census() -> Evidence:
    most = {}
    for name in ("googlenet", "inception_v3", "alexnet", "shufflenet_v2_x1_0"):
        with torch.device("meta"):
            model = get_model(name, **({"init_weights": False} if name in ("googlenet", "inception_v3") else {}))
        most[name] = max(part.groups for part in model.modules() if isinstance(part, nn.Conv2d))
    text = "Most groups of any layer in torchvision: " + ", ".join(f"{name} {number}" for name, number in most.items())
    return Evidence(most["googlenet"] == most["inception_v3"] == 1 < most["shufflenet_v2_x1_0"], text + ".")


def _time() -> Evidence:
    kinds = variants(64, 64, kernel_size=3)
    timings = time_layers({name: kinds[name] for name in ("standard", "depthwise")}, size=28, budget=0.01)
    whole, part = timings["standard"], timings["depthwise"]
    macs = part.cost.macs / whole.cost.macs
    shares = [part.seconds[layout] / whole.seconds[layout] for layout in part.seconds]
    text = (
        f"64 channels, 28 × 28, just now: the depthwise layer has {macs:.1%} of the MACs and takes {shares[0]:.1%} of "
        f"the time, {shares[1]:.1%} with channels last. MACs per byte: {whole.cost.intensity:.0f} and "
        f"{part.cost.intensity:.1f}."
    )
    return Evidence(min(shares) > 1.5 * macs, text)


def _shuffle() -> Evidence:
    def seen(shuffled: bool) -> int:
        """Inputs that reach one output through two grouped layers."""
        picture = torch.ones(1, 24, 1, 1, requires_grad=True)
        weight = torch.ones(24, 8, 1, 1)
        maps = F.conv2d(picture, weight, groups=3)
        maps = maps.reshape(1, 3, 8, 1, 1).transpose(1, 2).flatten(1, 2) if shuffled else maps
        output = F.conv2d(maps, weight, groups=3)[0, 0].sum()
        return int(torch.autograd.grad(output, picture)[0].count_nonzero())

    apart, mixed = seen(False), seen(True)
    text = (
        f"Two layers, 24 channels in 3 groups: an output depends on {apart} inputs, with a shuffle between on {mixed}."
    )
    return Evidence((apart, mixed) == (8, 24), text)


def _where() -> Evidence:
    separable, pointwise, _ = _network()
    share = pointwise / separable
    return Evidence(
        share > 0.9, f"MobileNetV1: {share:.1%} of {separable / 1e6:.0f} million MACs are 1 × 1 convolutions."
    )


def _saved(parts: list[nn.Module]) -> int:
    """Bytes of maps that training keeps for the way back."""
    network, kept = nn.Sequential(*parts), {}
    own = {values.data_ptr() for values in (*network.parameters(), *network.buffers())}

    def keep(values: Tensor) -> Tensor:
        if values.data_ptr() not in own:
            kept[values.data_ptr()] = values.numel() * values.element_size()
        return values

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda values: values):
        network(torch.zeros(1, 128, 56, 56))
    return sum(kept.values())


def _memory() -> Evidence:
    with torch.random.fork_rng(devices=[]):
        whole = _saved([Conv2dNormActivation(128, 128)])
        halves = _saved([Conv2dNormActivation(128, 128, groups=128), Conv2dNormActivation(128, 128, 1)])
    costs = compute(Params(m=128, n=128)).costs
    standard, separable = costs["standard"], costs["separable"]
    text = (
        f"128 channels, 56 × 56: {separable.parameters:,} weights in place of {standard.parameters:,}, but "
        f"{separable.traffic / 1e6:.1f} MB moved in place of {standard.traffic / 1e6:.1f}, and with BN and ReLU "
        f"{halves / 1e6:.1f} MB kept for training in place of {whole / 1e6:.1f}."
    )
    return Evidence(separable.traffic > standard.traffic and halves > whole, text)


CLAIMS = (
    Claim(
        "A depthwise separable convolution needs 8 to 9 times fewer operations.",
        "true with conditions",
        "The factor is 1/(1/N + 1/k²). With k = 3 it is 8 from N = 72 on and never reaches 9; fewer outputs give less, "
        "larger kernels more. The number of inputs does not matter.",
        _saving,
        "MobileNetV1, late",
    ),
    Claim(
        "Depthwise separable = depthwise + pointwise.",
        "true",
        "With nothing between the halves it is a standard convolution whose kernel is p[o, i]·d[i], of rank 1 for each "
        "input. With an activation between them, as in MobileNet, it is no single convolution.",
        _factors,
        "Xception",
    ),
    Claim(
        "A standard convolution can be replaced by its depthwise separable version.",
        "misleading",
        "As a design, yes, if it is trained again. Its weights cannot be converted: one pattern per input keeps what "
        "has rank 1. With k² patterns per input it is exact, and costs more.",
        _convert,
        "Standard",
    ),
    Claim(
        "Pointwise separable convolution.",
        "wrong",
        "There is none: a 1 × 1 convolution is a linear layer at every pixel, with nothing spatial to separate.",
        _pointwise,
    ),
    Claim(
        "Inception uses group convolution.",
        "wrong",
        "It has parallel branches and factorised kernels, and no groups. AlexNet of 2012 had them (torchvision's "
        "version has not), ResNeXt and ShuffleNet have.",
        _census,
        "ResNeXt, 32 groups",
    ),
    Claim(
        "Grouped convolutions can be stacked in place of standard ones.",
        "omission",
        "Channels never leave their group. Something must mix them: a channel shuffle or a 1 × 1 convolution.",
        _shuffle,
        "ShuffleNet, grouped 1 × 1",
    ),
    Claim(
        "Fewer MACs, proportionally less time.",
        "misleading",
        "A depthwise convolution has about k²/8 MACs for each byte that it must move, so little that loading, "
        "storing and rearranging values decide, and on small maps the fixed price of a call.",
        _time,
        "Fewer MACs, more time",
    ),
    Claim(
        "MobileNet spends its time in depthwise convolutions, so these are what to optimise.",
        "misleading",
        "By MACs nearly all of it is in the 1 × 1 convolutions. By time the depthwise half has a larger share than "
        "by MACs, and how much larger depends on machine and layout: measure.",
        _where,
        "MobileNetV1, late",
    ),
    Claim(
        "Separable convolutions save memory.",
        "misleading",
        "Weights, yes. The map between the halves is written, read and, in training, kept.",
        _memory,
        "Saves MACs, not bytes",
    ),
)
