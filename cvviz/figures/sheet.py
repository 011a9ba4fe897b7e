"""A sheet with axes on which a Scene draws in the units of the data, so that points can be dragged on a plot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from cvviz.figures.scene import Path, PointHandles, Scene, Shape, Text
from cvviz.figures.theme import GREY

Range = tuple[float, float]
XY = tuple[float, float]
LEFT, TOP, RIGHT, BOTTOM = 44, 26, 12, 40  # margins in pixels of the canvas
TICKS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """Axes of a plot.

    Args:
        x, y: (low, high) of what is shown.
        x_title, y_title: with units.
        width, height: of the canvas, in pixels.
        columns: whether x counts columns that the shapes name, so that it has neither numbers nor lines.
    """

    x: Range
    y: Range
    x_title: str
    y_title: str
    width: int = 480
    height: int = 360
    columns: bool = False

    @property
    def frame(self) -> tuple[float, float, float, float]:
        """(left, top, right, bottom) of the plot in pixels of the canvas."""
        return LEFT, TOP, self.width - RIGHT, self.height - BOTTOM

    def to(self, x: float, y: float) -> XY:
        """Pixel of a point."""
        left, top, right, bottom = self.frame
        return (
            left + (x - self.x[0]) / (self.x[1] - self.x[0]) * (right - left),
            bottom - (y - self.y[0]) / (self.y[1] - self.y[0]) * (bottom - top),
        )

    def axes(self) -> list[Shape]:
        """Grid, ticks and titles."""
        left, top, right, bottom = self.frame
        shapes: list[Shape] = []
        for value in [] if self.columns else ticks(self.x):
            x, _ = self.to(value, self.y[0])
            shapes.append(Path(points=((x, top), (x, bottom)), color=GREY, width=0.5 if value else 1.2))
            shapes.append(Text(x=x, y=bottom + 12, text=number(value), color=GREY, size=11))
        for value in ticks(self.y):
            _, y = self.to(self.x[0], value)
            shapes.append(Path(points=((left, y), (right, y)), color=GREY, width=0.5 if value else 1.2))
            shapes.append(Text(x=left - 16, y=y, text=number(value), color=GREY, size=11))
        shapes.append(Text(x=(left + right) / 2, y=bottom + 30, text=self.x_title, color=GREY, size=12))
        shapes.append(Text(x=0, y=top - 2, text=self.y_title, color=GREY, size=12, centered=False))
        return shapes

    def line(
        self, points: Sequence[XY], *, color: str, width: float = 2.5, dash: bool = False, tip: str = ""
    ) -> list[Path]:
        """A curve through points of the data, cut at the edge of the plot."""
        parts: list[list[XY]] = [[]]
        for start, end in pairwise(points):
            inside = self._cut(start, end)
            if inside is None:
                continue
            first, last = inside
            if not parts[-1] or parts[-1][-1] != first:
                parts.append([first])
            parts[-1].append(last)
        return [
            Path(points=[self.to(x, y) for x, y in part], color=color, width=width, dash=dash, tip=tip)
            for part in parts
            if len(part) > 1
        ]

    def handles(
        self,
        field: str,
        points: Sequence[XY],
        *,
        colors: Sequence[str],
        step: float,
        fixed: bool,
        upright: bool = False,
        labels: Sequence[str] = (),
    ) -> PointHandles:
        """Points that the reader drags; see ``PointHandles``."""
        return PointHandles(
            field=field,
            points=tuple(points),
            colors=tuple(colors),
            frame=self.frame,
            x=self.x,
            y=self.y,
            step=step,
            fixed=fixed,
            upright=upright,
            labels=tuple(labels),
        )

    def scene(self, shapes: Sequence[Shape], *, handles: PointHandles | None = None, caption: str = "") -> Scene:
        """The sheet with shapes on it."""
        return Scene(
            canvas=(self.width, self.height),
            shapes=[*self.axes(), *shapes],
            caption=caption,
            points=handles,
            max_width=round(self.width * 1.4),
        )

    def _cut(self, start: XY, end: XY) -> tuple[XY, XY] | None:
        """The part of a segment inside the plot (Liang and Barsky), or None. Not finite: None."""
        (x1, y1), (x2, y2) = start, end
        if not all(map(math.isfinite, (x1, y1, x2, y2))):
            return None
        dx, dy, low, high = x2 - x1, y2 - y1, 0.0, 1.0
        for step, room in ((-dx, x1 - self.x[0]), (dx, self.x[1] - x1), (-dy, y1 - self.y[0]), (dy, self.y[1] - y1)):
            if step == 0:
                if room < 0:
                    return None
            elif step < 0:
                low = max(low, room / step)
            else:
                high = min(high, room / step)
        if low > high:
            return None
        first = start if low == 0 else (x1 + low * dx, y1 + low * dy)
        last = end if high == 1 else (x1 + high * dx, y1 + high * dy)
        return first, last


def ticks(span: Range) -> list[float]:
    """Round numbers inside ``span``: multiples of 1, 2 or 5 times a power of ten, about six."""
    low, high = span
    rough = (high - low) / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(index * step, 12) + 0.0 for index in range(first, math.floor(high / step + 1e-9) + 1)]


def number(value: float) -> str:
    """A tick's number."""
    return f"{value:g}".replace("-", "−")
