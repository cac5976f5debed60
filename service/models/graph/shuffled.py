"""A network with weights of its own, which can be shuffled layer by layer; the warm model keeps what it has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf

from service.arrays import Value
from service.models.dialects.weighted import Weighted
from service.models.graph.folding import ChannelScaling, Folds
from service.models.graph.graph import Graph, Node, Tensor


@dataclass(frozen=True, eq=False)
class ShuffledGraph:
    """`graph` has the tensors of the network it was made of; `layers` are the paths of those with weights of their own,
    in the order of execution, and `left_out` those whose weights are the warm model's."""

    graph: Graph
    layers: tuple[str, ...]
    left_out: tuple[str, ...]
    _variables: Sequence[Sequence[Value]]
    _seed: int

    def shuffle(self, first: int, last: int) -> None:
        """Puts the numbers of each weight of the layers from `first` to before `last` into an order that is drawn: the
        same for a seed, whatever the steps."""
        for place in range(first, last):
            draw = np.random.default_rng((self._seed, place))
            for variable in self._variables[place]:
                values = variable.numpy()
                variable.assign(draw.permutation(values.ravel()).reshape(values.shape))


def shuffled_graph(graph: Graph, end: Tensor, seed: int) -> ShuffledGraph:
    """Makes it, nothing shuffled yet, with copies of all that the layers on the way to `end` have learnt."""
    folds = Folds(graph.dialect, copies=False)
    made: dict[Node, Node] = {}
    layers: list[str] = []
    left_out: list[str] = []
    variables: list[list[Value]] = []
    # Beside each copy what it was made of, as the number of an object that is gone may be another's.
    copies: dict[int, tuple[Value, Value]] = {}
    with tf.init_scope():
        for node in graph.between(graph.inputs, end):
            found = folds.operation(node)
            if found is None:
                if getattr(node.op, "weights", None):
                    left_out.append(node.path)
                continue
            own = _with_copies(found, copies)
            made[node] = replace(folds.applied([node], [])[0], op=own, kwargs={})
            layers.append(node.path)
            variables.append(_variables(own))
    nodes = tuple(made.get(node, node) for node in graph.nodes)
    producer = {tensor: node for node in nodes for tensor in node.outputs}
    own_graph = replace(graph, nodes=nodes, producer=producer, folds=folds)
    return ShuffledGraph(own_graph, tuple(layers), tuple(left_out), variables, seed)


def _with_copies(found: Weighted | ChannelScaling, copies: dict[int, tuple[Value, Value]]) -> Weighted | ChannelScaling:
    """The same on variables of its own; layers that share a variable share its copy."""

    def copy(variable: Value) -> Value:
        if id(variable) not in copies:
            copies[id(variable)] = variable, tf.Variable(variable, trainable=False)
        return copies[id(variable)][1]

    if isinstance(found, ChannelScaling):
        return ChannelScaling(copy(found.factors), copy(found.offset))
    bias = None if found.bias is None else copy(found.bias)
    return replace(found, kernels=tuple(map(copy, found.kernels)), bias=bias)


def _variables(found: Weighted | ChannelScaling) -> list[Value]:
    if isinstance(found, ChannelScaling):
        return [found.factors, found.offset]
    return [*found.kernels, *([] if found.bias is None else [found.bias])]
