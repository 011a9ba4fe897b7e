"""Receptive field: which pixels a unit can see, and which of them it listens to."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

import torch
import torchvision
from torch import Tensor, nn

from cvviz.controls import Choice, Image, LayerStack, Slider
from cvviz.data.images import Picture, sample
from cvviz.figures import receptive_field as drawing
from cvviz.ops.module_receptive_field import trace
from cvviz.ops.receptive_field import Field, Layer, Node, chain, effective_size, gradient_mass, node_fields

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


@dataclass(frozen=True, slots=True)
class Params:
    """A network, a unit in it, and what counts as seen."""

    net: Annotated[str, Choice("Network", options=NETWORKS)] = "resnet18"
    layers: Annotated[
        tuple[Layer, ...],
        LayerStack(
            "Layers",
            help="k is the kernel, s the stride, p the padding, d the dilation: k3s2p1d1. psame keeps the size.",
            when=lambda p: p.net == "own",
        ),
    ] = (Layer(3, 1, 1), Layer(3, 1, 1), Layer(3, 1, 1))
    depth: Annotated[int, Slider("Depth", 1, 100, 1, unit="%", help="How much of the network the unit has behind it.")] = (
        100
    )
    row: Annotated[int, Slider("Row of the unit", 0, 100, 1, unit="%")] = 50
    col: Annotated[int, Slider("Column of the unit", 0, 100, 1, unit="%")] = 50
    cut: Annotated[
        float,
        Slider("Ignore gradients below", 1e-12, 0.5, 0.01, log=True, unit="of the peak", help="What a tool would call zero."),
    ] = 0.01
    px: Annotated[int, Slider("Side of the input", 32, 384, 16, unit="px")] = 224
    image: Annotated[Picture, Image("Picture")] = sample("chelsea")


@dataclass(frozen=True)
class Network:
    """What is known of a network before a unit is chosen.

    Attributes:
        nodes: its steps, the input first.
        fields: field of each.
        effective: shortest run of rows with 95 % of the gradient, 0 where it was not measured.
    """

    nodes: tuple[Node, ...]
    fields: tuple[Field, ...]
    effective: tuple[int, ...]


@dataclass(frozen=True)
class Result:
    """What the chosen unit sees.

    Attributes:
        network: the network.
        index: the step that the unit belongs to.
        sizes: units along one side of every step's map.
        unit: its row and column, or None if the map is empty.
        rows, columns: first pixel and end of its field; they may lie in the padding.
        relative: (size, size) its gradient, the peak 1; None if the field is too large.
        seen: first row and end, within the field, of what exceeds the threshold; None likewise.
        inside: share of the field that lies on the picture.
    """

    network: Network
    index: int
    sizes: tuple[int, ...]
    unit: tuple[int, int] | None
    rows: tuple[int, int]
    columns: tuple[int, int]
    relative: Tensor | None
    seen: tuple[int, int] | None
    inside: float

    @property
    def field(self) -> Field:
        """Field of the chosen step."""
        return self.network.fields[self.index]


def build(net: str, layers: list[tuple[int, int, int, int]]) -> nn.Module:
    """The network; on the meta device, where weights cost nothing, unless it is one's own stack."""
    if net == "own":
        return nn.Sequential(*(nn.Conv2d(1, 1, k, stride=s, padding=p, dilation=d) for k, s, p, d in layers))
    with torch.device("meta"):
        if net == "unet":
            return unet()
        if net == "resnet50_os8":
            return torchvision.models.resnet50(replace_stride_with_dilation=[False, True, True])
        return torchvision.models.get_model(net)


def unet() -> nn.Module:
    """U-Net of 2015 with padded convolutions: four poolings, four up-convolutions, a skip at each resolution."""

    def double(before: int, after: int) -> nn.Module:
        first, second = nn.Conv2d(before, after, 3, padding=1), nn.Conv2d(after, after, 3, padding=1)
        return nn.Sequential(first, nn.ReLU(), second, nn.ReLU())

    class UNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.down = nn.ModuleList([double(3, 64), *(double(c, 2 * c) for c in (64, 128, 256, 512))])
            self.pool = nn.MaxPool2d(2)
            self.up = nn.ModuleList([nn.ConvTranspose2d(2 * c, c, 2, stride=2) for c in (512, 256, 128, 64)])
            self.merge = nn.ModuleList([double(2 * c, c) for c in (512, 256, 128, 64)])

        def forward(self, x: Tensor) -> Tensor:
            skips = [x := self.down[0](x)]
            for block in list(self.down)[1:]:
                skips.append(x := block(self.pool(x)))
            for up, merge, skip in zip(self.up, self.merge, skips[-2::-1], strict=True):
                x = merge(torch.cat([skip, up(x)], dim=1))
            return x

    return UNet()


def column(module: nn.Module) -> nn.Module:
    """One-channel, one-column twin: kernels are square and channels alike, so rows see the same. Linear, equal weights."""
    for name, part in module.named_children():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
            lazy = nn.LazyConv1d if isinstance(part, nn.Conv2d) else nn.LazyConvTranspose1d
            k, s, p, d = part.kernel_size[0], part.stride[0], part.padding[0], part.dilation[0]
            twin: nn.Module = lazy(1, k, stride=s, padding=p, dilation=d, bias=False, dtype=torch.float64)
        elif isinstance(part, nn.MaxPool2d):
            twin = nn.AvgPool1d(part.kernel_size, part.stride, part.padding)
        elif isinstance(part, nn.BatchNorm2d | nn.ReLU | nn.Dropout | nn.AdaptiveAvgPool2d | nn.Linear):
            twin = nn.Identity()
        else:
            twin = column(part)
        setattr(module, name, twin)
    return module


def reference(net: str, layers: list[tuple[int, int, int, int]], modules: list[str], period: int, side: int) -> Tensor:
    """Size, jump and start of the field after each module, then the gradient of the last by row."""
    return measure(build(net, layers), modules, period, side)


def measure(model: nn.Module, modules: list[str], period: int, side: int) -> Tensor:
    """What autograd says: the rows of an image of ``side`` rows from which two units of each module get gradient."""
    model = column(model)
    maps: dict[str, Tensor] = {}
    for name in modules:
        model.get_submodule(name).register_forward_hook(lambda _, __, out, name=name: maps.update({name: out}))
    with torch.no_grad():
        model(torch.zeros(1, 1, side, dtype=torch.float64))  # the lazy layers learn their channels
        for weight in model.parameters():
            weight.fill_(1 / weight[0].numel())
    # One copy of the image for every unit, so that one backward pass serves all: a unit, and the one a period further.
    image = torch.zeros(2 * len(modules), 1, side, dtype=torch.float64, requires_grad=True)
    model(image)
    units = torch.tensor([maps[name].shape[-1] // 2 // period * period for name in modules])
    pairs = [maps[name][2 * i, 0, u] + maps[name][2 * i + 1, 0, u + period] for i, (name, u) in enumerate(zip(modules, units))]
    (gradient,) = torch.autograd.grad(torch.stack(pairs).sum(), image)
    reached = (gradient[:, 0] > 0).int()  # [2N, side]
    first, end = reached.argmax(1), side - reached.flip(1).argmax(1)
    jump = (first[1::2] - first[::2]) / period
    start = (first + end)[::2] / 2 - units * jump
    profile = gradient[-2, 0, first[-2] : end[-2]]
    return torch.cat([torch.stack([(end - first)[::2], jump, start], dim=1).flatten(), profile / profile.sum()])


@lru_cache(maxsize=16)
def network(net: str, layers: tuple[Layer, ...]) -> Network:
    """The steps of a network, their fields, and how much of each holds the gradient. Depends on no unit."""
    nodes = chain(layers) if net == "own" else trace(build(net, []))
    fields = node_fields(nodes)
    effective = [
        effective_size(gradient_mass(nodes, node=i, unit=(0,))) if field.size <= MEASURED else 0
        for i, field in enumerate(fields)
    ]
    return Network(tuple(nodes), tuple(fields), tuple(effective))


@lru_cache(maxsize=8)
def gradient(net: str, layers: tuple[Layer, ...], index: int, unit: tuple[int, int]) -> Gradient:
    """Gradient of a unit, relative to its peak."""
    mass = gradient_mass(network(net, layers).nodes, node=index, unit=unit).float()
    relative = mass / mass.max()
    return Gradient(relative, relative.amax(1), relative.amax(0), *heat(relative))


def compute(params: Params) -> Result:
    """Field and gradient of the chosen unit."""
    layers = params.layers if params.net == "own" else ()
    known = network(params.net, layers)
    index = max(1, round(params.depth / 100 * (len(known.nodes) - 1)))
    field, sizes = known.fields[index], node_sizes(known.nodes, params.px)
    last = sizes[index] - 1
    unit = (round(params.row / 100 * last), round(params.col / 100 * last)) if last >= 0 else (0, 0)
    phases = len(field.spans)
    seen = None
    if field.size <= MEASURED:
        seen = gradient(params.net, layers, index, (unit[0] % phases, unit[1] % phases))
    return Result(
        network=known,
        index=index,
        sizes=tuple(sizes),
        unit=unit,
        rows=field.span(unit[0]),
        columns=field.span(unit[1]),
        gradient=seen,
        seen_rows=reach(seen.by_row, params.cut) if seen else (0, 0),
        seen_columns=reach(seen.by_column, params.cut) if seen else (0, 0),
    )


def reach(peaks: Tensor, threshold: float) -> tuple[int, int]:
    """First index and end of the values that reach the threshold."""
    reached = (peaks >= threshold).nonzero().flatten()
    return int(reached[0]), int(reached[-1]) + 1


def checked_steps(known: Network) -> list[int]:
    """Up to ``CHECKED`` steps, evenly spaced and the last among them, that the reference can measure."""
    can = [
        i
        for i, (node, field) in enumerate(zip(known.nodes, known.fields, strict=True))
        if node.kind not in ("input", "concat") and max(field.size, field.jump) <= MEASURED
    ]
    return [can[i] for i in sorted({round(j * (len(can) - 1) / (CHECKED - 1)) for j in range(CHECKED)})]


def inputs(_: Params, result: Result) -> dict[str, Any]:
    """Where the reference measures, and an image large enough for it."""
    steps = checked_steps(result.network)
    fields = [result.network.fields[i] for i in steps]
    nodes = [result.network.nodes[i] for i in steps]
    period = max(len(field.spans) for field in fields)
    return {
        # A sum is the last thing that its block does.
        "modules": [node.name.rpartition(".")[0] if node.kind == "sum" else node.name for node in nodes],
        "period": period,
        "side": max(field.size for field in fields) + (2 * period + 4) * max(field.jump for field in fields),
    }


def checked(result: Result) -> Tensor:
    """The part of the result that the reference reproduces."""
    steps = checked_steps(result.network)
    fields = [result.network.fields[i] for i in steps]
    geometry = torch.tensor([(field.size, field.jump, field.start) for field in fields], dtype=torch.float64)
    return torch.cat([geometry.flatten(), gradient_mass(result.network.nodes, node=steps[-1], unit=(0,))])


@per_picture
def canvas(picture: Picture, side: int, margin: int) -> Tensor:
    """The middle of the picture as the network's square input, in a frame of padding."""
    short = min(picture.pixels.shape[1:])
    return framed(resize(center_crop(picture.pixels, [short]), [side, side], antialias=True), margin)


def stage(params: Params, result: Result) -> tuple[Scene, ...]:
    """The picture lit by the gradient, and the gradient itself."""
    first, end = result.margins(params.px)
    margin = min(max(0, first, end), params.px)
    side = params.px + 2 * margin
    pixels = canvas(params.image, params.px, margin)
    top, left = result.rows[0] + margin, result.columns[0] + margin
    ...
