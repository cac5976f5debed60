"""What an operation costs on a CPU, so that windows are used where they are the faster way."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from service.models.graph.cost import FLOAT_BYTES, Shape, node_flops
from service.models.graph.graph import Node, Tensor

FLOPS_PER_S = 200e9
BYTES_PER_S = 16e9
# Of starting one operation, divided among the images of a batch; cutting takes about a dozen of them.
START_S = 0.5e-6
CUT_START_S = 4e-6
# A cut is read and written as part of a table, and again when it is gathered.
CUT_PASSES = 4


@dataclass(frozen=True)
class Work:
    """The cost of one image or window: floating-point operations, bytes read and written, about how long it takes."""

    flops: int
    bytes: int
    seconds: float

    @classmethod
    def of_node(cls, node: Node, shapes: Mapping[Tensor, Shape]) -> Work:
        """Gives the cost of a node for one image, or for the parts of its inputs and outputs that `shapes` says."""
        flops = node_flops(node, shapes)
        moved = FLOAT_BYTES * sum(math.prod(shapes[tensor]) for tensor in (*node.inputs, *node.outputs))
        return cls(flops, moved, START_S + flops / FLOPS_PER_S + moved / BYTES_PER_S)

    @classmethod
    def of_cut(cls, shape: Shape) -> Work:
        """Gives the cost of cutting so much out of a map, or of pasting it into one."""
        moved = CUT_PASSES * math.prod(shape) * FLOAT_BYTES
        return cls(0, moved, CUT_START_S + moved / BYTES_PER_S)

    def __add__(self, other: Work) -> Work:
        return Work(self.flops + other.flops, self.bytes + other.bytes, self.seconds + other.seconds)
