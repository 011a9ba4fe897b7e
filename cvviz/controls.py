"""What a parameter is: its label, range and text form. How it is drawn is the business of ``cvviz.ui``.

A concept annotates the fields of its ``Params`` with these::

    gamma: Annotated[float, Slider("Focusing γ", 0, 5, 0.1)] = 2.0

Every control turns a value into text for the URL (``encode``) and back (``decode``, which raises ValueError with a
sentence for the user), names the values that the tests must try (``limits``), and gives the plain Python or torch
value that a concept's ``reference`` receives (``plain``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from cvviz.data.images import Picture, sample, sample_names
from cvviz.ops.receptive_field import Layer

XYXY = tuple[float, float, float, float]
OWN = "mine"  # what stands in the address for a picture of the visitor's own


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """What all controls share.

    Args:
        help: one sentence shown on request beside the label.
        when: tells from the current Params whether the control is shown; None shows it always.
        in_url: whether the value can travel in a link.
    """

    help: str = ""
    when: Callable[[Any], bool] | None = None
    in_url: ClassVar[bool] = True
    label: str = field(default="", kw_only=False)

    def encode(self, value: Any) -> str:
        """Text of ``value`` for a URL."""
        return str(value)

    def decode(self, text: str) -> Any:
        """Value of ``text``. Raises ValueError with a sentence for the user."""
        raise NotImplementedError

    def limits(self, default: Any) -> tuple[Any, ...]:
        """Extreme values that every concept must survive."""
        return (default,)

    def plain(self, value: Any) -> Any:
        """``value`` as a plain Python value or a tensor, for a reference that knows nothing of cvviz."""
        return value


@dataclass(frozen=True, slots=True)
class Slider(Control):
    """A number in [low, high]; an int when ``low`` and ``step`` are ints. ``log`` spaces the positions by ratio."""

    low: float = 0
    high: float = 1
    step: float = 0.01
    log: bool = False
    unit: str = ""

    @property
    def integer(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.step, int) and not self.log

    def encode(self, value: Any) -> str:
        return str(int(value)) if self.integer else f"{value:.6g}"

    def decode(self, text: str) -> float:
        try:
            value = int(text) if self.integer else float(text)
        except ValueError:
            kind = "a whole number" if self.integer else "a number"
            raise ValueError(f"{self.label} must be {kind}, got “{shorten(text)}”.") from None
        if not self.low <= value <= self.high:  # NaN fails
            raise ValueError(f"{self.label} must lie between {self.low:g} and {self.high:g}, got {shorten(text)}.")
        return value

    def limits(self, default: Any) -> tuple[Any, ...]:
        return (self.low, self.high) if self.integer else (float(self.low), float(self.high))


@dataclass(frozen=True, slots=True)
class Seed(Slider):
    """The seed of everything random in a concept."""

    label: str = "Seed"
    low: float = 0
    high: float = 99
    step: float = 1


@dataclass(frozen=True, slots=True)
class Choice(Control):
    """One of several strings: value -> what the user reads (or just the values)."""

    options: Mapping[str, str] | tuple[str, ...] = ()

    @property
    def titles(self) -> dict[str, str]:
        return dict(self.options) if isinstance(self.options, Mapping) else {name: name for name in self.options}

    def decode(self, text: str) -> str:
        if text not in self.titles:
            raise ValueError(f"{self.label} must be one of {', '.join(self.titles)}, got “{shorten(text)}”.")
        return text

    def limits(self, default: Any) -> tuple[Any, ...]:
        return tuple(self.titles)


@dataclass(frozen=True, slots=True)
class Many(Choice):
    """Several of several strings, in the order of the options; never none. The value is a tuple of str."""

    def encode(self, value: Any) -> str:
        return ",".join(value)

    def decode(self, text: str) -> tuple[str, ...]:  # type: ignore[override]
        names = [name for name in text.split(",") if name]
        unknown = [name for name in names if name not in self.titles]
        if unknown or not names:
            got = shorten(unknown[0] if unknown else text)
            raise ValueError(f"{self.label} takes some of {', '.join(self.titles)}, got “{got}”.")
        return tuple(name for name in self.titles if name in names)

    def limits(self, default: Any) -> tuple[Any, ...]:
        return (*((name,) for name in self.titles), tuple(self.titles))


@dataclass(frozen=True, slots=True)
class Toggle(Control):
    """Yes or no."""

    def encode(self, value: Any) -> str:
        return "true" if value else "false"

    def decode(self, text: str) -> bool:
        if text.lower() not in ("true", "false"):
            raise ValueError(f"{self.label} must be true or false, got “{shorten(text)}”.")
        return text.lower() == "true"

    def limits(self, default: Any) -> tuple[Any, ...]:
        return (False, True)


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
class Image(Control):
    """A Picture: a sample, or the user's own. A link names the sample; an upload never leaves the session.

    Args:
        main: the user's own picture, once chosen anywhere in the app, is the default of this control.
    """

    main: bool = True

    def encode(self, value: Any) -> str:
        return str(value.name)

    def decode(self, text: str) -> Picture:
        if text == OWN:
            raise ValueError("This link was made with somebody's own picture, which no link can carry.")
        if text not in sample_names():
            raise ValueError(f"{self.label} must be one of {', '.join(sample_names())}, got “{shorten(text)}”.")
        return sample(text)

    def limits(self, default: Any) -> tuple[Any, ...]:
        return tuple(sample(name) for name in sample_names())

    def plain(self, value: Any) -> Any:
        return value.pixels


@dataclass(frozen=True, slots=True)
class File(Control):
    """Something that the user uploads and ``parse(name, data)`` reads, or None. It stays in the session.

    ``parse`` raises ValueError with one sentence when nothing can be used.
    """

    types: tuple[str, ...] = ()
    parse: Callable[[str, bytes], Any] | None = None
    in_url: ClassVar[bool] = False

    def encode(self, value: Any) -> str:
        return ""


def layer_text(layer: Layer) -> str:
    """Shortest text that ``LayerStack.decode`` reads back as ``layer``: ``k3s2p1d1`` less its defaults."""
    parts = (("s", layer.stride, 1), ("p", layer.padding, 0), ("d", layer.dilation, 1))
    return f"k{layer.kernel_size}" + "".join(f"{name}{value}" for name, value, default in parts if value != default)


def shorten(text: str, most: int = 40) -> str:
    """``text`` cut to ``most`` characters, for quoting a user's words in a message."""
    return text if len(text) <= most else text[: most - 1] + "…"
