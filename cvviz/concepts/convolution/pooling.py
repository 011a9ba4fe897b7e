"""Pooling: windows that keep one number each, what a shift of the input does to them, and the heads they replace."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Annotated, Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from cvviz.concept import Concept, Preset
from cvviz.controls import Cell, Choice, Image, Slider, Toggle
from cvviz.data.images import Picture, per_picture, sample
from cvviz.figures.pooling import Pooled
from cvviz.figures.pooling_head import Heads
from cvviz.figures.pooling_shift import TITLES, Shifted
from cvviz.ops.heads import body_costs
from cvviz.ops.pooling import Kind, Pool, Windows, pool2d
from cvviz.ops.shift import SETTINGS, circular_pool2d, fourier_shifts, pool_shifts, shift_errors
from cvviz.ops.shift import Kind as Shiftable
from cvviz.zoo.shifted_digits import train_all as train_all  # for the page

VIEWS = {"window": "Windows on a picture", "shift": "Shift of the input", "head": "Head of a network"}
POOLS = {"max": "Max", "average": "Average", "lp": "Lp"}
WINDOWS = {"strided": "Strided", "adaptive": "Adaptive", "global": "Global"}
PADDINGS = {"none": "None", "half": "Half: ⌊k/2⌋"}  # torch takes no more
CELLS = {"patch": "12 × 12 px", "picture": "Whole picture"}
SUBJECTS = {"edges": "Edges (Sobel, ReLU)", "picture": "The picture, grey", "dot": "One dot", "stripes": "1 px stripes"}
NETWORKS = {"vgg16": "VGG-16", "resnet50": "ResNet-50"}
MOST_SHIFT = 16
CAMERA = sample("camera")
Result = Pooled | Shifted | Heads
Test = Callable[[Any], bool]


def shows(view: str, **values: str) -> Test:
    """Whether a control has a meaning: in a view, at some values of other fields."""
    return lambda p: p.view == view and all(getattr(p, name) == value for name, value in values.items())


def either(*tests: Test) -> Test:
    """Whether one of several tests is met."""
    return lambda p: any(test(p) for test in tests)


WINDOW, SHIFT, HEAD = shows("window"), shows("shift"), shows("head")
STRIDED, ADAPTIVE = (shows("window", windows=name) for name in ("strided", "adaptive"))
PADDED_AVERAGE = shows("window", windows="strided", pool="average", padding="half")
# Whether a part of the picture is pooled: windows over all of it would be too large to read.
ON_PATCH = either(ADAPTIVE, shows("window", windows="global"), shows("window", cells="patch"))


@dataclass(frozen=True, slots=True)
class Params:
    """A pooling and its windows; a shift of its input; a network's head."""

    view: Annotated[str, Choice("View", VIEWS)] = "window"
    pool: Annotated[Pool, Choice("Pooling", POOLS, when=WINDOW)] = "max"
    windows: Annotated[Kind, Choice("Windows", WINDOWS, when=WINDOW)] = "strided"
    shown: Annotated[Shiftable, Choice("Pooling shown", TITLES, when=SHIFT)] = "max"
    subject: Annotated[str, Choice("Input", SUBJECTS, when=SHIFT)] = "edges"
    shift: Annotated[int, Slider("Shift to the right", 0, MOST_SHIFT, 1, unit="px", when=SHIFT)] = 1
    k: Annotated[int, Slider("Window k", 1, 6, 1, unit="px", when=either(SHIFT, STRIDED))] = 2
    stride: Annotated[int, Slider("Stride s", 1, 6, 1, unit="px", when=either(SHIFT, STRIDED))] = 2
    padding: Annotated[str, Choice("Padding", PADDINGS, when=STRIDED)] = "none"
    counted: Annotated[bool, Toggle("Average counts the padding", help="count_include_pad", when=PADDED_AVERAGE)] = True
    hang: Annotated[bool, Toggle("Windows may hang over", help="ceil_mode", when=STRIDED)] = False
    out: Annotated[int, Slider("Output size", 1, 16, 1, unit="px", when=ADAPTIVE)] = 5
    p: Annotated[float, Slider("Power p", 1, 16, 0.5, when=either(SHIFT, shows("window", pool="lp")))] = 3.0
    taps: Annotated[int, Slider("Taps of the blur", 1, 7, 1, unit="px", when=SHIFT)] = 3
    cells: Annotated[str, Choice("Input", CELLS, when=STRIDED)] = "patch"
    x: Annotated[int, Slider("Patch across", 0, 100, 1, unit="%", when=ON_PATCH)] = 43
    y: Annotated[int, Slider("Patch down", 0, 100, 1, unit="%", when=ON_PATCH)] = 24
    gradient: Annotated[bool, Toggle("Show the gradient", help="Of all outputs' sum.", when=WINDOW)] = False
    image: Annotated[Picture, Image("Picture", when=either(WINDOW, SHIFT))] = CAMERA
    at: Annotated[tuple[int, int], Cell("Output pixel", help="Row and column, from 0.", when=WINDOW)] = (2, 2)
    net: Annotated[str, Choice("Network", NETWORKS, when=HEAD)] = "vgg16"
    px: Annotated[int, Slider("Side of the input", 32, 512, 32, unit="px", when=HEAD)] = 224
    hidden: Annotated[bool, Toggle("Two hidden layers of 4,096", help="As VGG has them.", when=HEAD)] = True
    classes: Annotated[int, Slider("Classes", 10, 1000, 10, when=HEAD)] = 1000


def compute(params: Params) -> Result:
    """The numbers of the current view."""
    if params.view == "window":
        return pool_windows(params)
    return pool_shifted(params) if params.view == "shift" else weigh_heads(params)


def pool_windows(params: Params) -> Pooled:
    """One pooling, and its gradient by autograd."""
    whole, patched = whole_of(params.image), ON_PATCH(params)
    top, left, bottom, right = corners(whole.shape, patched, params.x, params.y)
    image = whole[top:bottom, left:right]
    windows = Windows(
        kind=params.windows,
        kernel_size=params.k,
        stride=params.stride,
        padding=params.k // 2 if params.padding == "half" and STRIDED(params) else 0,
        ceil_mode=params.hang,
        count_include_pad=params.counted,
        output_size=params.out,
    )
    leaf = image.clone().requires_grad_()
    output = pool2d(leaf[None], params.pool, windows, p=params.p)[0]
    (gradient,) = torch.autograd.grad(output.sum(), leaf)
    return Pooled(
        pool=params.pool,
        p=params.p,
        windows=windows,
        image=image,
        output=output.detach(),
        gradient=gradient,
        place=params.at,
        around=(whole, (left, top, right, bottom)) if patched else None,
        taught=params.gradient,
    )


@per_picture
def whole_of(picture: Picture) -> Tensor:
    """The picture in grey, kept as long as the picture."""
    return grey(picture.pixels)


def grey(image: Tensor) -> Tensor:
    """(3, H, W) uint8 -> (h, w) whole grey values, 0 to 255, the longest side at most 128 px."""
    shrink = max(1.0, max(image.shape[1:]) / 128)
    size = [max(1, round(length / shrink)) for length in image.shape[1:]]
    small = F.interpolate(image[None].contiguous(), size, mode="bilinear", antialias=True)[0]
    return torch.einsum("chw,c->hw", small.double(), torch.tensor([0.299, 0.587, 0.114]).double()).round()


def corners(shape: Sequence[int], patched: bool, x: int, y: int) -> tuple[int, int, int, int]:
    """(top, left, bottom, right) of 12 x 12 pixels, or of all."""
    sides = [min(length, 12) if patched else length for length in shape]
    top, left = (round(part / 100 * (length - side)) for part, length, side in zip((y, x), shape, sides, strict=True))
    return top, left, top + sides[0], left + sides[1]


def pool_shifted(params: Params) -> Shifted:
    """The pooling shown, before and after the shift, and the errors of all, which are kept while the shift moves."""
    still = subject_of(params.image, params.subject)
    image = still.roll(params.shift, 1)
    settings: Any = {"kernel_size": params.k, "stride": params.stride, "p": params.p, "taps": params.taps}
    used = {kind: {name: settings[name] for name in SETTINGS[kind]} for kind in TITLES}
    before, after = circular_pool2d(torch.stack([still, image])[:, None], params.shown, **used[params.shown])
    step = torch.tensor([[0, params.shift]], dtype=torch.float64) / params.stride
    return Shifted(
        kind=params.shown,
        stride=params.stride,
        shift=params.shift,
        image=image,
        before=before[0],
        after=after[0],
        moved=fourier_shifts(before, step)[0, 0],
        errors=torch.stack([errors_of(params.image, params.subject, kind, **used[kind]) for kind in TITLES]),
    )


@per_picture
def errors_of(picture: Picture, /, subject: str, kind: Shiftable, **settings: Any) -> Tensor:
    """(2, D) errors of a pooling at every shift, kept as long as the picture."""
    image, pool = subject_of(picture, subject), partial(pool_shifts, kind=kind, **settings)
    return shift_errors(image[None], pool, [(0, shift) for shift in range(MOST_SHIFT + 1)], stride=settings["stride"])


@per_picture
def subject_of(picture: Picture, subject: str) -> Tensor:
    """What is shifted, kept as long as the picture."""
    return square(picture.pixels, subject)


def square(image: Tensor, subject: str) -> Tensor:
    """(3, H, W) uint8 -> (120, 120), 0 to 1: a pattern, the middle of the picture, its rim fading out, or its edges."""
    side, values = min(image.shape[1:]), torch.zeros(120, 120, dtype=torch.float64)
    if subject == "dot":
        values[60, 60] = 1
    elif subject == "stripes":
        values[:, ::2] = 1
    else:
        top, left = ((length - side) // 2 for length in image.shape[1:])
        middle = image[:, top : top + side, left : left + side].double() / 255
        small = F.interpolate(middle[None], (120, 120), mode="bilinear", antialias=True)[0]
        values = torch.einsum("chw,c->hw", small, torch.tensor([0.299, 0.587, 0.114]).double())
        ramp = (torch.arange(1, 121).minimum(torch.arange(120, 0, -1)) / 10).clamp(max=1).double()
        values = values.mean() + (values - values.mean()) * torch.outer(
            ramp, ramp
        )  # opposite sides meet without a step
    if subject == "edges":
        steps = values.roll(1, 1) - values.roll(-1, 1)
        values = (steps.roll(1, 0) + 2 * steps + steps.roll(-1, 0)).relu()
    return values


def weigh_heads(params: Params) -> Heads:
    """A network's body, for heads to be put on it."""
    parameters, work, channels = body_of(params.net)
    layers = (*((4096, 4096) if params.hidden else ()), params.classes)
    costs = (parameters, work * (params.px // 32) ** 2)  # at multiples of 32 px every map divides
    return Heads(net=NETWORKS[params.net], channels=channels, px=params.px, layers=layers, body=costs)


@lru_cache(maxsize=2)
def body_of(net: str) -> tuple[int, int, int]:
    """Parameters, multiply-accumulates at 32 px, and channels of a network of torchvision without its head."""
    return body_costs(body(net), 32)


def body(net: str) -> nn.Sequential:
    """A network up to its last maps, on the meta device, where weights cost nothing."""
    with torch.device("meta"):
        model = torchvision.models.get_model(net)
    return nn.Sequential(*list(model.children())[: 1 if net == "vgg16" else 8]).eval()


def reference(
    view: str,
    pool: str,
    windows: str,
    subject: str,
    k: int,
    stride: int,
    padding: str,
    counted: bool,
    hang: bool,
    out: int,
    p: float,
    taps: int,
    cells: str,
    x: int,
    y: int,
    image: Tensor,
    net: str,
    px: int,
    hidden: bool,
    classes: int,
) -> Tensor:
    """Windows by NumPy's indexing, shifts by OpenCV's filters, heads by counting in torchvision's own modules."""
    if view == "head":
        return counted_heads(body(net), px, [4096, 4096, classes] if hidden else [classes])
    if view == "shift":
        return shifted_filters(square(image, subject).numpy(), k, stride, p, taps)
    values = grey(image)
    top, left, bottom, right = corners(values.shape, cells == "patch" or windows != "strided", x, y)
    sides = {"strided": None, "adaptive": out, "global": 1}[windows]
    border = k // 2 if padding == "half" and sides is None else 0
    return indexed_windows(values[top:bottom, left:right].numpy(), pool, p, k, stride, border, counted, hang, sides)


def indexed_windows(
    image: Any, pool: str, p: float, k: int, stride: int, border: int, counted: bool, hang: bool, sides: int | None
) -> Tensor:
    """Outputs, then the gradient of their sum: every window an array of its cells, NaN where it has none."""
    fill = -np.inf if pool == "max" else 0.0 if counted or pool == "lp" else np.nan
    padded = np.pad(np.pad(image, border, constant_values=fill), [(0, 1)] * 2, constant_values=np.nan)
    lines = []
    for length in image.shape:
        if sides is None:
            last = length + 2 * border - k
            starts = np.arange(0, min(last + stride, length + border) if hang else last + 1, stride)
            stops = np.minimum(starts + k, length + 2 * border)
        else:
            starts = np.arange(sides) * length // sides
            stops = np.ceil(np.arange(1, sides + 1) * length / sides).astype(int)
        taps = starts[:, None] + np.arange((stops - starts).max())
        lines.append(np.where(taps < stops[:, None], taps, -1))
    rows, columns = lines[0][:, None, :, None], lines[1][None, :, None, :]
    windows = padded[rows, columns]  # [R, C, k, k]
    if pool == "max":
        output = np.nanmax(windows, (2, 3))
        first = np.nanargmax(windows.reshape(*output.shape, -1), -1)[..., None, None]
        slopes = np.arange(windows[0, 0].size).reshape(windows.shape[2:]) == first
    elif pool == "average":
        output = np.nanmean(windows, (2, 3))
        slopes = np.broadcast_to(1 / (~np.isnan(windows)).sum((2, 3), keepdims=True), windows.shape)
    else:
        output = np.nansum(windows**p, (2, 3)) ** (1 / p)
        slopes = np.where(windows > 0, windows / np.maximum(output, 1e-9)[..., None, None], 0) ** (p - 1) * (
            windows > 0
        )
    gradient = np.zeros_like(padded)
    np.add.at(gradient, tuple(np.broadcast_arrays(rows, columns)), slopes)
    inside = gradient[border : border + image.shape[0], border : border + image.shape[1]]
    return torch.from_numpy(np.concatenate([output.ravel(), inside.ravel()]))


def shifted_filters(image: Any, k: int, stride: int, p: float, taps: int) -> Tensor:
    """Errors at shifts of 0 to 16 px. A pooling is a filter at every pixel, of which the stride keeps some."""
    ones, row = np.ones((k, k)), np.array([math.comb(taps - 1, index) for index in range(taps)])
    wrapped: Any = np.pad(image, [(0, 16)] * 2, mode="wrap")
    most: Any = cv2.dilate(wrapped, ones, anchor=(0, 0))
    filtered = {
        "subsample": wrapped,
        "max": most,
        "average": cv2.filter2D(wrapped, -1, ones / k**2, anchor=(0, 0)),
        "lp": cv2.filter2D(wrapped**p, -1, ones, anchor=(0, 0)) ** (1 / p),
        "blur": cv2.sepFilter2D(most, -1, row / row.sum(), row / row.sum(), anchor=(0, 0)),
        "global": np.full(wrapped.shape, image.mean()),
    }
    turns, errors = -2j * np.pi * np.fft.rfftfreq(120 // stride) / stride, []
    for values in filtered.values():
        before = values[:120:stride, :120:stride]
        spread = before.std() if before.std() > 1e-9 else image.std()
        for shift in range(17):
            after = np.roll(values[:120, :120], shift, 1)[::stride, ::stride]
            moved = np.fft.irfft(np.fft.rfft(before) * np.exp(turns * shift), 120 // stride)
            errors += [np.sqrt(np.mean((after - other) ** 2)) / spread for other in (before, moved)]
    return torch.tensor(np.array(errors)).view(6, 17, 2).transpose(1, 2)


def counted_heads(model: nn.Sequential, px: int, widths: list[int]) -> Tensor:
    """Parameters and multiply-accumulates, as torch counts them, of a body and of three heads."""
    pools = [(nn.Identity(), widths), (nn.AdaptiveAvgPool2d(7), widths), (nn.AdaptiveAvgPool2d(1), widths[-1:])]
    maps, rows = torch.empty(1, 3, px, px, device="meta"), []
    with torch.device("meta"), torch.no_grad():
        heads = [nn.Sequential(pool, nn.Flatten(), *map(nn.LazyLinear, layers)) for pool, layers in pools]
        for part in (model, *heads):
            with FlopCounterMode(display=False) as flops:
                output = part(maps)
            maps = output if part is model else maps
            rows.append([sum(weight.numel() for weight in part.parameters()), flops.get_total_flops() / 2])
    return torch.tensor(rows, dtype=torch.float64)


PRESETS = {
    "Largest of four": Preset(
        Params(), "Point at an output: four cells in, the largest out. A quarter of the values is left, all unchanged."
    ),
    "Overlap, as in ResNet": Preset(
        Params(k=3, padding="half", gradient=True),
        "33 of 144 cells get a gradient; three of them win two windows each. The padding is −∞: it never wins.",
    ),
    "Zeros in the average": Preset(
        Params(pool="average", k=3, padding="half", at=(0, 0)),
        "The corner averages 4 cells and 5 zeros: 9.6 instead of 21.5. Switch the counting off.",
        failure=True,
    ),
    "12 into 5": Preset(
        Params(windows="adaptive", at=(2, 1)),
        "Adaptive windows are unequal and overlap: 3, 3, 4, 3 and 3 cells along a side that has 12.",
    ),
    "p = 1 is the sum": Preset(
        Params(pool="lp", p=1.0),
        "Lp is a norm and no mean: 352 where the mean is 88. Drag p: at 16 it is 122.1, and the maximum 121.",
        failure=True,
    ),
    "No stride, no reduction": Preset(
        Params(k=3, stride=1, padding="half", cells="picture", at=(40, 60)),
        "128 × 128 stay 128 × 128: bright parts swell by a pixel, and nothing gets smaller.",
        failure=True,
    ),
    "The textbook's dot": Preset(
        Params(view="shift", subject="dot"),
        "The dot moves inside its window and the output stays. Drag on: at 2 px it changes by 1.41, all there is.",
    ),
    "One pixel of a real map": Preset(
        Params(view="shift"),
        "One pixel changes the output by 0.69 of its deviation; an unrelated map would be 1.41 away. Not invariant.",
        failure=True,
    ),
    "Two pixels, stride two": Preset(
        Params(view="shift", shift=2),
        "The change is 1.06, and all is in order: the output has moved by exactly one pixel. After − moved: 0.",
    ),
    "Blur before the stride": Preset(
        Params(view="shift", shown="blur"),
        "What is not moved along falls from 0.45 to 0.15 with 3 taps, to 0.06 with 5. The change only falls to 0.49.",
    ),
    "The head of VGG-16": Preset(
        Params(view="head"), "123.6 of 138.4 million parameters lie in the head. On a global average it has 0.5."
    ),
    "Another size of input": Preset(
        Params(view="head", px=320),
        "The flattening head has weights for 7 × 7 cells and gets 10 × 10: torch refuses. The other two go on.",
        failure=True,
    ),
}


CONCEPT = Concept(
    params=Params,
    compute=compute,
    stage=lambda _, result: result.stage(),
    describe=lambda _, result: result.words(),
    presets=PRESETS,
    table=lambda _, result: result.table(),
    formula=lambda _, result: result.formula(),
    reference=reference,
    checked=lambda result: result.checked(),
    against="NumPy, OpenCV and torchvision",
)
