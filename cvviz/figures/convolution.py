"""The pictures of a convolution: padded input, outputs, and where on the picture the patch lies."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from plotly.colors import hex_to_rgb
from torch import Tensor

from cvviz.figures.scene import Box, Scene, Shape, Text
from cvviz.figures.theme import BLUE, GREEN, VERMILLION, colorize
from cvviz.figures.window import Window, strided_reads

MOST_WITH_NUMBERS = 20  # cells a side: more do not leave room for three digits


def convolution_window(
    padded: Tensor,
    outputs: Tensor,
    weight: Tensor,
    *,
    padding: int,
    stride: int,
    dilation: int,
    at: tuple[int, int],
    names: Sequence[str],
    overview: Scene | None = None,
) -> Window:
    """Input planes, output maps and the window between them.

    Args:
        padded: (C, H, W), 0 to 255, padding included.
        outputs: (F, H', W').
        weight: (F, C, kh, kw) as the window lays it on the input (already flipped for a convolution).
        padding, stride, dilation: of the convolution.
        at: (row, column) of the output shown.
        names: of the C channels; one name, or red, green and blue.
        overview: picture that shows where the patch lies.
    """
    size = "{1} × {0}"
    max_width = 420 if len(padded) == 1 else 190
    inner = Box(xyxy=_inside(padded, padding), color=GREEN, dash=True, tip="Inside: the picture. Outside: padding.")
    sources = [
        Scene(
            pixels=_grey(plane),
            shapes=[*_numbers(plane, _grey(plane)), *([inner] if padding else [])],
            caption=f"{name}, {size.format(*plane.shape)}" + (f" with {padding} px of padding" if padding else ""),
            exact=True,
            max_width=max_width,
        )
        for name, plane in zip(names, padded, strict=True)
    ]
    high = float(outputs.abs().max())
    targets = []
    for index, plane in enumerate(outputs):
        pixels = output_colors(plane, weight[index], high=high)
        name = f"Output {index + 1}" if len(outputs) > 1 else "Output"
        caption = f"{name}, {size.format(*plane.shape)}: {_number(plane.min())} to {_number(plane.max())}"
        numbers = _numbers(plane, pixels)
        targets.append(Scene(pixels=pixels, shapes=numbers, caption=caption, exact=True, max_width=max_width))
    kernel_height, kernel_width = weight.shape[2:]
    return Window(
        sources=sources,
        targets=targets,
        values=padded,
        weights=weight,
        outputs=outputs,
        rows=strided_reads(outputs.shape[1], kernel_height, stride=stride, dilation=dilation),
        columns=strided_reads(outputs.shape[2], kernel_width, stride=stride, dilation=dilation),
        border=(padding, padding, padding, padding),
        names=names if len(names) > 1 else (),
        at=at,
        field="at",
        beside=[overview] if overview else [],
    )


def keeps_brightness(weight: Tensor) -> bool:
    """Whether the outputs of one filter (C, kh, kw) are brightnesses, rather than answers of either sign."""
    return bool(weight.sum() >= 0.99) or bool((weight >= 0).all())


def output_colors(plane: Tensor, weight: Tensor, *, high: float) -> Tensor:
    """Colours of one output map (H', W').

    Brightnesses are grey, blue below 0 and vermillion above 255, where a picture would clip. Answers of either sign are
    blue, white at 0 and vermillion up to ``high``.
    """
    if not keeps_brightness(weight):
        return colorize(plane, scale="signed", low=-high, high=high)
    pixels = _grey(plane)
    for outside, color in ((plane < -0.5, BLUE), (plane > 255.5, VERMILLION)):
        channels = torch.tensor(hex_to_rgb(color), dtype=torch.uint8)[:, None, None]
        pixels = torch.where(outside, channels, pixels)
    return pixels


def overview_scene(pixels: Tensor, *, patch: tuple[int, int, int, int]) -> Scene:
    """Small picture with the patch (x1, y1, x2, y2) marked."""
    x1, y1, x2, y2 = patch
    box = Box(xyxy=(x1, y1, x2, y2), color=VERMILLION, width=3)
    return Scene(pixels=pixels, shapes=[box], caption="The patch", max_width=170)


def _inside(padded: Tensor, padding: int) -> tuple[float, float, float, float]:
    height, width = padded.shape[1:]
    return padding, padding, width - padding, height - padding


def _grey(plane: Tensor) -> Tensor:
    return plane.clamp(0, 255).round().to(torch.uint8).expand(3, -1, -1).contiguous()


def _number(value: Tensor | float) -> str:
    return f"{float(value):.4g}".replace("-", "−")


def _numbers(plane: Tensor, pixels: Tensor) -> list[Shape]:
    """The value of each cell in its middle, where there is room; white on dark, dark on light."""
    if max(plane.shape) > MOST_WITH_NUMBERS:
        return []
    light = torch.einsum("chw,c->hw", pixels.double(), torch.tensor([0.299, 0.587, 0.114]).double()) > 128
    widest = max(len(f"{float(value):.0f}") for value in (plane.min(), plane.max()))
    size = min(11, max(6, 300 / max(plane.shape) / max(widest, 2) * 1.5))
    rows = zip(plane.round().int().tolist(), light.tolist(), strict=True)
    return [
        Text(
            x=column + 0.5,
            y=row + 0.5,
            text=str(value).replace("-", "−"),
            color="#111" if bright else "#fff",
            size=size,
        )
        for row, (values, brights) in enumerate(rows)
        for column, (value, bright) in enumerate(zip(values, brights, strict=True))
    ]
