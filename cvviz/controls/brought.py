"""Controls that take what the user brings: a picture, a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from cvviz.controls.base import Control, shorten
from cvviz.data.images import Picture, sample, sample_names

OWN = "mine"  # what stands in the address for a picture of the visitor's own


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
