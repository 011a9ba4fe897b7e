"""Controls whose value is typed as text: lists, stacks of layers, matrices, boxes and places."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cvviz.controls.base import Control, shorten
from cvviz.ops.receptive_field import Layer

XYXY = tuple[float, float, float, float]
Rows = tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class Ints(Control):
    """A short list of whole numbers such as ``1 2 5``. The value is a tuple of int."""

    low: int = 1
    high: int = 32
    most: int = 8

    def encode(self, value: Any) -> str:
        return " ".join(str(number) for number in value)

    def decode(self, text: str) -> tuple[int, ...]:
        words = re.split(r"[\s,;]+", text.strip())
        if words == [""]:
            raise ValueError(f"{self.label} needs at least one whole number, for example 1 2 5.")
        if len(words) > self.most:
            raise ValueError(f"{self.label} takes at most {self.most} numbers, got {len(words)}.")
        for word in words:
            if not re.fullmatch(r"-?\d{1,6}", word):
                raise ValueError(f"{self.label} takes whole numbers such as 1 2 5, got “{shorten(word)}”.")
            if not self.low <= int(word) <= self.high:
                limits = f"must lie between {self.low} and {self.high}"
                raise ValueError(f"Each number of {self.label} {limits}, got {word}.")
        return tuple(int(word) for word in words)

    def limits(self, default: Any) -> tuple[Any, ...]:
        return ((self.low,), (self.high,), (self.low,) * self.most)


@dataclass(frozen=True, slots=True)
class LayerStack(Control):
    """A stack of convolutions or poolings typed as ``k3s2p1d1``. The value is a tuple of Layer.

    What a person types: ``k3s2p1`` or just ``3s2p1``; ``s``, ``p`` and ``d`` may be left out and mean 1, 0 and 1;
    ``psame`` pads by d(k - 1)/2; ``3*k3`` repeats a layer three times. Spaces or commas separate layers.
    """

    most: int = 24
    most_kernel: int = 15
    most_stride: int = 8
    most_padding: int = 32
    most_dilation: int = 32

    def encode(self, value: Any) -> str:
        return " ".join(layer_text(layer) for layer in value)

    def decode(self, text: str) -> tuple[Layer, ...]:
        layers: list[Layer] = []
        count = 0
        for word in re.split(r"[\s,;]+", text.strip()):
            match = re.fullmatch(r"(?:(\d{1,2})[*x])?k?(\d{1,3})((?:[spd]\d{1,3}|psame)*)", word.lower())
            if not match:
                example = "write each layer like k3s2p1d1, for example k7s2p3 k3"
                raise ValueError(f"{self.label}: cannot read “{shorten(word)}”; {example}.")
            layer, repeats = self._layer(word, int(match[2]), match[3]), int(match[1] or 1)
            count += repeats
            if count <= self.most:  # however long the text is
                layers += [layer] * repeats
        if not 1 <= count <= self.most:
            raise ValueError(f"{self.label} takes 1 to {self.most} layers, got {count}.")
        return tuple(layers)

    def _layer(self, word: str, kernel_size: int, options: str) -> Layer:
        found = re.findall(r"([spd])(same|\d+)", options)
        given = dict(found)
        if len(found) != len(given):
            raise ValueError(f"{self.label}: “{shorten(word)}” gives one of s, p, d twice.")
        dilation = int(given.get("d", 1))
        same = given.get("p") == "same"
        padding = dilation * (kernel_size - 1) // 2 if same else int(given.get("p", 0))
        layer_range = {
            "kernel": (kernel_size, 1, self.most_kernel),
            "stride": (int(given.get("s", 1)), 1, self.most_stride),
            "padding": (padding, 0, max(self.most_padding, dilation * (kernel_size - 1) // 2)),
            "dilation": (dilation, 1, self.most_dilation),
        }
        for name, (value, low, high) in layer_range.items():
            if not low <= value <= high:
                raise ValueError(f"{self.label}: the {name} of “{shorten(word)}” must lie between {low} and {high}.")
        return Layer(kernel_size, layer_range["stride"][0], padding, dilation)

    def limits(self, default: Any) -> tuple[Any, ...]:
        return ((Layer(1),), (Layer(self.most_kernel),), (Layer(3, 1, 1),) * self.most)

    def plain(self, value: Any) -> Any:
        return [(layer.kernel_size, layer.stride, layer.padding, layer.dilation) for layer in value]


@dataclass(frozen=True, slots=True)
class Matrix(Control):
    """Rows of numbers: one of the named ones, or typed. The value is a tuple of rows.

    What a person types: ``1 0 -1; 2 0 -2; 1 0 -1``, rows parted by semicolons or new lines, numbers by spaces or
    commas. Fractions such as ``1/9`` are numbers.
    """

    named: Mapping[str, Rows] = field(default_factory=dict)
    most: int = 7
    largest: float = 1000

    def name_of(self, value: Rows) -> str:
        """Name of ``value``, or "" where it has none."""
        return next((name for name, rows in self.named.items() if rows == value), "")

    def encode(self, value: Any) -> str:
        return self.name_of(value) or self.text(value)

    def text(self, value: Rows) -> str:
        """The numbers as a person would type them."""
        return "; ".join(" ".join(map(_shortest, row)) for row in value)

    def decode(self, text: str) -> Rows:
        if text.strip() in self.named:
            return self.named[text.strip()]
        lines = [line for line in re.split(r"[;\n]", text.replace("−", "-")) if line.strip()]
        if not lines:
            raise ValueError(f"{self.label} is empty: type rows of numbers, for example 1 0 -1; 2 0 -2; 1 0 -1.")
        rows = tuple(tuple(map(self._number, re.split(r"[\s,]+", line.strip(" \t,")))) for line in lines)
        height, width = len(rows), max(map(len, rows))
        if any(len(row) != width for row in rows):
            lengths = ", ".join(str(len(row)) for row in rows[: self.most + 1])
            raise ValueError(f"{self.label} needs rows of equal length, got {lengths} numbers.")
        if max(height, width) > self.most:
            raise ValueError(f"{self.label} may be at most {self.most} × {self.most}, got {height} × {width}.")
        return rows

    def _number(self, word: str) -> float:
        match = re.fullmatch(r"([-+]?(?:\d{1,9}\.?\d{0,20}|\.\d{1,20})(?:e[-+]?\d{1,2})?)(?:/(\d{1,9}))?", word.lower())
        if not match or (match[2] is not None and int(match[2]) == 0):
            raise ValueError(f"{self.label} takes numbers such as -1, 0.5 or 1/9, got “{shorten(word)}”.")
        number = float(match[1]) / int(match[2] or 1)
        if abs(number) > self.largest:
            raise ValueError(f"{self.label} takes numbers up to {self.largest:g}, got {shorten(word)}.")
        return number

    def limits(self, default: Any) -> tuple[Any, ...]:
        square = tuple((1.0,) * self.most for _ in range(self.most))
        return (*self.named.values(), ((-self.largest,),), square, square[:1], tuple((0.5,) for _ in range(self.most)))

    def plain(self, value: Any) -> Any:
        return [list(row) for row in value]


@dataclass(frozen=True, slots=True)
class Cell(Control):
    """A place (row, column) in a map, from (0, 0), that the reader points at. ``compute`` keeps it inside the map."""

    most: int = 999

    def encode(self, value: Any) -> str:
        return f"{value[0]},{value[1]}"

    def decode(self, text: str) -> tuple[int, int]:
        match = re.fullmatch(r"\s*(\d{1,3})\s*[,;\s]\s*(\d{1,3})\s*", text)
        if not match:
            raise ValueError(
                f"{self.label} takes row and column counted from 0, for example 3,4; got “{shorten(text)}”."
            )
        return int(match[1]), int(match[2])

    def limits(self, default: Any) -> tuple[Any, ...]:
        return ((0, 0), (self.most, self.most))


@dataclass(frozen=True, slots=True)
class Boxes(Control):
    """A fixed number of named boxes (x1, y1, x2, y2) in pixels of a ``width`` x ``height`` canvas, edited by hand."""

    names: tuple[str, ...] = ("Box",)
    width: int = 320
    height: int = 240

    def encode(self, value: Any) -> str:
        return ";".join(",".join(f"{number:.6g}" for number in box) for box in value)

    def decode(self, text: str) -> tuple[XYXY, ...]:
        groups = [group for group in text.split(";") if group.strip()]
        if len(groups) != len(self.names):
            example = "40,40,160,160"
            raise ValueError(f"{self.label} takes {len(self.names)} boxes like {example}, parted by “;”.")
        return tuple(self._box(name, group) for name, group in zip(self.names, groups, strict=True))

    def _box(self, name: str, text: str) -> XYXY:
        try:
            x1, y1, x2, y2 = (float(number) for number in text.split(","))
        except ValueError:
            raise ValueError(f"{name} needs four numbers x1,y1,x2,y2, got “{shorten(text)}”.") from None
        if not (0 <= x1 < x2 <= self.width and 0 <= y1 < y2 <= self.height):
            raise ValueError(f"{name} needs 0 ≤ x1 < x2 ≤ {self.width} and 0 ≤ y1 < y2 ≤ {self.height}.")
        return x1, y1, x2, y2

    def limits(self, default: Any) -> tuple[Any, ...]:
        width, height, count = float(self.width), float(self.height), len(self.names)
        corner = tuple((0.0, 0.0, 1.0, 1.0) if i == 0 else (width - 1, height - 1, width, height) for i in range(count))
        return (corner, ((0.0, 0.0, width, height),) * count)

    def plain(self, value: Any) -> Any:
        return [list(box) for box in value]


@dataclass(frozen=True, slots=True)
class Points(Control):
    """Points (x, y) in units of the data, moved by hand. The value is a tuple of pairs.

    Args:
        x, y: (low, high) of each coordinate.
        step: coordinates are its multiples.
        least, most: number of points; equal where points are only moved.
    """

    x: tuple[float, float] = (0, 10)
    y: tuple[float, float] = (0, 10)
    step: float = 0.1
    least: int = 1
    most: int = 24

    def encode(self, value: Any) -> str:
        return ";".join(",".join(f"{number:.6g}" for number in point) for point in value)

    def decode(self, text: str) -> tuple[tuple[float, float], ...]:
        groups = [group for group in text.split(";") if group.strip()]
        if not self.least <= len(groups) <= self.most:
            wanted = f"{self.least}" if self.least == self.most else f"{self.least} to {self.most}"
            raise ValueError(f"{self.label} takes {wanted} points like 2,3.5, parted by “;”, got {len(groups)}.")
        return tuple(map(self._point, groups))

    def _point(self, text: str) -> tuple[float, float]:
        try:
            x, y = (float(number) for number in text.split(","))
        except ValueError:
            raise ValueError(f"{self.label} needs two numbers for each point, got “{shorten(text)}”.") from None
        if not (self.x[0] <= x <= self.x[1] and self.y[0] <= y <= self.y[1]):
            limits = f"{self.x[0]:g} ≤ x ≤ {self.x[1]:g} and {self.y[0]:g} ≤ y ≤ {self.y[1]:g}"
            raise ValueError(f"{self.label} must lie within {limits}, got “{shorten(text)}”.")
        return snapped(x, self.step), snapped(y, self.step)

    def limits(self, default: Any) -> tuple[Any, ...]:
        corners = [(float(x), float(y)) for x in self.x for y in self.y]
        spread = tuple(corners[index % 4] for index in range(self.least))
        return (spread, (corners[0],) * self.most)

    def plain(self, value: Any) -> Any:
        return [list(point) for point in value]


@dataclass(frozen=True, slots=True)
class Heights(Control):
    """A fixed number of values, each moved up and down by hand in its own column. The value is a tuple of float."""

    count: int = 3
    low: float = 0
    high: float = 10
    step: float = 0.1

    def encode(self, value: Any) -> str:
        return " ".join(f"{number:.6g}" for number in value)

    def decode(self, text: str) -> tuple[float, ...]:
        words = text.replace("−", "-").replace(",", " ").split()
        if len(words) != self.count:
            raise ValueError(f"{self.label} takes {self.count} numbers parted by spaces, got {len(words)}.")
        return tuple(map(self._height, words))

    def _height(self, word: str) -> float:
        try:
            number = float(word)
        except ValueError:
            raise ValueError(f"{self.label} takes numbers such as -1 or 2.5, got “{shorten(word)}”.") from None
        if not self.low <= number <= self.high:
            raise ValueError(f"{self.label} must lie between {self.low:g} and {self.high:g}, got {shorten(word)}.")
        return snapped(number, self.step)

    def limits(self, default: Any) -> tuple[Any, ...]:
        low, high = float(self.low), float(self.high)
        return ((low,) * self.count, (high,) * self.count, (high, *[low] * (self.count - 1)))

    def plain(self, value: Any) -> Any:
        return list(value)


def snapped(number: float, step: float) -> float:
    """The multiple of ``step`` next to ``number``."""
    return round(round(number / step) * step, 9) + 0.0


def layer_text(layer: Layer) -> str:
    """Shortest text that ``LayerStack.decode`` reads back as ``layer``: ``k3s2p1d1`` less its defaults."""
    parts = (("s", layer.stride, 1), ("p", layer.padding, 0), ("d", layer.dilation, 1))
    return f"k{layer.kernel_size}" + "".join(f"{name}{value}" for name, value, default in parts if value != default)


def _shortest(number: float) -> str:
    """Shortest text that reads back as ``number``."""
    return f"{number:g}" if float(f"{number:g}") == number else repr(number)
