"""From a Keras model to its canonical graph; see `graph.py`. Nothing of the model is copied or changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from service.errors import ModelNotLoadable
from service.models.graph import LINEAR, Graph, LayerEntry, Node, Tensor

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
            self._append(path + LINEAR, twin(op, activation=keras.activations.linear), args, kwargs, [before])
            self.values[path + LINEAR] = before
            self._append(path, activation, (before,), {}, outputs)
        else:
            self._append(path, twin(op) if isinstance(op, keras.Layer) else op, args, kwargs, outputs)
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


def twin(layer: Any, **changes: Any) -> Any:
    """A second object on the very same variables, with other attributes. It leaves no losses behind in the first."""
    if not changes and layer.activity_regularizer is None:
        return layer
    twin = object.__new__(type(layer))
    twin.__dict__.update(layer.__dict__, activity_regularizer=None, **changes)
    return twin
