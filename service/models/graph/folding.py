"""Normalisation folded into the convolution or dense layer before it, with weights that are made once a model.

Jacob 2018 (section 3.2) folds for inference as here. All plans of a model read the same folded weights, so that a plan
takes no more than its own graph; and the operations are TensorFlow's own, a tenth of the nodes that layers are traced
to. Values may differ from the layers' own by rounding: by 1e-6 of the largest one, at most.
"""

from __future__ import annotations

import math
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from service.arrays import Value
from service.models.dialects.dialect import Dialect
from service.models.dialects.traits import Affine, Window
from service.models.dialects.weighted import Weighted, variable_of
from service.models.graph.channels_first import Turned
from service.models.graph.graph import Node, Tensor


@dataclass(frozen=True, eq=False)
class ChannelScaling:
    """`factors`·x + `offset` along the last axis, each a variable of TensorFlow."""

    factors: Value
    offset: Value

    @classmethod
    def of(cls, affine: Affine) -> ChannelScaling:
        """Makes the variables."""
        return cls(variable_of(affine.scale), variable_of(affine.offset))

    @property
    def affine(self) -> Affine:
        """The numbers that the variables hold now."""
        return Affine(*(np.asarray(variable.numpy(), np.float64) for variable in (self.factors, self.offset)))

    def __call__(self, values: Value) -> Value:
        return tf.nn.bias_add(values * self.factors, self.offset)


@dataclass(eq=False)
class Folds:
    """Makes each operation that is asked for once and keeps it as long as the model. Thread-safe.

    Without `copies` nothing is folded, as the folded weights are copies.
    """

    dialect: Dialect
    copies: bool = True
    bytes: int = 0
    """What the weights take that were made."""
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _made: dict[Hashable, Value] = field(default_factory=dict, repr=False)

    def applied(self, nodes: Sequence[Node], keep: Collection[Tensor]) -> list[Node]:
        """Gives others in the places of `nodes` that compute the same in fewer operations, and every value of `keep`.

        A convolution or dense layer and the normalisation that alone reads it become one node, with the outputs of the
        second.
        """
        readers: defaultdict[Tensor, list[Node]] = defaultdict(list)
        for node in nodes:
            for tensor in node.inputs:
                readers[tensor].append(node)
        found: list[Node] = []
        gone: set[Node] = set()
        # Variables are made outside of whatever is being traced.
        with self._lock, tf.init_scope():
            for node in nodes:
                if node in gone:
                    continue
                output = node.outputs[0]
                alone = self.copies and len(readers[output]) == 1 and output not in keep
                reader = readers[output][0] if alone else None
                folded = self._folded(node, reader) if reader else None
                if folded and reader:
                    gone.add(reader)
                found.append(folded or self._plain(node))
        return found

    def bound(self, nodes: Sequence[Node]) -> int:
        """Counts the most that folding may add: the weights of all whose output a normalisation reads."""
        normalised = {node.inputs[0] for node in nodes if self._affine(node)}
        weighted = (self._weighted(node) for node in nodes if node.outputs[0] in normalised)
        return sum(found.own_bytes for found in weighted if found)

    def biases(self, nodes: Sequence[Node]) -> list[tuple[Tensor, NDArray[np.float64]]]:
        """Gives the outputs of those `nodes` that add a constant to what they make of their one input, each with that
        constant: one number, or one a channel. What neither layers nor arithmetic say is not known."""
        found = ((node.outputs[0], self._bias(node)) for node in nodes)
        return [(output, bias) for output, bias in found if bias is not None and bias.any()]

    def _bias(self, node: Node) -> NDArray[np.float64] | None:
        if weighted := self._weighted(node):
            return None if weighted.bias is None else np.asarray(weighted.bias, np.float64)
        affine = self._affine(node) or node.traits.affine
        if affine is None or len(affine.offset) not in (1, node.outputs[0].shape[-1]):
            return None
        return affine.offset

    def _folded(self, node: Node, reader: Node) -> Node | None:
        def make() -> Node | None:
            weighted, affine = self._weighted(node), self._affine(reader)
            if weighted is None or affine is None or len(affine.scale) != weighted.outputs:
                return None
            made = weighted.scaled(affine)
            self.bytes += made.own_bytes
            return replace(_as_weighted(node, made), path=reader.path, outputs=reader.outputs)

        found: Node | None = self._once((node, reader), make)
        return found

    def _plain(self, node: Node) -> Node:
        def make() -> Node:
            if weighted := self._weighted(node):
                return _as_weighted(node, weighted)
            if isinstance(node.op, ChannelScaling):
                return node
            if affine := self._affine(node):
                self.bytes += 8 * len(affine.scale)
                return replace(node, op=ChannelScaling.of(affine), kwargs={})
            return node

        found: Node = self._once(node, make)
        return found

    def _once(self, key: Hashable, make: Callable[[], Value]) -> Value:
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def learnt_bytes(self, nodes: Sequence[Node]) -> int:
        """Counts what the weights take of all `nodes` whose `operation` there is; those of a layer that is called twice
        count twice."""
        numbers = 0
        for node in nodes:
            if weighted := self._weighted(node):
                numbers += sum(int(math.prod(kernel.shape)) for kernel in weighted.kernels)
            elif affine := self._affine(node):
                numbers += 2 * len(affine.scale)
        return 4 * numbers

    def operation(self, node: Node) -> Weighted | ChannelScaling | None:
        """Gives what the node computes as a plain operation on variables; None where it is no layer of that kind."""
        if weighted := self._weighted(node):
            return weighted
        affine = self._affine(node)
        return ChannelScaling.of(affine) if affine else None

    def _weighted(self, node: Node) -> Weighted | None:
        if not _is_of_one_value(node):
            return None
        return node.op if isinstance(node.op, Weighted) else self.dialect.weighted(node.op)

    def _affine(self, node: Node) -> Affine | None:
        """What a normalisation along the channels computes."""
        if not _is_of_one_value(node):
            return None
        if isinstance(node.op, ChannelScaling):
            return node.op.affine
        axes = len(node.inputs[0].shape)
        layer, along = (node.op.operation, 1) if isinstance(node.op, Turned) else (node.op, axes - 1)
        found = self.dialect.normalisation(layer)
        return found[1] if found and found[0] % axes == along else None


def _is_of_one_value(node: Node) -> bool:
    """Whether one value of float32 is all that the node's operation is given, but for words that say it predicts."""
    said = (value is None for name, value in node.kwargs.items() if name != "training")
    return (
        len(node.args) == len(node.inputs) == len(node.outputs) == 1 and node.inputs[0].dtype == "float32" and all(said)
    )


def _as_weighted(node: Node, op: Weighted) -> Node:
    traits = node.traits
    if isinstance(traits.spatial, Window):
        traits = replace(traits, spatial=replace(traits.spatial, unpadded=op.unpadded()))
    return replace(node, op=op, kwargs={}, traits=traits)
