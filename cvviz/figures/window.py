"""A window that slides over a picture: the stage of convolution, pooling and whatever else reads cell by cell.

Which cells each output reads, with which weight, is given; the browser looks numbers up and computes none.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from torch import Tensor

from cvviz.figures.scene import Box, Scene
from cvviz.figures.theme import VERMILLION

How = Literal["sum", "max", "mean", "norm"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reads:
    """What one line (row or column) of outputs reads: lines of the source, and the line of the kernel for each."""

    source: tuple[int, ...]
    kernel: tuple[int, ...]


def strided_reads(outputs: int, kernel: int, *, stride: int = 1, dilation: int = 1) -> tuple[Reads, ...]:
    """Reads along one axis of a window that moves by ``stride`` over a source which includes its padding."""
    taps = tuple(range(kernel))
    starts = (index * stride for index in range(outputs))
    return tuple(Reads(source=tuple(start + dilation * tap for tap in taps), kernel=taps) for start in starts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Pictures of a source and of its outputs, tied by what each output cell reads. One cell is one pixel of a scene.

    Args:
        sources: C pictures of (H, W) cells, padding included; or one picture of all channels.
        targets: F pictures of (H', W') cells.
        values: (C, H, W), the source's numbers.
        weights: (F, C, kh, kw), or None where all count alike.
        outputs: (F, H', W').
        rows, columns: what each output row and column reads.
        border: (top, left, bottom, right) lines of the source that are padding.
        how: what an output is of the products: their sum; or the maximum, mean or norm of the values.
        names: of the channels.
        at: (row, column) of the output first shown.
        field: name of the Cell field of Params that keeps the output clicked on.
        beside: further pictures, which the window does not touch.
    """

    sources: Sequence[Scene]
    targets: Sequence[Scene]
    values: Tensor
    outputs: Tensor
    rows: Sequence[Reads]
    columns: Sequence[Reads]
    at: tuple[int, int]
    field: str
    weights: Tensor | None = None
    border: tuple[int, int, int, int] = (0, 0, 0, 0)
    how: How = "sum"
    names: Sequence[str] = ()
    beside: Sequence[Scene] = ()

    def scenes(self) -> list[Scene]:
        """The pictures with the window where it stands: what a notebook and a file show."""
        row, column = self.at
        ys, xs = self.rows[row].source, self.columns[column].source
        taps = [Box(xyxy=(x, y, x + 1, y + 1), color=VERMILLION, width=1, fill=0.2) for y in ys for x in xs]
        if taps:
            around = (min(xs), min(ys), max(xs) + 1, max(ys) + 1)
            taps.append(Box(xyxy=around, color=VERMILLION, width=3))
        cell = Box(xyxy=(column, row, column + 1, row + 1), color=VERMILLION, width=3)
        return [
            *(replace(scene, shapes=[*scene.shapes, *taps]) for scene in self.sources),
            *(replace(scene, shapes=[*scene.shapes, cell]) for scene in self.targets),
            *self.beside,
        ]

    def svg(self) -> str:
        """Stand-alone markup of the pictures."""
        return "\n".join(scene.svg() for scene in self.scenes())

    def _repr_html_(self) -> str:
        return self.svg()

    def numbers(self) -> dict[str, Any]:
        """Everything that the browser looks up, ready for JSON."""
        return {
            "sources": len(self.sources),
            "targets": len(self.targets),
            "values": packed(self.values),
            "weights": None if self.weights is None else packed(self.weights),
            "outputs": packed(self.outputs),
            "rows": [[line.source, line.kernel] for line in self.rows],
            "columns": [[line.source, line.kernel] for line in self.columns],
            "border": list(self.border),
            "how": self.how,
            "names": list(self.names),
            "at": list(self.at),
            "field": self.field,
        }


def packed(values: Tensor) -> dict[str, Any]:
    """A tensor as base64 of its numbers in the smallest type that holds them, at most single precision."""
    data = values.detach().cpu().numpy()
    kind = "f4"
    if not np.issubdtype(data.dtype, np.floating) or np.array_equal(data, np.rint(data)):
        low, high = (data.min(), data.max()) if data.size else (0, 0)
        kind = "u1" if low >= 0 and high < 2**8 else "i2" if low >= -(2**15) and high < 2**15 else "f4"
    text = base64.b64encode(np.ascontiguousarray(data, dtype=f"<{kind}").tobytes()).decode()
    return {"kind": kind, "shape": list(data.shape), "data": text}
