"""Sentences from interview notes, judged by measurements; see ``activations``."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from cvviz.concept import Claim, Evidence, magnitude
from cvviz.concepts.losses.activations import Params, compute, unit_data
from cvviz.ops.activations import ACTIVATIONS, Shape, activation, activation_slope, train_unit
from cvviz.zoo.dead_units import train

GRID = torch.linspace(-6, 6, 24001, dtype=torch.float64)


def _sigmoid() -> Evidence:
    top = float(activation_slope(GRID, "sigmoid").max())
    spreads = compute(Params(view="stack", name="sigmoid", rule="xavier", depth=20)).checked[1]
    ratio = float(spreads[0] / spreads[-1])
    text = (
        f"Largest slope {top:g}; through 20 layers from Xavier weights the gradient shrinks to {ratio:.1e} of its size."
    )
    return Evidence(abs(top - 0.25) < 1e-6 and ratio < 1e-8, text)


def _relu() -> Evidence:
    ratios = {}
    for rule in ("he", "xavier", "large"):
        spreads = compute(Params(view="stack", rule=rule)).checked[1]
        ratios[rule] = float(spreads[0] / spreads[-1])
    text = (
        "Gradient at layer 1 over that at layer 30, ReLU: " + ", ".join(f"{k} {v:.2g}" for k, v in ratios.items()) + "."
    )
    return Evidence(0.2 < ratios["he"] < 5 and ratios["xavier"] < 1e-3 and ratios["large"] > 1e3, text)


def _dying() -> Evidence:
    x, y = unit_data(0)
    slopes = {}
    for name, rate in (("relu", 0.5), ("relu", 1.6), ("leaky_relu", 1.6)):
        weight, bias = train_unit(x, y, name, rate=rate, steps=60)[-1]  # type: ignore[arg-type]
        slopes[f"{name} at {rate:g}"] = float((activation_slope(weight * x + bias, name) != 0).double().mean())  # type: ignore[arg-type]
    dead = train("relu", Shape(), 0.5, 0, lambda *_: None, epochs=10).dead
    woken = (dead[1:] < dead[:-1]).sum(dim=0).tolist()
    text = (
        "One unit, data with a slope after 60 steps: "
        f"{', '.join(f'{key} {share:.0%}' for key, share in slopes.items())}. "
        f"Three layers on digits, rate 0.5: in {woken[1] + woken[2]} of 20 epochs of layers 2 and 3 the share of dead "
        f"units falls, in {woken[0]} of 10 of layer 1."
    )
    alive = min(slopes["relu at 0.5"], slopes["leaky_relu at 1.6"])
    return Evidence(slopes["relu at 1.6"] == 0 and alive > 0.2 and woken[1] + woken[2] > 0, text)


def _at_zero() -> Evidence:
    zero = torch.zeros(1, requires_grad=True)
    found = {
        call.__name__: float(torch.autograd.grad(call(zero), zero)[0]) for call in (F.relu, F.leaky_relu, F.hardtanh)
    }
    one = torch.ones(1, requires_grad=True)
    found["hardtanh at 1"] = float(torch.autograd.grad(F.hardtanh(one), one)[0])
    text = "torch's slope at 0: " + ", ".join(f"{name} {slope:g}" for name, slope in found.items()) + "."
    return Evidence(found["relu"] == 0 and found["hardtanh at 1"] == 0, text)


def _centre() -> Evidence:
    x = torch.randn(100_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    means = {name: float(activation(x, name).mean()) for name in ("sigmoid", "tanh", "relu", "gelu", "selu")}
    text = (
        "Mean of the outputs for normal inputs: "
        + ", ".join(f"{name} {mean:.3f}" for name, mean in means.items())
        + "."
    )
    return Evidence(abs(means["tanh"]) < 0.01 and abs(means["selu"]) < 0.01 and means["sigmoid"] > 0.49, text)


def _gelu() -> Evidence:
    gap = float((activation(GRID, "gelu") - activation(GRID, "gelu_tanh")).abs().max())
    dips = {name: float(activation(GRID, name).min()) for name in ("gelu", "silu", "mish")}
    text = f"Exact against tanh GELU: at most {gap:.1e} apart. Least values: " + ", ".join(
        f"{name} {value:.3f}" for name, value in dips.items()
    )
    return Evidence(gap < 5e-4 and max(dips.values()) < -0.16, text + ".")


def _linear() -> Evidence:
    generator = torch.Generator().manual_seed(0)
    weights = [torch.randn(8, 8, generator=generator, dtype=torch.float64) for _ in range(10)]
    x = torch.randn(5, 8, generator=generator, dtype=torch.float64)
    deep, single = x, weights[0]
    for weight in weights:
        deep = deep @ weight
    for weight in weights[1:]:
        single = single @ weight
    error = float((deep - x @ single).abs().max() / deep.abs().max())
    return Evidence(
        error < 1e-12, f"Ten layers without activation against one with the product matrix: {magnitude(error)} apart."
    )


CLAIMS = (
    Claim(
        "The sigmoid makes gradients vanish.",
        "true",
        "Its slope is at most 1/4, so each layer takes at least three quarters unless weights make up for it.",
        _sigmoid,
        "Sigmoid vanishes",
    ),
    Claim(
        "ReLU solves the vanishing gradient.",
        "true with conditions",
        "With weights of the right size. Its slope is 1 on one half and 0 on the other, which He's factor 2 pays for; "
        "with others gradients vanish or explode as ever.",
        _relu,
        "ReLU with Xavier",
    ),
    Claim(
        "Dead ReLU units come back with time.",
        "true with conditions",
        "Not by its own gradient, which is 0: with fixed inputs it stays dead. In deeper layers those before it may "
        "move its inputs and wake it. A slope below 0, a smaller rate, or norm layers keep it alive.",
        _dying,
        "A unit dies",
    ),
    Claim(
        "ReLU cannot be trained by gradients, since it has no derivative at 0.",
        "wrong",
        "Any number between 0 and 1 is a subgradient there; torch takes 0.",
        _at_zero,
    ),
    Claim(
        "Tanh is better than the sigmoid because it is centred at 0.",
        "true",
        "Outputs of one sign push all weights of a unit the same way. Tanh's slope at 0 is also four times as large.",
        _centre,
        "Four of them",
    ),
    Claim(
        "GELU, SiLU and Mish are smooth versions of ReLU.",
        "true with conditions",
        "Near enough far out, but they are not monotonic: each dips below 0. And there are two GELUs.",
        _gelu,
        "Three bends of ReLU",
    ),
    Claim(
        "More layers without activations make a network stronger.",
        "wrong",
        f"They collapse into one matrix. Each of the {len(ACTIVATIONS)} functions here exists to prevent that.",
        _linear,
    ),
)
