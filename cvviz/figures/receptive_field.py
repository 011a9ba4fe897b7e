"""What a unit sees: a picture lit by its gradient, the gradient itself, growth along the network, and the recursion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.v2.functional import center_crop, resize

from cvviz.figures.scene import XYXY, Box, Dot, Scene, Shape, Text
from cvviz.figures.theme import BLUE, GREEN, GREY, VERMILLION, colorize, new_figure
from cvviz.ops.receptive_field import Field, Node, thresholded_span

SIDE = 384  # longest side of a picture on the stage
SHARP = 128  # pictures up to this wide are shown pixel by pixel
FLOOR = 1e-5  # relative gradient at the dark end of the scale
# The mean of ImageNet in 0..255: what zero padding looks like once a picture has been normalised.
PADDING = (124, 116, 104)
PALE = 225  # grey of what a threshold cuts away; no colour of the scale
SHADE = 0.5  # brightness where no gradient arrives

Span = tuple[int, int]  # (first, end) in pixels


@dataclass(frozen=True, slots=True)
class Heat:
    """Gradient of a unit over its field.

    Attributes:
        relative: (rows, columns) float32, the peak 1.
        small: the same, at most ``SIDE`` wide; each cell keeps its largest value.
        colors: (3, *small.shape) uint8, on a log scale from ``FLOOR`` to 1.
    """

    relative: Tensor
    small: Tensor
    colors: Tensor

    def seen(self, threshold: float) -> tuple[Span, Span]:
        """Spans of the rows and of the columns that reach a part of the peak."""
        rows, columns = (thresholded_span(self.relative.amax(axis), threshold=threshold) for axis in (1, 0))
        return rows, columns


@dataclass(frozen=True, slots=True)
class Frame:
    """A square input of ``side`` pixels in ``margin`` pixels of padding."""

    side: int
    margin: int

    @property
    def width(self) -> int:
        """Side of the whole."""
        return self.side + 2 * self.margin

    @classmethod
    def around(cls, side: int, field: Field, units: int) -> Frame:
        """Frame that holds the field of every unit of a map, as long as the input keeps enough of the stage.

        Taken of the last map, it keeps still while depth and unit move.
        """
        over = max(-field.span(0)[0], field.span(max(units - 1, 0))[1] - side, 0)
        return cls(side, min(over, 5 * side // 8))


def heat(mass: Tensor) -> Heat:
    """Gradient (rows, columns) as ``Heat``."""
    relative = small = (mass / mass.max()).float()
    if max(mass.shape) > SIDE:
        small = F.adaptive_max_pool2d(relative[None, None], [min(side, SIDE) for side in mass.shape])[0, 0]
    colors = colorize(small.clamp(min=FLOOR).log10(), low=float(np.log10(FLOOR)), high=0.0)
    return Heat(relative, small, colors)


def framed(pixels: Tensor, frame: Frame) -> Tensor:
    """The middle square of a picture (3, H, W), as wide as the input, in its frame; float, at most ``SIDE`` wide."""
    square = resize(center_crop(pixels, [min(pixels.shape[1:])]), [frame.side, frame.side], antialias=True)
    canvas = torch.tensor(PADDING, dtype=torch.float32)[:, None, None].repeat(1, frame.width, frame.width)
    inner = slice(frame.margin, frame.margin + frame.side)
    canvas[:, inner, inner] = square
    return _shrunk(canvas)


def lit(canvas: Tensor, relative: Tensor, top: int, left: int, width: int) -> Tensor:
    """The framed picture, each pixel as bright as the root of its gradient.

    Args:
        canvas: (3, S, S) from ``framed``.
        relative: (rows, columns) gradient, its peak 1.
        top, left: place of the field in the frame, in pixels; it may hang over.
        width: of the frame, in pixels.

    Returns:
        (3, S, S) uint8.
    """
    light = torch.zeros(width, width)
    height, breadth = relative.shape
    (y1, y2), (x1, x2) = ((max(at, 0), min(at + side, width)) for at, side in ((top, height), (left, breadth)))
    if y1 < y2 and x1 < x2:
        light[y1:y2, x1:x2] = relative[y1 - top : y2 - top, x1 - left : x2 - left]
    return (canvas * (SHADE + (1 - SHADE) * _shrunk(light[None]).sqrt())).round().to(torch.uint8)


def _shrunk(pixels: Tensor) -> Tensor:
    """(C, H, H) at most ``SIDE`` wide."""
    if pixels.shape[-1] <= SIDE:
        return pixels
    return F.interpolate(pixels[None], size=(SIDE, SIDE), mode="area")[0]


def laid_over(unit: tuple[int, int], units: int, side: int) -> tuple[float, float]:
    """(row, column) in pixels where a unit lies once its map is stretched over the input, as overlays do."""
    row, column = ((at + 0.5) * side / max(units, 1) for at in unit)
    return row, column


def picture_scene(
    canvas: Tensor,
    frame: Frame,
    field: tuple[Span, Span],
    heat: Heat | None,
    *,
    threshold: float,
    laid: tuple[float, float],
    caption: str,
) -> Scene:
    """The input in its frame, lit by the gradient of a unit, with the unit's field and what a threshold leaves of it.

    Args:
        canvas: from ``framed``.
        frame: its measures.
        field: spans of the rows and of the columns of the field, in pixels of the input.
        heat: its gradient; None leaves the picture as it is.
        threshold: part of the peak that counts as seen.
        laid: from ``laid_over``.
        caption: what the unit is.
    """
    scale = canvas.shape[-1] / frame.width

    def box(rows: Span, columns: Span) -> XYXY:
        x1, y1, x2, y2 = ((at + frame.margin) * scale for at in _corners(rows, columns))
        return x1, y1, x2, y2

    shapes: list[Shape] = []
    if frame.margin:
        shapes.append(Box(xyxy=box((0, frame.side), (0, frame.side)), color=GREY, dash=True, tip="edge of the input"))
    rows, columns = field
    tip = f"rows {rows[0]} to {rows[1] - 1}, columns {columns[0]} to {columns[1] - 1}"
    size = extent(rows, columns)
    x1, y1, x2, _ = outline = box(rows, columns)
    whole, line = canvas.shape[-1], 0.04 * canvas.shape[-1]
    shapes.append(Box(xyxy=outline, color=BLUE, tip=tip))
    # The label stays on the stage where the edge of the box does not, and clear of the dots in a corner.
    middle, over = (max(x1, 0) + min(x2, whole)) / 2, y1 - line if y1 > 2 * line else max(y1, 0) + line
    shapes.append(Text(x=middle, y=over, text=f"field {size}", color=BLUE, plate=True))
    pixels = canvas.round().to(torch.uint8)
    if heat:
        pixels = lit(canvas, heat.relative, rows[0] + frame.margin, columns[0] + frame.margin, frame.width)
        seen = [(at + first, at + end) for (at, _), (first, end) in zip(field, heat.seen(threshold), strict=True)]
        shapes.append(Box(xyxy=box(seen[0], seen[1]), color=VERMILLION, dash=True))
    centre = (sum(rows) / 2, sum(columns) / 2)
    for (row, column), color, radius, told in (
        (laid, GREEN, 5, "the unit, were its map stretched over the input"),
        (centre, VERMILLION, 3, "centre of its field"),
    ):
        x, y = ((at + frame.margin) * scale for at in (column, row))
        shapes.append(Dot(x=x, y=y, color=color, radius=radius, tip=told))
    return Scene(pixels=pixels, shapes=shapes, caption=caption, exact=canvas.shape[-1] <= SHARP, max_width=SIDE)


def gradient_scene(heat: Heat, threshold: float) -> Scene:
    """The gradient over the field, on a log scale, pale where it is below a part of the peak."""
    scale = heat.small.shape[0] / heat.relative.shape[0]
    rows, columns = heat.seen(threshold)
    x1, y1, x2, y2 = (at * scale for at in _corners(rows, columns))
    shapes = [Box(xyxy=(x1, y1, x2, y2), color=VERMILLION, dash=True, label=extent(rows, columns))]
    pixels = torch.where(heat.small >= threshold, heat.colors, torch.full_like(heat.colors, PALE))
    words = f"Log gradient, pale below {threshold:.3g} of its peak"
    return Scene(pixels=pixels, shapes=shapes, caption=words, exact=max(pixels.shape) <= SHARP, max_width=SIDE)


def extent(rows: Span, columns: Span) -> str:
    """Size of a field in words."""
    height, width = rows[1] - rows[0], columns[1] - columns[0]
    return f"{height} × {width} px"


def _corners(rows: Span, columns: Span) -> tuple[int, int, int, int]:
    return columns[0], rows[0], columns[1], rows[1]


def growth_chart(fields: Sequence[Field], effective: Sequence[int], *, input_size: int, chosen: int) -> go.Figure:
    """Field, effective field and jump along the steps of a network, the input first.

    Args:
        fields: field after each step.
        effective: rows that hold 95 % of the gradient; 0 where that was not measured.
        input_size: side of the input in pixels, drawn as a line.
        chosen: step to mark.
    """
    figure = new_figure(x_title="Step (0 is the input)", y_title="Input pixels", height=360)
    steps = np.arange(len(fields), dtype=np.int16)
    for name, values, color, dash in (
        ("Receptive field", [field.size for field in fields], BLUE, "solid"),
        ("Rows with 95 % of the gradient", [size or np.nan for size in effective], VERMILLION, "dash"),
        ("Jump", [field.jump for field in fields], GREEN, "dot"),
    ):
        line = {"color": color, "dash": dash, "width": 2}
        data = np.array(values, dtype=np.float32)
        figure.add_trace(go.Scatter(x=steps, y=data, name=name, mode="lines", line=line))
    marked = {"x": steps[chosen : chosen + 1], "y": np.array([fields[chosen].size], dtype=np.float32)}
    figure.add_trace(go.Scatter(**marked, name="Chosen step", mode="markers", marker={"color": BLUE, "size": 10}))
    figure.add_hline(
        y=input_size,
        line={"color": GREY, "width": 1, "dash": "dash"},
        annotation={"text": f"input: {input_size} px", "font": {"color": GREY}},
    )
    return figure.update_yaxes(rangemode="tozero")


def step_name(node: Node) -> str:
    """Name of a step: that of its module, or the place of a layer in a plain stack."""
    return f"layer {int(node.name) + 1}" if node.name.isdigit() else node.name


def recursion(nodes: Sequence[Node], fields: Sequence[Field], index: int) -> str:
    """How the field of a step follows from the one before, with its numbers, as Markdown. c is the centre of unit 0."""
    lines = _branches(nodes, fields, index) if nodes[index].layer is None else _window(nodes, fields, index)
    return "$$\n\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}\n$$"


def _window(nodes: Sequence[Node], fields: Sequence[Field], index: int) -> list[str]:
    node, after = nodes[index], fields[index]
    before, layer = fields[node.sources[0]], node.layer
    if layer is None or len(after.spans) > 1:  # behind up-sampling only unit 0 can be told
        first, end = after.spans[0]
        sizes = r" \text{ or } ".join(map(str, sorted({high - low for low, high in after.spans})))
        return [rf"r_0 &= {end} - ({first}) = \mathbf{{{end - first}}}", rf"r_i &= {sizes}", rf"j &= {after.jump}"]
    k, s, p, d, reach = layer.kernel_size, layer.stride, layer.padding, layer.dilation, layer.extent - 1
    size, jump = before.size, before.jump
    return [
        rf"k_\text{{eff}} &= d\,(k - 1) + 1 = {d} \cdot {k - 1} + 1 = {layer.extent}",
        rf"r &\leftarrow r + (k_\text{{eff}} - 1)\, j = {size} + {reach} \cdot {jump} = \mathbf{{{after.size}}}",
        rf"c &\leftarrow c + \left(\tfrac{{k_\text{{eff}} - 1}}{{2}} - p\right) j "
        rf"= {before.start:g} + ({reach / 2:g} - {p}) \cdot {jump} = {after.start:g}",
        rf"j &\leftarrow s\, j = {s} \cdot {jump} = {after.jump}",
    ]


def _branches(nodes: Sequence[Node], fields: Sequence[Field], index: int) -> list[str]:
    """The union, and before it the recursion of the branch that sees most."""
    sources, (first, end) = nodes[index].sources, fields[index].spans[0]
    widest = max(sources, key=lambda source: fields[source].size)
    spans = r" \cup ".join(f"[{low}, {high})" for low, high in (fields[source].spans[0] for source in sources))
    union = rf"\text{{union}} &: {spans} = [{first}, {end})"
    return [*(_window(nodes, fields, widest)[:2] if nodes[widest].layer else []), union]


def steps_table(
    nodes: Sequence[Node], fields: Sequence[Field], sizes: Sequence[int], effective: Sequence[int]
) -> pd.DataFrame:
    """One row a step: its window, the side of its map, and its field."""
    rows = []
    # A stack of large strides leaves 64-bit integers behind: then as text.
    exact = max(max(field.size, field.jump) for field in fields) < 2**53
    for node, field, side, held in zip(nodes, fields, sizes, effective, strict=True):
        layer = node.layer
        window = (layer.kernel_size, layer.stride, layer.padding, layer.dilation) if layer else (None,) * 4
        geometry = [number if exact else str(number) for number in (field.size, field.jump, field.start)]
        rows.append((step_name(node), node.kind, *window, side, *geometry, held or None))
    names = ["Map side", "Field (px)", "Jump (px)", "First centre (px)", "95 % rows"]
    frame = pd.DataFrame(rows, columns=["Step", "Kind", "k", "s", "p", "d", *names])
    return frame.astype(dict.fromkeys(["k", "s", "p", "d", "95 % rows"], "Int64"))
