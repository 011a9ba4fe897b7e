"""Receptive field: which pixels a unit can see, and which of them it listens to."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any

import pandas as pd
import torch
import torchvision
from torch import Tensor, nn

from cvviz.concept import Concept, Preset
from cvviz.controls import Choice, Image, LayerStack, Slider
from cvviz.data.images import Picture, per_picture, sample
from cvviz.figures import receptive_field as drawing
from cvviz.figures.scene import Scene
from cvviz.ops import receptive_field as rf
from cvviz.ops.receptive_field import trace

NETWORKS = {
    "own": "Your own stack",
    "vgg16": "VGG-16",
    "resnet18": "ResNet-18",
    "resnet50": "ResNet-50",
    "resnet50_os8": "ResNet-50, dilated",
    "mobilenet_v2": "MobileNetV2",
    "unet": "U-Net",
}
MEASURED = 1024  # largest field and jump, in pixels, whose gradient is computed
CHECKED = 8  # steps of a network that the reference measures
Known = tuple[tuple[rf.Node, ...], tuple[rf.Field, ...], tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Params:
    """A network, a unit in it, and what counts as seen."""

    net: Annotated[str, Choice("Network", options=NETWORKS)] = "resnet18"
    layers: Annotated[
        tuple[rf.Layer, ...],
        LayerStack(
            "Layers, input first",
            help="k is the kernel, s the stride, p the padding, d the dilation, as in k3s2p1d1; psame keeps the size.",
            when=lambda p: p.net == "own",
        ),
    ] = (rf.Layer(3, 1, 1),) * 3
    depth: Annotated[int, Slider("Depth", 1, 100, 1, unit="%", help="Part of the steps behind the unit.")] = 100
    row: Annotated[int, Slider("Row of the unit", 0, 100, 1, unit="%")] = 50
    col: Annotated[int, Slider("Column of the unit", 0, 100, 1, unit="%")] = 50
    cut: Annotated[float, Slider("Ignore gradients below", 1e-12, 0.5, 0.01, log=True, unit="of the peak")] = 0.01
    px: Annotated[int, Slider("Side of the input", 32, 384, 16, unit="px")] = 224
    image: Annotated[Picture, Image("Picture")] = sample("chelsea")


@dataclass(frozen=True, slots=True)
class Result:
    """What is known of a network and of the chosen unit.

    Attributes:
        nodes: steps of the network, the input first.
        fields: field of each step.
        effective: shortest run of rows with 95 % of the gradient, 0 where the field is larger than ``MEASURED``.
        sizes: units along one side of every step's map.
        index: step of the unit.
        unit: its row and column; (0, 0) if the map is empty.
        spans: rows and columns of its field, in input pixels; they may lie in the padding.
        heat: its gradient in colours; None if the field is larger than ``MEASURED``.
    """

    nodes: tuple[rf.Node, ...]
    fields: tuple[rf.Field, ...]
    effective: tuple[int, ...]
    sizes: tuple[int, ...]
    index: int
    unit: tuple[int, int]
    spans: tuple[drawing.Span, drawing.Span]
    heat: drawing.Heat | None


def unet() -> nn.Module:
    """U-Net with padded convolutions: four poolings, four up-convolutions, a skip at each resolution."""

    def double(before: int, width: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(before, width, 3, 1, 1), nn.ReLU(), nn.Conv2d(width, width, 3, 1, 1), nn.ReLU())

    class Level(nn.Module):
        def __init__(self, before: int, width: int, below: int) -> None:
            super().__init__()
            self.down, self.below = double(before, width), below
            if below:
                self.pool, self.inner = nn.MaxPool2d(2), Level(width, 2 * width, below - 1)
                self.up, self.merge = nn.ConvTranspose2d(2 * width, width, 2, stride=2), double(2 * width, width)

        def forward(self, x: Tensor) -> Tensor:
            x = self.down(x)
            return self.merge(torch.cat([x, self.up(self.inner(self.pool(x)))], dim=1)) if self.below else x

    return Level(3, 64, 4)


def build(net: str, layers: list[tuple[int, int, int, int]]) -> nn.Module:
    """The network, on the meta device, where weights cost nothing."""
    with torch.device("meta"):
        if net == "own":
            return nn.Sequential(*(nn.Conv2d(1, 1, k, stride=s, padding=p, dilation=d) for k, s, p, d in layers))
        if net == "unet":
            return unet()
        dilated = {"replace_stride_with_dilation": [False, True, True]} if net == "resnet50_os8" else {}
        model: nn.Module = torchvision.models.get_model(net.removesuffix("_os8"), **dilated)
    return model


def one_column(module: nn.Module) -> nn.Module:
    """Linear twin with one channel and one column: where kernels are square, rows reach as far as in the original."""
    twin: nn.Module
    for name, part in module.named_children():
        if isinstance(part, nn.Conv2d):
            window = {key: getattr(part, key)[0] for key in ("kernel_size", "stride", "padding", "dilation")}
            twin = nn.LazyConv1d(1, **window, bias=False, dtype=torch.float64)
        elif isinstance(part, nn.MaxPool2d):
            twin = nn.AvgPool1d(**{key: getattr(part, key) for key in ("kernel_size", "stride", "padding")})
        elif isinstance(part, nn.ConvTranspose2d):  # its kernel is as wide as its stride: at equal weights it repeats
            twin = nn.Upsample(scale_factor=part.stride[0])
        elif isinstance(part, (nn.BatchNorm2d, nn.ReLU, nn.ReLU6, nn.Dropout, nn.AdaptiveAvgPool2d, nn.Linear)):
            twin = nn.Identity()
        else:
            twin = one_column(part)
        setattr(module, name, twin)
    return module


def measure(model: nn.Module, modules: list[str], period: int, side: int) -> Tensor:
    """Size, jump and start of the field after each module, then the gradient of the last by row, all by autograd."""
    model, maps = one_column(model), {}
    for name in modules:
        model.get_submodule(name).register_forward_hook(lambda _, __, out, name=name: maps.update({name: out}))
    with torch.no_grad():
        model(torch.zeros(1, 1, side, dtype=torch.float64))  # lazy layers learn their channels
        for weight in model.parameters():
            weight.fill_(1 / weight[0].numel())
    # A copy of the image for each unit, so that one backward pass serves all: a unit, and the one a period further.
    image = torch.zeros(2 * len(modules), 1, side, dtype=torch.float64, requires_grad=True)
    model(image)
    units = [maps[name].shape[-1] // 2 // period * period for name in modules]
    pairs = [maps[name][[2 * i, 2 * i + 1], 0, [units[i], units[i] + period]] for i, name in enumerate(modules)]
    (gradient,) = torch.autograd.grad(torch.cat(pairs).sum(), image)
    reached = (gradient[:, 0] > 0).int()  # [2N, side]
    first, end = reached.argmax(1), side - reached.flip(1).argmax(1)
    jump = (first[1::2] - first[::2]) / period
    start = (first + end)[::2] / 2 - torch.tensor(units) * jump
    profile = gradient[-2, 0, first[-2] : end[-2]]
    return torch.cat([torch.stack([(end - first)[::2], jump, start], dim=1).flatten(), profile / profile.sum()])


def reference(net: str, layers: list[tuple[int, int, int, int]], modules: list[str], period: int, side: int) -> Tensor:
    """The rows of the input from which units in the middle of the maps receive gradient."""
    needed = layers[: int(modules[-1]) + 1] if net == "own" else layers
    return measure(build(net, needed), modules, period, side)


@lru_cache(maxsize=16)
def network(net: str, layers: tuple[rf.Layer, ...]) -> Known:
    """Steps of a network, their fields, and the rows that hold 95 % of each one's gradient."""
    nodes = rf.chain(layers) if net == "own" else trace(build(net, []))
    fields = rf.node_fields(nodes)
    small = {i: rf.gradient_mass(nodes, node=i, unit=(0,)) for i, field in enumerate(fields) if field.size <= MEASURED}
    effective = tuple(rf.effective_size(small[i]) if i in small else 0 for i in range(len(nodes)))
    return tuple(nodes), tuple(fields), effective


@lru_cache(maxsize=8)
def heat_of(net: str, layers: tuple[rf.Layer, ...], index: int, unit: tuple[int, int]) -> drawing.Heat:
    """Gradient of a unit."""
    return drawing.heat(rf.gradient_mass(network(net, layers)[0], node=index, unit=unit))


def compute(params: Params) -> Result:
    """Field and gradient of the chosen unit."""
    layers = params.layers if params.net == "own" else ()
    nodes, fields, effective = network(params.net, layers)
    sizes = tuple(rf.node_sizes(nodes, params.px))
    index = max(1, round(params.depth / 100 * (len(nodes) - 1)))
    last, phases = max(sizes[index] - 1, 0), len(fields[index].spans)
    row, column = round(params.row / 100 * last), round(params.col / 100 * last)
    small = fields[index].size <= MEASURED
    heat = heat_of(params.net, layers, index, (row % phases, column % phases)) if small else None
    spans = fields[index].span(row), fields[index].span(column)
    return Result(nodes, fields, effective, sizes, index, (row, column), spans, heat)


def checked_steps(result: Result) -> list[tuple[int, rf.Node, rf.Field]]:
    """Up to ``CHECKED`` steps, evenly spaced and the last among them, that the reference can measure."""
    steps = zip(range(len(result.nodes)), result.nodes, result.fields, strict=True)
    fit = [step for step in steps if max(step[2].size, step[2].jump) <= MEASURED]
    can = [step for step in fit if step[1].kind not in ("input", "concat")]
    return [can[i] for i in sorted({round(j * (len(can) - 1) / (CHECKED - 1)) for j in range(CHECKED)})]


def inputs(_: Params, result: Result) -> dict[str, Any]:
    """Where the reference measures, and an image large enough for it."""
    __, nodes, fields = zip(*checked_steps(result), strict=True)
    period = max(len(field.spans) for field in fields)
    side = max(field.size for field in fields) + (2 * period + 4) * max(field.jump for field in fields)
    return {
        # A sum is the last thing that its block does.
        "modules": [node.name.rpartition(".")[0] if node.kind == "sum" else node.name for node in nodes],
        "period": period,
        "side": side + -side % period,
    }


def checked(result: Result) -> Tensor:
    """Size of unit 0, jump and start at the checked steps, then the gradient of the last by row."""
    steps = checked_steps(result)
    geometry = [(field.spans[0][1] - field.spans[0][0], field.jump, field.start) for _, _, field in steps]
    profile = rf.gradient_mass(result.nodes, node=steps[-1][0], unit=(0,))
    return torch.cat([torch.tensor(geometry, dtype=torch.float64).flatten(), profile])


@per_picture
def canvas(picture: Picture, frame: drawing.Frame) -> Tensor:
    """The picture as the network's input, in its frame of padding."""
    return drawing.framed(picture.pixels, frame)


def stage(params: Params, result: Result) -> tuple[Scene, ...]:
    """The picture lit by the gradient, and the gradient itself."""
    # The frame is that of the last map, so that it keeps still while depth and unit move.
    frame = drawing.Frame.around(params.px, result.fields[-1], result.sizes[-1])
    side, name = result.sizes[result.index], drawing.step_name(result.nodes[result.index])
    unit = f"Unit {result.unit} of {side} × {side}" if side else f"Nothing fits into {params.px} px: unit (0, 0)"
    picture = drawing.picture_scene(
        canvas(params.image, frame),
        frame,
        result.spans,
        result.heat,
        threshold=params.cut,
        laid=drawing.laid_over(result.unit, side, params.px),
        caption=f"{unit} after {name}",
    )
    return (picture, drawing.gradient_scene(result.heat, params.cut)) if result.heat else (picture,)


def describe(params: Params, result: Result) -> str:
    """What the stage shows."""
    field, side = result.fields[result.index], result.sizes[result.index]
    on_picture = field.inside(result.unit[0], params.px) * field.inside(result.unit[1], params.px)
    place = f"{NETWORKS[params.net]}, step {result.index} of {len(result.nodes) - 1}: unit {result.unit}"
    words = f"{place} of {side} × {side} sees {drawing.extent(*result.spans)}, {on_picture:.0%} of it on the picture."
    if result.heat is None:
        return f"{words} Its gradient is not measured: the field is larger than {MEASURED} pixels."
    (first, end), held = result.heat.seen(params.cut)[0], result.effective[result.index]
    return f"{words} {end - first} rows reach {params.cut:.3g} of the largest gradient; {held} rows hold 95 % of it."


def table(_: Params, result: Result) -> pd.DataFrame:
    """Every step of the network."""
    return drawing.steps_table(result.nodes, result.fields, result.sizes, result.effective)


def formula(_: Params, result: Result) -> str:
    """The recursion at the chosen step."""
    return drawing.recursion(result.nodes, result.fields, result.index)


PRESETS = {
    "Larger than the picture": Preset(
        Params(), "ResNet-18 could see 435 px, more than its input has; its gradient stays in the middle."
    ),
    "Three 3 × 3 make a 7 × 7": Preset(
        Params(net="own", px=32, cut=1e-12), "Drag the depth: 3, 5, 7. A corner has one path, the centre many."
    ),
    "VGG-16": Preset(Params(net="vgg16"), "Drag the depth: each pooling doubles the jump, and with it the growth."),
    "Two tools, two numbers": Preset(
        Params(cut=1e-3), "A tool that calls small gradients zero reads less than the 435 px.", failure=True
    ),
    "A corner unit": Preset(
        Params(net="resnet50", row=0, col=0), "Three quarters of what a corner unit sees is padding.", failure=True
    ),
    "Gridding": Preset(
        Params(net="own", px=32, layers=(rf.Layer(3, 1, 2, 2),) * 3, cut=1e-12),
        "The extent is 13, but only 7 × 7 of the 13 × 13 pixels are read.",
        failure=True,
    ),
    "Padding forgotten": Preset(
        Params(net="own", px=32, layers=(rf.Layer(3),) * 6, row=0, col=0),
        "Without padding the map shrinks to 20 × 20, and unit 0 is centred at 6.5 px, not at 0.5.",
        failure=True,
    ),
    "Stride into dilation": Preset(
        Params(net="resnet50_os8"), "Dilation replaces two strides: the field stays 427 px, the jump falls to 8."
    ),
    "A decoder's unit": Preset(
        Params(net="unet", row=47, col=47), "Behind up-sampling, a unit is not in the middle of its own field."
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
    inputs=inputs,
    checked=checked,
    against="torch.autograd",
)
