"""Arithmetic of convolutions: sizes there and back, the lines that are read, the matrix."""

from cvviz.ops.convolution.reading import (
    Counts,
    StackSizes,
    conv_counts,
    conv_matrix,
    conv_reads,
    conv_transpose_counts,
    conv_transpose_reads,
    phase_response,
    seen_lines,
    tap_matrices,
    through_stack,
)
from cvviz.ops.convolution.sizes import (
    conv_output_size,
    conv_remainder,
    conv_transpose_output_size,
    exact_sizes,
    return_sizes,
    same_padding,
    stack_sizes,
)

__all__ = [
    "Counts",
    "StackSizes",
    "conv_counts",
    "conv_matrix",
    "conv_output_size",
    "conv_reads",
    "conv_remainder",
    "conv_transpose_counts",
    "conv_transpose_output_size",
    "conv_transpose_reads",
    "exact_sizes",
    "phase_response",
    "return_sizes",
    "same_padding",
    "seen_lines",
    "stack_sizes",
    "tap_matrices",
    "through_stack",
]
