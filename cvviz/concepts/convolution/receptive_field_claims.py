"""Sentences about receptive fields, each judged by a measurement."""

from __future__ import annotations

from random import Random
from typing import Any

import torch
from torch import Tensor, nn

from cvviz.concept import Claim, Evidence
from cvviz.concepts.convolution.receptive_field import NETWORKS, build, measure, network, reference
from cvviz.ops import receptive_field as rf


def _random_stacks() -> Evidence:
    draw, count, right, printed = Random(0), 60, 0, 0
    for _ in range(count):
        layers = [(draw.randint(1, 7), draw.randint(1, 2), 0, draw.randint(1, 3)) for _ in range(draw.randint(2, 5))]
        field = rf.receptive_field([rf.Layer(*layer) for layer in layers])[-1]
        undilated = rf.receptive_field([rf.Layer(k, s) for k, s, _, _ in layers])[-1]
        size = reference("own", layers, [str(len(layers) - 1)], 1, field.size + 6 * field.jump)[0]
        right, printed = right + int(size == field.size), printed + int(size == undilated.size)
    return Evidence(right == count > printed, f"{count} random stacks: k_eff is right in {right}, f_k in {printed}.")


def _gradient_share() -> Evidence:
    known = {NETWORKS[name]: network(name, ()) for name in ("vgg16", "resnet18", "resnet50")}
    found = {title: (effective[-1], fields[-1].size) for title, (_, fields, effective) in known.items()}
    words = ", ".join(f"{title} {held} of {size}" for title, (held, size) in found.items())
    return Evidence(all(held < 0.6 * size for held, size in found.values()), f"Rows with 95 % of the mass: {words}.")


def _bell() -> Evidence:
    one, mean, count = _random_networks()
    vgg, unet = (_kurtosis(rf.gradient_mass(network(name, ())[0], unit=(0,))) for name in ("vgg16", "unet"))
    words = (
        f"Of 8 random layers one network misplaces {one:.0%} of the expected mass, the mean of {count} only {mean:.0%}"
    )
    kurtosis = f"kurtosis, 3 for a Gaussian: VGG-16 {vgg:.1f}, U-Net {unet:.1f}"
    return Evidence(mean < one / 3 and vgg < 3 < unet, f"{words}; {kurtosis}.")


def _random_networks(nets: int = 48, width: int = 4, depth: int = 8) -> tuple[float, float, int]:
    """Mass that lies in other rows than expected: in one ReLU network on average, in the mean of all; their number."""
    draw, side = torch.Generator().manual_seed(0), 2 * depth + 1
    image = torch.randn(1, nets, side, side, generator=draw, requires_grad=True)  # a channel for each network
    maps = image
    for fan_in in (9, *(9 * width,) * (depth - 1)):
        kernels = torch.randn(nets * width, fan_in // 9, 3, 3, generator=draw) * (2 / fan_in) ** 0.5
        maps = nn.functional.conv2d(maps, kernels, groups=nets).relu()
    square = torch.autograd.grad(maps.sum(), image)[0][0].double().square()  # [nets, side, side]
    square = square[square.sum((1, 2)) > 0]  # a narrow network may die
    by_row = square.sum(2) / square.sum((1, 2))[:, None]
    expected = rf.gradient_mass(rf.chain([rf.Layer(3)] * depth), unit=(0,))
    apart = [float((rows - expected).abs().sum() / 2) for rows in (*by_row, by_row.mean(0))]
    return sum(apart[:-1]) / len(by_row), apart[-1], len(by_row)


def _kurtosis(mass: Tensor) -> float:
    at = torch.arange(len(mass), dtype=mass.dtype)
    offset = at - (mass * at).sum()
    return float((mass * offset**4).sum() / (mass * offset**2).sum() ** 2)


def _channels() -> Evidence:
    image = torch.ones(1, 3, 23, 23, requires_grad=True)
    middle = nn.functional.conv2d(image, torch.ones(64, 3, 3, 3), stride=2)
    unit = nn.functional.conv2d(middle, torch.ones(1, 64, 3, 3), stride=2)[0, 0, 2, 2]
    rows = int((torch.autograd.grad(unit, image)[0].sum((0, 1, 3)) > 0).sum())
    return Evidence(rows == 7, f"Two 3 × 3 layers of stride 2 with 64 channels between: {rows} rows, not 3 · 64 = 192.")


def _centres() -> Evidence:
    starts = [float(reference("own", [(3, 1, 1, d)], ["0"], 1, 40)[2]) for d in (1, 2, 4)]
    return Evidence(starts == [0.5, 1.5, 3.5], f"k = 3, p = 1 and d = 1, 2, 4: unit 0 is centred at {starts} px.")


def _pyramid() -> Evidence:
    found = [int(reference("own", [(3, 1, 1, 1)] * maps, [str(maps - 1)], 1, 30)[0]) for maps in (1, 2, 3)]
    return Evidence(found == [3, 5, 7], f"One output unit reads {found} units of the maps 1, 2 and 3 layers before it.")


def _thresholds() -> Evidence:
    def read(name: str, threshold: float, *, pixels: bool = False) -> int:
        nodes = network(name, ())[0]
        profile = rf.gradient_mass(nodes).amax(1) if pixels else rf.gradient_mass(nodes, unit=(0,))
        first, end = rf.thresholded_span(profile, threshold=threshold)
        return end - first

    rows, pixels = ([read("resnet18", at, pixels=each) for at in (0, 1e-6, 1e-4, 1e-3)] for each in (False, True))
    support, thinned = ([read(name, at) for name in ("vgg16", "vgg19")] for at in (0, 0.08))
    words = f"ResNet-18 at 0, 1e-6, 1e-4, 1e-3 of the peak: {rows} by rows, {pixels} by pixels"
    confirms = support == [212, 268] and thinned[0] < thinned[1] and rows[-1] < rows[0]
    return Evidence(confirms, f"{words}; VGG-16 and VGG-19: {support} at 0, {thinned} at 0.08.")


def _resnet_strides() -> Evidence:
    published = build("resnet50", [])
    for name in ("layer2.0", "layer3.0", "layer4.0"):
        block: Any = published.get_submodule(name)
        block.conv1.stride, block.conv2.stride = (2, 2), (1, 1)
    found = [int(measure(model, ["layer4"], 1, 700)[0]) for model in (build("resnet50", []), published)]
    return Evidence(found == [427, 483], f"By autograd {found[0]} px with torchvision's strides, else {found[1]}.")


CLAIMS = (
    Claim(
        "RF_k = RF_(k-1) + (f_k - 1) · product of the strides before layer k",
        "true with conditions",
        "With RF_0 = 1, k_eff = d(f_k - 1) + 1 for f_k, and the union of the branches where they meet.",
        _random_stacks,
    ),
    Claim(
        "The receptive field is what a unit looks at",
        "omission",
        "It is what a unit could look at. Most of the gradient falls on the middle, where most paths lead.",
        _gradient_share,
        "Larger than the picture",
    ),
    Claim(
        "The effective receptive field is a Gaussian",
        "true with conditions",
        "Nearly, for plain stacks and in the mean over random weights. One network is speckled, and skips add a peak.",
        _bell,
        "A decoder's unit",
    ),
    Claim(
        "The receptive field of stacked strided convolutions is the kernel size times the input channels",
        "wrong",
        "Channels have no extent in space. Each layer adds (k_eff - 1) times the jump.",
        _channels,
    ),
    Claim(
        "Dilation does not move the centre of the receptive field",
        "wrong",
        "The first centre moves by d(k - 1)/2 - p jumps: it stays only if the padding grows with d.",
        _centres,
        "Padding forgotten",
    ),
    Claim(
        "From input to output through three 3 × 3 layers, the field of an output unit is drawn as 1, 3, 5",
        "wrong",
        "Upside down: an output unit reads 3 units of the map before it, and 7 pixels of the input.",
        _pyramid,
        "Three 3 × 3 make a 7 × 7",
    ),
    Claim(
        "VGG-19 has a receptive field of 78 and VGG-16 one of 119, by thresholded gradients",
        "wrong",
        "A threshold measures where the mass lies, which depends on the weights. The supports are 268 and 212.",
        _thresholds,
        "Two tools, two numbers",
    ),
    Claim(
        "ResNet-50 has a receptive field of 483 px",
        "true with conditions",
        "As published, with the stride on the first 1 × 1; with it on the 3 × 3, as in torchvision, 427.",
        _resnet_strides,
    ),
)
