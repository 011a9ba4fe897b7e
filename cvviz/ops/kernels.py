"""Filtering by hand-made kernels, and the kernels that are functions: Gaussian and Gabor."""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]


def pad2d(image: Tensor, padding: int, *, mode: PaddingMode = "zeros") -> Tensor:
    """Add ``padding`` lines on every side.

    Args:
        image: (C, H, W), real.
        padding: lines on each side, at least 0.
        mode: "zeros"; "reflect" mirrors without repeating the edge; "replicate" repeats the edge; "circular" continues
            with the opposite side.

    Returns:
        (C, H + 2p, W + 2p).

    Raises:
        ValueError: if ``image`` is not three-dimensional, ``padding`` is negative, or the image is too small for it.

    Example:
        >>> pad2d(torch.tensor([[[1.0, 2.0, 3.0]]]).expand(1, 3, 3), 1, mode="reflect")[0, 0].tolist()
        [2.0, 1.0, 2.0, 3.0, 2.0]

    Reference:
        torch.nn.functional.pad, https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.pad.html
    """
    if image.ndim != 3:
        raise ValueError(f"image must have shape (C, H, W), got {tuple(image.shape)}.")
    if padding < 0:
        raise ValueError(f"padding must not be negative, got {padding}.")
    shortest = min(image.shape[1:])
    most = {"reflect": shortest - 1, "circular": shortest}.get(mode)
    if most is not None and padding > most:
        size = f"{image.shape[1]} × {image.shape[2]}"
        raise ValueError(f"padding by {mode} can add at most {most} px to {size} pixels, got {padding}.")
    if padding == 0:
        return image
    sides = (padding, padding, padding, padding)
    if mode == "zeros":
        return F.pad(image, sides)
    return F.pad(image[None], sides, mode=mode)[0]


def filter2d(
    image: Tensor,
    weight: Tensor,
    *,
    stride: int = 1,
    padding: int = 0,
    mode: PaddingMode = "zeros",
    dilation: int = 1,
    flip: bool = False,
) -> Tensor:
    """Correlate, as the layers called convolution do, or convolve in the sense of mathematics.

    Args:
        image: (C, H, W), floating point.
        weight: (F, C, kh, kw), of the same dtype.
        stride, dilation: at least 1.
        padding: lines on each side.
        mode: what the padding holds, see ``pad2d``.
        flip: turn the kernel by 180° first, which makes it a convolution.

    Returns:
        (F, H', W') with H' = floor((H + 2p - d(kh - 1) - 1) / s) + 1.

    Raises:
        ValueError: if shapes do not fit, or the padded image is smaller than the kernel with its gaps.

    Example:
        >>> filter2d(torch.tensor([[[1.0, 4.0, 9.0]]]), torch.tensor([[[[-1.0, 1.0]]]])).tolist()
        [[[3.0, 5.0]]]

    Reference:
        torch.nn.Conv2d, https://docs.pytorch.org/docs/stable/generated/torch.nn.Conv2d.html
    """
    if weight.ndim != 4:
        raise ValueError(f"weight must have shape (F, C, kh, kw), got {tuple(weight.shape)}.")
    padded = pad2d(image, padding, mode=mode)
    if weight.shape[1] != len(image):
        raise ValueError(f"weight takes {weight.shape[1]} channels, image has {len(image)}.")
    if stride < 1 or dilation < 1:
        raise ValueError(f"stride and dilation must be at least 1, got {stride} and {dilation}.")
    height, width = (dilation * (length - 1) + 1 for length in weight.shape[2:])
    if height > padded.shape[1] or width > padded.shape[2]:
        raise ValueError(
            f"The kernel spans {height} × {width} pixels and the padded input has {padded.shape[1]} × "
            f"{padded.shape[2]}: take a smaller kernel or dilation, or more padding."
        )
    turned = weight.flip(2, 3) if flip else weight
    return F.conv2d(padded[None], turned, stride=stride, dilation=dilation)[0]


def gaussian_kernel(size: int, *, sigma: float) -> Tensor:
    """Samples of a Gaussian, scaled to sum 1.

    Args:
        size: k, at least 1.
        sigma: standard deviation in px, greater than 0.

    Returns:
        (k, k) float64.

    Raises:
        ValueError: if ``size`` or ``sigma`` is too small.

    Example:
        >>> float(gaussian_kernel(5, sigma=1.0).sum())
        1.0

    Reference:
        OpenCV, getGaussianKernel, https://docs.opencv.org/4.x/d4/d86/group__imgproc__filter.html
    """
    if size < 1 or sigma <= 0:
        raise ValueError(f"size must be at least 1 and sigma positive, got {size} and {sigma}.")
    place = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    line = torch.exp(-(place**2) / (2 * sigma**2))
    kernel = torch.outer(line, line)
    return kernel / kernel.sum()


def gabor_kernel(size: int, *, sigma: float, theta: float, wavelength: float, ratio: float = 1.0) -> Tensor:
    """A cosine wave under a Gaussian: answers to stripes of one width and direction.

    Args:
        size: k, odd.
        sigma: standard deviation of the Gaussian in px, greater than 0.
        theta: direction in which the wave travels, in radians; 0 is to the right (upright stripes).
        wavelength: width of one stripe pair in px, greater than 0.
        ratio: of the Gaussian's widths along and across the wave.

    Returns:
        (k, k) float64, 1 in the centre.

    Raises:
        ValueError: if ``size`` is even, or ``sigma`` or ``wavelength`` is not positive.

    Example:
        >>> float(gabor_kernel(7, sigma=2.0, theta=0.0, wavelength=4.0)[3, 3])
        1.0

    Reference:
        Daugman, "Uncertainty relation for resolution in space, spatial frequency, and orientation", 1985,
        https://doi.org/10.1364/JOSAA.2.001160
    """
    if size % 2 == 0:
        raise ValueError(f"size must be odd, got {size}.")
    if sigma <= 0 or wavelength <= 0:
        raise ValueError(f"sigma and wavelength must be positive, got {sigma} and {wavelength}.")
    place = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    y, x = torch.meshgrid(place, place, indexing="ij")
    along = x * math.cos(theta) + y * math.sin(theta)
    across = -x * math.sin(theta) + y * math.cos(theta)
    envelope = torch.exp(-(along**2 + ratio**2 * across**2) / (2 * sigma**2))
    return envelope * torch.cos(2 * math.pi * along / wavelength)
