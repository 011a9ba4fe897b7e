"""Dilated convolution: taps with gaps, what a stack of rates reads, and what it costs to keep the resolution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import cv2
import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from cvviz.concept import Concept, Preset
from cvviz.controls import Cell, Choice, Image, Ints, Slider
from cvviz.data.images import Picture, per_picture, sample
from cvviz.figures.dilation import (
    coverage_scene,
    padded_scene,
    paths_scene,
    response_scene,
    stride_scenes,
    taps_scene,
)
from cvviz.figures.scene import Scene
from cvviz.figures.window import Window, strided_reads
from cvviz.ops.dilation import (
    coverage,
    effective_kernel_size,
    loss_of_stride,
    path_counts,
    reach_before,
)
from cvviz.ops.receptive_field import Layer

VIEWS = {"taps": "One kernel on a picture", "stack": "A stack of rates", "stride": "Dilation or stride"}
KERNELS = {
    "sobel-x": "Vertical edges (Sobel)",
    "sobel-y": "Horizontal edges (Sobel)",
    "ring": "Centre minus its ring",
    "box": "Box blur",
}
MOST_RATE = 16
CAMERA = sample("camera")


@dataclass(frozen=True, slots=True)
class Params:
    """What to look at, one dilated kernel on a picture, and a stack of dilated layers."""

    view: Annotated[str, Choice("View", VIEWS)] = "taps"
    d: Annotated[int, Slider("Rate d", 1, MOST_RATE, 1, unit="px", when=lambda p: p.view != "stack")] = 4
    kernel: Annotated[str, Choice("Kernel (3 × 3)", KERNELS, when=lambda p: p.view != "stack")] = "sobel-x"
    at: Annotated[
        tuple[int, int], Cell("Output pixel", help="Row and column, from 0.", when=lambda p: p.view == "taps")
    ] = (24, 57)
    image: Annotated[Picture, Image("Picture", when=lambda p: p.view != "stack")] = CAMERA
    rates: Annotated[
        tuple[int, ...], Ints("Rates", help="Input first.", low=1, high=18, most=5, when=lambda p: p.view == "stack")
    ] = (1, 2, 5)
    k: Annotated[int, Slider("Kernel size k", 2, 5, 1, unit="px", when=lambda p: p.view == "stack")] = 3


@dataclass(frozen=True, slots=True)
class Result:
    """Numbers of every view.

    Args:
        checked: what the reference reproduces in the current view: the response, the paths, or ``kept``.
        counts: (R, R) int64, paths from one output unit of the stack to each pixel.
        pixels: (H, W) float64 grey values, 0 to 255.
        response: (H, W) float64, the kernel at rate d, padded by d.
        kept: (ceil(H/d), ceil(W/d)) float64, the response at every d-th pixel.
        strided: like ``kept``: every d-th pixel taken first, then the kernel at rate 1.
    """

    checked: Tensor
    counts: Tensor
    pixels: Tensor
    response: Tensor
    kept: Tensor
    strided: Tensor

    @property
    def reached(self) -> int:
        """Pixels of the receptive field with at least one path."""
        return int(self.counts.count_nonzero())


def compute(params: Params) -> Result:
    """All views at once: each costs about a millisecond."""
    pixels, weights, d = grey_of(params.image), kernel_weights(params.kernel), params.d
    counts = coverage([Layer(params.k, dilation=rate) for rate in params.rates])
    response, strided = filtered(pixels, weights, d), filtered(pixels[::d, ::d], weights, 1)
    kept = response[::d, ::d]
    checked = {"taps": response, "stack": counts, "stride": kept}[params.view]
    return Result(checked, counts, pixels, response, kept, strided)


def filtered(pixels: Tensor, weights: Tensor, d: int) -> Tensor:
    """(H, W) correlated with (3, 3) weights at rate d, padded by d so that the size stays."""
    return F.conv2d(pixels[None, None], weights[None, None], padding=d, dilation=d)[0, 0]


@per_picture
def grey_of(picture: Picture) -> Tensor:
    """Grey values of a picture, kept as long as the picture."""
    return grey(picture.pixels)


def grey(image: Tensor) -> Tensor:
    """(3, H, W) uint8 -> whole grey values of 0 to 255, reduced to at most 160 pixels a side."""
    shrink = max(1.0, max(image.shape[1:]) / 160)
    size = [max(1, round(length / shrink)) for length in image.shape[1:]]
    small = F.interpolate(image[None].contiguous(), size, mode="bilinear", antialias=True)[0]  # [3, h, w]
    values: Tensor = torch.einsum("chw,c->hw", small.double(), torch.tensor([0.299, 0.587, 0.114]).double())
    return values.round()


def kernel_weights(kernel: str) -> Tensor:
    """(3, 3) weights by name."""
    rows = {
        "sobel-x": [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]],
        "sobel-y": [[-1, -2, -1], [0, 0, 0], [1, 2, 1]],
        "ring": [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]],
        "box": [[1, 1, 1], [1, 1, 1], [1, 1, 1]],
    }
    return torch.tensor(rows[kernel], dtype=torch.float64)


def reference(view: str, d: int, kernel: str, image: Tensor, rates: tuple[int, ...], k: int) -> Tensor:
    """Paths by autograd through kernels of ones; responses by OpenCV, with the gaps written out as zeros."""
    if view == "stack":
        return footprint(rates, k, 1 + (k - 1) * sum(rates))
    values, weights = grey(image).numpy(), kernel_weights(kernel).numpy()
    if view == "stride":
        values, d = np.ascontiguousarray(values[::d, ::d]), 1
    with_gaps = np.zeros((2 * d + 1, 2 * d + 1))
    with_gaps[::d, ::d] = weights
    return torch.from_numpy(cv2.filter2D(values, -1, with_gaps, borderType=cv2.BORDER_CONSTANT))


def footprint(rates: tuple[int, ...], k: int, size: int, padding: int = 0) -> Tensor:
    """Paths from the middle output to each of size x size pixels: its gradient, all weights being 1."""
    pixels = torch.zeros(1, 1, size, size, dtype=torch.float64, requires_grad=True)
    maps = pixels
    for rate in rates:
        maps = F.conv2d(maps, torch.ones(1, 1, k, k, dtype=torch.float64), dilation=rate, padding=padding)
    return torch.autograd.grad(maps[0, 0, maps.shape[2] // 2, maps.shape[3] // 2], pixels)[0][0, 0]


def place(params: Params, result: Result) -> tuple[int, int]:
    """(column, row) of the pixel under the kernel's centre."""
    height, width = result.pixels.shape
    row, column = params.at
    return min(column, width - 1), min(row, height - 1)


def stage(params: Params, result: Result) -> tuple[Scene, Scene] | Window:
    """Two pictures side by side, by view; a window with its taps for one kernel."""
    weights = kernel_weights(params.kernel)
    if params.view == "stack":
        layers = [Layer(params.k, dilation=rate) for rate in params.rates]
        rows = [path_counts(layers[start:]) for start in range(len(layers), -1, -1)]
        paths = paths_scene(rows, rates=params.rates[::-1], kernel_size=params.k)
        return coverage_scene(result.counts), paths
    if params.view == "stride":
        return stride_scenes(result.response, result.strided, weights, dilation=params.d)
    column, row = place(params, result)
    return Window(
        sources=[padded_scene(result.pixels, padding=params.d)],
        targets=[response_scene(result.response, weights, dilation=params.d)],
        beside=[taps_scene(result.pixels, weights, dilation=params.d, at=(column, row))],
        values=F.pad(result.pixels, (params.d,) * 4)[None],
        outputs=result.response[None],
        weights=weights[None, None],
        rows=strided_reads(len(result.response), 3, dilation=params.d),
        columns=strided_reads(result.response.shape[1], 3, dilation=params.d),
        border=(params.d,) * 4,
        at=(row, column),
        field="at",
    )


def describe(params: Params, result: Result) -> str:
    """What the stage shows now."""
    d, (height, width), field = params.d, result.response.shape, len(result.counts)
    size = effective_kernel_size(3, d)
    if params.view == "stack":
        return (
            f"One output unit above layers of rate {', '.join(map(str, params.rates))} with {params.k} × {params.k} "
            f"kernels reads {result.reached} of the {field**2} pixels of its {field} × {field} receptive field, "
            f"{result.reached / field**2:.1%}. {field**2 - result.reached} pixels are hatched: no path leads there."
        )
    if params.view == "stride":
        rows, columns = result.strided.shape
        return (
            f"The same 3 × 3 kernel with the same {size} × {size} field: at rate {d} it gives {width} × {height} "
            f"values, after a stride of {d} it gives {columns} × {rows}, drawn as blocks."
        )
    column, row = place(params, result)
    return (
        f"Nine taps {d} px apart span {size} × {size} pixels of the picture. The response there, at column {column} "
        f"and row {row}, is {float(result.response[row, column]):.0f}; the map has {width} × {height} values."
    )


def formula(params: Params, result: Result) -> str:
    """The formulas of the view with the current numbers."""
    lines = {"taps": taps_formula, "stack": stack_formula, "stride": stride_formula}[params.view](params, result)
    return "$$\n\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}\n$$"


def taps_formula(params: Params, result: Result) -> list[str]:
    """Effective kernel, padding, and the sum at the chosen pixel."""
    d, (height, width), (column, row) = params.d, result.response.shape, place(params, result)
    size = effective_kernel_size(3, d)
    bare = rf"{max(width - 2 * d, 0)}\times {max(height - 2 * d, 0)}"
    value, gap = float(result.response[row, column]), d if d > 1 else ""
    return [
        rf"k_\text{{eff}} &= d\,(k-1)+1 = {d}\cdot 2+1 = {size};\quad 9 \text{{ of }} {size}^2 \text{{ pixels read}}",
        rf"p &= d\,(k-1)/2 = {d} \;\Rightarrow\; {width}\times {height};\quad p=0 \;\Rightarrow\; {bare}",
        rf"y_{{{row},{column}}} &= \sum_{{i,j=-1}}^{{1}} w_{{i,j}}\;x_{{{row}+{gap}i,\,{column}+{gap}j}} = {value:.0f}",
    ]


def stack_formula(params: Params, result: Result) -> list[str]:
    """Receptive field, coverage, and whether each rate fits into the field of the smaller ones."""
    steps, field, read = "+".join(map(str, params.rates)), len(result.counts), result.counts > 0
    pairs = reach_before(params.rates, kernel_size=params.k)
    too_large = [f"{rate} > {reach}" for rate, reach in pairs if rate > reach]
    tests = r",\quad ".join(too_large or [rf"{rate} \le {reach}" for rate, reach in pairs])
    verdict, shared = "no holes" if read.all() else "holes", int((read[:, 1:] & read[:, :-1]).sum())
    return [
        rf"R &= 1+(k-1)\textstyle\sum_i d_i = 1+{params.k - 1}\,({steps}) = {field}",
        rf"\text{{read}} &= {result.reached} \,/\, {field}^2 = {100 * result.reached / field**2:.1f}\,\%",
        rf"\text{{shared}} &= {shared} \text{{ pixels, with the next unit}}",
        rf"d &\le R_\text{{smaller rates}}\,?\quad {tests} \;\Rightarrow\; \text{{{verdict}}}",
    ]


def stride_formula(params: Params, result: Result) -> list[str]:
    """That both maps agree where both exist, and what the stride gives up."""
    d, (height, width), (rows, columns) = params.d, result.response.shape, result.strided.shape
    error, lost = float((result.kept - result.strided).abs().max()), 100 * loss_of_stride(result.response, d)
    return [
        rf"(w *_{{{d}}} x)[{d}r,\,{d}c] &= (w * x_{{\downarrow {d}}})[r,\,c],\quad \max|\Delta| = \text{{{error:.1g}}}",
        rf"{width}\cdot {height} = {width * height} &\to {columns}\cdot {rows} = {columns * rows} \text{{ values, }}"
        rf" {100 * rows * columns / (height * width):.1f}\,\%",
        rf"\text{{lost after bilinear enlargement}} &= {lost:.0f}\,\% \text{{ (RMS)}}",
    ]


def table(params: Params, result: Result) -> pd.DataFrame:
    """Taps and products, paths to each pixel, or both responses at the pixels that the stride keeps."""
    d, (column, row) = params.d, place(params, result)
    if params.view == "stack":
        return grid(result.counts.shape, 1, (0, 0), paths=result.counts)
    if params.view == "stride":
        return grid(result.kept.shape, d, (0, 0), dilated=result.kept, strided=result.strided)
    values = F.pad(result.pixels, (d, d, d, d))[row : row + 2 * d + 1 : d, column : column + 2 * d + 1 : d]
    weights = kernel_weights(params.kernel)
    return grid((3, 3), d, (row - d, column - d), weight=weights, grey=values, product=weights * values)


def grid(shape: tuple[int, ...], step: int, start: tuple[int, int], **values: Tensor) -> pd.DataFrame:
    """One row per place of a grid of pixels: where it is, and its values."""
    rows, columns = np.indices(shape) * step
    places = {"row": rows.ravel() + start[0], "column": columns.ravel() + start[1]}
    return pd.DataFrame(places | {name: value.flatten().numpy() for name, value in values.items()})


CONCEPT = Concept(
    params=Params,
    compute=compute,
    stage=stage,
    describe=describe,
    presets={
        "Taps with gaps": Preset(
            Params(),
            "Drag the rate: nine taps stay nine, the gaps grow, and the edges that answer get coarser.",
        ),
        "A blur that shows ghosts": Preset(
            Params(kernel="box", d=12),
            "At this rate the blur adds nine shifted copies, for nothing between the taps is read.",
            failure=True,
        ),
        "Taps off the edge": Preset(
            Params(d=16, at=(13, 5)),
            "Black is the padding: outside the dashes the response is partly made of its zeros.",
        ),
        "Rates 2, 2, 2": Preset(
            Params(view="stack", rates=(2, 2, 2)),
            "Three layers leave 71 % of the field unread, and the unit next door reads none of the same pixels.",
            failure=True,
        ),
        "Rates 1, 2, 5": Preset(
            Params(view="stack"), "No rate is larger than the field of the smaller ones, so the copies close every gap."
        ),
        "Rates 2, 3, 7": Preset(
            Params(view="stack", rates=(2, 3, 7)),
            "No common factor, and still hatched near the rim: nothing in the stack steps by one pixel.",
            failure=True,
        ),
        "Rates 1, 2, 4, 8": Preset(
            Params(view="stack", rates=(1, 2, 4, 8)), "Doubling rates: a 31 × 31 field from four 3 × 3 layers, no hole."
        ),
        "Same field, fewer values": Preset(
            Params(view="stride", d=8),
            "Both maps look at 17 × 17 pixels and agree where both exist; the stride keeps one value in 64.",
        ),
    },
    table=table,
    formula=formula,
    reference=reference,
    checked=lambda result: result.checked,
    against="OpenCV and autograd",
    tolerance=1e-9,
)
