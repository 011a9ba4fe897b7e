"""Controls that are moved or chosen, and what all controls share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar


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


def shorten(text: str, most: int = 40) -> str:
    """``text`` cut to ``most`` characters, for quoting a user's words in a message."""
    return text if len(text) <= most else text[: most - 1] + "…"
