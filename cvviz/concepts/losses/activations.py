"""Activation functions: value and slope, what a deep stack makes of them, a unit that dies, and softmax."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import Annotated, cast

import pandas as pd
import plotly.graph_objects as go
import torch
import torch.nn.functional as F
from torch import Tensor

from cvviz.concept import Concept, Preset
from cvviz.controls import Choice, Ints, Many, Seed, Slider, Toggle
from cvviz.figures.activations import LOOKS, curves_figure, softmax_figure, stack_figure, unit_figure
from cvviz.figures.activations_words import (
    curves_lines,
    curves_sentence,
    softmax_lines,
    softmax_sentence,
    stack_lines,
    stack_sentence,
    unit_lines,
    unit_sentence,
)
from cvviz.ops.activations import (
    Activation,
    Init,
    Shape,
    Signals,
    activation,
    activation_slope,
    init_std,
    run_stack,
    train_unit,
)
from cvviz.ops.losses import softmax

VIEWS = {"curves": "Value and slope", "stack": "A deep stack", "unit": "One unit learns", "softmax": "Softmax"}
TITLES = {name: look.title for name, look in LOOKS.items()}
RULES = {
    "he": "He",
    "xavier": "Xavier",
    "lecun": "LeCun",
    "linear": "nn.Linear's own",
    "small": "0.01, too small",
    "large": "twice He, too large",
}
NEAR_ZERO = 0.01


def one_of(params: Params) -> bool:
    """Whether one is looked at."""
    return params.view in ("stack", "unit")


def shown(params: Params) -> tuple[str, ...]:
    """The activations of the view."""
    return {"curves": params.names, "softmax": ()}.get(params.view, (params.name,))


def needs(name: str) -> Callable[[Params], bool]:
    """Tells whether that activation is shown."""
    return lambda params: name in shown(params)


@dataclass(frozen=True, slots=True)
class Params:
    """Functions, a stack of layers, a unit and its steps, and logits."""

    view: Annotated[str, Choice("View", VIEWS)] = "curves"
    names: Annotated[tuple[str, ...], Many("Functions", TITLES, when=lambda p: p.view == "curves")] = (
        "sigmoid",
        "tanh",
        "relu",
        "gelu",
    )
    x: Annotated[float, Slider("Input x", -6, 6, 0.1, when=lambda p: p.view == "curves")] = 3.0
    name: Annotated[str, Choice("Function", TITLES, when=one_of)] = "relu"
    slope: Annotated[float, Slider("Leaky ReLU: slope s", 0.0, 0.5, 0.01, when=needs("leaky_relu"))] = 0.01
    weight: Annotated[float, Slider("PReLU: weight w", -0.5, 1.0, 0.05, when=needs("prelu"))] = 0.25
    alpha: Annotated[float, Slider("ELU: α", 0.1, 2.0, 0.1, when=needs("elu"))] = 1.0
    beta: Annotated[float, Slider("Softplus: β", 0.5, 10.0, 0.5, when=needs("softplus"))] = 1.0
    rule: Annotated[str, Choice("First weights", RULES, when=lambda p: p.view == "stack")] = "he"
    depth: Annotated[int, Slider("Layers", 2, 50, 1, when=lambda p: p.view == "stack")] = 30
    width: Annotated[int, Slider("Units a layer", 16, 256, 16, when=lambda p: p.view == "stack")] = 128
    narrow: Annotated[
        bool, Toggle("Half the layers narrow", help="A quarter of the units.", when=lambda p: p.view == "stack")
    ] = False
    layer: Annotated[int, Slider("Look at layer", 1, 50, 1, when=lambda p: p.view == "stack")] = 30
    rate: Annotated[float, Slider("Learning rate", 0.05, 4.0, 0.05, when=lambda p: p.view == "unit")] = 0.5
    steps: Annotated[int, Slider("Steps", 0, 60, 1, when=lambda p: p.view == "unit")] = 20
    logits: Annotated[tuple[int, ...], Ints("Logits z", -100, 100, 8, when=lambda p: p.view == "softmax")] = (
        3,
        2,
        0,
        -1,
    )
    temperature: Annotated[float, Slider("Temperature T", 0.1, 20, log=True, when=lambda p: p.view == "softmax")] = 1.0
    seed: Annotated[int, Seed(when=one_of)] = 0


@dataclass(frozen=True, slots=True)
class Result:
    """Numbers of the current view; what belongs to another view is empty.

    Args:
        checked: what the reference reproduces.
        grid: (G,) inputs of the curves.
        curves: (2, K, G) values and slopes.
        marked: (2, K) at the input chosen; of the softmax, probabilities at temperature 1 and at T.
        signals: of the stack, or None.
        dead: (L,) share of slopes near 0.
        track: (steps + 1, 2) weight and bias of the unit.
        data: (B,) inputs and (B,) targets that it learns.
    """

    checked: Tensor
    grid: Tensor
    curves: Tensor
    marked: Tensor
    signals: Signals | None
    dead: Tensor
    track: Tensor
    data: tuple[Tensor, Tensor]


def shape_of(params: Params) -> Shape:
    """Of the functions."""
    return Shape(params.slope, params.weight, params.alpha, params.beta)


def compute(params: Params) -> Result:
    """Only what the view needs."""
    none, shape = torch.zeros(0), shape_of(params)
    result = Result(none, torch.linspace(-6, 6, 241, dtype=torch.float64), none, none, None, none, none, (none, none))
    match params.view:
        case "curves":
            names, at = cast(tuple[Activation, ...], params.names), torch.tensor(params.x, dtype=torch.float64)
            both = (activation, activation_slope)
            curves = torch.stack([torch.stack([call(result.grid, name, shape) for name in names]) for call in both])
            marked = torch.stack([torch.stack([call(at, name, shape) for name in names]) for call in both])
            return replace(result, checked=curves[:, :, ::8].flatten(0, 1), curves=curves, marked=marked)
        case "stack":
            x, weights, gradient = cached_stack(params.rule, params.depth, params.width, params.narrow, params.seed)
            signals = run_stack(x, weights, cast(Activation, params.name), gradient, shape)
            return replace(result, checked=signals.spreads, signals=signals, dead=signals.flat(NEAR_ZERO))
        case "unit":
            data, name = unit_data(params.seed), cast(Activation, params.name)
            track = train_unit(*data, name, rate=params.rate, steps=params.steps, shape=shape)
            return replace(result, checked=track, track=track, data=data)
        case _:
            logits = torch.tensor(params.logits, dtype=torch.float64)
            marked = torch.stack([softmax(logits, temperature=t) for t in (1.0, params.temperature)])
            return replace(result, checked=marked[1], marked=marked)


def stack_of(rule: str, depth: int, width: int, narrow: bool, seed: int) -> tuple[Tensor, list[Tensor], Tensor]:
    """Inputs (B, n), weights of every layer, and a gradient of the last output, all normal and seeded."""
    generator = torch.Generator().manual_seed(seed)
    widths = [width if not narrow or layer <= depth // 2 else width // 4 for layer in range(depth + 1)]
    x = torch.randn(64, width, generator=generator, dtype=torch.float64)
    weights = []
    for before, after in pairwise(widths):
        weight = torch.empty(after, before, dtype=torch.float64)
        if rule in ("he", "large"):
            torch.nn.init.kaiming_normal_(weight, generator=generator)
        elif rule == "xavier":
            torch.nn.init.xavier_normal_(weight, generator=generator)
        elif rule == "lecun":
            torch.nn.init.kaiming_normal_(weight, nonlinearity="linear", generator=generator)
        elif rule == "linear":
            torch.nn.init.kaiming_uniform_(weight, a=5**0.5, generator=generator)
        else:
            torch.nn.init.normal_(weight, std=0.01, generator=generator)
        weights.append(weight.T * (2 if rule == "large" else 1))
    return x, weights, torch.randn(64, widths[-1], generator=generator, dtype=torch.float64)


cached_stack = lru_cache(maxsize=4)(stack_of)


def unit_data(seed: int) -> tuple[Tensor, Tensor]:
    """(60,) inputs, and targets that a ReLU could fit exactly: max(x - 0.2, 0) with a little noise."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(60, generator=generator, dtype=torch.float64)
    return x, (x - 0.2).clamp(min=0) + 0.05 * torch.randn(60, generator=generator, dtype=torch.float64)


def reference(
    view: str,
    names: Sequence[str],
    name: str,
    slope: float,
    weight: float,
    alpha: float,
    beta: float,
    rule: str,
    depth: int,
    width: int,
    narrow: bool,
    rate: float,
    steps: int,
    logits: Sequence[int],
    temperature: float,
    seed: int,
) -> Tensor:
    """The same by torch's functions, with every slope and gradient by autograd and every step by torch.optim.SGD."""
    if view == "softmax":
        return torch.softmax(torch.tensor(logits, dtype=torch.float64) / temperature, dim=0)
    if view == "curves":
        grid = torch.linspace(-6, 6, 241, dtype=torch.float64)[::8].requires_grad_()
        values = [torch_activation(grid, item, slope, weight, alpha, beta) for item in names]
        slopes = [torch.autograd.grad(value.sum(), grid)[0] for value in values]
        return torch.stack(values + slopes).detach()
    if view == "unit":
        x, y = unit_data(seed)
        line = torch.tensor([0.5, 0.5], dtype=torch.float64, requires_grad=True)
        optimizer, track = torch.optim.SGD([line], lr=rate), [line.detach().clone()]
        for _ in range(steps):
            optimizer.zero_grad()
            output = torch_activation(line[0] * x + line[1], name, slope, weight, alpha, beta)
            torch.autograd.backward(F.mse_loss(output, y))
            optimizer.step()
            track.append(line.detach().clone())
        return torch.stack(track)
    inner, weights, gradient = stack_of(rule, depth, width, narrow, seed)
    before, after = [], []
    for matrix in weights:
        before.append((inner @ matrix).requires_grad_())
        inner = torch_activation(before[-1], name, slope, weight, alpha, beta)
        after.append(inner)
    gradients = torch.autograd.grad(inner, before, gradient)
    return torch.stack([torch.stack([layer.std() for layer in part]) for part in (after, gradients)]).detach()


def torch_activation(x: Tensor, name: str, slope: float, weight: float, alpha: float, beta: float) -> Tensor:
    """torch's own function of that name."""
    if name == "leaky_relu":
        return F.leaky_relu(x, slope)
    if name == "prelu":
        return F.prelu(x, torch.tensor([weight], dtype=x.dtype))
    if name == "elu":
        return F.elu(x, alpha)
    if name == "gelu_tanh":
        return F.gelu(x, approximate="tanh")
    if name == "softplus":
        return F.softplus(x, beta=beta, threshold=1000.0)
    function: Callable[[Tensor], Tensor] = getattr(torch if name in ("sigmoid", "tanh") else F, name)
    return function(x)


def stage(params: Params, result: Result) -> go.Figure:
    """Curves, the stack, the unit or the bars."""
    match params.view:
        case "curves":
            return curves_figure(params.names, result.grid, result.curves, params.x, result.marked)
        case "stack":
            assert result.signals
            index = min(params.layer, params.depth) - 1
            return stack_figure(
                result.checked, result.dead, result.signals.after[index], index + 1, TITLES[params.name]
            )
        case "unit":
            grid = torch.linspace(-3, 3, 121, dtype=torch.float64)
            ends = result.track[[0, -1]]
            lines = activation(ends[:, :1] * grid + ends[:, 1:], cast(Activation, params.name), shape_of(params))
            return unit_figure(*result.data, grid, lines, TITLES[params.name])
        case _:
            return softmax_figure(params.logits, result.marked, params.temperature)


def alive(params: Params, result: Result) -> float:
    """Share of the data at which the unit's slope is not 0."""
    weight, bias = result.track[-1]
    slope = activation_slope(weight * result.data[0] + bias, cast(Activation, params.name), shape_of(params))
    return float((slope != 0).double().mean())


def describe(params: Params, result: Result) -> str:
    """What the stage shows now."""
    match params.view:
        case "curves":
            return curves_sentence(params.names, result.marked, params.x)
        case "stack":
            return stack_sentence(params.name, RULES[params.rule], result.checked)
        case "unit":
            return unit_sentence(params.name, params.steps, result.track[-1], alive(params, result))
        case _:
            return softmax_sentence(result.marked, params.temperature)


def formula(params: Params, result: Result) -> str:
    """The formula of the view with its numbers."""
    match params.view:
        case "curves":
            lines = curves_lines(params.names, result.marked)
        case "stack":
            std, index = init_std(cast(Init, params.rule), params.width, params.width), min(params.layer, params.depth)
            lines = stack_lines(result.checked, index - 1, std, params.width)
        case "unit":
            weight, bias = result.track[-1].tolist()
            x, y = result.data
            error = activation(weight * x + bias, cast(Activation, params.name), shape_of(params)) - y
            lines = unit_lines(weight, bias, float((error**2).mean()), alive(params, result))
        case _:
            lines = softmax_lines(result.marked[1].tolist(), params.temperature)
    return "$$\n\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}\n$$"


def table(params: Params, result: Result) -> pd.DataFrame:
    """The numbers behind the stage."""
    columns: dict[str, Tensor] = {}
    match params.view:
        case "curves":
            columns["x"] = result.grid
            for name, values, slopes in zip(params.names, *result.curves, strict=True):
                columns |= {TITLES[name]: values, f"slope of {TITLES[name]}": slopes}
        case "stack":
            columns["Layer"] = torch.arange(1, params.depth + 1)
            columns |= dict(zip(("Std of outputs", "Std of gradients"), result.checked, strict=True))
            columns["Slopes near 0"] = result.dead
        case "unit":
            columns["Step"] = torch.arange(params.steps + 1)
            columns |= dict(zip(("Weight", "Bias"), result.track.T, strict=True))
        case _:
            columns["Logit"] = torch.tensor(params.logits)
            columns |= dict(zip(("p at T = 1", f"p at T = {params.temperature:.3g}"), result.marked, strict=True))
    return pd.DataFrame({name: column.numpy() for name, column in columns.items()})


CONCEPT = Concept(
    params=Params,
    compute=compute,
    stage=stage,
    describe=describe,
    presets={
        "Four of them": Preset(Params(), "At x = 3 sigmoid and tanh are saturated: hardly a slope is left."),
        "Three bends of ReLU": Preset(
            Params(names=("relu", "gelu", "silu", "mish"), x=-2.0),
            "The smooth ones dip below 0 and come back: at x = −2 their slopes are negative, so none is monotonic.",
        ),
        "Two GELUs": Preset(
            Params(names=("gelu", "gelu_tanh"), x=-2.2), "One curve to the eye, yet up to 0.0005 apart."
        ),
        "ReLU and He": Preset(
            Params(view="stack"),
            "Outputs and gradients keep their size through 30 layers: He's factor 2 pays for the half that is cut.",
        ),
        "Sigmoid vanishes": Preset(
            Params(view="stack", name="sigmoid", rule="xavier"),
            "A slope of at most 1/4 in each layer: gradients shrink by ten powers of ten and more on their way back.",
            failure=True,
        ),
        "ReLU with Xavier": Preset(
            Params(view="stack", rule="xavier"),
            "Without the factor 2 each layer halves the variance: after 30 layers 1/10,000 of the size is left.",
            failure=True,
        ),
        "Weights too small": Preset(
            Params(view="stack", name="tanh", rule="small"),
            "All is 0 after a few layers, there and back.",
            failure=True,
        ),
        "Weights too large": Preset(
            Params(view="stack", name="tanh", rule="large", layer=5),
            "Two towers at ±1, hardly a slope there; yet gradients grow 3,200 times on their way back.",
            failure=True,
        ),
        "SELU norms itself": Preset(
            Params(view="stack", name="selu", rule="lecun", depth=50, layer=50),
            "With LeCun's weights the outputs keep mean 0 and deviation 1 through 50 layers, without any norm layer.",
        ),
        "A unit dies": Preset(
            Params(view="unit", rate=1.6, steps=60),
            "One step too far and ReLU gives 0 for all data: no slope anywhere, so no step ever brings it back.",
            failure=True,
        ),
        "A unit learns": Preset(Params(view="unit", rate=0.5, steps=40), "At a smaller rate it finds the line."),
        "Leaky comes back": Preset(
            Params(view="unit", name="leaky_relu", slope=0.1, rate=1.6, steps=60),
            "The same rate throws it about too, but with a slope of 0.1 below 0 it always returns. Play the steps.",
        ),
        "Cold softmax": Preset(Params(view="softmax", temperature=0.3), "A small T sharpens: one takes nearly all."),
        "Logits too large": Preset(
            Params(view="softmax", logits=(100, 98, -100), temperature=1.0),
            "exp(100) overflows in single precision. Nothing does here, for the largest logit is subtracted first.",
        ),
    },
    table=table,
    formula=formula,
    reference=reference,
    checked=lambda result: result.checked,
    against="torch and autograd",
    tolerance=1e-6,
)
