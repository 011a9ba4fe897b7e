"""Sentences from interview notes, judged by measurements; see ``convolution_arithmetic``."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import conv_flop_count

from cvviz.concept import Claim, Evidence, magnitude
from cvviz.ops.convolution import conv_output_size, conv_remainder, phase_response


def lines(size: int, kernel_size: int, *, stride: int = 1, padding: int = 0, dilation: int = 1) -> int:
    """Lines of torch's output along one axis."""
    pixels, weight = torch.zeros(1, 1, size), torch.zeros(1, 1, kernel_size)
    return len(F.conv1d(pixels, weight, stride=stride, padding=padding, dilation=dilation)[0, 0])


def noise(*shape: int) -> Tensor:
    """Seeded normal numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def _divides() -> Evidence:
    cases = [
        (n, k, {"stride": s, "padding": p, "dilation": d})
        for n in range(9, 17)
        for k in (1, 2, 3, 5)
        for s in (1, 2, 3)
        for p in (0, 1, 2)
        for d in (1, 2)
    ]
    left = sum(conv_remainder(n, k, **window) > 0 for n, k, window in cases)
    right = sum(lines(n, k, **window) == conv_output_size(n, k, **window) for n, k, window in cases)
    text = (
        f"{left} of {len(cases)} settings do not divide; torch runs all, and {right} sizes equal the floored formula."
    )
    return Evidence(right == len(cases) and left > 100, text)


def _sign() -> Evidence:
    claimed, found = (33 + 0 - 4 + 1) // 2 + 1, lines(33, 5, stride=2)
    return Evidence((claimed, found) == (16, 15), f"H = 33, k = 5, s = 2: it gives {claimed}, torch gives {found}.")


def _keeps() -> Evidence:
    grown = {(k, d): lines(32, k, padding=k // 2, dilation=d) - 32 for k in (3, 5, 4) for d in (1, 2)}
    text = "; ".join(f"{32 + more} at k = {k}, d = {d}" for (k, d), more in grown.items())
    confirms = grown[3, 1] == grown[5, 1] == 0 and grown[4, 1] == 1 and grown[3, 2] == -2
    return Evidence(confirms, f"32 lines with p = ⌊k/2⌋ become {text}.")


def _same() -> Evidence:
    image, weight = noise(1, 1, 12, 12), noise(1, 1, 3, 3)
    everywhere = F.conv2d(image, weight, padding=1)
    tensorflow = F.conv2d(F.pad(image, (0, 1, 0, 1)), weight, stride=2)  # 0 before, 1 after
    ours = F.conv2d(image, weight, stride=2, padding=1)
    odd, even = (float((everywhere[..., i::2, i::2] - some).abs().max()) for i, some in ((1, tensorflow), (0, ours)))
    try:
        F.conv2d(image, weight, stride=2, padding="same")
        answer = "runs it"
    except RuntimeError as problem:
        answer = f"says “{problem}”"
    text = (
        f"12 × 12, k = 3, s = 2: TensorFlow's padding looks at odd places (max |Δ| {magnitude(odd)}), p = 1 at even "
        f"ones ({magnitude(even)}), both give 6 × 6. Asked for “same”, torch {answer}."
    )
    return Evidence(odd < 1e-9 and even < 1e-9 and "not supported" in answer, text)


def _halves() -> Evidence:
    found = {(k, p): [lines(n, k, stride=2, padding=p) for n in (6, 7, 8, 9)] for k, p in ((3, 1), (2, 0), (4, 1))}
    text = "; ".join(f"{sizes} with k = {k}, p = {p}" for (k, p), sizes in found.items())
    confirms = found[3, 1] == [3, 4, 4, 5] and found[2, 0] == found[4, 1] == [3, 3, 4, 4]
    return Evidence(confirms, f"6, 7, 8, 9 lines at stride 2 become {text}.")


def _inverse() -> Evidence:
    image, weight = noise(1, 1, 12, 12), noise(1, 1, 3, 3)
    back = F.conv_transpose2d(F.conv2d(image, weight), weight)
    scaled = back * (image * back).sum() / (back * back).sum()
    error = float((scaled - image).norm() / image.norm())
    start = image.clone().requires_grad_()
    output = F.conv2d(start, weight)
    (gradient,) = torch.autograd.grad(output, start, output.detach())
    same = float((gradient - back).abs().max())
    text = (
        f"12 × 12 noise, there and back, best scaled: {error:.0%} of it is wrong. Against the gradient of the "
        f"convolution: max |Δ| {magnitude(same)}."
    )
    return Evidence(error > 0.5 and same < 1e-9, text)


def _output_padding() -> Evidence:
    ones = torch.ones(1, 1, 4)
    short, long, bare = (
        F.conv_transpose1d(ones, torch.ones(1, 1, k), stride=2, padding=p, output_padding=op)[0, 0]
        for k, p, op in ((3, 1, 0), (3, 1, 1), (2, 0, 1))
    )
    text = (
        f"4 ones, k = 3, s = 2, p = 1: {short.int().tolist()} without, {long.int().tolist()} with output padding 1. "
        f"k = 2, p = 0, with it: {bare.int().tolist()}."
    )
    return Evidence(torch.equal(long[:-1], short) and bool(long[-1] != 0) and bool(bare[-1] == 0), text)


def _checkerboard() -> Evidence:
    counts = {k: phase_response(torch.ones(k, k), stride=2).flatten().int().tolist() for k in (3, 4)}
    flat, weight = torch.ones(1, 1, 12, 12, dtype=torch.float64), noise(1, 1, 4, 4)
    inside = F.conv_transpose2d(flat, weight, stride=2)[0, 0, 6:-6, 6:-6]
    smooth = F.conv2d(F.interpolate(flat, scale_factor=2), weight)[0, 0]
    chequered, even = (float(values.max() - values.min()) for values in (inside, smooth))
    text = (
        f"s = 2, products by phase: {counts[3]} for k = 3, {counts[4]} for k = 4. A flat input through random 4 × 4 "
        f"weights spans {chequered:.2f}; enlarged first and convolved then, {magnitude(even)}."
    )
    return Evidence(counts == {3: [4, 2, 2, 1], 4: [4] * 4} and chequered > 0.1 and even < 1e-9, text)


def _zeros() -> Evidence:
    image, weight = noise(1, 1, 8, 8), noise(1, 1, 4, 4)
    stamped = F.conv_transpose2d(image, weight, stride=2, padding=1)
    spread = torch.zeros(1, 1, 15, 15, dtype=torch.float64)
    spread[..., ::2, ::2] = image
    convolved = F.conv2d(spread, weight.flip(2, 3), padding=2)
    error = float((stamped - convolved).abs().max())
    reads = F.conv2d((spread != 0).double(), torch.ones_like(weight), padding=2)
    useful = float(reads.sum()) / (reads.numel() * 16)
    text = (
        f"8 × 8, k = 4, s = 2: max |Δ| {magnitude(error)} between the two; {useful:.0%} of the second's products are "
        "not 0."
    )
    return Evidence(error < 1e-9 and useful < 0.26, text)


def _groups() -> Evidence:
    found = []
    for groups in (1, 2, 8):
        weight = torch.zeros(32, 16 // groups, 3, 3)
        shape = F.conv2d(torch.zeros(1, 16, 14, 14), weight, padding=1, groups=groups).shape
        found.append(
            (tuple(shape[1:]), weight.numel(), conv_flop_count([1, 16, 14, 14], [*weight.shape], [*shape]) // 2)
        )
    shapes, weights, products = zip(*found, strict=True)
    text = "16 to 32 channels on 14 × 14, g = 1, 2, 8: weights {}, {}, {}; products {:,}, {:,}, {:,}; output {}."
    confirms = len(set(shapes)) == 1 and weights[0] == 8 * weights[2] and products[0] == 8 * products[2]
    return Evidence(confirms, text.format(*weights, *products, shapes[0]))


CLAIMS = (
    Claim(
        "The stride must divide the padded size evenly.",
        "wrong",
        "torch floors: the lines that are left over at the end are not read, and no error is raised.",
        _divides,
        "A floored stride",
    ),
    Claim(
        "H_out = ⌊(H + 2p − d(k−1) + 1)/s⌋ + 1.",
        "wrong",
        "It is − 1 inside the bracket: the kernel spans d(k−1) + 1 lines, and that is taken off.",
        _sign,
    ),
    Claim(
        "Padding by ⌊k/2⌋ keeps the size.",
        "true with conditions",
        "For odd kernels at stride 1 and dilation 1. An even kernel gains a line; with dilation it takes d(k−1)/2.",
        _keeps,
        "Even kernel",
    ),
    Claim(
        "“Same” padding is the same in every framework.",
        "wrong",
        "At stride 1 it is. At larger strides torch refuses it, and TensorFlow may pad only at the end, so that the "
        "same weights with p = 1 look one pixel beside.",
        _same,
        "“Same” padding",
    ),
    Claim(
        "A stride of 2 halves the map.",
        "true with conditions",
        "Exactly only at even sizes. At odd ones k = 3 with p = 1 rounds up, k = 2 without padding rounds down.",
        _halves,
        "U-Net at 100",
    ),
    Claim(
        "A transposed convolution (deconvolution) undoes a convolution.",
        "wrong",
        "It brings back the size, not the values. It is the product with the transposed matrix: the gradient of the "
        "convolution with respect to its input.",
        _inverse,
        "No inverse",
    ),
    Claim(
        "Output padding pads the output with zeros.",
        "misleading",
        "It lets the output go on for further lines. The first p of them are computed like all others; lines beyond "
        "those are reached by no tap and hold the bias alone.",
        _output_padding,
        "7 or 8?",
    ),
    Claim(
        "A kernel size that the stride divides prevents checkerboards.",
        "true with conditions",
        "It evens out how many products meet in each output. The sums of their weights still differ by phase unless "
        "the weights are made or trained so; enlarging first and convolving then is even by construction.",
        _checkerboard,
        "Even overlap",
    ),
    Claim(
        "A transposed convolution inserts zeros and convolves.",
        "true with conditions",
        "The numbers are the same, with the kernel turned by 180°. Nobody computes it like that: all products but one "
        "in s² would be with inserted zeros.",
        _zeros,
        "Interpolation",
    ),
    Claim(
        "g groups divide weights and products by g.",
        "true",
        "The output size is not affected. Both channel numbers must be multiples of g.",
        _groups,
        "Two groups",
    ),
)
