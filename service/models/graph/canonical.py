"""Makes the canonical graph of a model of either Keras; see `graph.py`. Nothing of the model is copied or changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import keras

from service.arrays import KerasModel, Kwargs, Layer, Structure, Value
from service.errors import ModelNotLoadable
from service.models.dialects import dialect_of
from service.models.dialects.dialect import Dialect, LayerCall, Shape, Symbol
from service.models.dialects.traits import Traits
from service.models.graph.channels_first import ALONG_CHANNELS, ChannelsFirst, Turned, has_channels_first, last
from service.models.graph.folding import Folds
from service.models.graph.graph import LINEAR, Graph, LayerEntry, Node, Tensor


def canonical(model: KerasModel) -> Graph:
    """The canonical graph of a Functional or Sequential Keras model. Raises ModelNotLoadable for any other kind."""
    dialect = dialect_of(model)
    functional = dialect.functional(model)
    if functional is None:
        if dialect.is_sequential(model):
            raise ModelNotLoadable("the model does not say the shape of its input; save it after building it")
        raise ModelNotLoadable(
            f"the model is a {type(model).__name__}; only Sequential and Functional models have a graph"
        )
    builder = _Builder(dialect, {id(layer): index for index, layer in enumerate(model.layers)})
    inputs = [
        builder.input(symbol, channels_first=has_channels_first(dialect, functional, symbol))
        for symbol, _ in dialect.inputs(functional)
    ]
    outputs = builder.inline(functional, "", inputs)
    return Graph(
        tuple(inputs),
        tuple(outputs),
        tuple(builder.nodes),
        tuple(builder.layers),
        builder.values,
        {tensor: node for node in builder.nodes for tensor in node.outputs},
        dialect,
        Folds(dialect),
        tuple(dialect.output_names(functional)),
        channels_first=frozenset(builder.first),
    )


class _Builder:
    """`first` holds the values that the file has with their channels first; in the graph they have them last."""

    def __init__(self, dialect: Dialect, indices: Mapping[int, int]) -> None:
        self.dialect = dialect
        self.indices = indices
        self.nodes: list[Node] = []
        self.layers: list[LayerEntry] = []
        self.values: dict[str, Tensor] = {}
        self.first: set[Tensor] = set()

    def input(self, symbol: Symbol, *, channels_first: bool) -> Tensor:
        tensor = Tensor(symbol.name, last(symbol.shape) if channels_first else symbol.shape, symbol.dtype)
        if channels_first:
            self.first.add(tensor)
        return tensor

    def inline(self, functional: KerasModel, prefix: str, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Adds every node of `functional` under `prefix`, reading from `inputs`; gives its outputs."""
        known: dict[int, Tensor] = {}
        for (symbol, layer), tensor in zip(self.dialect.inputs(functional), inputs, strict=True):
            known[symbol.key] = tensor
            if not prefix:
                self._remember(layer.name, layer, tensor, Traits("InputLayer"))
        for call in self.dialect.calls(functional):
            outputs = self._add(call, prefix, *call.fill(known))
            known.update(zip((symbol.key for symbol in call.outputs), outputs, strict=True))
        return [known[symbol.key] for symbol in self.dialect.outputs(functional)]

    def _add(self, call: LayerCall, prefix: str, args: Structure, kwargs: Kwargs) -> list[Tensor]:
        operation = call.operation
        path = self._unused(prefix + operation.name)
        inner = self.dialect.functional(operation)
        if inner is not None:
            outputs = self.inline(inner, path + "/", _tensors((args, dict(kwargs))))
            self._remember(path, operation, outputs[0], Traits(type(operation).__name__), is_model=True)
            return outputs
        kwargs = self.dialect.context(operation, kwargs)
        shapes = self._shapes(operation, args, kwargs, call.outputs)
        inputs = _tensors((args, dict(kwargs)))
        layout = ChannelsFirst.of(operation, any(tensor in self.first for tensor in inputs))
        outputs = [
            Tensor(path, last(shape) if layout.gives_first and len(shape) == 4 else shape, symbol.dtype)
            for shape, symbol in zip(shapes, call.outputs, strict=True)
        ]
        if layout.gives_first:
            self.first.update(output for output in outputs if len(output.shape) == 4)
        activation = self.dialect.fused_activation(operation)
        plain = operation
        if self.dialect.is_layer(operation):
            plain = self.dialect.without_activation(operation) if activation else self.dialect.twin(operation)
        flat = keras.tree.flatten((tuple(args), dict(kwargs)))
        turns = tuple(isinstance(item, Tensor) and item in self.first for item in flat)
        around = layout.around(plain, self.dialect, turns)
        traits = self.dialect.traits(plain if isinstance(around, Turned) else around, _constants(args, kwargs))
        if isinstance(around, Turned):
            traits = replace(traits, spatial=None)
        if activation is None:
            self._append(path, around, args, kwargs, outputs, traits)
        else:
            before = Tensor(path + LINEAR, outputs[0].shape, outputs[0].dtype)
            self._append(path + LINEAR, around, args, kwargs, [before], traits)
            self.values[path + LINEAR] = before
            applied = self.dialect.traits(activation, ((None,), {}))
            if applied.activation in ALONG_CHANNELS:
                activation = layout.around(activation, self.dialect, (True,))
            self._append(path, activation, (before,), {}, outputs, applied)
        if self.dialect.is_layer(operation):
            self._remember(path, operation, outputs[0], traits)
        else:
            self.values[path] = outputs[0]
        return outputs

    def _shapes(self, operation: Layer, args: Structure, kwargs: Structure, symbols: Sequence[Symbol]) -> list[Shape]:
        """The shapes the file states; inside nested models, where those are open, the ones that follow."""
        stated = [symbol.shape for symbol in symbols]
        if all(size is not None for shape in stated for size in shape[1:]):
            return stated
        filled = keras.tree.map_structure(
            lambda item: Symbol(0, item.path, self._stated(item), item.dtype) if isinstance(item, Tensor) else item,
            (args, dict(kwargs)),
        )
        return self.dialect.shapes(operation, *filled)

    def _stated(self, tensor: Tensor) -> Shape:
        """The shape as the file has it."""
        shape = tensor.shape
        return (shape[0], shape[3], shape[1], shape[2]) if tensor in self.first else shape

    def _append(
        self, path: str, op: Layer, args: Structure, kwargs: Kwargs, outputs: Sequence[Tensor], traits: Traits
    ) -> None:
        inputs = tuple(_tensors((args, dict(kwargs))))
        self.nodes.append(Node(path, op, tuple(args), kwargs, inputs, tuple(outputs), traits))

    def _remember(self, path: str, layer: Layer, output: Tensor, traits: Traits, *, is_model: bool = False) -> None:
        index = None if "/" in path else self.indices.get(id(layer))
        self.layers.append(LayerEntry(path, index, layer, output, replace(traits, kind=type(layer).__name__), is_model))
        self.values[path] = output

    def _unused(self, path: str) -> str:
        """A layer that is called several times gets `#2`, `#3` … behind its later paths."""
        count = 1
        while (candidate := path if count == 1 else f"{path}#{count}") in self.values:
            count += 1
        return candidate


def _tensors(structure: Structure) -> list[Tensor]:
    return [item for item in keras.tree.flatten(structure) if isinstance(item, Tensor)]


def _constants(args: Structure, kwargs: Kwargs) -> Value:
    """The arguments with None in the places of tensors."""
    return keras.tree.map_structure(
        lambda item: None if isinstance(item, Tensor) else item, (tuple(args), dict(kwargs))
    )
