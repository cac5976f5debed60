"""What a pass through a graph costs: arithmetic and memory, from shapes alone; and the time of each operation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import keras

from service.models.dialects.dialect import Dialect, Symbol
from service.models.graph.graph import Graph, Node, Tensor

FLOAT_BYTES = 4
Shape = tuple[int, ...]
_computed: WeakKeyDictionary[Graph, dict[tuple[int, int], Mapping[Tensor, Shape]]] = WeakKeyDictionary()


def flops(graph: Graph, sizes: tuple[int, int]) -> int:
    """Floating-point operations of one forward pass of one image, multiply and add counted as two.

    `sizes` (height, width) are those of the input, whatever the file says they are.
    """
    shapes = shapes_at(graph, sizes)
    return sum(node_flops(node, shapes) for node in graph.nodes)


def activation_bytes(graph: Graph, sizes: tuple[int, int]) -> int:
    """Bytes of every value of one forward pass of one image: what a backward pass must keep."""
    shapes = shapes_at(graph, sizes)
    return sum(math.prod(shapes[tensor]) * FLOAT_BYTES for node in graph.nodes for tensor in node.outputs)


def largest_bytes(graph: Graph, sizes: tuple[int, int]) -> int:
    """Bytes of the largest value of one forward pass of one image."""
    shapes = shapes_at(graph, sizes)
    values = (math.prod(shapes[tensor]) for node in graph.nodes for tensor in node.outputs)
    return max(values, default=0) * FLOAT_BYTES


def shapes_at(graph: Graph, sizes: tuple[int, int]) -> Mapping[Tensor, Shape]:
    """The shape of every value, without the batch, for an input of (height, width); of a network that takes no such
    input those the file states, open sizes taken for the input's.
    """
    known = _computed.setdefault(graph, {})
    if sizes not in known:
        known[sizes] = _computed_shapes(graph, sizes)
    return known[sizes]


def _computed_shapes(graph: Graph, sizes: tuple[int, int]) -> Mapping[Tensor, Shape]:
    stated = {tensor: _filled(tensor, sizes) for tensor in _tensors(graph)}
    if all(stated[tensor] == tensor.shape[1:] and stated[tensor][:2] == sizes for tensor in graph.inputs):
        return stated
    shapes = stated | {tensor: (*sizes, *stated[tensor][2:]) for tensor in graph.inputs}
    try:
        for node in graph.nodes:
            shapes.update(zip(node.outputs, _outputs(graph.dialect, node, shapes), strict=True))
    except Exception:  # Whatever a layer raises on a size it cannot take.
        return stated
    return shapes


def _outputs(dialect: Dialect, node: Node, shapes: Mapping[Tensor, Shape]) -> list[Shape]:
    """The shapes of what the node gives."""
    args, kwargs = keras.tree.map_structure(
        lambda item: Symbol(0, item.path, (None, *shapes[item]), item.dtype) if isinstance(item, Tensor) else item,
        (node.args, dict(node.kwargs)),
    )
    return [tuple(size or 1 for size in shape[1:]) for shape in dialect.shapes(node.op, args, kwargs)]


def _tensors(graph: Graph) -> list[Tensor]:
    return [*graph.inputs, *(tensor for node in graph.nodes for tensor in node.outputs)]


def _filled(tensor: Tensor, sizes: tuple[int, int]) -> Shape:
    open_sizes = (*sizes, *(1 for _ in tensor.shape[3:]))
    return tuple(size or open_sizes[place] for place, size in enumerate(tensor.shape[1:]))


def node_flops(node: Node, shapes: Mapping[Tensor, Shape]) -> int:
    """Floating-point operations of one node for one image, or for the part of it that `shapes` says."""
    outputs = sum(math.prod(shapes[tensor]) for tensor in node.outputs)
    multiplications = node.traits.multiplications
    return outputs * (2 * multiplications if multiplications else 1)


FLOPS_PER_S = 200e9
BYTES_PER_S = 16e9
# Of starting one operation, divided among the images of a batch; cutting takes about a dozen of them.
START_S = 0.5e-6
CUT_START_S = 4e-6
# A cut is read and written as part of a table, and again when it is gathered.
CUT_PASSES = 4


@dataclass(frozen=True)
class OperationCost:
    """The cost of one image or window: floating-point operations, bytes read and written, about how long it takes."""

    flops: int
    bytes: int
    seconds: float

    @classmethod
    def of_node(cls, node: Node, shapes: Mapping[Tensor, Shape]) -> OperationCost:
        """Gives the cost of a node for one image, or for the parts of its inputs and outputs that `shapes` says."""
        flops = node_flops(node, shapes)
        moved = FLOAT_BYTES * sum(math.prod(shapes[tensor]) for tensor in (*node.inputs, *node.outputs))
        return cls(flops, moved, START_S + flops / FLOPS_PER_S + moved / BYTES_PER_S)

    @classmethod
    def of_cut(cls, shape: Shape) -> OperationCost:
        """Gives the cost of cutting so much out of a map, or of pasting it into one."""
        moved = CUT_PASSES * math.prod(shape) * FLOAT_BYTES
        return cls(0, moved, CUT_START_S + moved / BYTES_PER_S)

    def __add__(self, other: OperationCost) -> OperationCost:
        return OperationCost(self.flops + other.flops, self.bytes + other.bytes, self.seconds + other.seconds)
