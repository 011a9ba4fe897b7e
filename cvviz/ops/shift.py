"""What a shift of the input does to a pooling: poolings without edges, shifts by fractions of a pixel, two errors."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from cvviz.ops.checks import check_floating

Kind = Literal["subsample", "max", "average", "lp", "blur", "global"]
# What each of them depends on, by the names of ``circular_pool2d``.
SETTINGS: dict[Kind, tuple[str, ...]] = {
    "subsample": ("stride",),
    "max": ("kernel_size", "stride"),
    "average": ("kernel_size", "stride"),
    "lp": ("kernel_size", "stride", "p"),
    "blur": ("kernel_size", "stride", "taps"),
    "global": ("stride",),
}


def binomial_filter(taps: int) -> Tensor:
    """Row of Pascal's triangle, scaled to sum 1: the low-pass filters of BlurPool.

    Args:
        taps: at least 1; 1 does nothing, 2 is a box, 3 a triangle.

    Returns:
        (taps,) float64.

    Raises:
        ValueError: if ``taps`` is below 1.

    Example:
        >>> binomial_filter(3).tolist()
        [0.25, 0.5, 0.25]

    Reference:
        Zhang, "Making Convolutional Networks Shift-Invariant Again", 2019, https://arxiv.org/abs/1904.11486
    """
    if taps < 1:
        raise ValueError(f"taps must be at least 1, got {taps}.")
    row = [math.comb(taps - 1, index) for index in range(taps)]
    weights: Tensor = torch.tensor(row, dtype=torch.float64) / 2 ** (taps - 1)
    return weights


def circular_pool2d(
    maps: Tensor, kind: Kind, *, kernel_size: int = 2, stride: int = 2, p: float = 2.0, taps: int = 3
) -> Tensor:
    """Pool maps whose right edge continues at the left and whose bottom continues at the top.

    A shift then brings nothing new into the picture, so that whatever changes is the pooling's own doing.

    Args:
        maps: (..., C, H, W), floating point, sides divisible by ``stride``.
        kind: "subsample" keeps every ``stride``-th pixel; "max", "average" and "lp" (norm) reduce windows; "blur" is a
            maximum at stride 1, then a binomial blur, then subsampling (MaxBlurPool); "global" is the mean of a map.
        kernel_size: lines of a window.
        stride: step between windows.
        p: of "lp".
        taps: of the blur, along one axis.

    Returns:
        (..., C, H / stride, W / stride), or (..., C, 1, 1) for "global".

    Raises:
        TypeError: if ``maps`` is not floating point.
        ValueError: if ``maps`` has fewer than three dimensions, or a side is not divisible by ``stride``.

    Example:
        >>> circular_pool2d(torch.tensor([[[1.0, 5.0, 2.0, 0.0]]]), "max", kernel_size=1, stride=1).tolist()
        [[[1.0, 5.0, 2.0, 0.0]]]

    Reference:
        Zhang, "Making Convolutional Networks Shift-Invariant Again", 2019, https://arxiv.org/abs/1904.11486
    """
    check_floating(maps, "maps")
    if maps.ndim < 3 or maps.shape[-2] % stride or maps.shape[-1] % stride:
        raise ValueError(f"maps must be (..., C, H, W) with sides divisible by {stride}, got {tuple(maps.shape)}.")
    if kind == "global":
        return maps.mean((-2, -1), keepdim=True)
    if kind == "subsample":
        return maps[..., ::stride, ::stride]
    flat = maps.reshape(-1, 1, *maps.shape[-2:])
    match kind:
        case "max":
            pooled: Tensor = F.max_pool2d(_wrapped(flat, kernel_size), kernel_size, stride)
        case "average":
            pooled = F.avg_pool2d(_wrapped(flat, kernel_size), kernel_size, stride)
        case "lp":
            powers = _wrapped(flat, kernel_size).abs() ** p
            pooled = F.avg_pool2d(powers, kernel_size, stride, divisor_override=1) ** (1 / p)
        case "blur":
            dense = F.max_pool2d(_wrapped(flat, kernel_size), kernel_size, 1)
            row = binomial_filter(taps).to(maps.dtype)
            pooled = F.conv2d(_wrapped(dense, taps), torch.outer(row, row)[None, None], stride=stride)
    return pooled.reshape(*maps.shape[:-2], *pooled.shape[-2:])


def pool_shifts(maps: Tensor, kind: Kind, *, stride: int = 2, **settings: Any) -> Tensor:
    """``circular_pool2d`` of one map shifted by 0, 1, 2 ... px to the right, at the cost of the first ``stride``.

    A shift by a whole stride moves the output along, exactly, since nothing has an edge.

    Args:
        maps: (D, C, H, W), floating point; ``maps[d]`` is ``maps[0].roll(d, -1)``.
        kind, stride, settings: as ``circular_pool2d`` takes them.

    Returns:
        (D, C, H / stride, W / stride), or (D, C, 1, 1) for "global".

    Raises:
        TypeError, ValueError: as ``circular_pool2d`` does.

    Example:
        >>> line = torch.tensor([[[1.0, 5.0, 2.0, 0.0]]]).expand(1, 2, 4)
        >>> pool_shifts(torch.stack([line.roll(shift, -1) for shift in range(3)]), "max").flatten(1).tolist()
        [[5.0, 2.0], [1.0, 5.0], [2.0, 5.0]]
    """
    pooled = circular_pool2d(maps[:stride], kind, stride=stride, **settings)
    return torch.stack([pooled[shift % stride].roll(shift // stride, -1) for shift in range(len(maps))])


def _wrapped(maps: Tensor, window: int) -> Tensor:
    return F.pad(maps, (0, window - 1, 0, window - 1), mode="circular") if window > 1 else maps


def fourier_shifts(image: Tensor, shifts: Tensor) -> Tensor:
    """Move a circular image by fractions of a pixel, as the band-limited signal through its pixels would move.

    Args:
        image: (C, H, W), floating point.
        shifts: (D, 2), floating point: px down and px to the right.

    Returns:
        (D, C, H, W). Whole shifts equal ``torch.roll``; the highest frequency of an even side, whose phase its samples
        do not tell, keeps its real part.

    Raises:
        TypeError: if ``image`` or ``shifts`` is not floating point.
        ValueError: if a shape is wrong.

    Example:
        >>> stripes = torch.tensor([[[1.0, -1.0, 1.0, -1.0]]])
        >>> fourier_shifts(stripes, torch.tensor([[0.0, 1.0]]))[0, 0, 0].tolist()
        [-1.0, 1.0, -1.0, 1.0]

    Reference:
        Karras et al., "Alias-Free Generative Adversarial Networks", 2021, https://arxiv.org/abs/2106.12423
    """
    _check_image(image)
    check_floating(shifts, "shifts")
    if shifts.ndim != 2 or shifts.shape[1] != 2:
        raise ValueError(f"shifts must have shape (D, 2), got {tuple(shifts.shape)}.")
    down, across = (
        _phases(length, shifts[:, axis].to(image.dtype)) for axis, length in enumerate(image.shape[1:])
    )  # [D, H], [D, W]
    moved: Tensor = torch.fft.ifft2(torch.fft.fft2(image) * (down[:, None, :, None] * across[:, None, None, :])).real
    return moved


def _phases(length: int, shifts: Tensor) -> Tensor:
    turns = torch.outer(shifts, torch.fft.fftfreq(length, dtype=shifts.dtype))
    phases = torch.polar(torch.ones_like(turns), -2 * math.pi * turns)
    if length % 2 == 0:
        phases[:, length // 2] = phases[:, length // 2].real + 0j
    return phases


def shift_errors(
    image: Tensor, pool: Callable[[Tensor], Tensor], shifts: Sequence[tuple[int, int]], *, stride: int
) -> Tensor:
    """How far a pooling is from invariant and from equivariant under circular shifts of its input.

    Invariant: the output stays. Equivariant: the output moves along, by the shift over the stride, which may be a
    fraction of its pixels (``fourier_shifts``). Both errors are root mean squares over the standard deviation of the
    output before the shift: 0 is perfect, 1.41 is how far two unrelated outputs lie apart. A flat output has no
    deviation of its own; that of the input takes its place.

    Args:
        image: (C, H, W), floating point.
        pool: takes (D, C, H, W).
        shifts: (down, right) in whole pixels of the input.
        stride: pixels of the input per pixel of the output.

    Returns:
        (2, D): errors of invariance, errors of equivariance.

    Raises:
        TypeError: if ``image`` is not floating point.
        ValueError: if ``image`` is not three-dimensional.

    Example:
        >>> dot = F.pad(torch.ones(1, 1, 1), (4, 11, 0, 0))  # 16 pixels in a row
        >>> errors = shift_errors(dot, lambda maps: F.max_pool2d(maps, (1, 2)), [(0, 1)], stride=2)
        >>> errors[0].item()  # as textbooks draw it
        0.0

    Reference:
        Azulay, Weiss, "Why do deep convolutional networks generalize so poorly to small image transformations?", 2019,
        https://arxiv.org/abs/1805.12177
    """
    _check_image(image)
    before = pool(image[None])[0]
    after = pool(torch.stack([image.roll(shift, (1, 2)) for shift in shifts]))  # [D, C, h, w]
    moved = fourier_shifts(before, torch.tensor(shifts, dtype=before.dtype) / stride)
    own, given = (float((maps - maps.mean((1, 2), keepdim=True)).square().mean().sqrt()) for maps in (before, image))
    noise = 1e-9 * float(image.abs().max()) + torch.finfo(image.dtype).tiny  # what rounding makes of a flat map
    errors: Tensor = torch.stack([after - before, after - moved]).square().mean((2, 3, 4)).sqrt()
    return errors / (own if own > noise else max(given, noise))


def _check_image(image: Tensor) -> None:
    check_floating(image, "image")
    if image.ndim != 3:
        raise ValueError(f"image must have shape (C, H, W), got {tuple(image.shape)}.")
