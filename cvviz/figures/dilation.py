"""Pictures of dilated kernels: taps on pixels, the pixels that a stack reaches, and maps of responses."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from cvviz.figures.scene import Box, Path, Scene, Shape, Text
from cvviz.figures.theme import BLUE, GREEN, GREY, VERMILLION, colorize

WIDTH = 360  # of the maps of cells, in their own pixels: about what they take on the screen
MOST_DIGITS = 36  # along one side of a map of numbers
MOST_LINES = 240  # of a drawing of paths


def taps_scene(pixels: Tensor, weights: Tensor, *, dilation: int, at: tuple[int, int]) -> Scene:
    """Neighbourhood of a pixel with the taps of a dilated kernel on it.

    Args:
        pixels: (H, W) grey values, 0 to 255.
        weights: (k, k) with odd k.
        dilation: distance between taps.
        at: (column, row) of the pixel under the kernel's centre.

    Returns:
        A few pixels more than the taps span; those outside the picture are black, the zeros of the padding.
    """
    column, row = at
    radius = max(dilation * (len(weights) // 2) + 3, 6)
    across = 2 * radius + 1
    window = F.pad(pixels, (radius, radius, radius, radius))[row : row + across, column : column + across]
    reach = dilation * (len(weights) // 2)
    low, high = radius - reach, radius + reach + 1
    shapes: list[Shape] = [
        Box(xyxy=(low, low, high, high), label=f"{high - low} × {high - low}", color=GREEN, dash=True)
    ]
    for index, weight in enumerate(weights.flatten().tolist()):
        left, top = low + dilation * (index % len(weights)), low + dilation * (index // len(weights))
        value = float(window[top, left])
        color = VERMILLION if weight > 0 else BLUE if weight < 0 else GREY
        tip = f"weight {weight:g} × grey {value:.0f} = {weight * value:.0f}"
        shapes += [
            Box(xyxy=(left, top, left + 1, top + 1), color=color, width=1, fill=0.9, tip=tip),
            Text(x=left + 0.5, y=top + 0.5, text=f"{weight:g}".replace("-", "−"), color=color, size=9, plate=True),
        ]
    if dilation > 2:
        start, end, y = low + 1.0, float(low + dilation), high - 0.5
        shapes.append(Path(points=((start, y), (end, y)), color=GREEN, arrow=True))
        shapes.append(Text(x=(start + end) / 2, y=high + 1.5, text=f"gap {dilation - 1}", color=GREEN, plate=True))
    caption = f"Taps at rate {dilation}: gaps of {dilation - 1} px"
    return Scene(pixels=grey_picture(window), shapes=shapes, caption=caption, exact=True, max_width=240)


def padded_scene(pixels: Tensor, *, padding: int) -> Scene:
    """Picture (H, W) with its frame of zeros."""
    height, width = pixels.shape
    inside = Box(xyxy=(padding, padding, padding + width, padding + height), color=GREEN, dash=True)
    framed = grey_picture(F.pad(pixels, (padding, padding, padding, padding)))
    caption = f"Input, {width} × {height} with {padding} px of zeros"
    return Scene(pixels=framed, shapes=[inside], caption=caption, exact=True, max_width=420)


def response_scene(response: Tensor, weights: Tensor, *, dilation: int) -> Scene:
    """Map of responses, with the part that is left if nothing is padded."""
    (height, width), reach = response.shape, dilation * (len(weights) // 2)
    caption = f"Response, {width} × {height}"
    shapes: list[Shape] = []
    if 2 * reach < min(width, height):
        caption += "; dashed: without padding"
        shapes.append(Box(xyxy=(reach, reach, width - reach, height - reach), color=GREEN, dash=True))
    pixels = _response_colors(response, weights, float(response.abs().max()))
    return Scene(pixels=pixels, shapes=shapes, caption=caption, exact=True, max_width=420)


def stride_scenes(response: Tensor, strided: Tensor, weights: Tensor, *, dilation: int) -> tuple[Scene, Scene]:
    """Response of a dilated kernel, and of the same kernel after a stride, as blocks of the same colours.

    Args:
        response: (H, W).
        strided: (ceil(H/d), ceil(W/d)) at stride d.
        weights: (k, k).
        dilation: d.
    """
    (height, width), (rows, columns), high = response.shape, strided.shape, float(response.abs().max())
    blocks = _response_colors(strided, weights, high).repeat_interleave(dilation, 1).repeat_interleave(dilation, 2)
    return (
        Scene(
            pixels=_response_colors(response, weights, high),
            caption=f"Rate {dilation}: {width} × {height} values",
            max_width=480,
        ),
        Scene(
            pixels=blocks[:, :height, :width],
            caption=f"Stride {dilation}, then rate 1: {columns} × {rows} values",
            exact=True,
            max_width=480,
        ),
    )


def coverage_scene(counts: Tensor) -> Scene:
    """Map of the number of paths to each pixel of a receptive field; pixels without a path are hatched.

    Args:
        counts: (R, R) int64.
    """
    size = len(counts)
    scale = max(1, WIDTH // (size + 2))
    pixels = F.pad(_cells(counts, scale, scale), (scale, scale, scale, scale), value=255)
    edge = (size + 1) * scale
    field = Box(xyxy=(scale, scale, edge, edge), color=VERMILLION, tip=f"Receptive field, {size} × {size}")
    digits = len(str(int(counts.max())))
    numbers = _numbers(counts, scale) if size * max(digits, 2) <= MOST_DIGITS else []
    caption = f"Paths to each of {size} × {size} pixels (hatched: no path)"
    return Scene(pixels=pixels, shapes=[*numbers, field], caption=caption, exact=True, max_width=480)


def paths_scene(rows: Sequence[Tensor], *, rates: Sequence[int], kernel_size: int) -> Scene:
    """One line of the receptive field, layer by layer: the output unit on top, the input at the bottom.

    Args:
        rows: path counts along one axis, (R_i,) int64 each, from the output (one unit) to the input.
        rates: dilation of the layer between each row and the next.
        kernel_size: taps along one axis.
    """
    size, label = len(rows[-1]), 52
    scale = min(28, 2 * max(1, (WIDTH - label) // (2 * size)))  # even, so that halves of cells are whole
    width = max(WIDTH, label + scale * size)
    tall = max(12, min(scale, 20))
    gap = min(84, (WIDTH - len(rows) * tall) // len(rates))
    panel = torch.full((3, len(rows) * (tall + gap) - gap, width), 255, dtype=torch.uint8)
    starts = [label + (width - label - len(row) * scale) // 2 for row in rows]
    shapes: list[Shape] = []
    for index, (row, start) in enumerate(zip(rows, starts, strict=True)):
        top = index * (tall + gap)
        panel[:, top : top + tall, start : start + len(row) * scale] = _cells(row[None], scale, tall)
        if index < len(rates):
            shapes += _lines(row, start, starts[index + 1], top + tall, gap, scale, rates[index], kernel_size)
            shapes.append(Text(x=2, y=top + tall + gap / 2, text=f"rate {rates[index]}", color=GREEN, centered=False))
    if sum(isinstance(shape, Path) for shape in shapes) * kernel_size > MOST_LINES:
        shapes = [shape for shape in shapes if not isinstance(shape, Path)]
    caption = "Along one line: from the output down to the pixels"
    return Scene(pixels=panel, shapes=shapes, caption=caption, exact=True, max_width=480)


def grey_picture(values: Tensor) -> Tensor:
    """(H, W) values of 0 to 255 as a (3, H, W) uint8 picture."""
    return values.clamp(0, 255).round().to(torch.uint8).expand(3, -1, -1)


def _response_colors(response: Tensor, weights: Tensor, high: float) -> Tensor:
    # Blue below zero and vermillion above; grey values where no weight is negative, up to what white gives.
    if bool((weights < 0).any()):
        return colorize(response, scale="signed", low=-max(high, 1e-9), high=max(high, 1e-9))
    return grey_picture(response / float(weights.sum()))


def _lines(
    row: Tensor, start: int, below: int, top: float, gap: float, scale: int, rate: int, kernel_size: int
) -> list[Path]:
    # One zigzag per unit, from tap to unit and back, instead of one line per path.
    lines = []
    for place in row.nonzero()[:, 0].tolist():
        unit = (start + (place + 0.5) * scale, top)
        taps = [(below + (place + tap * rate + 0.5) * scale, top + gap) for tap in range(kernel_size)]
        lines.append(Path(points=[point for tap in taps for point in (unit, tap)], color=GREY, width=1))
    return lines


def _cells(counts: Tensor, wide: int, tall: int) -> Tensor:
    colors = colorize(torch.log2(1 + counts.double()), low=0)  # [3, R, C]; log, for the centre has many times the rim
    colors = colors.repeat_interleave(tall, dim=1).repeat_interleave(wide, dim=2)
    rows, columns = torch.arange(colors.shape[1])[:, None], torch.arange(colors.shape[2])
    empty = (counts == 0).repeat_interleave(tall, dim=0).repeat_interleave(wide, dim=1)
    hatch = torch.where((rows + columns) % 6 < 2, 150, 255).to(torch.uint8)
    colors = torch.where(empty, hatch, colors)
    if wide >= 10:
        colors[:, :, columns % wide == 0] = 255
        colors[:, rows[:, 0] % tall == 0] = 255
    return colors


def _numbers(counts: Tensor, scale: int) -> list[Shape]:
    bright = torch.log2(1 + counts.double()) > 0.55 * torch.log2(1 + counts.max().double())
    return [
        Text(
            x=(column + 1.5) * scale,
            y=(row + 1.5) * scale,
            text=str(int(counts[row, column])),
            color="#000" if bright[row, column] else "#fff",
            size=11,
        )
        for row, column in counts.nonzero().tolist()
    ]
