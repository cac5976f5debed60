"""One canonical graph per model: nested and Sequential models inlined, fused activations as nodes of their own.

Built once beside the warm model and never changed. It holds the model's own layer objects, so variables are shared
and nothing is copied; the output is bitwise what the file computes. Layers are addressed by path
(`backbone/conv5_block3_out`), by index as in `model.layers[i]`, or by name when that is unambiguous. `<layer>` is
the output the file's author knew (after its activation), `<layer>:linear` the value before it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras

from service.errors import ModelNotLoadable, UnknownLayer, nearest

LINEAR = ":linear"
_FUSED = (
    keras.layers.Dense,
    keras.layers.EinsumDense,
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv1D,
    keras.layers.SeparableConv2D,
)


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
    op: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    @property
    def activation(self) -> str | None:
        """`relu`, `softmax`, … when the node is an activation and nothing else."""
        if isinstance(self.op, keras.layers.Activation):
            return str(getattr(self.op.activation, "__name__", type(self.op.activation).__name__)).lower()
        if isinstance(self.op, (keras.layers.Softmax, keras.layers.ReLU, keras.layers.LeakyReLU)):
            return type(self.op).__name__.lower()
        if isinstance(self.op, keras.Layer):
            return None
        name = getattr(self.op, "__name__", type(self.op).__name__).lower()
        return name if hasattr(keras.activations, name) else None

    @property
    def is_relu(self) -> bool:
        """Whether the node is a ReLU: 0 for every negative input, also ReLU6 and LeakyReLU of slope 0."""
        if isinstance(self.op, keras.layers.ReLU):
            return not self.op.negative_slope and not self.op.threshold
        if isinstance(self.op, keras.layers.LeakyReLU):
            return not self.op.negative_slope
        return self.activation in ("relu", "relu6")


@dataclass(frozen=True, eq=False)
class LayerEntry:
    """A layer as the file's author knows it; `index` is its place in `model.layers`, None inside nested models."""

    path: str
    index: int | None
    layer: Any
    output: Tensor


@dataclass(frozen=True, eq=False)
class Graph:
    """Nodes in order of execution, with the names of every value a caller can ask for."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    nodes: tuple[Node, ...]
    layers: tuple[LayerEntry, ...]
    values: Mapping[str, Tensor]
    producer: Mapping[Tensor, Node] = field(repr=False)

    def entry(self, name: str) -> LayerEntry:
        """The layer at a path, index or unambiguous name. Raises UnknownLayer with the closest names."""
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
        raise UnknownLayer(f"there is no layer {name!r}{nearest(name, by_path)}")

    def value(self, name: str) -> Tensor:
        """The output of a layer; `name:linear` the value before its activation. Raises UnknownLayer."""
        if not name.endswith(LINEAR):
            return self.entry(name).output
        entry = self.entry(name.removesuffix(LINEAR))
        before = self.values.get(entry.path + LINEAR)
        if before is None:
            raise UnknownLayer(f"layer {entry.path!r} has no activation of its own, so there is no {name!r}")
        return before

    def run(
        self,
        feeds: Mapping[Tensor, Any],
        fetches: Sequence[Tensor],
        watch: Callable[[Tensor, Any], Any] | None = None,
        call: Callable[[Node], Callable[..., Any]] | None = None,
    ) -> list[Any]:
        """Values of `fetches` given `feeds`, computing only what lies between.

        `watch` sees each value once made and may replace it; `call` gives the function that stands in for a node's.
        """
        known = dict(feeds)
        for tensor, value in feeds.items():
            if watch:
                known[tensor] = watch(tensor, value)
        for node in self._needed(known, fetches):
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

    def depends_on(self, tensor: Tensor, source: Tensor) -> bool:
        """Whether `tensor` is computed from `source`."""
        known = dict.fromkeys((source, *self.inputs))
        return tensor is source or any(source in node.inputs for node in self._needed(known, [tensor]))

    def _needed(self, known: Mapping[Tensor, Any], fetches: Iterable[Tensor]) -> list[Node]:
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


def canonical(model: Any) -> Graph:
    """The canonical graph of a Functional or Sequential Keras model. Raises ModelNotLoadable for any other kind."""
    functional = _functional(model)
    if functional is None:
        if isinstance(model, keras.Sequential):
            raise ModelNotLoadable("the model does not say the shape of its input; save it after building it")
        raise ModelNotLoadable(
            f"the model is a {type(model).__name__}; only Sequential and Functional models have a graph"
        )
    inputs = tuple(Tensor(item.name, tuple(item.shape), str(item.dtype)) for item in functional.inputs)
    builder = _Builder({id(layer): index for index, layer in enumerate(model.layers)})
    outputs = builder.inline(functional, "", inputs)
    producer = {tensor: node for node in builder.nodes for tensor in node.outputs}
    return Graph(inputs, tuple(outputs), tuple(builder.nodes), tuple(builder.layers), builder.values, producer)


def _functional(layer: Any) -> Any | None:
    """The node-by-node form of a model: itself, a built Sequential's inside, or None for anything else."""
    inner = getattr(layer, "_functional", None) if isinstance(layer, keras.Sequential) else layer
    return inner if hasattr(inner, "_nodes_by_depth") else None


class _Builder:
    def __init__(self, indices: Mapping[int, int]) -> None:
        self.indices = indices
        self.nodes: list[Node] = []
        self.layers: list[LayerEntry] = []
        self.values: dict[str, Tensor] = {}

    def inline(self, functional: Any, prefix: str, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Adds every node of `functional` under `prefix`, reading from `inputs`; gives its outputs."""
        known: dict[int, Tensor] = {}
        for symbol, tensor in zip(functional.inputs, inputs, strict=True):
            known[id(symbol)] = tensor
            layer = symbol._keras_history.operation
            if not prefix:
                self._remember(layer.name, layer, tensor)
        for depth in sorted(functional._nodes_by_depth, reverse=True):
            for node in functional._nodes_by_depth[depth]:
                if node.is_input:
                    continue
                args, kwargs = node.arguments.fill_in(known)
                outputs = self._add(node.operation, prefix, args, kwargs, node.outputs)
                known.update(zip((id(symbol) for symbol in node.outputs), outputs, strict=True))
        return [known[id(symbol)] for symbol in functional.outputs]

    def _add(self, op: Any, prefix: str, args: Any, kwargs: Any, symbols: Sequence[Any]) -> list[Tensor]:
        path = self._unused(prefix + op.name)
        inner = _functional(op) if isinstance(op, keras.Model) else None
        if inner is not None:
            outputs = self.inline(inner, path + "/", _tensors((args, kwargs)))
            self._remember(path, op, outputs[0])
            return outputs
        # As `model(x, training=False)` does: augmentation layers are active by default.
        if getattr(op, "_call_has_training_arg", False):
            kwargs = {**kwargs, "training": False}
        activation = getattr(op, "activation", None) if isinstance(op, _FUSED) else None
        fused = activation is not None and activation is not keras.activations.linear
        shapes = _output_shapes(op, args, kwargs, symbols)
        outputs = [Tensor(path, shape, str(item.dtype)) for shape, item in zip(shapes, symbols, strict=True)]
        if fused:
            before = Tensor(path + LINEAR, outputs[0].shape, outputs[0].dtype)
            self._append(path + LINEAR, _twin(op, activation=keras.activations.linear), args, kwargs, [before])
            self.values[path + LINEAR] = before
            self._append(path, activation, (before,), {}, outputs)
        else:
            self._append(path, _twin(op) if isinstance(op, keras.Layer) else op, args, kwargs, outputs)
        if isinstance(op, keras.Layer):
            self._remember(path, op, outputs[0])
        else:
            self.values[path] = outputs[0]
        return outputs

    def _append(self, path: str, op: Any, args: Any, kwargs: Any, outputs: Sequence[Tensor]) -> None:
        self.nodes.append(Node(path, op, tuple(args), kwargs, tuple(_tensors((args, kwargs))), tuple(outputs)))

    def _remember(self, path: str, layer: Any, output: Tensor) -> None:
        index = None if "/" in path else self.indices.get(id(layer))
        self.layers.append(LayerEntry(path, index, layer, output))
        self.values[path] = output

    def _unused(self, path: str) -> str:
        """A layer that is called several times gets `#2`, `#3` … behind its later paths."""
        count = 1
        while (candidate := path if count == 1 else f"{path}#{count}") in self.values:
            count += 1
        return candidate


def _tensors(structure: Any) -> list[Tensor]:
    return [item for item in keras.tree.flatten(structure) if isinstance(item, Tensor)]


def _output_shapes(op: Any, args: Any, kwargs: Any, symbols: Sequence[Any]) -> list[tuple[int | None, ...]]:
    """The shapes the file states; inside nested models, where those are open, the ones that follow from the input."""
    stated = [tuple(symbol.shape) for symbol in symbols]
    if all(size is not None for shape in stated for size in shape[1:]):
        return stated
    args, kwargs = keras.tree.map_structure(
        lambda item: keras.KerasTensor(item.shape, item.dtype) if isinstance(item, Tensor) else item, (args, kwargs)
    )
    return [tuple(spec.shape) for spec in keras.tree.flatten(op.compute_output_spec(*args, **kwargs))]


def _twin(layer: Any, **changes: Any) -> Any:
    """A second object on the very same variables, with other attributes. It leaves no losses behind in the first."""
    if not changes and layer.activity_regularizer is None:
        return layer
    twin = object.__new__(type(layer))
    twin.__dict__.update(layer.__dict__, activity_regularizer=None, **changes)
    return twin
