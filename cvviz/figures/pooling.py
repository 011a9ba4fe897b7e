"""A pooling's window over a map of numbers: pictures, words and formula."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import torch
import torch.nn.functional as F
from torch import Tensor

from cvviz.figures.scene import Box, Scene, Shape, Text
from cvviz.figures.theme import BLUE, GREEN, GREY, PURPLE, VERMILLION, colorize, unchecked_figure
from cvviz.figures.window import How, Reads, Window
from cvviz.ops.pooling import Pool, Span, Windows

MOST_WITH_NUMBERS = 18  # cells a side
PADDING = (206, 222, 240)  # no grey, so that nothing in the picture looks like it
HOW: dict[Pool, How] = {"max": "max", "average": "mean", "lp": "norm"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pooled:
    """A map, its windows, and what is left.

    Args:
        pool: how a window becomes a number.
        p: of "lp".
        windows: where they lie.
        image: (H, W), 0 to 255.
        output: (R, C).
        gradient: (H, W), of the sum of the outputs.
        place: (row, column) of the output to show, if there is one.
        around: the picture that the map was cut from, and (x1, y1, x2, y2) of the cut; None if it is all of it.
        taught: whether the gradient is shown.
    """

    pool: Pool
    p: float
    windows: Windows
    image: Tensor
    output: Tensor
    gradient: Tensor
    place: tuple[int, int]
    around: tuple[Tensor, tuple[int, int, int, int]] | None
    taught: bool

    @property
    def at(self) -> tuple[int, int]:
        """(row, column) of the output shown."""
        return min(self.place[0], self.output.shape[0] - 1), min(self.place[1], self.output.shape[1] - 1)

    @property
    def border(self) -> int:
        """Lines of padding on each side."""
        return self.windows.padding if self.windows.kind == "strided" else 0

    @property
    def source(self) -> Tensor:
        """The map with its padding: what adds nothing to the pooling."""
        return F.pad(self.image, (self.border,) * 4, value=-math.inf if self.pool == "max" else 0.0)

    def spans(self, axis: int) -> list[Span]:
        """Lines of the source that each row (axis 0) or column of the output reads. What is not counted is not read."""
        size, border = self.image.shape[axis], self.border
        spans = self.windows.spans(size)
        if self.pool == "average" and not self.windows.count_include_pad:
            return [(max(first, border), min(end, border + size)) for first, end in spans]
        return spans

    @property
    def cells(self) -> Tensor:
        """(h, w) numbers under the window shown."""
        (top, bottom), (left, right) = (self.spans(axis)[self.at[axis]] for axis in (0, 1))
        return self.source[top:bottom, left:right]

    @property
    def value(self) -> float:
        """The output shown."""
        return float(self.output[self.at])

    @property
    def kept(self) -> float:
        """Values of the output per value of the map."""
        return self.output.numel() / self.gradient.numel()

    @property
    def reached(self) -> int:
        """Cells of the map that receive a gradient."""
        return int(self.gradient.count_nonzero())

    def others(self) -> dict[str, float]:
        """What other poolings would make of the window shown; padding counts where it is read."""
        cells = self.cells[self.cells.isfinite()]  # a maximum is padded with -inf
        powers = (cells**self.p).sum()
        return {
            "First cell": float(cells[0]),
            "Mean": float(cells.mean()),
            f"Power mean, p = {self.p:g}": float((powers / cells.numel()) ** (1 / self.p)),
            "Max": float(cells.max()),
            f"Lp, p = {self.p:g}": float(powers ** (1 / self.p)),
            "Sum": float(cells.sum()),
        }

    def stage(self) -> Window:
        """Map and output, tied by the window; beside them where the map lies and where the gradient goes."""
        size, wide = "{1} × {0}", 300 if self.taught else 420
        bright = 255 / (float(self.output.max()) or 1) if self.pool == "lp" else 1.0
        padding = f" with {self.border} px of padding" if self.border else ""
        rows, columns = (
            [Reads(source=tuple(range(*span)), kernel=tuple(range(span[1] - span[0]))) for span in self.spans(axis)]
            for axis in (0, 1)
        )
        beside = [self.gradient_scene(wide)] if self.taught else []
        if self.around:
            pixels, patch = grey_pixels(self.around[0]), Box(xyxy=self.around[1], color=VERMILLION, width=3)
            beside.append(Scene(pixels=pixels, shapes=[patch], caption="The input in the picture", max_width=170))
        return Window(
            sources=[
                Scene(
                    pixels=self.source_pixels(),
                    shapes=self.source_shapes(),
                    caption=f"Input, {size.format(*self.source.shape)}{padding}",
                    exact=True,
                    max_width=wide,
                )
            ],
            targets=[
                Scene(
                    pixels=grey_pixels(self.output * bright),
                    shapes=numbers(self.output, grey_pixels(self.output * bright)),
                    caption=f"Output, {size.format(*self.output.shape)}"
                    + (f"; white is {float(self.output.max()):.4g}" if self.pool == "lp" else ""),
                    exact=True,
                    max_width=wide,
                )
            ],
            values=self.source[None],
            outputs=self.output[None],
            rows=rows,
            columns=columns,
            border=(self.border,) * 4,
            how=HOW[self.pool],
            at=self.at,
            field="at",
            beside=beside,
        )

    def source_pixels(self) -> Tensor:
        """The map in grey, its padding in a colour of its own."""
        pixels = grey_pixels(self.source.nan_to_num(neginf=0.0))
        pixels[:, self.outside()] = torch.tensor(PADDING, dtype=torch.uint8)[:, None]
        return pixels

    def outside(self) -> Tensor:
        """(H + 2b, W + 2b), True in the padding."""
        return F.pad(torch.zeros_like(self.gradient), (self.border,) * 4, value=1.0) > 0

    def source_shapes(self) -> list[Shape]:
        """Numbers, and a frame around the map where it is padded."""
        shapes = numbers(self.source, self.source_pixels())
        if self.border:
            height, width = self.source.shape
            inner = (self.border, self.border, width - self.border, height - self.border)
            shapes.append(Box(xyxy=inner, color=GREEN, dash=True))
        return shapes

    def gradient_scene(self, wide: int) -> Scene:
        """How much of the gradient each cell of the map receives."""
        pixels = colorize(self.gradient, low=0.0)
        caption = f"Gradient: {self.reached} of {self.gradient.numel()} cells get some"
        return Scene(pixels=pixels, shapes=numbers(self.gradient, pixels), caption=caption, exact=True, max_width=wide)

    def words(self) -> str:
        """What the pictures show."""
        (height, width), (rows, columns) = self.gradient.shape, self.output.shape
        name = {"max": "maximum", "average": "average", "lp": f"L{self.p:g} norm"}[self.pool]
        tall, broad = self.cells.shape
        return (
            f"{width} × {height} grey values become {columns} × {rows}, each the {name} of a window. The window shown "
            f"reads {tall} × {broad} cells and gives {self.value:.4g}, output row {self.at[0]}, column {self.at[1]}. "
            f"{self.reached} of {height * width} input values receive a gradient."
        )

    def formula(self) -> str:
        """The number under the window, the size of the output, and where the gradient goes."""
        (top, bottom), (left, right) = ([line - self.border for line in self.spans(i)[self.at[i]]] for i in (0, 1))
        where = rf"{top}\le i<{bottom},\;{left}\le j<{right}"
        row, column = self.at
        count = self.cells.numel()
        reduced, slope = {
            "max": (rf"\max_{{{where}}} x_{{i,j}}", r"1\text{ at the first largest, } 0\text{ elsewhere}"),
            "average": (rf"\frac{{1}}{{{count}}}\sum_{{{where}}} x_{{i,j}}", rf"1/{count}\text{{ each}}"),
            "lp": (
                rf"\Big(\sum_{{{where}}} x_{{i,j}}^{{{self.p:g}}}\Big)^{{1/{self.p:g}}}",
                rf"(x_{{i,j}}/y_{{{row},{column}}})^{{{self.p - 1:g}}}",
            ),
        }[self.pool]
        values = rf"{self.gradient.numel()} &\to {self.output.numel()} \text{{ values, }} {100 * self.kept:.4g}\,\%"
        return aligned(
            rf"y_{{{row},{column}}} &= {reduced} = {self.value:.5g}",
            *self.size_lines(),
            values + r",\quad 0 \text{ parameters}",
            rf"\partial y_{{{row},{column}}}/\partial x_{{i,j}} &= {slope}",
        )

    def size_lines(self) -> list[str]:
        """The size of the output; one line where both axes are alike."""
        sizes = [self.size_line(axis) for axis in (0, 1)]
        if sizes[0] == sizes[1]:
            return [f"H'=W' &= {sizes[0]}"]
        return [f"H' &= {sizes[0]}", f"W' &= {sizes[1]}"]

    def size_line(self, axis: int) -> str:
        """The size of the output along an axis, or which lines an adaptive window reads."""
        length, count, w = self.image.shape[axis], self.output.shape[axis], self.windows
        if w.kind == "global":
            return "1"
        if w.kind == "adaptive":
            index = self.at[axis]
            first, end = self.spans(axis)[index]
            ends = rf"\lfloor {index}\cdot {length}/{count}\rfloor = {first} \;\text{{to}}\;"
            return rf"{count};\quad {ends} \lceil {index + 1}\cdot {length}/{count}\rceil = {end}"
        left, right = (r"\lceil", r"\rceil") if w.ceil_mode else (r"\lfloor", r"\rfloor")
        steps = (length + 2 * w.padding - w.kernel_size) / w.stride
        told = (math.ceil(steps) if w.ceil_mode else math.floor(steps)) + 1
        less = r"\;-1 \text{ that starts in the padding}" if told > count else ""
        return rf"{left}({length}+2\cdot{w.padding}-{w.kernel_size})/{w.stride}{right}+1{less} = {count}"

    def checked(self) -> Tensor:
        """Outputs, then gradient."""
        return torch.cat([self.output.flatten(), self.gradient.flatten()])

    def table(self) -> pd.DataFrame:
        """The cells under the window."""
        (top, bottom), (left, right) = (self.spans(axis)[self.at[axis]] for axis in (0, 1))
        rows, columns = np.indices((bottom - top, right - left))
        return pd.DataFrame(
            {
                "row": rows.ravel() + top - self.border,
                "column": columns.ravel() + left - self.border,
                "input": self.cells.flatten().numpy(),
                "padding": self.outside()[top:bottom, left:right].flatten().numpy(),
            }
        )


def aligned(*lines: str) -> str:
    """Lines of LaTeX under each other, aligned at their ampersands."""
    return "$$\n\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}\n$$"


def grey_pixels(values: Tensor) -> Tensor:
    """(H, W) grey values of 0 to 255 as a picture."""
    return values.clamp(0, 255).round().to(torch.uint8).repeat(3, 1, 1)


def numbers(values: Tensor, pixels: Tensor) -> list[Shape]:
    """Each value in the middle of its cell, if there is room; dark on light, light on dark."""
    height, width = values.shape
    if max(height, width) > MOST_WITH_NUMBERS:
        return []
    light = torch.einsum("chw,c->hw", pixels.double(), torch.tensor([0.299, 0.587, 0.114]).double()) > 128
    texts = [[short(value, room=48 // width) for value in row] for row in values.tolist()]
    longest = max(len(text) for row in texts for text in row)
    size = min(11.0, 400 / max(height, width) / max(longest, 3))
    return [
        Text(x=j + 0.5, y=i + 0.5, text=text, color="#111" if bright else "#fff", size=size)
        for i, (row, brights) in enumerate(zip(texts, light.tolist(), strict=True))
        for j, (text, bright) in enumerate(zip(row, brights, strict=True))
    ]


def short(value: float, *, room: int) -> str:
    """A number in about ``room`` characters."""
    if value == -float("inf"):
        return "−∞"
    text = f"{value:.4g}"
    return text if len(text) <= max(room, 3) else f"{value:.0f}" if abs(value) >= 10 else f"{value:.1f}"


def power_figure(cells: Tensor, *, p: float) -> go.Figure:
    """What a window becomes as the power grows: as norm from the sum, as power mean from the mean, both to the maximum.

    Args:
        cells: (h, w), none negative.
        p: the power that is chosen.
    """
    powers = torch.linspace(1, 16, 61, dtype=torch.float64)
    largest = cells.max().clamp_min(1e-12)
    sums = ((cells.flatten() / largest)[:, None] ** powers).sum(0)  # [61]
    norm, mean = largest * sums ** (1 / powers), largest * (sums / cells.numel()) ** (1 / powers)
    traces = [
        _line(powers, norm, "Lp norm", VERMILLION, "solid"),
        _line(powers, mean, "Power mean (GeM)", BLUE, "dash"),
        _line(powers, largest.expand_as(powers), "Max", GREEN, "dot"),
        _line(powers, cells.mean().expand_as(powers), "Mean", PURPLE, "dashdot"),
    ]
    upright = {
        "type": "line",
        "x0": p,
        "x1": p,
        "yref": "paper",
        "y0": 0,
        "y1": 1,
        "line": {"color": GREY, "dash": "dot"},
    }
    layout = {
        "height": 300,
        "xaxis": {"title": {"text": "Power p"}, "range": [1, 16]},
        "yaxis": {"title": {"text": "Output (grey value)"}, "rangemode": "tozero"},
        "shapes": [upright],
    }
    return unchecked_figure(traces, layout)


def _line(x: Tensor, y: Tensor, name: str, color: str, dash: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "x": x.float().numpy(),
        "y": y.float().numpy(),
        "name": name,
        "mode": "lines",
        "line": {"color": color, "dash": dash, "width": 2.5},
        "hovertemplate": "%{y:.4g}",
    }
