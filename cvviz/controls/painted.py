"""A mask that the reader paints cell by cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from cvviz.controls.base import Control, shorten

DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
MORE = len(DIGITS) - 1  # the last digit: so many cells, and the run goes on


@dataclass(frozen=True, slots=True)
class Mask(Control):
    """A mask of ``width`` x ``height`` cells, painted by hand. The value is a bytes of 0 and 1, row by row, or b"".

    b"" says that nothing was painted: what a concept shows then is its own affair.

    As text it is the lengths of its runs, the first one of 0s, each in one digit of base 36; "z" says 35 and goes on.
    A blob takes some 50 letters of a link.
    """

    width: int = 32
    height: int = 32

    def encode(self, value: Any) -> str:
        if not value:
            return ""
        runs = [(cell, len(list(group))) for cell, group in groupby(value)]
        if runs[0][0]:
            runs.insert(0, (0, 0))
        return "".join("z" * (length // MORE) + DIGITS[length % MORE] for _, length in runs)

    def decode(self, text: str) -> bytes:
        cells, cell = bytearray(), 0
        for digit in text:
            length = DIGITS.find(digit)
            if length < 0 or len(cells) + length > self.width * self.height:
                break
            cells += bytes([cell]) * length
            cell ^= length < MORE
        else:
            if not text or (len(cells) == self.width * self.height and not text.endswith("z")):
                return bytes(cells)
        raise ValueError(
            f"{self.label} takes the runs of {self.width} × {self.height} cells as digits and letters, "
            f"got “{shorten(text)}”."
        )

    def limits(self, default: Any) -> tuple[Any, ...]:
        count = self.width * self.height
        return (b"", bytes(count), b"\1" * count, bytes(index % 2 for index in range(count)))

    def plain(self, value: Any) -> Any:
        return picture(value, self.width)


def picture(cells: Sequence[int] | bytes, width: int) -> list[str]:
    """Rows of a mask as a person can read them: ``#`` for 1, ``.`` for 0."""
    text = "".join(".#"[cell] for cell in cells)
    return [text[start : start + width] for start in range(0, len(text), width)]
