"""Receptive fields of stacks of layers, of graphs with branches, and of whole networks."""

from cvviz.ops.receptive_field.layers import (
    Field,
    Layer,
    Node,
    chain,
    effective_size,
    gradient_mass,
    node_fields,
    node_sizes,
    receptive_field,
    thresholded_span,
)
from cvviz.ops.receptive_field.network import module_receptive_field, trace

__all__ = [
    "Field",
    "Layer",
    "Node",
    "chain",
    "effective_size",
    "gradient_mass",
    "module_receptive_field",
    "node_fields",
    "node_sizes",
    "receptive_field",
    "thresholded_span",
    "trace",
]
