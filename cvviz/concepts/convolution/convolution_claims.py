"""Sentences from interview notes, judged by measurements; see ``convolution``."""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cvviz.concept import Claim, Evidence, magnitude
from cvviz.concepts.convolution.convolution import CAMERA, KERNELS, reduced
from cvviz.ops.kernels import filter2d


def picture() -> Tensor:
    """(1, H, W) grey values of a photograph."""
    return reduced(CAMERA).double().mean(dim=0, keepdim=True)


def kernel(name: str) -> Tensor:
    """(1, 1, kh, kw) weights of a named kernel."""
    return torch.tensor(KERNELS[name], dtype=torch.float64)[None, None]


def change_by_flip(name: str) -> float:
    """Largest difference between correlation and convolution on the photograph."""
    once, flipped = (filter2d(picture(), kernel(name), flip=flip) for flip in (False, True))
    return float((once - flipped).abs().max())


def _formula() -> Evidence:
    image, weight = picture(), kernel("Emboss")
    correlated = cv2.filter2D(image[0].numpy(), -1, weight[0, 0].numpy())[1:-1, 1:-1]
    layer = F.conv2d(image[None], weight)[0, 0].numpy()
    error, change = float(np.abs(layer - correlated).max()), change_by_flip("Emboss")
    text = (
        f"conv2d against OpenCV's correlation: max |Δ| {magnitude(error)}; against the flipped kernel: {change:.0f} "
        "(emboss, photograph)."
    )
    return Evidence(error < 1e-9 and change > 100, text)


def _flip() -> Evidence:
    changes = {name: change_by_flip(name) for name in ("Laplacian", "Gaussian", "Sobel x", "Emboss")}
    text = "; ".join(f"{name} {change:.0f}" for name, change in changes.items())
    confirms = changes["Laplacian"] == changes["Gaussian"] == 0 < min(changes["Sobel x"], changes["Emboss"])
    return Evidence(confirms, f"Largest change by turning the kernel, grey values 0 to 255: {text}.")


def _channels() -> Evidence:
    layer = torch.nn.Conv2d(3, 8, 3)
    image, bias = torch.rand(1, 3, 9, 9, generator=torch.Generator().manual_seed(0)), layer.bias
    assert bias is not None
    with torch.no_grad():
        slices = sum(F.conv2d(image[:, c : c + 1], layer.weight[:, c : c + 1]) for c in range(3))
        error = float((layer(image) - slices - bias[:, None, None]).abs().max())
    count = sum(parameter.numel() for parameter in layer.parameters())
    text = (
        f"Conv2d(3, 8, 3): weights {tuple(layer.weight.shape)}, {count} parameters; the output is the sum over three "
        f"input channels to {magnitude(error)}."
    )
    return Evidence(count == 8 * (3 * 9 + 1) and error < 1e-5, text)


def _equivariance() -> Evidence:
    image, weight = picture(), kernel("Sobel x")

    def change(shift: int, *, stride: int, mode: str, rim: int = 0) -> float:
        moved, still = (
            filter2d(item, weight, padding=1, mode=mode, stride=stride)  # type: ignore[arg-type]
            for item in (image.roll(shift, dims=2), image)
        )
        apart = moved - still.roll(shift // stride, dims=2)
        return float(apart[..., rim : apart.shape[-1] - rim].norm() / still.norm())

    whole = change(1, stride=1, mode="circular")
    strided, even = change(1, stride=2, mode="circular"), change(2, stride=2, mode="circular")
    padded, inside = (change(1, stride=1, mode="zeros", rim=rim) for rim in (0, 2))
    text = (
        f"Shift by 1 px against the shifted output, relative difference: stride 1 circular {magnitude(whole)}, zero "
        f"padding {padded:.2f} ({magnitude(inside)} without two columns at each rim), stride 2 {strided:.2f} (a shift "
        f"of 2 px: {magnitude(even)})."
    )
    exact = max(whole, even, inside) < 1e-12
    return Evidence(exact and strided > 0.3 and padded > 0.05, text)


def _pointwise() -> Evidence:
    generator = torch.Generator().manual_seed(0)
    image, weight = torch.rand(1, 16, 8, 8, generator=generator), torch.rand(4, 16, 1, 1, generator=generator)
    linear = F.linear(image.permute(0, 2, 3, 1), weight[:, :, 0, 0]).permute(0, 3, 1, 2)
    error = float((F.conv2d(image, weight) - linear).abs().max())
    return Evidence(
        error < 1e-5, f"1 × 1 convolution of 16 channels against F.linear at each pixel: max |Δ| {magnitude(error)}."
    )


def _padding() -> Evidence:
    grey = torch.full((1, 32, 32), 100.0, dtype=torch.float64)
    blur = kernel("Gaussian") / kernel("Gaussian").sum()
    corners = [float(filter2d(grey, blur, padding=2, mode=mode)[0, 0, 0]) for mode in ("zeros", "replicate")]
    text = (
        f"A flat grey of 100, blurred: the corner is {corners[0]:.1f} with zeros and {corners[1]:.1f} with replicate."
    )
    return Evidence(abs(corners[0] - 100 * (11 / 16) ** 2) < 1e-9 and abs(corners[1] - 100) < 1e-9, text)


def _separable() -> Evidence:
    ranks = {name: int(torch.linalg.matrix_rank(kernel(name)[0, 0])) for name in ("Gaussian", "Sobel x", "Laplacian")}
    text = ", ".join(f"{name} {rank}" for name, rank in ranks.items())
    return Evidence(ranks == {"Gaussian": 1, "Sobel x": 1, "Laplacian": 2}, f"Rank of the kernel as a matrix: {text}.")


CLAIMS = (
    Claim(
        "Convolution: y(i, j) = Σ x(i+m, j+n) · k(m, n).",
        "true with conditions",
        "That is cross-correlation, which is what every layer called convolution computes. A convolution in the sense "
        "of mathematics turns the kernel by 180° first; channels, bias, stride and padding are left out too.",
        _formula,
        "Flip changes the sign",
    ),
    Claim(
        "Correlation or convolution makes no difference.",
        "true with conditions",
        "None for weights that are learned, since training finds the turned kernel as easily. For a given kernel only "
        "if half a turn leaves it as it is.",
        _flip,
        "Symmetric: flip changes nothing",
    ),
    Claim(
        "A 3 × 3 filter has nine weights.",
        "misleading",
        "It has nine per input channel: a filter spans the whole depth and sums over it. Conv2d(C, F, k) has "
        "F · (C · k² + 1) parameters, and their number does not depend on the picture's size.",
        _channels,
        "Three filters on colour",
    ),
    Claim(
        "Convolutional networks are translation invariant.",
        "misleading",
        "A convolution is equivariant: move the input and the output moves along. That is exact at stride 1 without an "
        "edge; zero padding breaks it near the rim, a stride for every shift that it does not divide.",
        _equivariance,
        "Stride and dilation",
    ),
    Claim(
        "A 1 × 1 convolution is useless, since it sees only one pixel.",
        "wrong",
        "It mixes the channels of each pixel: the same fully connected layer applied everywhere, used to change the "
        "number of channels cheaply.",
        _pointwise,
        "1 × 1 mixes colours",
    ),
    Claim(
        "Zero padding is neutral.",
        "wrong",
        "Zeros are a value: black, or the mean after normalisation. Near the rim they darken blurs and make edges that "
        "are not there, from which a network can tell where the rim is.",
        _padding,
        "Zeros darken the rim",
    ),
    Claim(
        "Any 2-D kernel can be replaced by a row and a column.",
        "wrong",
        "Only a kernel of rank 1. Gaussian, box and Sobel kernels are; the Laplacian needs two such pairs.",
        _separable,
    ),
)
