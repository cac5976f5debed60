"""One canonical graph per model: nested and Sequential models inlined, fused activations as nodes of their own.

Built once beside the warm model and never changed. It holds the model's own layer objects, so variables are shared
and nothing is copied; what runs may be other operations that compute the same (`Folds`). Layers are addressed by path
(`backbone/conv5_block3_out`), by index as in `model.layers[i]`, or by name when that is unambiguous. `<layer>` is
the output the file's author knew (after its activation), `<layer>:linear` the value before it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import keras
import numpy as np
from numpy.typing import NDArray

from service.arrays import Function, Kwargs, Layer, Value
from service.errors import UnknownLayer, nearest
from service.models.dialects.dialect import Dialect
from service.models.dialects.traits import Traits

if TYPE_CHECKING:
    from service.models.graph.folding import Folds

LINEAR = ":linear"
# Where no name is close.
LISTED = "; GET /v1/models/{id}/layers lists them"


@dataclass(frozen=True, eq=False)
class Tensor:
    """A value of the graph. `shape` has None for the batch and for sizes the file leaves open."""

    path: str
    shape: tuple[int | None, ...]
    dtype: str


@dataclass(frozen=True, eq=False)
class Node:
    """One operation: `op(*args, **kwargs)` with Tensors in the places of values."""

    path: str
    op: Function
    args: tuple[Value, ...]
    kwargs: Kwargs
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    traits: Traits

    @property
    def activation(self) -> str | None:
        """`relu`, `softmax`, … when the node is an activation and nothing else."""
        return self.traits.activation

    @property
    def is_relu(self) -> bool:
        """Whether the node is a ReLU: 0 for every negative input, also ReLU6 and LeakyReLU of slope 0."""
        return self.traits.is_relu

    @property
    def ceiling(self) -> float | None:
        """Gives the value at which a ReLU saturates: 6 for ReLU6; None where it does not."""
        return self.traits.ceiling


@dataclass(frozen=True, eq=False)
class LayerEntry:
    """A layer as the file's author knows it; `index` is its place in `model.layers`, None inside nested models.

    `is_model` says that it is a nested model, whose own layers are entries too.
    """

    path: str
    index: int | None
    layer: Layer
    output: Tensor
    traits: Traits
    is_model: bool = False

    @property
    def kind(self) -> str:
        """The name of its class, such as `Conv2D`."""
        return self.traits.kind


@dataclass(frozen=True, eq=False)
class Graph:
    """Nodes in order of execution, with the names of every value a caller can ask for.

    `output_names` are the author's, one an output; `channels_first` holds the values whose axes the file has in the
    other order.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    nodes: tuple[Node, ...]
    layers: tuple[LayerEntry, ...]
    values: Mapping[str, Tensor]
    producer: Mapping[Tensor, Node] = field(repr=False)
    dialect: Dialect = field(repr=False)
    folds: Folds = field(repr=False)
    output_names: tuple[str, ...] = ()
    channels_first: frozenset[Tensor] = frozenset()

    def entry(self, name: str) -> LayerEntry:
        """The layer at a path, index or unambiguous name. Raises UnknownLayer with the closest names, or with the route
        that lists all of them."""
        by_path = {entry.path: entry for entry in self.layers}
        if name in by_path:
            return by_path[name]
        if re.fullmatch(r"-?[0-9]{1,6}", name):
            return self._at(int(name))
        named = [entry for entry in self.layers if entry.path.rsplit("/", 1)[-1] == name]
        if len(named) == 1:
            return named[0]
        if named:
            paths = ", ".join(repr(entry.path) for entry in named)
            raise UnknownLayer(f"{name!r} is the name of {len(named)} layers; say which by its path: {paths}")
        raise UnknownLayer(f"there is no layer {name!r}{nearest(name, by_path) or LISTED}")

    @cached_property
    def _layer_of(self) -> Mapping[Tensor, LayerEntry]:
        return {entry.output: entry for entry in self.layers}

    def layers_before(self, entry: LayerEntry) -> list[LayerEntry]:
        """The layers whose outputs this one takes, over what is no layer of the file (a sum written as `a + b`)."""
        owner = self._layer_of
        found: dict[LayerEntry, None] = {}
        waiting, seen = [entry.output], {entry.output}
        while waiting:
            node = self.producer.get(waiting.pop())
            for tensor in node.inputs if node else ():
                if tensor in owner:
                    found[owner[tensor]] = None
                elif tensor not in seen:
                    waiting.append(tensor)
                    seen.add(tensor)
        return list(found)

    def value(self, name: str) -> Tensor:
        """The output of a layer; `name:linear` the value before its activation. Raises UnknownLayer."""
        if not name.endswith(LINEAR):
            return self.entry(name).output
        base = name.removesuffix(LINEAR)
        entry = self.entry(name if base.endswith(LINEAR) else base)
        before = self.values.get(entry.path + LINEAR)
        if before is None:
            raise UnknownLayer(f"layer {entry.path!r} has no activation of its own, so there is no {name!r}")
        return before

    def run(
        self,
        feeds: Mapping[Tensor, Value],
        fetches: Sequence[Tensor],
        watch: Callable[[Tensor, Value], Value] | None = None,
        watched: Sequence[Tensor] = (),
        call: Callable[[Node], Function] | None = None,
    ) -> list[Value]:
        """Values of `fetches` given `feeds`, computing only what lies between.

        `watch` sees each value once made, those of `watched` surely, and may replace it; `call` gives the function that
        stands in for a node's.
        """
        known = dict(feeds)
        for tensor, value in feeds.items():
            if watch:
                known[tensor] = watch(tensor, value)
        for node in self.folds.applied(self._needed(known, fetches), {*fetches, *watched}):
            args, kwargs = keras.tree.map_structure(
                lambda item: known[item] if isinstance(item, Tensor) else item, (node.args, dict(node.kwargs))
            )
            operation = call(node) if call else node.op
            results = keras.tree.flatten(operation(*args, **kwargs))
            for tensor, value in zip(node.outputs, results, strict=True):
                known[tensor] = watch(tensor, value) if watch else value
        return [known[tensor] for tensor in fetches]

    def suffix(self, start: Tensor, end: Tensor) -> tuple[Tensor, ...]:
        """What `end` is computed from when `start` changes: `start` first, then every value that bypasses it."""
        changed = {start}
        for node in self._needed({}, [end]):
            if any(tensor in changed for tensor in node.inputs):
                changed.update(node.outputs)
        bypassing: dict[Tensor, None] = {}
        for node in self._needed({start: None}, [end]):
            if any(output in changed for output in node.outputs):
                bypassing.update((tensor, None) for tensor in node.inputs if tensor not in changed)
        return (start, *bypassing)

    def until(self, tensor: Tensor) -> Graph:
        """The part that `tensor` is computed from: the same nodes and layers, with it as the only output."""
        nodes = self._needed({}, [tensor])
        kept = {*self.inputs, *(output for node in nodes for output in node.outputs)}
        return Graph(
            self.inputs,
            (tensor,),
            tuple(nodes),
            tuple(entry for entry in self.layers if entry.output in kept),
            {name: value for name, value in self.values.items() if value in kept},
            {output: node for output, node in self.producer.items() if output in kept},
            self.dialect,
            self.folds,
            (tensor.path,),
            self.channels_first,
        )

    def depends_on(self, tensor: Tensor, source: Tensor) -> bool:
        """Whether `tensor` is computed from `source`."""
        known = dict.fromkeys((source, *self.inputs))
        return tensor is source or any(source in node.inputs for node in self._needed(known, [tensor]))

    def biases(self, end: Tensor) -> list[tuple[Tensor, NDArray[np.float64]]]:
        """The values on the way to `end` to which a constant was added, with that constant: one number, or one a
        channel. The bias of convolutions and dense layers, beta - gamma·mean/sqrt(variance + epsilon) of normalisation,
        and the offset of arithmetic with constants."""
        return self.folds.biases(self._needed({}, [end]))

    def learnt_bytes(self, end: Tensor) -> int:
        """Counts what the weights of convolutions, dense layers and normalisations on the way to `end` take."""
        return self.folds.learnt_bytes(self._needed({}, [end]))

    def between(self, known: Iterable[Tensor], end: Tensor) -> list[Node]:
        """What is computed for `end` where the values of `known` are there, in order."""
        return self._needed(dict.fromkeys(known), [end])

    def _needed(self, known: Mapping[Tensor, Value], fetches: Iterable[Tensor]) -> list[Node]:
        wanted: set[Node] = set()
        stack = [tensor for tensor in fetches if tensor not in known]
        while stack:
            node = self.producer.get(stack.pop())
            if node is not None and node not in wanted:
                wanted.add(node)
                stack.extend(tensor for tensor in node.inputs if tensor not in known)
        return [node for node in self.nodes if node in wanted]

    def _at(self, index: int) -> LayerEntry:
        # A layer that is called twice has two entries with its index: the first of them is meant.
        top = {entry.index: entry for entry in reversed(self.layers) if entry.index is not None}
        wanted = index + len(top) if index < 0 else index
        if wanted not in top:
            raise UnknownLayer(f"there is no layer {index}; the model has the layers 0 to {len(top) - 1}")
        return top[wanted]
