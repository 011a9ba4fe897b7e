"""Arithmetic of convolutions: sizes there and back, cells that are never read, the matrix, and sizes down a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Annotated

import pandas as pd
import plotly.graph_objects as go
import torch
import torch.nn.functional as F
from torch import Tensor

from cvviz.concept import Concept, Preset
from cvviz.controls import Cell, Choice, LayerStack, Seed, Slider, Toggle, layer_text
from cvviz.figures import convolution_arithmetic as drawing
from cvviz.figures import convolution_arithmetic_words as words
from cvviz.figures.window import Window
from cvviz.ops import convolution as ops
from cvviz.ops.receptive_field import Layer

VIEWS = {
    "positions": "Positions of the window",
    "transposed": "Transposed: the way back",
    "matrix": "As a matrix",
    "network": "Down a network",
}
KERNELS = {"ones": "Ones: counts products", "linear": "Linear interpolation", "random": "Random, as a layer starts"}
PRODUCTS = {"rows": "C x", "columns": "Cᵀ y"}
MOST_INPUTS = 100  # columns of the matrix
SAME = "“Same” of TensorFlow and ONNX; torch has it at stride 1 only."


class OutputPadding(Slider):
    """Must stay below the stride or the dilation: at the defaults only 0 and 1 have a result."""

    def limits(self, default: int) -> tuple[int, ...]:
        """What has a result."""
        return default, 1


def shown_in(*views: str, also: Callable[[Params], bool] = lambda _: True) -> Callable[[Params], bool]:
    """Whether one of these views is on, and a condition holds."""
    return lambda params: params.view in views and also(params)


LAYER = ("positions", "transposed", "matrix")
ONE_LAYER = shown_in(*LAYER)
TWO_AXES = shown_in(*LAYER, also=lambda p: p.two or p.view != "matrix")
PADDED = shown_in(*LAYER, also=lambda p: p.view != "positions" or not p.same)
CHANNELS = shown_in("matrix", also=lambda p: p.channels)
STACK = LayerStack("Layers, input first", help="Kernel, stride, padding: k3s2p1.", when=shown_in("network"))
RANDOM = shown_in("transposed", also=lambda p: p.kernel == "random")


@dataclass(frozen=True, slots=True)
class Params:
    """One layer for three views, a stack of layers for the last."""

    view: Annotated[str, Choice("View", VIEWS)] = "positions"
    product: Annotated[str, Choice("Product", PRODUCTS, when=shown_in("matrix"))] = "rows"
    two: Annotated[bool, Toggle("Two axes", when=shown_in("matrix"))] = False
    h: Annotated[int, Slider("Rows H", 3, 16, 1, when=TWO_AXES)] = 10
    w: Annotated[int, Slider("Columns W", 3, 16, 1, when=ONE_LAYER)] = 9
    k: Annotated[int, Slider("Kernel k", 1, 7, 1, when=ONE_LAYER)] = 3
    s: Annotated[int, Slider("Stride s", 1, 4, 1, when=ONE_LAYER)] = 2
    same: Annotated[bool, Toggle("Pad to ⌈n/s⌉", help=SAME, when=shown_in("positions"))] = False
    p: Annotated[int, Slider("Padding p", 0, 6, 1, when=PADDED)] = 0
    d: Annotated[int, Slider("Dilation d", 1, 4, 1, when=ONE_LAYER)] = 1
    op: Annotated[int, OutputPadding("Output padding", 0, 3, 1, when=shown_in("transposed"))] = 0
    kernel: Annotated[str, Choice("Kernel", KERNELS, when=shown_in("transposed"))] = "ones"
    seed: Annotated[int, Seed(when=RANDOM)] = 0
    zeros: Annotated[bool, Toggle("Insert zeros, then convolve", when=shown_in("transposed"))] = False
    channels: Annotated[bool, Toggle("Several channels", when=shown_in("matrix"))] = False
    c: Annotated[int, Slider("Input channels C", 1, 6, 1, when=CHANNELS)] = 4
    f: Annotated[int, Slider("Output channels F", 1, 6, 1, when=CHANNELS)] = 4
    g: Annotated[int, Slider("Groups g", 1, 4, 1, when=CHANNELS)] = 1
    n: Annotated[int, Slider("Input n", 1, 512, 1, unit="px", when=shown_in("network"))] = 224
    layers: Annotated[tuple[Layer, ...], STACK] = STACK.decode("k7s2p3 4*k3s2p1")
    back: Annotated[bool, Toggle("And back up", when=shown_in("network"))] = False
    at: Annotated[tuple[int, int], Cell("Output cell", help="Row and column, from 0.", when=ONE_LAYER)] = (0, 0)

    @property
    def layer(self) -> Layer:
        """The layer of the first three views."""
        return Layer(self.k, self.s, self.p, self.d)

    @property
    def goes_back(self) -> bool:
        """Whether the stage shows a transposed convolution."""
        return self.view == "transposed" or (self.view == "matrix" and self.product == "columns")

    @property
    def window(self) -> dict[str, int]:
        """How its kernel moves."""
        return {"stride": self.s, "padding": self.p, "dilation": self.d}


Result = ops.Counts | drawing.Product | ops.StackSizes


def compute(params: Params) -> Result:
    """Numbers of the view from the lines that are read: no convolution is run."""
    if params.view == "network":
        return ops.through_stack(params.layers, params.n, back=params.back)
    if params.view != "transposed":
        return positions(params) if params.view == "positions" else multiplied(params)
    if params.op >= max(params.s, params.d):
        most = max(params.s, params.d) - 1
        raise ValueError(
            f"Output padding must stay below the stride or the dilation: take {most} at most, or a larger stride."
        )
    weights = stamp(params.kernel, params.k, params.seed)
    return ops.conv_transpose_counts(weights, (params.h, params.w), output_padding=params.op, **params.window)


def positions(params: Params) -> ops.Counts:
    """A convolution of ones with ones: each output counts the pixels under its taps."""
    size, k, s, d = (params.h, params.w), params.k, params.s, params.d
    same = [ops.same_padding(n, k, stride=s, dilation=d) for n in size]
    rows, columns = same if params.same else [(params.p, params.p)] * 2
    return ops.conv_counts(size, k, stride=s, padding=(rows, columns), dilation=d)


def stamp(kernel: str, k: int, seed: int) -> Tensor:
    """(k, k) weights of the transposed convolution."""
    if kernel == "random":
        drawn = torch.rand(k, k, generator=torch.Generator().manual_seed(seed))
        return (2 * drawn.double() - 1) / k
    half = (k + 1) // 2
    line = 1 - (torch.arange(k).double() - (half - 1 if k % 2 else half - 0.5)).abs() / half
    return torch.outer(line, line) if kernel == "linear" else torch.ones(k, k).double()


def multiplied(params: Params) -> drawing.Product:
    """The matrix of a convolution, and its product with a vector."""
    c, f, g = (params.c, params.f, params.g) if params.channels else (1, 1, 1)
    size = (params.h, params.w) if params.two else (params.w,)
    if c % g or f % g:
        raise ValueError(f"Groups must divide both channel numbers, and {g} does not divide {c} and {f}: change one.")
    if c * prod(size) > MOST_INPUTS:
        columns = f"The matrix would have {c * prod(size)} columns, more than {MOST_INPUTS}"
        raise ValueError(f"{columns}: take fewer rows, columns or input channels.")
    weights = numbered(f, c // g, [params.k] * len(size))
    matrix = ops.conv_matrix(weights, size, groups=g, **params.window)
    x = digits(matrix.shape[1])
    return drawing.Product(matrix, weights, x, matrix @ x)


def numbered(f: int, c: int, kernel: Sequence[int]) -> Tensor:
    """(F, C/g, k ...) weights 1, 2, 3 ..., so that equal numbers of the matrix are one weight."""
    return torch.arange(1, 1 + f * c * prod(kernel)).double().reshape(f, c, *kernel)


def digits(length: int) -> Tensor:
    """1 to 9, over and over."""
    return torch.arange(length).double() % 9 + 1


def checked(result: Result) -> Tensor:
    """What the reference reproduces: sizes and outputs, and how often each pixel is read; or both products."""
    match result:
        case ops.StackSizes(sizes, dropped, back, seen):
            return torch.cat([torch.tensor(sizes + dropped + back), seen]).double()
        case drawing.Product(matrix, _, _, y):
            return torch.cat([y, y @ matrix])
        case _:
            return flat(result.outputs, result.pixels)


def flat(outputs: Tensor, reads: Tensor) -> Tensor:
    """The shape of a map, its numbers, and further ones."""
    return torch.cat([torch.tensor(outputs.shape), outputs.flatten(), reads.flatten()]).double()


def reference(
    view: str,
    two: bool,
    h: int,
    w: int,
    k: int,
    s: int,
    same: bool,
    p: int,
    d: int,
    op: int,
    kernel: str,
    seed: int,
    channels: bool,
    c: int,
    f: int,
    g: int,
    n: int,
    layers: list[tuple[int, int, int, int]],
    back: bool,
) -> Tensor:
    """The same numbers by running torch's convolutions: shapes from their outputs, reads from their gradients."""
    if view == "positions":
        return run_window(h, w, k, s, same, p, d)
    if view == "transposed":
        return run_back(h, w, stamp(kernel, k, seed), s, p, d, op)
    if view == "matrix":
        size = [h, w] if two else [w]
        return run_both_ways(size, k, s, p, d, *((c, f, g) if channels else (1, 1, 1)))
    return run_stack(n, layers, back)


def run_window(h: int, w: int, k: int, s: int, same: bool, p: int, d: int) -> Tensor:
    """A convolution of ones, and how often it reads each pixel: the gradient of its sum."""
    pixels, weight = torch.ones(1, 1, h, w).double().requires_grad_(), torch.ones(1, 1, k, k).double()
    if same and s == 1:
        outputs = F.conv2d(pixels, weight, padding="same", dilation=d)
    elif same:  # torch has no such padding at larger strides
        totals = [max((-(-size // s) - 1) * s + d * (k - 1) + 1 - size, 0) for size in (w, h)]
        sides = [side for total in totals for side in (total // 2, total - total // 2)]
        outputs = F.conv2d(F.pad(pixels, sides), weight, stride=s, dilation=d)
    else:
        outputs = F.conv2d(pixels, weight, stride=s, padding=p, dilation=d)
    (reads,) = torch.autograd.grad(outputs.sum(), pixels)
    return flat(outputs[0, 0].detach(), reads)


def run_back(h: int, w: int, weight: Tensor, s: int, p: int, d: int, op: int) -> Tensor:
    """A transposed convolution of ones, and how many outputs each pixel reaches."""
    pixels = torch.ones(1, 1, h, w).double().requires_grad_()
    outputs, counts = (
        F.conv_transpose2d(pixels, kernel[None, None], stride=s, padding=p, output_padding=op, dilation=d)
        for kernel in (weight, torch.ones_like(weight))
    )
    (reads,) = torch.autograd.grad(counts.sum(), pixels)
    return flat(outputs[0, 0].detach(), reads)


def run_both_ways(size: list[int], k: int, s: int, p: int, d: int, c: int, f: int, g: int) -> Tensor:
    """A convolution, and the transposed convolution of its output with the same weights."""
    axes = len(size)
    weight, x = numbered(f, c // g, [k] * axes), digits(c * prod(size)).reshape(1, c, *size)
    forward, backward = (F.conv2d, F.conv_transpose2d) if axes == 2 else (F.conv1d, F.conv_transpose1d)
    y = forward(x, weight, stride=s, padding=p, dilation=d, groups=g)
    rest = [(length + 2 * p - d * (k - 1) - 1) % s for length in size]
    back = backward(y, weight, stride=s, padding=p, output_padding=rest, dilation=d, groups=g)
    return torch.cat([y.flatten(), back.flatten()])


def run_stack(n: int, layers: list[tuple[int, int, int, int]], back: bool) -> Tensor:
    """Sizes, what a transposed convolution misses of each, sizes on the way back, and pixels with a gradient."""
    pixels = torch.ones(1, 1, n).double().requires_grad_()
    maps, missing = [pixels], []
    for k, s, p, d in layers:
        weight = torch.ones(1, 1, k).double()
        maps.append(F.conv1d(maps[-1], weight, stride=s, padding=p, dilation=d))
        again = F.conv_transpose1d(maps[-1].detach(), weight, stride=s, dilation=d)
        missing.append(maps[-2].shape[2] - (again.shape[2] - 2 * p))
    (gradient,) = torch.autograd.grad(maps[-1].sum(), pixels)
    returned = [maps[-1].detach()]
    for k, s, p, d in layers[::-1] if back else []:
        weight = torch.ones(1, 1, k).double()
        returned.insert(0, F.conv_transpose1d(returned[0], weight, stride=s, padding=p, dilation=d))
    lengths = [one.shape[2] for one in maps], [one.shape[2] for one in returned if back]
    return torch.cat([torch.tensor(lengths[0] + missing + lengths[1]), gradient[0, 0] > 0]).double()


def stage(params: Params, result: Result) -> Window | go.Figure:
    """The cells with the window, or the sizes."""
    match result:
        case ops.StackSizes():
            return drawing.sizes_chart([layer_text(layer) for layer in params.layers], result.sizes, result.back)
        case drawing.Product():
            blocks = (params.f, params.c) if params.channels else (1, 1)
            return drawing.matrix_window(result, by_rows=not params.goes_back, blocks=blocks, at=params.at)
        case _ if params.view == "positions":
            return drawing.positions_window(result, layer=params.layer, at=params.at)
        case _:
            draw = drawing.stuffed_window if params.zeros else drawing.transposed_window
            weights = stamp(params.kernel, params.k, params.seed)
            return draw(result, weights, layer=params.layer, output_padding=params.op, at=params.at)


def describe(params: Params, result: Result) -> str:
    """What the stage shows now."""
    return words.describe(result, params.layer, back=params.goes_back)


def metrics(params: Params, result: Result) -> dict[str, str]:
    """Numbers beside the stage."""
    return words.metrics(result, params.layer, back=params.goes_back)


def table(params: Params, result: Result) -> pd.DataFrame:
    """Reads of each pixel, outputs, numbers of the matrix, or layers."""
    return words.table(result, [layer_text(layer) for layer in params.layers], back=params.goes_back)


def formula(params: Params, result: Result) -> str:
    """The formulas of the view with the current numbers."""
    size = (params.h, params.w)
    match result:
        case ops.StackSizes():
            return words.stack_formula(result, params.layers)
        case drawing.Product():
            return words.matrix_formula(result, params.c if params.channels else 1)
        case _ if params.view == "positions":
            return words.positions_formula(size, params.layer, same=params.same)
        case _:
            return words.transposed_formula(size, params.layer, params.op, stamp(params.kernel, params.k, params.seed))


PRESETS = {
    "A floored stride": Preset(
        Params(), "Columns: 6/2 divides. Rows: 7/2 = 3.5 is floored to 3, no error, and the last row is never read."
    ),
    "Size kept": Preset(
        Params(h=8, w=8, s=1, p=1),
        "A corner pixel is read 4 times, one inside 9 times; a corner output has 4 real pixels and 5 zeros.",
    ),
    "Even kernel": Preset(
        Params(h=8, w=8, k=4, s=1, p=1),
        "8 becomes 7, and p = 2 makes it 9. Switch on “Pad to ⌈n/s⌉”: 1 line before and 2 after.",
        failure=True,
    ),
    "“Same” padding": Preset(
        Params(h=8, w=8, same=True),
        "TensorFlow pads 0 before and 1 after. With p = 1 torch also gives 4 × 4, every window one pixel off.",
        failure=True,
    ),
    "1 × 1, stride 2": Preset(
        Params(h=8, w=8, k=1), "The shortcut of a ResNet reads one pixel in four; 48 of 64 go nowhere.", failure=True
    ),
    "Stride 2, dilation 2": Preset(
        Params(h=9, w=9, d=2, p=2),
        "Starts and taps are all even, so 56 of 81 pixels are never read, though windows overlap.",
        failure=True,
    ),
    "Checkerboard": Preset(
        Params(view="transposed", h=4, w=4, at=(4, 4)),
        "3 is no multiple of 2: outputs inside sum 4, 2, 2 or 1 products, and a flat input comes out chequered.",
        failure=True,
    ),
    "Even overlap": Preset(
        Params(view="transposed", h=4, w=4, k=4, p=1, kernel="random", at=(4, 4)),
        "Every output inside sums 4 products, but of other weights by phase: random ones still chequer.",
        failure=True,
    ),
    "Interpolation": Preset(
        Params(view="transposed", h=4, w=4, k=4, p=1, kernel="linear", zeros=True, at=(4, 4)),
        "The right weights make a flat input flat. Seen with zeros inserted, at most 4 of 16 products are not 0.",
    ),
    "7 or 8?": Preset(
        Params(view="transposed", h=4, w=4, p=1, op=1, at=(7, 7)),
        "A convolution brings 7 and 8 to 4. Output padding 1 chooses 8; its last line sums products, not zeros.",
    ),
    "Rows and columns": Preset(
        Params(view="matrix", product="columns", at=(0, 4)),
        "Each row of C is the kernel, two further on. A convolution reads rows; its transpose reads columns.",
    ),
    "No inverse": Preset(
        Params(view="matrix", two=True, h=4, w=4, s=1),
        "4 equations for 16 unknowns: Cᵀ brings back the size, and Cᵀ C is far from the identity.",
        failure=True,
    ),
    "Two groups": Preset(
        Params(view="matrix", w=6, s=1, p=1, channels=True, g=2),
        "Groups empty the blocks off the diagonal: half the weights and products, the same output size.",
    ),
    "AlexNet at 224": Preset(
        Params(view="network", layers=STACK.decode("k11s4 k3s2 k5p2 k3s2 3*k3p1 k3s2")),
        "(224 − 11)/4 is no whole number, and 5 × 5 comes out where the next layer wants 6 × 6. Set n = 227.",
        failure=True,
    ),
    "U-Net at 100": Preset(
        Params(view="network", n=100, layers=STACK.decode("k3p1 k2s2") * 4, back=True),
        "25 is halved to 12 and comes back as 24: the skip does not fit. 96 and 112 come back.",
        failure=True,
    ),
}


CONCEPT = Concept(
    params=Params,
    compute=compute,
    stage=stage,
    describe=describe,
    presets=PRESETS,
    table=table,
    formula=formula,
    reference=reference,
    checked=checked,
    against="torch",
)
