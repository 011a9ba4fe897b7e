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

from cvviz.concept import Claim, Concept, Evidence, Preset
from cvviz.controls import Choice, Image, Ints, Slider
from cvviz.data.images import Picture, per_picture, sample
from cvviz.figures.dilation import coverage_scene, paths_scene, response_scene, stride_scenes, taps_scene
from cvviz.figures.scene import Scene
from cvviz.ops.dilation import coverage, effective_kernel_size, path_counts, reach_before, tap_offsets
from cvviz.ops.receptive_field import Layer

VIEWS = {
    "taps": "One kernel on a picture",
    "stack": "A stack of rates",
    "stride": "Dilation or stride",
}
KERNELS = {
    "sobel-x": "Vertical edges (Sobel)",
    "sobel-y": "Horizontal edges (Sobel)",
    "ring": "Centre minus its ring",
    "box": "Box blur",
}
MOST_RATE = 16
LE = r"\le"


@dataclass(frozen=True, slots=True)
class Params:
    """What to look at, one dilated kernel on a picture, and a stack of dilated layers."""

    view: Annotated[str, Choice("View", VIEWS)] = "taps"
    d: Annotated[
        int,
        Slider("Rate d", 1, MOST_RATE, 1, unit="px", help="Distance between taps.", when=lambda p: p.view != "stack"),
    ] = 4
    kernel: Annotated[str, Choice("Kernel (3 × 3)", KERNELS, when=lambda p: p.view != "stack")] = "sobel-x"
    x: Annotated[
        int, Slider("Across", 0, 100, 1, unit="%", help="Where the kernel lies.", when=lambda p: p.view == "taps")
    ] = 45
    y: Annotated[
        int, Slider("Down", 0, 100, 1, unit="%", help="Where the kernel lies.", when=lambda p: p.view == "taps")
    ] = 35
    image: Annotated[Picture, Image("Picture", when=lambda p: p.view != "stack")] = sample("camera")
    rates: Annotated[
        tuple[int, ...],
        Ints(
            "Rates, input first",
            low=1,
            high=18,
            most=5,
            help="One layer per number; stride 1.",
            when=lambda p: p.view == "stack",
        ),
    ] = (1, 2, 5)
    k: Annotated[int, Slider("Kernel size k", 2, 5, 1, unit="px", when=lambda p: p.view == "stack")] = 3


@dataclass(frozen=True, slots=True)
class Result:
    """Numbers of every view.

    Args:
        view: the view on the screen, which decides what is checked.
        d: rate of the single kernel.
        counts: (R, R) int64, paths from one output unit of the stack to each pixel.
        pixels: (H, W) float64 grey values, 0 to 1.
        response: (H, W) float64, the kernel at rate d, padded by d.
        strided: (ceil(H/d), ceil(W/d)) float64, every d-th pixel taken first, then the kernel at rate 1.
    """

    view: str
    d: int
    counts: Tensor
    pixels: Tensor
    response: Tensor
    strided: Tensor

    @property
    def kept(self) -> Tensor:
        """The response at the pixels that a stride of d keeps."""
        return self.response[:: self.d, :: self.d]

    @property
    def checked(self) -> Tensor:
        """What the reference reproduces in this view."""
        return {"taps": self.response, "stack": self.counts, "stride": self.kept}[self.view]

    @property
    def reached(self) -> int:
        """Pixels of the receptive field with at least one path."""
        return int((self.counts > 0).sum())

    @property
    def shared(self) -> int:
        """Pixels that an output unit and its right-hand neighbour both read."""
        read = self.counts > 0
        return int((read[:, 1:] & read[:, :-1]).sum())

    @property
    def lost(self) -> float:
        """Share of the response, in root mean square, that bilinear enlargement of ``strided`` does not bring back."""
        height, width = ((length - 1) * self.d + 1 for length in self.strided.shape)
        known = self.response[:height, :width]
        guess = F.interpolate(self.strided[None, None], (height, width), mode="bilinear", align_corners=True)[0, 0]
        return float((known - guess).norm() / known.norm().clamp(min=1e-12))


def compute(params: Params) -> Result:
    """All views at once: each costs about a millisecond."""
    pixels, weights, d = grey_of(params.image), kernel_weights(params.kernel), params.d
    layers = [Layer(params.k, dilation=rate) for rate in params.rates]
    return Result(
        params.view, d, coverage(layers), pixels, filtered(pixels, weights, d), filtered(pixels[::d, ::d], weights, 1)
    )


def filtered(pixels: Tensor, weights: Tensor, d: int) -> Tensor:
    """(H, W) correlated with (3, 3) weights at rate d, padded by d so that the size stays."""
    return F.conv2d(pixels[None, None], weights[None, None], padding=d, dilation=d)[0, 0]


@per_picture
def grey_of(picture: Picture) -> Tensor:
    """Grey values of a picture, kept as long as the picture."""
    return grey(picture.pixels)


def grey(image: Tensor) -> Tensor:
    """(3, H, W) uint8 -> grey values of 0 to 1, reduced to at most 320 pixels a side."""
    height, width = image.shape[1:]
    shrink = max(1.0, max(height, width) / 320)
    size = (max(1, round(height / shrink)), max(1, round(width / shrink)))
    small = F.interpolate(image[None].contiguous(), size, mode="bilinear", antialias=True)[0]  # [3, h, w]
    return torch.einsum("chw,c->hw", small.double(), torch.tensor([0.299, 0.587, 0.114]).double()) / 255


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
        size = 1 + (k - 1) * sum(rates)
        pixels = torch.zeros(1, 1, size, size, dtype=torch.float64, requires_grad=True)
        unit = pixels
        for rate in rates:
            unit = F.conv2d(unit, torch.ones(1, 1, k, k, dtype=torch.float64), dilation=rate)
        return torch.autograd.grad(unit.sum(), pixels)[0][0, 0]
    values, weights = grey(image).numpy(), kernel_weights(kernel).numpy()
    if view == "stride":
        values, d = np.ascontiguousarray(values[::d, ::d]), 1
    with_gaps = np.zeros((2 * d + 1, 2 * d + 1))
    with_gaps[::d, ::d] = weights
    return torch.from_numpy(cv2.filter2D(values, -1, with_gaps, borderType=cv2.BORDER_CONSTANT))


def place(params: Params, result: Result) -> tuple[int, int]:
    """(column, row) of the pixel under the kernel's centre."""
    height, width = result.pixels.shape
    return round(params.x / 100 * (width - 1)), round(params.y / 100 * (height - 1))


def stage(params: Params, result: Result) -> tuple[Scene, Scene]:
    """Two pictures side by side, by view."""
    weights = kernel_weights(params.kernel)
    if params.view == "stack":
        layers = [Layer(params.k, dilation=rate) for rate in params.rates]
        rows = [path_counts(layers[start:]) for start in range(len(layers), -1, -1)]
        paths = paths_scene(rows, rates=params.rates[::-1], kernel_size=params.k)
        return coverage_scene(result.counts), paths
    if params.view == "stride":
        return stride_scenes(result.response, result.strided, weights, dilation=params.d)
    at = place(params, result)
    taps = taps_scene(result.pixels, weights, dilation=params.d, at=at, radius=MOST_RATE + 2)
    return taps, response_scene(result.response, weights, dilation=params.d, at=at)


def describe(params: Params, result: Result) -> str:
    """What the stage shows now."""
    height, width = result.response.shape
    size, d = effective_kernel_size(3, params.d), params.d
    if params.view == "stack":
        field = len(result.counts)
        return (
            f"One output unit above layers of rate {', '.join(map(str, params.rates))} with {params.k} × {params.k} "
            f"kernels reads {result.reached} of the {field**2} pixels of its {field} × {field} receptive field, "
            f"{result.reached / field**2:.1%}; the rest is hatched."
        )
    if params.view == "stride":
        return (
            f"The same 3 × 3 kernel with the same {size} × {size} field: at rate {d} it gives {width} × {height} values, "
            f"after a stride of {d} only {result.strided.shape[1]} × {result.strided.shape[0]}, drawn as blocks."
        )
    column, row = place(params, result)
    return (
        f"Nine taps {d} px apart span {size} × {size} pixels of the picture. The response there, at column {column} and "
        f"row {row}, is {float(result.response[row, column]):.2f}; the map has {width} × {height} values like the picture."
    )


def formula(params: Params, result: Result) -> str:
    """The formulas of the view with the current numbers."""
    lines = {"taps": taps_formula, "stack": stack_formula, "stride": stride_formula}[params.view](params, result)
    return "$$\n\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}\n$$"


def taps_formula(params: Params, result: Result) -> list[str]:
    """Effective kernel, padding, and the sum at the chosen pixel."""
    d, (height, width), (column, row) = params.d, result.response.shape, place(params, result)
    size, bare = 2 * d + 1, f"{max(width - 2 * d, 0)} \\times {max(height - 2 * d, 0)}"
    value = float(result.response[row, column])
    return [
        rf"k_\text{{eff}} &= d\,(k-1)+1 = {d}\cdot 2+1 = {size},\quad 9 \text{{ of }} {size}^2 = {size**2} "
        rf"\text{{ pixels read}}",
        rf"p &= d\,(k-1)/2 = {d} \text{{ keeps }} {width}\times {height};\quad p=0 \text{{ leaves }} {bare}",
        rf"y_{{{row},{column}}} &= \sum_{{i,j=-1}}^{{1}} w_{{i,j}}\;x_{{{row}+{d}i,\,{column}+{d}j}} = {value:.3f}",
    ]


def stack_formula(params: Params, result: Result) -> list[str]:
    """Receptive field, coverage, and whether each rate fits into the field of the smaller ones."""
    steps, field = "+".join(map(str, params.rates)), len(result.counts)
    pairs = reach_before(params.rates, kernel_size=params.k)
    tests = r",\quad ".join(f"{rate} {LE if rate <= reach else '>'} {reach}" for rate, reach in pairs)
    verdict = "no holes" if result.reached == field**2 else "holes"
    return [
        rf"R &= 1+(k-1)\textstyle\sum_i d_i = 1+{params.k - 1}\,({steps}) = {field}",
        rf"\text{{read}} &= {result.reached} \,/\, {field}^2 = {100 * result.reached / field**2:.1f}\,\%,"
        rf"\quad \text{{shared with the next unit: }} {result.shared}",
        rf"d &\le R_\text{{smaller rates}}:\quad {tests} \;\Rightarrow\; \text{{{verdict}}}",
    ]


def stride_formula(params: Params, result: Result) -> list[str]:
    """That both maps agree where both exist, and what the stride gives up."""
    d, (height, width), (rows, columns) = params.d, result.response.shape, result.strided.shape
    error = float((result.kept - result.strided).abs().max())
    return [
        rf"(w *_{{{d}}} x)[{d}r,\,{d}c] &= (w * x_{{\downarrow {d}}})[r,\,c],\quad \max|\Delta| = {error:.0e}",
        rf"\text{{values}}: \quad {width}\cdot {height} &= {width * height} \text{{ against }} "
        rf"{columns}\cdot {rows} = {columns * rows} = {100 * rows * columns / (height * width):.1f}\,\%",
        rf"\text{{not recovered by interpolation}} &: {100 * result.lost:.0f}\,\% \text{{ of the response (RMS)}}",
    ]


def table(params: Params, result: Result) -> pd.DataFrame:
    """Taps and products, paths to each pixel, or both responses at the pixels that the stride keeps."""
    if params.view == "stack":
        rows, columns = np.indices(result.counts.shape)
        return pd.DataFrame({"row": rows.ravel(), "column": columns.ravel(), "paths": result.counts.flatten().numpy()})
    if params.view == "stride":
        rows, columns = np.indices(result.strided.shape) * params.d
        return pd.DataFrame(
            {
                "row": rows.ravel(),
                "column": columns.ravel(),
                "rate d": result.kept.flatten().numpy(),
                "stride d": result.strided.flatten().numpy(),
            }
        )
    offsets = tap_offsets(3, params.d, padding=params.d)
    steps = torch.cartesian_prod(offsets, offsets)  # [9, 2]: rows, columns
    column, row = place(params, result)
    values = F.pad(result.pixels, (params.d,) * 4)[steps[:, 0] + row + params.d, steps[:, 1] + column + params.d]
    weights = kernel_weights(params.kernel).flatten()
    columns = torch.column_stack([steps + torch.tensor([row, column]), weights, values, weights * values])
    return pd.DataFrame(columns.numpy(), columns=["row", "column", "weight", "grey value", "product"])


CONCEPT = Concept(
    params=Params,
    compute=compute,
    stage=stage,
    describe=describe,
    presets={
        "Edges four pixels apart": Preset(Params(), "Ten."),
    },
    table=table,
    formula=formula,
    reference=reference,
    checked=lambda result: result.checked,
    against="OpenCV and autograd",
    tolerance=1e-9,
)
