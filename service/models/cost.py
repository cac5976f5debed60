"""What a pass through a graph costs: arithmetic and memory, from shapes alone."""

from __future__ import annotations

import math
from typing import Any

import keras

from service.models.graph import Graph, Node, Tensor

FLOAT_BYTES = 4


def flops(graph: Graph, sizes: tuple[int, int]) -> int:
    """Floating-point operations of one forward pass of one image, multiply and add counted as two.

    `sizes` (height, width) stand in for open sizes of the input; open sizes inside are taken for the input's.
    """
    return sum(_node_flops(node, sizes) for node in graph.nodes)


def activation_bytes(graph: Graph, sizes: tuple[int, int]) -> int:
    """Bytes of every value of one forward pass of one image: what a backward pass must keep."""
    return sum(_elements(tensor, sizes) * FLOAT_BYTES for node in graph.nodes for tensor in node.outputs)


def largest_bytes(graph: Graph, sizes: tuple[int, int]) -> int:
    """Bytes of the largest value of one forward pass of one image."""
    return max((_elements(tensor, sizes) * FLOAT_BYTES for node in graph.nodes for tensor in node.outputs), default=0)


def _node_flops(node: Node, sizes: tuple[int, int]) -> int:
    outputs = sum(_elements(tensor, sizes) for tensor in node.outputs)
    kernel = _weights_per_output(node.op)
    return outputs * (2 * kernel if kernel else 1)


def _weights_per_output(op: Any) -> int:
    """Multiplications that one output value takes."""
    if isinstance(op, keras.layers.DepthwiseConv2D):
        return int(math.prod(op.kernel_size))
    if isinstance(op, keras.layers.SeparableConv2D):
        return int(math.prod(op.kernel_size)) + int(op.pointwise_kernel.shape[-2])
    kernel = getattr(op, "kernel", None)
    if kernel is None or not isinstance(op, keras.Layer) or len(kernel.shape) < 2:
        return 0
    return int(math.prod(kernel.shape[:-1]))


def _elements(tensor: Tensor, sizes: tuple[int, int]) -> int:
    shape = list(tensor.shape[1:])
    for place, size in enumerate(shape[:2]):
        if size is None:
            shape[place] = sizes[place]
    return math.prod(size or 1 for size in shape)
