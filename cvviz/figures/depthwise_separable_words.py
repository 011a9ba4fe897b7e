"""Kinds of convolution: formula with the numbers filled in, tables, and sentences about figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from cvviz.ops.conv_variants import Conv, Cost, cost, separable_ratio
from cvviz.ops.layer_timing import Timing

KINDS = {
    "standard": "Standard",
    "grouped": "Grouped",
    "depthwise": "Depthwise",
    "pointwise": "Pointwise",
    "separable": "Separable",
}


def formula_text(
    kind: str,
    layers: Sequence[Conv],
    *,
    outputs: int,
    kernel_size: int,
    rows: int,
    difference: float,
    rectify: bool,
) -> str:
    """Weights, MACs, their ratio to those of the standard convolution, and its kernel that does the same.

    Args:
        kind: one of ``KINDS``.
        layers: of that kind.
        outputs: channels N of the standard convolution.
        kernel_size: k of the standard convolution.
        rows: of the output.
        difference: relative, of what the layers and that kernel make of a picture.
        rectify: whether a ReLU stands between layers.
    """
    first, weights = layers[0], cost(layers, 1).parameters
    stride = "" if first.stride == 1 else rf" \quad (\text{{stride }} {first.stride})"
    shapes, count = {"separable": _halves, "pointwise": _matrix}.get(kind, _groups)(layers)
    lines = [
        shapes,
        rf"\text{{weights}} &= {count} = {_whole(weights)}",
        rf"\text{{MACs}} &= {_whole(weights)} \cdot {rows}^2 = \text{{{short(weights * rows**2)}}}{stride}",
        *_ratio(kind, first.groups, outputs, kernel_size),
        *_kernel(kind, first.groups, difference, rectify),
    ]
    return "$$\n\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}\n$$"


def _halves(layers: Sequence[Conv]) -> tuple[str, str]:
    (m, _, k, _), (n, *_) = layers[0].weight_shape, layers[1].weight_shape
    return (
        rf"d: ({m}, 1, {k}, {k}), &\quad p: ({n}, {m}, 1, 1)",
        rf"M k^2 + M N = {_whole(m * k * k)} + {_whole(m * n)}",
    )


def _matrix(layers: Sequence[Conv]) -> tuple[str, str]:
    n, m, *_ = layers[0].weight_shape
    return rf"W &: ({n}, {m}, 1, 1)", rf"N M = {n} \cdot {m}"


def _groups(layers: Sequence[Conv]) -> tuple[str, str]:
    n, reads, k, _ = layers[0].weight_shape
    return (
        rf"W &: (N, M/g, k, k) = ({n}, {reads}, {k}, {k}), \quad g = {layers[0].groups}",
        rf"{n} \cdot {reads} \cdot {k}^2",
    )


def _ratio(kind: str, groups: int, n: int, k: int) -> list[str]:
    """The share of the standard convolution's cost."""
    match kind:
        case "grouped":
            return [rf"\frac{{N (M/g)\, k^2}}{{N M k^2}} &= \frac1g = \frac1{{{groups}}} = {1 / groups:.4g}"]
        case "depthwise":
            return [rf"\frac{{M k^2}}{{N M k^2}} &= \frac1N = \frac1{{{n}}} = {1 / n:.4g}"]
        case "pointwise":
            return [rf"\frac{{N M}}{{N M k^2}} &= \frac1{{k^2}} = \frac1{{{k * k}}} = {1 / k**2:.4g}"]
        case "separable":
            ratio = separable_ratio(n, k)
            verdict = (
                rf"{1 / ratio:.3g}\times \text{{ fewer}}" if ratio < 1 else rf"{ratio:.3g}\times \text{{ as many}}"
            )
            return [
                r"\frac{M k^2 + M N}{N M k^2} &= \frac1N + \frac1{k^2} \\[4pt]"
                rf"&= \frac1{{{n}}} + \frac1{{{k * k}}} = {ratio:.4f} \;\Rightarrow\; {verdict}",
            ]
    return []


def _kernel(kind: str, groups: int, difference: float, rectify: bool) -> list[str]:
    """The kernel of a standard convolution that does the same, and how far apart both were measured to be."""
    off = rf"\text{{RMS }} \Delta = {_power(difference)}"
    match kind:
        case "grouped" | "depthwise":
            zeros = percent(100 * (1 - 1 / groups)).replace(" %", r"\,\%")
            return [rf"W_{{o,i}} &= 0 \text{{ for {zeros} of the pairs}}, \; {off}"]
        case "pointwise":
            return [rf"y_{{r,c}} &= W x_{{r,c}} \text{{, a Linear per pixel}}, \; {off}"]
        case "separable" if rectify:
            off = rf"\text{{RMS }} \Delta = {100 * difference:.0f}\,\%"
            return [rf"W_{{o,i}} &\ne p_{{o,i}}\,d_i \text{{ with a ReLU}}, \; {off}"]
        case "separable":
            return [rf"W_{{o,i}} &= p_{{o,i}}\,d_i, \; \text{{rank 1}}, \; {off}"]
    return []


def percent(share: float) -> str:
    """A share in percent with three digits."""
    return f"{share:.3g} %" if share < 99.95 else f"{share:,.0f} %"


def short(number: int) -> str:
    """A count, exact if it is small, else with four digits."""
    if number < 1e6:
        return f"{number:,}"
    return f"{number / 1e6:.4g} million" if number < 1e9 else f"{number / 1e9:.4g} billion"


def _whole(number: int) -> str:
    return f"{number:,}".replace(",", "{,}")


def _power(value: float) -> str:
    digits, _, power = f"{value:.1e}".partition("e")
    return rf"{digits} \cdot 10^{{{int(power)}}}" if value else "0"


def cost_table(kinds: Mapping[str, Sequence[Conv]], costs: Mapping[str, Cost]) -> pd.DataFrame:
    """Weight shapes, weights, MACs and arithmetic intensity, a row per kind."""
    rows = {
        KINDS[name]: {
            "Weight shape": " + ".join(str(layer.weight_shape) for layer in kinds[name]),
            "Weights": f"{each.parameters:,}",
            "MACs": short(each.macs),
            "MAC/byte": f"{each.intensity:.3g}",
        }
        for name, each in costs.items()
    }
    return pd.DataFrame(rows).T.rename_axis("Kind")


def cost_words(costs: Mapping[str, Cost], *, chosen: str) -> str:
    """What the bars of the costs show now."""
    whole = costs["standard"].macs
    words = [
        f"{KINDS[name]} {percent(100 * each.macs / whole)} of the MACs, {each.traffic / 1e6:.3g} MB moved"
        for name, each in costs.items()
    ]
    return f"Bars per kind, {KINDS[chosen].lower()} lit: {'; '.join(words)}."


def time_table(timings: Mapping[str, Timing]) -> pd.DataFrame:
    """Times, their share of the standard convolution's, and the speed in the better layout, a row per kind."""
    whole, rows = timings["standard"], {}
    for name, timing in timings.items():
        shares = {layout: percent(100 * time / whole.seconds[layout]) for layout, time in timing.seconds.items()}
        rows[KINDS[name]] = {
            "MACs": percent(100 * timing.cost.macs / whole.cost.macs),
            "NCHW": f"{1000 * timing.seconds['NCHW']:.3g} ms, {shares['NCHW']}",
            "Channels last": f"{1000 * timing.seconds['NHWC']:.3g} ms, {shares['NHWC']}",
            "Most GMAC/s": f"{timing.cost.macs / min(timing.seconds.values()) / 1e9:.3g}",
        }
    return pd.DataFrame(rows).T.rename_axis("Kind")


def time_words(timings: Mapping[str, Timing]) -> str:
    """How far time lags behind the MACs, and what copying the bytes would have taken."""
    whole, words = timings["standard"], []
    for name in ("separable", "depthwise"):
        macs = percent(100 * timings[name].cost.macs / whole.cost.macs)
        times = [percent(100 * time / whole.seconds[layout]) for layout, time in timings[name].seconds.items()]
        words.append(
            f"{KINDS[name]}: {macs} of the standard MACs, {times[0]} of the time, {times[1]} with channels last."
        )
    depthwise = timings["depthwise"]
    lag = min(depthwise.seconds.values()) / depthwise.copying
    return " ".join(words) + f" The faster depthwise run takes {lag:.2g} times as long as copying its bytes."
