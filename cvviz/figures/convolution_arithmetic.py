"""Pictures of the arithmetic: cells that windows read, matrices of convolutions, and sizes through a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import plotly.graph_objects as go
import torch
from torch import Tensor

from cvviz.figures.scene import Box, Path, Scene, Shape, Text
from cvviz.figures.theme import BLUE, GREEN, GREY, VERMILLION, colorize, unchecked_figure
from cvviz.figures.window import Reads, Window, strided_reads
from cvviz.ops.convolution import Counts, conv_transpose_output_size, conv_transpose_reads
from cvviz.ops.receptive_field import Layer

MOST_WITH_NUMBERS = 24  # cells a side
SMALLEST = 14  # px, of a cell with a number
TOGETHER = 590  # px on the screen, of pictures side by side
WIDEST = 240  # px, of a matrix: pictures up to this width keep their size, so that rows of C and y stay level
NARROWEST = 130  # px, for a caption
ONE = (0, 114, 178)  # the palette's blue
EMPTY = (250, 222, 204)  # never read, or reached by nothing
NOTHING = (236, 236, 236)  # a zero of a matrix
INSERTED = (214, 214, 214)
LINE = "#ffffff66"  # between cells

Border = tuple[int, int, int, int]


class Product(NamedTuple):
    """A layer as a matrix C (N', N), its weights (F, C/g, k ...), x (N,) and y = C x."""

    matrix: Tensor
    weights: Tensor
    x: Tensor
    y: Tensor


def say(value: float) -> str:
    """A number as short as a cell allows."""
    text = f"{value:.0f}" if abs(value - round(value)) < 1e-9 else f"{round(value, 2) + 0.0:.2f}"
    return text.replace("-", "−")


def by(values: Tensor) -> str:
    """Rows and columns of a map."""
    return f"{values.shape[0]} × {values.shape[1]}"


def positions_window(counts: Counts, *, layer: Layer, at: tuple[int, int]) -> Window:
    """The padded input, coloured by how often each cell is read, and the outputs.

    Args:
        counts: of a convolution.
        layer: its kernel, stride and dilation.
        at: (row, column) of the output shown; the last one where the map is smaller.
    """
    reach, outputs, border = counts.reach, counts.outputs, counts.border
    values = _real(reach, border)
    cell, taps = _cell(reach, outputs), layer.kernel_size**2
    caption = f"{'Padded input' if any(border) else 'Input'} {by(reach)}: times read"
    frame = _frame(reach, border, "Inside: the input. Outside: padding.")
    colors = _count_colors(reach, values.bool())
    source = _cells(reach, colors, caption, cell=cell, marked=reach == 0, shapes=frame)
    caption = f"Output {by(outputs)}: pixels"
    target = _cells(outputs, colorize(outputs, low=0, high=taps), caption, cell=cell, marked=outputs == 0)
    rows, columns = (
        strided_reads(n, layer.kernel_size, stride=layer.stride, dilation=layer.dilation) for n in outputs.shape
    )
    return _window(source, target, values, outputs, rows, columns, at, border=border)


def transposed_window(
    counts: Counts, weights: Tensor, *, layer: Layer, output_padding: int, at: tuple[int, int]
) -> Window:
    """An input of ones and what a transposed convolution makes of it.

    Args:
        counts: of the transposed convolution.
        weights: (k, k).
        layer, output_padding: its settings.
        at: (row, column) of the output shown; the last one where the map is smaller.
    """
    reach, outputs = counts.reach, counts.outputs
    cell = _cell(reach, outputs)
    caption = f"Ones {by(reach)}: reach"
    source = _cells(reach, _count_colors(reach, reach > 0), caption, cell=cell, marked=reach == 0)
    rows, columns = (_reached(n, layer, output_padding) for n in reach.shape)
    target = _response(counts, layer, cell)
    return _window(source, target, torch.ones(reach.shape), outputs, rows, columns, at, weights=weights)


def stuffed_window(
    counts: Counts, weights: Tensor, *, layer: Layer, output_padding: int, at: tuple[int, int]
) -> Window:
    """The same outputs as a convolution at stride 1: zeros between and around the inputs, the kernel turned.

    Args:
        counts, weights, layer, output_padding, at: as of ``transposed_window``.
    """
    lead = layer.extent - 1 - layer.padding  # zeros before the first input; if negative, lines are skipped
    before, after = max(lead, 0), max(lead + output_padding, 0)
    rows, columns = (before + (n - 1) * layer.stride + 1 + after for n in counts.reach.shape)
    values = torch.zeros(rows, columns)
    values[before : rows - after : layer.stride, before : columns - after : layer.stride] = 1
    border, cell = (before, before, after, after), _cell(values, counts.outputs)
    colors = torch.where(values.bool(), _rgb(ONE), _rgb(INSERTED))
    caption = f"Zeros inserted: {int((values == 0).sum())} of {values.numel()}"
    frame = _frame(values, border, "Outside: more zeros.")
    source = _cells(values, colors, caption, cell=cell, shapes=frame)
    target = _response(counts, layer, cell)
    lines, places = (_moved(n, layer, max(-lead, 0)) for n in counts.outputs.shape)
    return _window(source, target, values, counts.outputs, lines, places, at, border=border, weights=weights.flip(0, 1))


def matrix_window(product: Product, *, by_rows: bool, blocks: tuple[int, int], at: tuple[int, int]) -> Window:
    """The matrix of a convolution, and its product with a vector: y = C x by rows, or x' = C^T y by columns.

    Args:
        product: the matrix, x and y.
        by_rows: which of the two.
        blocks: channels (of the output, of the input), between which lines are drawn.
        at: (row, column) of the number of the product shown; the last one where it is smaller.
    """
    matrix, _, x, y = product
    count, length = matrix.shape
    factor, result = (x, y) if by_rows else (y, y @ matrix)
    cell = min(44.0, WIDEST / length)
    caption = f"C {by(matrix)}: {int((matrix == 0).sum())} zeros"
    lines = _grid(matrix, GREY, blocks)
    picture = _cells(matrix, _matrix_colors(matrix), caption, cell=cell, blank=True, shapes=lines)
    every = tuple(range(length if by_rows else count))
    whole = (Reads(source=every, kernel=every),)
    single = tuple(Reads(source=(i,), kernel=(i,)) for i in range(len(result)))
    shown, other = (result[:, None], factor[None]) if by_rows else (result[None], factor[:, None])
    names = ("y", "x") if by_rows else ("x′ = Cᵀy", "y")
    gram = matrix.T @ matrix
    return _window(
        picture,
        _vector(shown, names[0], cell),
        matrix,
        shown,
        single if by_rows else whole,
        whole if by_rows else single,
        at,
        weights=factor.expand(count, length) if by_rows else factor[:, None].expand(count, length),
        beside=[
            _vector(other, names[1], cell),
            _cells(gram, _matrix_colors(gram), f"CᵀC {by(gram)}: there and back", cell=cell, blank=True),
        ],
    )


def sizes_chart(labels: Sequence[str], down: Sequence[int], back: Sequence[int]) -> go.Figure:
    """Size of the map along a network, and on the way back.

    Args:
        labels: one per layer.
        down: size at the input and after each layer.
        back: sizes on the way back, by the same places; empty for none.
    """
    places = list(range(len(down)))
    traces = [
        {
            "type": "scatter",
            "name": "down",
            "mode": "lines+markers+text",
            "x": places,
            "y": list(down),
            "text": _changes(down),
            "textposition": "top right",
            "cliponaxis": False,
            "line": {"color": BLUE, "width": 2},
            "marker": {"color": BLUE, "size": 9},
        }
    ]
    if back:
        missed = [size if size != wanted else 0 for size, wanted in zip(back, down, strict=True)]
        traces.append(
            {
                "type": "scatter",
                "name": "back up, output padding 0",
                "mode": "lines+markers+text",
                "x": places,
                "y": list(back),
                "text": _changes(missed),
                "textposition": "bottom left",
                "cliponaxis": False,
                "textfont": {"color": VERMILLION},
                "line": {"color": VERMILLION, "width": 2, "dash": "dash"},
                "marker": {"color": VERMILLION, "size": 9, "symbol": "square-open"},
            }
        )
    ticks = ["input", *(f"{index}: {label}" for index, label in enumerate(labels, 1))]
    step = max(1, len(ticks) // 12)
    return unchecked_figure(
        traces,
        {
            "height": 400,
            "showlegend": bool(back),
            "margin": {"t": 48, "b": 64, "l": 60, "r": 24},
            "xaxis": {
                "title": {"text": "Layer"},
                "tickvals": places[::step],
                "ticktext": ticks[::step],
                "range": [-0.4, len(down) - 0.6],
            },
            "yaxis": {"title": {"text": "Lines of the map (px)"}, "type": "log", "dtick": 0.30103},
        },
    )


def _changes(sizes: Sequence[int]) -> list[str]:
    """Each size where it is new; 0 stays unsaid."""
    return [str(size) if size and size != last else "" for last, size in zip((0, *sizes), sizes, strict=False)]


def _window(
    source: Scene,
    target: Scene,
    values: Tensor,
    outputs: Tensor,
    rows: Sequence[Reads],
    columns: Sequence[Reads],
    at: tuple[int, int],
    *,
    border: Border = (0, 0, 0, 0),
    weights: Tensor | None = None,
    beside: Sequence[Scene] = (),
) -> Window:
    return Window(
        sources=[source],
        targets=[target],
        values=values[None],
        outputs=outputs[None],
        rows=rows,
        columns=columns,
        at=(min(at[0], len(outputs) - 1), min(at[1], outputs.shape[1] - 1)),
        field="at",
        weights=None if weights is None else weights[None, None],
        border=border,
        beside=beside,
    )


def _response(counts: Counts, layer: Layer, cell: float) -> Scene:
    outputs = counts.outputs
    signed, high = bool((outputs < 0).any()), float(outputs.abs().max())
    colors = colorize(outputs, scale="signed" if signed else "cividis", low=-high if signed else 0, high=high or 1)
    colors = torch.where(counts.products > 0, colors, _rgb(EMPTY))
    ends = " to ".join(say(float(end)) for end in (outputs.min(), outputs.max()))
    caption, empty = f"Output {by(outputs)}: {ends}", counts.products == 0
    return _cells(outputs, colors, caption, cell=cell, marked=empty, shapes=_inside(counts, layer))


def _inside(counts: Counts, layer: Layer) -> list[Shape]:
    """Frame around the outputs to which no tap is missing, where there are any."""
    lines = zip(counts.reach.shape, counts.outputs.shape, strict=True)
    first = max(layer.extent - layer.padding - layer.stride, 0)
    bottom, right = (min(n * layer.stride - layer.padding, whole) for n, whole in lines)
    box = Box(xyxy=(first, first, right, bottom), color=GREEN, dash=True, tip="Inside: as if the input had no rim.")
    return [box] if min(bottom, right) > first else []


def _real(reach: Tensor, border: Border) -> Tensor:
    """1 for each pixel and 0 for the padding."""
    top, left, bottom, right = border
    values = torch.zeros(reach.shape)
    values[top : len(reach) - bottom, left : reach.shape[1] - right] = 1
    return values


def _reached(size: int, layer: Layer, output_padding: int) -> tuple[Reads, ...]:
    """For each line of a transposed convolution's output, the input lines and taps through which it is reached."""
    window = {"stride": layer.stride, "padding": layer.padding, "dilation": layer.dilation}
    reads = conv_transpose_reads(size, layer.kernel_size, output_padding=output_padding, **window)
    whole = conv_transpose_output_size(size, layer.kernel_size, output_padding=output_padding, **window)
    places = ((reads == line).nonzero(as_tuple=True) for line in range(whole))
    return tuple(Reads(source=tuple(lines.tolist()), kernel=tuple(taps.tolist())) for lines, taps in places)


def _moved(outputs: int, layer: Layer, by: int) -> tuple[Reads, ...]:
    """Reads of a window that moves by one line, its start moved on."""
    reads = strided_reads(outputs, layer.kernel_size, dilation=layer.dilation)
    return tuple(Reads(source=tuple(line + by for line in item.source), kernel=item.kernel) for item in reads)


def _cell(*maps: Tensor) -> float:
    """Side of a cell on the screen with which maps fit side by side."""
    return min(40.0, TOGETHER / sum(values.shape[1] for values in maps))


def _cells(
    values: Tensor,
    pixels: Tensor,
    caption: str,
    *,
    cell: float,
    shapes: Sequence[Shape] = (),
    marked: Tensor | None = None,
    blank: bool = False,
) -> Scene:
    """One pixel per value, with the values written in where there is room.

    Args:
        values: (H, W).
        pixels: (3, H, W).
        cell: side of a cell in px on the screen.
        shapes: drawn over it.
        marked: (H, W) bool: cells whose number stands out.
        blank: leave cells of 0 empty, and the picture as narrow as it is.
    """
    length = values.shape[1]
    width = round(cell * length) if blank else max(NARROWEST, round(cell * length))
    over: list[Shape] = []
    if max(values.shape) <= MOST_WITH_NUMBERS and width >= SMALLEST * length:
        over = [*_grid(values, LINE), *_numbers(values, pixels, width / length, marked, blank)]
    return Scene(pixels=pixels, shapes=[*over, *shapes], caption=caption, exact=True, max_width=width)


def _numbers(values: Tensor, pixels: Tensor, cell: float, marked: Tensor | None, blank: bool) -> list[Shape]:
    light = torch.einsum("chw,c->hw", pixels.double(), torch.tensor([0.299, 0.587, 0.114]).double()) > 128
    words = [[say(value) for value in line] for line in values.tolist()]
    longest = max(len(word) for line in words for word in line)
    size = min(13.0, max(6.0, 1.5 * cell / max(longest, 2)))
    return [
        Text(x=column + 0.5, y=row + 0.5, text=word, color=color, size=size)
        for row, line in enumerate(words)
        for column, word in enumerate(line)
        for color in (
            VERMILLION if marked is not None and marked[row, column] else "#111" if light[row, column] else "#fff",
        )
        if not (blank and word == "0")
    ]


def _vector(values: Tensor, name: str, cell: float) -> Scene:
    wide = max(cell, min(SMALLEST, WIDEST / len(values)))  # a long column of narrow cells, but no line too thin to see
    return _cells(values, colorize(values, low=0), name, cell=wide, blank=True)


def _frame(values: Tensor, border: Border, tip: str) -> list[Shape]:
    top, left, bottom, right = border
    height, width = values.shape
    box = Box(xyxy=(left, top, width - right, height - bottom), color=GREEN, dash=True, tip=tip)
    return [box] if any(border) else []


def _count_colors(counts: Tensor, real: Tensor) -> Tensor:
    colors = colorize(counts, low=0)
    colors = torch.where(real, colors, (colors * 0.35 + 105).to(torch.uint8))  # padding: towards grey
    return torch.where(counts > 0, colors, _rgb(EMPTY))


def _matrix_colors(matrix: Tensor) -> Tensor:
    return torch.where(matrix != 0, colorize(matrix, low=0), _rgb(NOTHING))


def _grid(values: Tensor, color: str, parts: tuple[int, int] | None = None) -> list[Shape]:
    """Lines between cells, or between so many equal parts of rows and columns."""
    height, width = values.shape
    rows, columns = parts or (height, width)
    return [
        *(Path(points=((0, y), (width, y)), color=color, width=1) for y in _ends(height, rows)),
        *(Path(points=((x, 0), (x, height)), color=color, width=1) for x in _ends(width, columns)),
    ]


def _ends(length: int, parts: int) -> list[float]:
    return [length / parts * part for part in range(1, parts)]


def _rgb(color: tuple[int, int, int]) -> Tensor:
    return torch.tensor(color, dtype=torch.uint8)[:, None, None]
