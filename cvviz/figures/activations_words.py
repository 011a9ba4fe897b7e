"""Sentences and formulas of the activations' page, with their numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from cvviz.figures.activations import LOOKS


def curves_lines(names: Sequence[str], marked: Tensor) -> list[str]:
    """Each function with its value and slope, ``marked`` being (2, K)."""
    rows = zip(names, marked.T.tolist(), strict=True)
    return [rf"{LOOKS[name].terms} &= {value:.4g},\quad \text{{slope }} {slope:.4g}" for name, (value, slope) in rows]


def stack_lines(spreads: Tensor, index: int, std: float, fan_in: int) -> list[str]:
    """Spread of the first weights (``std``), of one layer, and of the gradients from end to end; (2, L) spreads."""
    outputs, gradients = spreads[:, index].tolist()
    first, last = spreads[1, 0].item(), spreads[1, -1].item()
    ratio = power(first / last if last else math.inf)
    return [
        rf"\text{{std of the first weights}} &= {std:.4g} \text{{ for }} n = {fan_in}",
        rf"\text{{layer {index + 1}: std of the outputs}} &= {power(outputs)},\quad \text{{of the gradients }} "
        rf"{power(gradients)}",
        rf"\text{{gradient at layer 1}} &= {ratio} \text{{ times that at the last}}",
    ]


def unit_lines(weight: float, bias: float, error: float, share: float) -> list[str]:
    """The unit, its mean square error, and the share of the data at which it has a slope."""
    sign = "+" if bias >= 0 else "-"
    return [
        rf"\hat y &= f({weight:.3f}\,x {sign} {abs(bias):.3f})",
        rf"\text{{mean square error}} &= {error:.4f},\quad \text{{data with a slope: }} {100 * share:.0f}\,\%",
    ]


def softmax_lines(probabilities: Sequence[float], temperature: float) -> list[str]:
    """The first probability, and the slope of the largest."""
    top = max(probabilities)
    return [
        rf"p_1 = \frac{{e^{{z_1/T}}}}{{\sum_j e^{{z_j/T}}}} &= {probabilities[0]:.4g}",
        rf"\frac{{\partial p_k}}{{\partial z_k}} = \frac{{p_k(1-p_k)}}{{T}} &= {top * (1 - top) / temperature:.4g}"
        r" \text{ for the largest}",
    ]


def curves_sentence(names: Sequence[str], marked: Tensor, x: float) -> str:
    """Each function at one place, ``marked`` being (2, K) values and slopes."""
    rows = zip(names, *marked.tolist(), strict=True)
    parts = [f"{LOOKS[name].title} {value:.3g}, slope {slope:.2g}" for name, value, slope in rows]
    return f"Values and slopes over the input. At {x:g}: {'; '.join(parts)}."


def stack_sentence(name: str, rule: str, spreads: Tensor) -> str:
    """The ends of the stack, ``spreads`` being (2, L) of outputs and gradients."""
    (first, *_, last), (early, *_, late) = spreads.tolist()
    return (
        f"{spreads.shape[1]} layers of {LOOKS[name].title}, first weights {rule}. Standard deviation of the outputs: "
        f"{first:.2g} in the first layer, {last:.2g} in the last; of the gradients {early:.2g} and {late:.2g}."
    )


def unit_sentence(name: str, steps: int, line: Tensor, share: float) -> str:
    """The unit after some steps, and the share of the data at which it has a slope."""
    weight, bias = line.tolist()
    numbers = f"weight {weight:.3g}, bias {bias:.3g}"
    return f"One {LOOKS[name].title} unit after {steps} steps: {numbers}. It has a slope at {share:.0%} of the data."


def softmax_sentence(probabilities: Tensor, temperature: float) -> str:
    """The largest of (2, K) probabilities at temperature 1 and at another."""
    cold, now = probabilities.max(dim=1).values.tolist()
    count = f"Softmax of {probabilities.shape[1]} logits."
    return f"{count} The largest probability is {cold:.3g} at temperature 1 and {now:.3g} at {temperature:.3g}."


def power(value: float) -> str:
    """A number in LaTeX, with a power of ten where it is far from 1."""
    if not math.isfinite(value):
        return r"\infty"
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{value:.3g}" if value == 0 or -3 <= int(exponent) <= 2 else rf"{mantissa}\cdot 10^{{{int(exponent)}}}"
