"""Formulas, descriptions and tables of the arithmetic of convolutions, with the current numbers."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from cvviz.figures.convolution_arithmetic import Product, by, say
from cvviz.ops.convolution import Counts, StackSizes, conv_transpose_output_size, exact_sizes, phase_response
from cvviz.ops.convolution import same_padding as same_padding_of
from cvviz.ops.receptive_field import Layer

A_LINE = 32  # digits and the spaces between them, in a line of a formula


def positions_formula(size: tuple[int, int], layer: Layer, *, same: bool) -> str:
    """Output size along both axes, the floor, and what it drops."""
    line = _same_line if same else _size_line
    return _aligned([line(name, length, layer) for name, length in zip("HW", size, strict=True)])


def transposed_formula(size: tuple[int, int], layer: Layer, output_padding: int, weights: Tensor) -> str:
    """Output size along both axes, the sizes that a convolution brings there, and a flat input's response."""
    k, s, p, d = layer.kernel_size, layer.stride, layer.padding, layer.dilation
    lines = []
    for name, n in zip("HW", size, strict=True):
        whole = conv_transpose_output_size(n, k, stride=s, padding=p, output_padding=output_padding, dilation=d)
        lines.append(rf"{name}' &= ({n}-1)\cdot {s}-2\cdot {p}+{d}\,({k}-1)+{output_padding}+1 = {whole}")
    smallest = (size[0] - 1) * s - 2 * p + layer.extent
    sources = r",\ ".join(str(smallest + extra) for extra in range(s) if smallest + extra > 0)
    lines.append(rf"\text{{convolved to }} H={size[0]} &: {sources}")
    return _aligned([*lines, _phases_line(phase_response(weights, stride=s, dilation=d))])


def matrix_formula(product: Product, inputs: int) -> str:
    """Weights, products, and what is lost, for a layer with so many input channels."""
    matrix, weights, _, _ = product
    (filters, depth, *kernel), places = weights.shape, len(matrix) // len(weights)
    turned = (inputs, filters * depth // inputs, *kernel)
    count, k = weights.numel(), ", ".join("k" * len(kernel))
    return _aligned(
        [
            rf"\text{{weights}} &: (F, C/g, {k}) = {_times(weights.shape)} = {count}",
            rf"\text{{transposed}} &: (C, F/g, {k}) = {_times(turned)}",
            rf"\text{{products}} &: {count}\cdot {places} = {count * places}"
            rf",\quad\text{{dense }} {matrix.shape[0]}\cdot {matrix.shape[1]} = {matrix.numel()}",
            rf"C x = y &: {matrix.shape[0]} \text{{ equations for {matrix.shape[1]} unknowns}}",
        ]
    )


def stack_formula(stack: StackSizes, layers: Sequence[Layer]) -> str:
    """Sizes there and back, remainders, and the sizes next to this one at which there are none."""
    near = r" \text{ and } ".join(map(str, without_remainder(layers, stack.sizes[0]))) or r"\text{none up to 1024}"
    return _aligned(
        [
            *_listed("down", stack.sizes, r" \to "),
            *_listed("remainders", stack.dropped, r",\;"),
            *(_listed("back", stack.back[::-1], r" \to ") if stack.back else []),
            rf"\text{{no remainder at }} n &= {near}",
        ]
    )


def without_remainder(layers: Sequence[Layer], size: int) -> list[int]:
    """The sizes nearest to ``size``, one at or below it and one above, at which no layer has a remainder."""
    sizes = exact_sizes(layers)
    return [*sizes[sizes <= size][-1:].tolist(), *sizes[sizes > size][:1].tolist()]


def spread(phases: Tensor) -> float:
    """(largest - smallest) / largest in size: 0 for a flat response."""
    most = float(phases.abs().max())
    return float(phases.max() - phases.min()) / most if most else 0.0


def describe(result: Counts | Product | StackSizes, layer: Layer, *, back: bool) -> str:
    """What the stage shows: ``back`` tells a transposed convolution from a convolution."""
    match result:
        case Counts():
            return _about_transposed(result, layer) if back else _about_positions(result, layer)
        case Product():
            return _about_matrix(result.matrix, back)
        case StackSizes():
            return _about_stack(result)


def metrics(result: Counts | Product | StackSizes, layer: Layer, *, back: bool) -> dict[str, str]:
    """The numbers beside the stage, by their names."""
    match result:
        case Counts() if back:
            inner = phase_response(
                torch.ones(layer.kernel_size, layer.kernel_size), stride=layer.stride, dilation=layer.dilation
            )
            return {
                "Output": by(result.outputs),
                "Products in each, inside": _range(inner),
                "Outputs that nothing reaches": _share(result.products == 0),
                "Multiplications": f"{int(result.products.sum()):,}",
            }
        case Counts():
            return {
                "Output": by(result.outputs),
                "Pixels never read": _share(result.pixels == 0),
                "Reads of a pixel": _range(result.pixels),
                "Multiplications": f"{result.outputs.numel() * layer.kernel_size**2:,}",
            }
        case Product(matrix, weights, _, _):
            gram = matrix.T @ matrix
            off = float((gram - gram.diag().diag()).abs().max())
            return {
                "Weights": f"{weights.numel()}",
                "Zeros in C": _share(matrix == 0),
                "Largest off the diagonal of CᵀC": f"{off:,.0f}",
                "Multiplications": f"{int(matrix.count_nonzero()):,}",
            }
        case StackSizes():
            return {
                "Last map": f"{result.sizes[-1]} px",
                "Layers with a remainder": f"{sum(map(bool, result.dropped))} of {len(result.dropped)}",
                "Input lines never seen": _share(~result.seen),
            }


def table(result: Counts | Product | StackSizes, names: Sequence[str], *, back: bool) -> pd.DataFrame:
    """Reads of each pixel, outputs, numbers of the matrix, or one row per layer."""
    match result:
        case Counts():
            return _cells(output=result.outputs, products=result.products) if back else _cells(reads=result.pixels)
        case Product():
            return _cells(weight=result.matrix)
        case StackSizes():
            columns = {"Layer": names, "In": result.sizes[:-1], "Out": result.sizes[1:], "Remainder": result.dropped}
            return pd.DataFrame(columns | ({"Back": result.back[:-1]} if result.back else {}))


def _about_positions(counts: Counts, layer: Layer) -> str:
    unread, pixels = int((counts.pixels == 0).sum()), counts.pixels
    padded = f" and padding {counts.border} (top, left, bottom, right)" if any(counts.border) else ""
    return (
        f"A {layer.kernel_size} × {layer.kernel_size} window at stride {layer.stride} and dilation {layer.dilation} "
        f"over {_rows_by_columns(pixels)}{padded} has {_rows_by_columns(counts.outputs)} of positions. Pixels are read "
        f"{int(pixels.min())} to {int(pixels.max())} times; {unread} of {pixels.numel()} are never read."
    )


def _about_transposed(counts: Counts, layer: Layer) -> str:
    low, high = (say(float(end)) for end in (counts.outputs.min(), counts.outputs.max()))
    empty, ends = int((counts.products == 0).sum()), (int(counts.products.min()), int(counts.products.max()))
    return (
        f"A transposed convolution with a {layer.kernel_size} × {layer.kernel_size} kernel at stride {layer.stride} "
        f"turns {_rows_by_columns(counts.reach)} of ones into {_rows_by_columns(counts.outputs)} of numbers from {low} "
        f"to {high}. Outputs sum {ends[0]} to {ends[1]} products; nothing reaches {empty} of them."
    )


def _about_matrix(matrix: Tensor, back: bool) -> str:
    zeros = int((matrix == 0).sum())
    reads = "Each column gives one number of x′ = Cᵀ y" if back else "Each row gives one number of y = C x"
    return (
        f"The matrix C of a convolution, {_rows_by_columns(matrix)}, {zeros / matrix.numel():.0%} of it zeros; the "
        f"kernel's weights stand in every row, moved on by the stride. {reads}."
    )


def _about_stack(stack: StackSizes) -> str:
    there = f"From {stack.sizes[0]} lines the map shrinks to {stack.sizes[-1]} in {len(stack.dropped)} layers."
    unseen = int((~stack.seen).sum())
    back = f" Without output padding {stack.back[0]} come back." if stack.back else ""
    return (
        f"{there} {sum(map(bool, stack.dropped))} of them drop a remainder; {unseen} input lines are never seen.{back}"
    )


def _size_line(name: str, size: int, layer: Layer) -> str:
    k, s, p, d = layer.kernel_size, layer.stride, layer.padding, layer.dilation
    room = size + 2 * p - layer.extent
    inside = rf"\frac{{{size}+2\cdot {p}-{d}\,({k}-1)-1}}{{{s}}}"
    floor = rf"\left\lfloor{inside}\right\rfloor+1 = \lfloor {room / s:.4g}\rfloor+1"
    return rf"{name}' &= {floor} = {room // s + 1},\quad \text{{remainder }} {room % s}"


def _same_line(name: str, size: int, layer: Layer) -> str:
    before, after = same_padding_of(size, layer.kernel_size, stride=layer.stride, dilation=layer.dilation)
    s, count = layer.stride, -(-size // layer.stride)
    total = rf"\max(({count}-1)\cdot {s}+{layer.extent}-{size},\,0) = {before + after} = {before}+{after}"
    return rf"{name}' &= \lceil {size}/{s}\rceil = {count},\quad P_{name} = {total}"


def _phases_line(phases: Tensor) -> str:
    rows = (" & ".join(say(value).replace("−", "-") for value in row) for row in phases.tolist())
    numbers = r" \\ ".join(rows)
    matrix = rf"\begin{{pmatrix}} {numbers} \end{{pmatrix}}"
    ratio = rf"\frac{{\max-\min}}{{\max|y|}} = {100 * spread(phases):.0f}\,\%"
    return rf"\text{{inside, by phase}} &: {matrix},\quad {ratio}"


def _listed(name: str, numbers: Sequence[int], between: str) -> list[str]:
    """Numbers in as many lines as they need."""
    parts = [between.join(line.split()) for line in wrap(" ".join(map(str, numbers)), A_LINE)]
    starts = [rf"\text{{{name}}} &: ", *([r"&\phantom{:}\ "] * (len(parts) - 1))]
    ends = [*([between] * (len(parts) - 1)), ""]
    return [start + part + end for start, part, end in zip(starts, parts, ends, strict=True)]


def _cells(**maps: Tensor) -> pd.DataFrame:
    rows, columns = np.indices(next(iter(maps.values())).shape)
    values = {name: values.flatten().numpy() for name, values in maps.items()}
    return pd.DataFrame({"row": rows.ravel(), "column": columns.ravel()} | values)


def _rows_by_columns(values: Tensor) -> str:
    return f"{values.shape[0]} rows × {values.shape[1]} columns"


def _range(values: Tensor) -> str:
    low, high = int(values.min()), int(values.max())
    return f"{low} to {high}" if high > low else f"{low}"


def _share(chosen: Tensor) -> str:
    return f"{int(chosen.sum())} of {chosen.numel()}"


def _times(shape: Sequence[int]) -> str:
    return r"\times ".join(map(str, shape))


def _aligned(lines: Sequence[str]) -> str:
    return "$$\n\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}\n$$"
