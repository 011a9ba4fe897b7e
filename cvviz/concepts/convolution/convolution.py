"""Convolution: a window of products that slides over a picture, one number at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, cast

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from cvviz.concept import Concept, Preset
from cvviz.controls import Cell, Choice, Image, Matrix, Rows, Seed, Slider, Toggle
from cvviz.data.images import Picture, per_picture, sample
from cvviz.figures.convolution import convolution_window, overview_scene
from cvviz.figures.window import Window
from cvviz.ops.kernels import PaddingMode, filter2d, gabor_kernel, pad2d

VIEWS = {
    "numbers": "A patch, number by number",
    "picture": "The whole picture",
    "channels": "Colour in, several filters out",
}
MODES = {"zeros": "Zeros", "reflect": "Reflect", "replicate": "Replicate", "circular": "Circular"}
BANKS = {"colours": "The kernel on mixed colours", "random": "Random, as nn.Conv2d starts"}
RED_GREEN_BLUE = ("Red", "Green", "Blue")
CAMERA = sample("camera")


def rounded(kernel: Tensor) -> Rows:
    """A kernel as rows of numbers with two decimals."""
    return tuple(tuple(round(number, 2) + 0.0 for number in row) for row in kernel.tolist())


GABOR = gabor_kernel(7, sigma=2.0, theta=math.pi / 4, wavelength=4.0)
KERNELS: dict[str, Rows] = {
    "Sobel x": ((-1, 0, 1), (-2, 0, 2), (-1, 0, 1)),
    "Sobel y": ((-1, -2, -1), (0, 0, 0), (1, 2, 1)),
    "Identity": ((0, 0, 0), (0, 1, 0), (0, 0, 0)),
    "Box blur": ((1, 1, 1), (1, 1, 1), (1, 1, 1)),
    "Gaussian": tuple(tuple(a * b for b in (1, 4, 6, 4, 1)) for a in (1, 4, 6, 4, 1)),
    "Laplacian": ((0, 1, 0), (1, -4, 1), (0, 1, 0)),
    "Sharpen": ((0, -1, 0), (-1, 5, -1), (0, -1, 0)),
    "Emboss": ((-2, -1, 0), (-1, 1, 1), (0, 1, 2)),
    "Gabor": rounded(GABOR - GABOR.mean()),
    "Motion blur": tuple(tuple(int(row == column) for column in range(7)) for row in range(7)),
    "Random": rounded(torch.randn(5, 5, generator=torch.Generator().manual_seed(3))),
}


def is_patch(params: Params) -> bool:
    """Whether a part of the picture is shown."""
    return params.view != "picture"


def has_channels(params: Params) -> bool:
    """Whether colour goes in."""
    return params.view == "channels"


def is_random(params: Params) -> bool:
    """Whether the weights are drawn."""
    return has_channels(params) and params.bank == "random"


@dataclass(frozen=True, slots=True)
class Params:
    """The input, the kernel, and how it moves."""

    view: Annotated[str, Choice("View", VIEWS)] = "numbers"
    kernel: Annotated[Rows, Matrix("Kernel", KERNELS, help="Rows of numbers, from 1 × 1 to 7 × 7.")] = KERNELS[
        "Sobel x"
    ]
    normalise: Annotated[bool, Toggle("Divide by the sum", help="Left as it is where the weights sum to 0.")] = False
    flip: Annotated[bool, Toggle("Flip the kernel", help="Turned by 180°: a convolution as mathematics has it.")] = (
        False
    )
    bank: Annotated[str, Choice("Filters", BANKS, when=has_channels)] = "colours"
    filters: Annotated[int, Slider("Filters F", 1, 4, 1, when=has_channels)] = 3
    seed: Annotated[int, Seed(when=is_random)] = 0
    stride: Annotated[int, Slider("Stride s", 1, 4, 1, unit="px")] = 1
    padding: Annotated[int, Slider("Padding p", 0, 4, 1, unit="px")] = 1
    mode: Annotated[str, Choice("Padding holds", MODES, when=lambda p: p.padding > 0)] = "zeros"
    dilation: Annotated[int, Slider("Dilation d", 1, 3, 1, unit="px")] = 1
    x: Annotated[int, Slider("Patch across", 0, 100, 1, unit="%", when=is_patch)] = 43
    y: Annotated[int, Slider("Patch down", 0, 100, 1, unit="%", when=is_patch)] = 24
    image: Annotated[Picture, Image("Picture")] = CAMERA
    at: Annotated[tuple[int, int], Cell("Output pixel", help="Row and column, from 0.")] = (4, 4)


@dataclass(frozen=True, slots=True)
class Result:
    """Numbers of the current view.

    Args:
        image: (C, H, W) float64, 0 to 255.
        padded: (C, H + 2p, W + 2p).
        weight: (F, C, kh, kw) as the window lays it on the input.
        output: (F, H', W').
        other: like ``output``, with the kernel turned by 180°.
        at: (row, column), inside the output.
    """

    image: Tensor
    padded: Tensor
    weight: Tensor
    output: Tensor
    other: Tensor
    at: tuple[int, int]


def compute(params: Params) -> Result:
    """Cut the patch, make the weights, filter."""
    image = part_of(reduced(params.image), params.view, params.x, params.y)
    weight = filter_bank(params.view, params.kernel, params.normalise, params.bank, params.filters, params.seed)
    mode, turned = cast(PaddingMode, params.mode), weight.flip(2, 3)
    padded = pad2d(image, params.padding, mode=mode)
    used, unused = (turned, weight) if params.flip else (weight, turned)
    output = filter2d(padded, used, stride=params.stride, dilation=params.dilation)
    other = filter2d(padded, unused, stride=params.stride, dilation=params.dilation)
    row, column = (min(place, length - 1) for place, length in zip(params.at, output.shape[1:], strict=True))
    return Result(image, padded, used, output, other, (row, column))


@per_picture
def reduced(picture: Picture) -> Tensor:
    """The picture at 128 px, kept as long as the picture."""
    return reduce(picture.pixels)


def reduce(image: Tensor) -> Tensor:
    """(3, H, W) uint8 with the longest side at most 128 px."""
    shrink = max(1.0, max(image.shape[1:]) / 128)
    size = [max(1, round(length / shrink)) for length in image.shape[1:]]
    return F.interpolate(image[None].contiguous(), size, mode="bilinear", antialias=True)[0]


def part_of(image: Tensor, view: str, x: int, y: int) -> Tensor:
    """What goes in, 0 to 255, as (C, H, W): all of the picture in grey, a grey patch, or a patch in three colours."""
    colours = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)
    grey: Tensor = torch.einsum("chw,c->hw", image.double(), colours).round()
    if view == "picture":
        return grey[None]
    left, top, right, bottom = patch_of(image.shape[1:], view, x, y)
    source: Tensor = image.double() if view == "channels" else grey[None]
    return source[:, top:bottom, left:right]


def patch_of(shape: tuple[int, ...], view: str, x: int, y: int) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of the patch: 10 x 10 pixels in grey, 7 x 7 in colour."""
    side = 7 if view == "channels" else 10
    top, left = (round(part / 100 * max(0, length - side)) for part, length in zip((y, x), shape, strict=True))
    return left, top, min(left + side, shape[1]), min(top + side, shape[0])


def filter_bank(
    view: str, kernel: Sequence[Sequence[float]], normalise: bool, bank: str, filters: int, seed: int
) -> Tensor:
    """(F, C, kh, kw) weights."""
    weights = torch.tensor(kernel, dtype=torch.float64)
    if normalise and weights.sum() != 0:
        weights = weights / weights.sum()
    if view != "channels":
        return weights[None, None]
    if bank == "random":
        limit = (3 * weights.numel()) ** -0.5
        drawn = torch.rand(filters, 3, *weights.shape, generator=torch.Generator().manual_seed(seed)).double()
        bounded: Tensor = (2 * drawn - 1) * limit
        return bounded
    colours = [[0.299, 0.587, 0.114], [1.0, -1.0, 0.0], [-0.5, -0.5, 1.0], [1.0, 0.0, 0.0]]
    return torch.tensor(colours[:filters], dtype=torch.float64)[:, :, None, None] * weights


def reference(
    view: str,
    kernel: Sequence[Sequence[float]],
    normalise: bool,
    flip: bool,
    bank: str,
    filters: int,
    seed: int,
    stride: int,
    padding: int,
    mode: str,
    dilation: int,
    x: int,
    y: int,
    image: Tensor,
) -> Tensor:
    """Every window cut out, multiplied and summed by NumPy."""
    weight = filter_bank(view, kernel, normalise, bank, filters, seed).numpy()
    if flip:
        weight = np.flip(weight, (2, 3))
    modes: dict[str, Any] = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
    sides = [(0, 0), (padding, padding), (padding, padding)]
    padded = np.pad(part_of(reduce(image), view, x, y).numpy(), sides, mode=modes[mode])
    height, width = (dilation * (length - 1) + 1 for length in weight.shape[2:])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(1, 2))
    taps = windows[:, ::stride, ::stride, ::dilation, ::dilation]
    return torch.from_numpy(np.einsum("chwij,fcij->fhw", taps, weight))


def stage(params: Params, result: Result) -> Window:
    """Input, output and the window between them."""
    overview = None
    if params.view != "picture":
        picture = reduced(params.image)
        overview = overview_scene(picture, patch=patch_of(picture.shape[1:], params.view, params.x, params.y))
    return convolution_window(
        result.padded,
        result.output,
        result.weight,
        padding=params.padding,
        stride=params.stride,
        dilation=params.dilation,
        at=result.at,
        names=RED_GREEN_BLUE if params.view == "channels" else ("Input",),
        overview=overview,
    )


def describe(params: Params, result: Result) -> str:
    """What the stage shows now."""
    channels, height, width = result.image.shape
    filters, rows, columns = result.output.shape
    row, column = result.at
    kind = "convolved with the flipped kernel" if params.flip else "correlated with the kernel"
    planes = f"{channels} planes of {width} × {height} pixels" if channels > 1 else f"{width} × {height} grey pixels"
    maps = f"{filters} maps" if filters > 1 else "a map"
    return (
        f"{planes}, {kind} of {result.weight.shape[2]} × {result.weight.shape[3]} numbers at stride {params.stride}, "
        f"give {maps} of {columns} × {rows} numbers from {float(result.output.min()):.4g} to "
        f"{float(result.output.max()):.4g}. The window stands at output row {row}, column {column}, which is "
        f"{float(result.output[0, row, column]):.4g}."
    )


def formula(params: Params, result: Result) -> str:
    """The sum at the chosen output, the size of the output, the shape of the weights, and what a flip changes."""
    filters, channels, height, width = result.weight.shape
    row, column = result.at
    value, sign = float(result.output[0, row, column]), "-" if params.flip else "+"
    d, s, p = params.dilation, params.stride, params.padding
    sums = r"\sum_{c}\sum_{m,n}" if channels > 1 else r"\sum_{m,n}"
    c = "c," if channels > 1 else ""
    step = (lambda name: f"{d}{name}") if d > 1 else (lambda name: name)
    reach = [d * (length - 1) if params.flip else 0 for length in (height, width)]
    start = [s * place - p + more for place, more in zip((row, column), reach, strict=True)]
    lines = [
        rf"y_{{{row},{column}}} &= {sums} w_{{{c}m,n}}\;x_{{{c}{start[0]}{sign}{step('m')},\,"
        rf"{start[1]}{sign}{step('n')}}} = {value:.5g}",
        *size_lines(params, result),
        rf"\text{{weights}} &: {filters}\times {channels}\times {height}\times {width} = {result.weight.numel()}"
        + (rf"\quad(+\,{filters} \text{{ biases}})" if channels > 1 else ""),
        rf"\text{{flip}} &: \max|\Delta y| = {float((result.output - result.other).abs().max()):.5g}",
    ]
    return "$$\n\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}\n$$"


def size_lines(params: Params, result: Result) -> list[str]:
    """Height and width of the output; one line where they are alike."""
    sizes = [
        size_formula(length, kernel, params.stride, params.padding, params.dilation)
        for length, kernel in zip(result.image.shape[1:], result.weight.shape[2:], strict=True)
    ]
    if sizes[0] == sizes[1]:
        return [f"H'=W' &= {sizes[0]}"]
    return [f"{name}' &= {size}" for name, size in zip("HW", sizes, strict=True)]


def size_formula(length: int, kernel: int, stride: int, padding: int, dilation: int) -> str:
    """Output size along one axis with its numbers."""
    over = length + 2 * padding - dilation * (kernel - 1) - 1
    gaps = f"{dilation}\\cdot{kernel - 1}" if dilation > 1 else f"{kernel - 1}"
    inside = rf"({length}+2\cdot{padding}-{gaps}-1)/{stride}"
    return rf"\lfloor {inside}\rfloor+1 = {over // stride + 1}"


def table(params: Params, result: Result) -> pd.DataFrame:
    """The products of the window at the chosen output."""
    row, column = (place * params.stride for place in result.at)
    _, channels, height, width = result.weight.shape
    c, m, n = (axis.ravel() for axis in np.indices((channels, height, width)))
    rows, columns = row + m * params.dilation, column + n * params.dilation
    values = result.padded[c, rows, columns].numpy()
    weights = result.weight[0].flatten().numpy()
    places = {"channel": c, "row": rows - params.padding, "column": columns - params.padding}
    return pd.DataFrame(places | {"input": values, "weight": weights, "product": values * weights})


CONCEPT = Concept(
    params=Params,
    compute=compute,
    stage=stage,
    describe=describe,
    presets={
        "An edge, number by number": Preset(
            Params(),
            "Point at the output: each number is nine products, positive where it gets brighter to the right. The "
            "largest sizes, 421 and −555, are at the rim, where the padding's zeros make an edge.",
        ),
        "Flip changes the sign": Preset(
            Params(flip=True),
            "Sobel turned by 180° is Sobel negated, so a layer called convolution and a true one differ in every edge.",
            failure=True,
        ),
        "Symmetric: flip changes nothing": Preset(
            Params(kernel=KERNELS["Laplacian"], flip=True),
            "The kernel looks the same after half a turn, so the last line of the formula reads 0.",
        ),
        "Zeros darken the rim": Preset(
            Params(view="picture", kernel=KERNELS["Gaussian"], normalise=True, padding=2, at=(0, 60)),
            "A blur that sums to 1 keeps the brightness inside; at the rim the zeros of the padding pull it down.",
            failure=True,
        ),
        "Zeros make an edge": Preset(
            Params(view="picture", kernel=KERNELS["Sobel x"], at=(20, 0)),
            "The left and right columns are edges that are not in the picture. Change the padding to replicate and "
            "they are gone.",
            failure=True,
        ),
        "Sharpen": Preset(
            Params(view="picture", kernel=KERNELS["Sharpen"]),
            "Identity minus Laplacian. It overshoots: outputs below 0 and above 255, which a picture would clip.",
        ),
        "Stripes of one direction": Preset(
            Params(view="picture", kernel=KERNELS["Gabor"], padding=3, mode="reflect", at=(32, 28)),
            "Shoulder and one leg of the tripod answer; the other leg, slanted the other way, hardly does.",
        ),
        "Brightness sums up": Preset(
            Params(view="picture", kernel=KERNELS["Box blur"], at=(64, 64)),
            "Nine weights of 1 sum up nine pixels, up to 2295. Switch on “Divide by the sum”.",
            failure=True,
        ),
        "Three filters on colour": Preset(
            Params(view="channels", image=sample("coffee"), x=29, y=27, at=(3, 3)),
            "Each filter has a slice per colour and sums over all: 3 × 3 × 3 × 3 weights, three maps.",
        ),
        "1 × 1 mixes colours": Preset(
            Params(
                view="channels", kernel=((1.0,),), padding=0, image=sample("coffee"), x=29, y=27, filters=2, at=(3, 3)
            ),
            "No neighbour is read: a 1 × 1 convolution is a linear map of the channels at each pixel.",
        ),
        "As a network begins": Preset(
            Params(view="channels", bank="random", filters=4, image=sample("astronaut"), x=42, y=20, at=(3, 3)),
            "Random weights, as nn.Conv2d draws them: training turns them into something that answers.",
        ),
        "Stride and dilation": Preset(
            Params(view="picture", kernel=KERNELS["Sobel y"], stride=2, dilation=2, padding=2, at=(20, 30)),
            "Every second place, every second pixel: a quarter of the outputs, a window of 5 × 5 with nine taps.",
        ),
    },
    table=table,
    formula=formula,
    reference=reference,
    checked=lambda result: result.output,
    against="NumPy",
    tolerance=1e-6,
)
