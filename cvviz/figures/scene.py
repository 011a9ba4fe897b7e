"""A picture with shapes over it: the stage of concepts that are about pixels. Renders to SVG, in a notebook too.

Coordinates are pixels of the picture; pixel i spans i to i + 1, so its centre is at i + 0.5. Line widths and text sizes
are screen pixels, whatever size the picture is shown at.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import PIL.Image
from torch import Tensor

from cvviz.figures.theme import BLUE

XYXY = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """Rectangle (x1, y1, x2, y2), with a label on a plate above its top left corner (inside where there is no room).

    Args:
        fill: opacity of the inside, 0 to 1.
        tip: shown when the pointer rests on it.
    """

    xyxy: XYXY
    label: str = ""
    color: str = BLUE
    width: float = 2
    dash: bool = False
    fill: float = 0
    tip: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """Straight lines through (x, y) points; closed and filled, or open, with an arrow head at its end if ``arrow``."""

    points: Sequence[tuple[float, float]]
    color: str = BLUE
    width: float = 2
    dash: bool = False
    arrow: bool = False
    closed: bool = False
    fill: float = 0
    tip: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """Marker at (x, y) with a radius in screen pixels."""

    x: float
    y: float
    color: str = BLUE
    radius: float = 4
    tip: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Words at (x, y), centred there or starting there; on a plate that reads on any picture if ``plate``.

    Args:
        size: height in screen pixels.
    """

    x: float
    y: float
    text: str
    color: str = BLUE
    size: float = 13
    centered: bool = True
    plate: bool = False


Shape = Box | Path | Dot | Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Handles:
    """Boxes that the user drags, resizes and moves with the keyboard.

    Args:
        field: name of the Boxes field of Params that they edit.
        boxes: their current places.
        names, colors: one per box.
    """

    field: str
    boxes: tuple[XYXY, ...]
    names: tuple[str, ...]
    colors: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PointHandles:
    """Points that the user drags and moves with the keyboard, and adds and removes unless ``fixed``.

    Args:
        field: name of the Points field of Params that they edit; of the Heights field where they are ``upright``.
        points: (x, y) in units of the data.
        colors: one per point; further points take the last.
        labels: a letter or two on each point, or none at all.
        frame: (left, top, right, bottom) of the plot in pixels of the picture.
        x, y: (low, high) of the data that the frame spans; y grows upwards.
        step: places snap to its multiples.
        fixed: whether points are only moved, neither added nor removed.
        upright: whether they move up and down alone.
    """

    field: str
    points: tuple[tuple[float, float], ...]
    colors: tuple[str, ...]
    frame: XYXY
    x: tuple[float, float]
    y: tuple[float, float]
    step: float
    fixed: bool = True
    upright: bool = False
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PaintHandles:
    """A mask over the whole picture that the user paints, erases and clears, by hand or with the keyboard.

    Args:
        field: name of the Mask field of Params that it edits.
        text: the mask as it is now, as that control writes it.
        columns, rows: its cells.
        colors: of a cell freshly erased and of one freshly painted, until the picture has them.
    """

    field: str
    text: str
    columns: int
    rows: int
    colors: tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A picture, shapes over it, and what it is called.

    Args:
        pixels: (3, H, W) uint8; or None for an empty sheet that takes the colour of the page.
        canvas: (width, height) of the empty sheet.
        shapes: drawn in order.
        caption: one line over the picture.
        exact: keep every pixel's colour and edges (PNG, no smoothing), for maps of cells; else JPEG.
        handles: boxes that can be edited, or None.
        points: points that can be edited, or None.
        paint: a mask that can be painted, or None.
        max_width: widest that the picture may be shown, in screen pixels.
    """

    pixels: Tensor | None = None
    canvas: tuple[int, int] = (1, 1)
    shapes: Sequence[Shape] = ()
    caption: str = ""
    exact: bool = False
    handles: Handles | None = None
    points: PointHandles | None = None
    paint: PaintHandles | None = None
    max_width: int = 720

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels of the picture."""
        return self.canvas if self.pixels is None else (int(self.pixels.shape[2]), int(self.pixels.shape[1]))

    def image_url(self) -> str:
        """The picture as a data URL; "" for an empty sheet."""
        if self.pixels is None:
            return ""
        kind = "png" if self.exact else "jpeg"
        return f"data:image/{kind};base64," + base64.b64encode(encode_pixels(self.pixels, kind)).decode()

    def overlay(self) -> str:
        """Markup of the shapes, for the inside of an SVG whose viewBox is the picture. All text is escaped.

        Sizes in screen pixels are written in units of ``--u``, picture pixels per screen pixel.
        """
        _, height = self.size
        return "".join(_markup(shape, height) for shape in self.shapes)

    def svg(self) -> str:
        """Stand-alone SVG of picture, shapes and handles."""
        width, height = self.size
        smooth = ' style="image-rendering:pixelated"' if self.exact else ""
        unit = width / min(self.max_width, max(width, 320))
        boxes: tuple[Shape, ...] = ()
        if self.handles:
            places = zip(self.handles.boxes, self.handles.names, self.handles.colors, strict=True)
            boxes = tuple(Box(xyxy=box, label=name, color=color) for box, name, color in places)
        handles = "".join(_markup(shape, height) for shape in [*boxes, *self._dots()])
        picture = f'<image href="{self.image_url()}" width="{width}" height="{height}"{smooth}/>'
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" style="--u:{unit:.6g};'
            f'width:100%;max-width:{self.max_width}px;font-family:sans-serif"><title>{escape(self.caption)}</title>'
            f"{picture if self.pixels is not None else ''}{self.overlay()}{handles}</svg>"
        )

    def _repr_html_(self) -> str:
        return self.svg()

    def _dots(self) -> list[Shape]:
        """The points that can be edited, standing still."""
        if self.points is None:
            return []
        hold = self.points
        left, top, right, bottom = hold.frame
        across, up = (right - left) / (hold.x[1] - hold.x[0]), (bottom - top) / (hold.y[1] - hold.y[0])
        places = [(left + (x - hold.x[0]) * across, bottom - (y - hold.y[0]) * up) for x, y in hold.points]
        shapes: list[Shape] = []
        for index, (x, y) in enumerate(places):
            color = hold.colors[min(index, len(hold.colors) - 1)]
            shapes.append(Dot(x=x, y=y, color=color, radius=10 if hold.labels else 6))
            if hold.labels:
                shapes.append(Text(x=x, y=y, text=hold.labels[index], color="#FFFFFF", size=11))
        return shapes


def encode_pixels(pixels: Tensor, kind: str) -> bytes:
    """(3, H, W) uint8 as the bytes of a "jpeg" or "png" file. Raises ValueError for another shape or dtype."""
    if pixels.ndim != 3 or pixels.shape[0] != 3 or str(pixels.dtype) != "torch.uint8":
        raise ValueError(f"pixels must be (3, H, W) uint8, got {tuple(pixels.shape)} {pixels.dtype}.")
    array = np.ascontiguousarray(pixels.permute(1, 2, 0).numpy())
    buffer = io.BytesIO()
    options = {"compress_level": 1} if kind == "png" else {"quality": 88, "subsampling": 0}
    PIL.Image.fromarray(array).save(buffer, kind, **options)
    return buffer.getvalue()


def _markup(shape: Shape, height: float) -> str:
    match shape:
        case Box():
            return _box(shape, height)
        case Path():
            return _path(shape)
        case Dot():
            tip = f"<title>{escape(shape.tip)}</title>" if shape.tip else ""
            style = f"r:calc({shape.radius:g}px * var(--u))"
            return f'<circle cx="{shape.x:.6g}" cy="{shape.y:.6g}" fill="{shape.color}" style="{style}">{tip}</circle>'
        case Text():
            return _text(shape.x, shape.y, shape.text, shape.color, shape.size, shape.centered, shape.plate)


def _stroke(color: str, width: float, dash: bool) -> str:
    dashes = f";stroke-dasharray:{3 * width:g} {2 * width:g}" if dash else ""
    return f'stroke="{color}" vector-effect="non-scaling-stroke" style="stroke-width:{width:g}px{dashes}"'


def _box(shape: Box, height: float) -> str:
    x1, y1, x2, y2 = shape.xyxy
    tip = f"<title>{escape(shape.tip)}</title>" if shape.tip else ""
    rect = (
        f'<rect x="{x1:.6g}" y="{y1:.6g}" width="{x2 - x1:.6g}" height="{y2 - y1:.6g}" fill="{shape.color}" '
        f'fill-opacity="{shape.fill:g}" {_stroke(shape.color, shape.width, shape.dash)}>{tip}</rect>'
    )
    if not shape.label:
        return rect
    drop = -5 if y1 > 0.06 * height else 15
    return rect + _text(x1, y1, shape.label, shape.color, 13, False, True, drop)


def _path(shape: Path) -> str:
    if not shape.points:
        return ""
    points = " ".join(f"{x:.6g},{y:.6g}" for x, y in shape.points)
    tip = f"<title>{escape(shape.tip)}</title>" if shape.tip else ""
    tag = "polygon" if shape.closed else "polyline"
    fill = f'fill="{shape.color}" fill-opacity="{shape.fill:g}"' if shape.closed else 'fill="none"'
    line = f'<{tag} points="{points}" {fill} {_stroke(shape.color, shape.width, shape.dash)}>{tip}</{tag}>'
    if not shape.arrow or len(shape.points) < 2 or shape.points[-2] == shape.points[-1]:
        return line  # an arrow of no length points nowhere
    (x1, y1), (x2, y2) = shape.points[-2], shape.points[-1]
    angle = np.degrees(np.arctan2(y2 - y1, x2 - x1))
    head = 4 + 2 * shape.width
    return line + (
        f'<g transform="translate({x2:.6g} {y2:.6g}) rotate({angle:.4g})"><path d="M0 0L-2 -1L-2 1Z" '
        f'fill="{shape.color}" style="transform:scale(calc({head / 2:g} * var(--u)))"/></g>'
    )


def _text(x: float, y: float, text: str, color: str, size: float, centered: bool, plate: bool, drop: float = -5) -> str:
    # A thick outline in the colour of the plate, painted under the letters, needs no measuring of the text.
    look = (
        f"paint-order:stroke;stroke:{color};stroke-width:calc(5px * var(--u));stroke-linejoin:round;fill:#fff"
        if plate
        else f"fill:{color}"
    )
    place = (
        "text-anchor:middle;dominant-baseline:central"
        if centered
        else f"transform:translate(calc(4px * var(--u)),calc({drop:g}px * var(--u)))"
    )
    return (
        f'<text x="{x:.6g}" y="{y:.6g}" pointer-events="none" '
        f'style="{place};font-size:calc({size:g}px * var(--u));font-weight:600;{look}">{escape(text)}</text>'
    )
