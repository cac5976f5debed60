"""Models of Keras 3, read."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from types import FunctionType, SimpleNamespace
from typing import Literal

import keras
import numpy as np
from keras import layers
from keras.src.utils import summary_utils
from numpy.typing import NDArray

from service.arrays import Function, KerasModel, Kwargs, Layer, Structure, Value
from service.json_types import Fields, JsonObject
from service.models.dialects.dialect import LayerCall, Shape, Symbol
from service.models.dialects.reading import (
    FUSED,
    OF_APPLICATIONS,
    WITH_DATA_FORMAT,
    affine_of,
    all_per_channel,
    is_channel_axis,
    own_kind,
    scope_name,
    traits_of_layer,
)
from service.models.dialects.traits import Affine, Pointwise, Traits
from service.models.dialects.weighted import Weighted, normalisation_of, weighted_of

_rich = summary_utils.rich
_own = summary_utils.print_summary


def printed(model: KerasModel, width: int) -> str:
    """The text of `model.summary(line_length=width)` where lines of `width` fit."""
    page = partial(_rich.console.Console, file=io.StringIO(), width=width, height=1)
    shown = SimpleNamespace(console=SimpleNamespace(Console=page), table=_rich.table, markup=_rich.markup)
    # The function itself stays as it is for everybody else.
    wide = FunctionType(_own.__code__, {**_own.__globals__, "rich": shown}, argdefs=_own.__defaults__)
    text: list[str] = []
    wide(model, line_length=width, print_fn=text.append)
    return "".join(text)


_ELEMENTWISE_OPS = {
    "Absolute", "Abs", "Add", "Celu", "Clip", "Divide", "Elu", "Exp", "Gelu", "HardShrink", "HardSigmoid", "HardSilu",
    "HardTanh", "LeakyRelu", "Log", "LogSigmoid", "Maximum", "Minimum", "Multiply", "Negative", "Power", "Reciprocal",
    "Relu", "Relu6", "Selu", "Sigmoid", "Silu", "SoftShrink", "Softplus", "Softsign", "Sqrt", "Square", "Squareplus",
    "Subtract", "Tanh", "TanhShrink", "Threshold", "TrueDivide",
}  # fmt: skip
_CHANNEL_OPS = {"Concatenate", "LogSoftmax", "Softmax"}
_ARITHMETIC = {"Add": "add", "Subtract": "subtract", "Multiply": "multiply", "TrueDivide": "divide", "Divide": "divide"}
_MERGING_OPS = {
    "Mean": "mean", "Average": "mean", "Max": "extreme", "Amax": "extreme", "Maximum": "extreme", "Minimum": "extreme",
    "Concatenate": "join", "Stack": "join", "Add": "sum", "Multiply": "product",
}  # fmt: skip
_KEEPING_OPS = {"Reshape", "Squeeze", "ExpandDims", "Cast", "Identity", "StopGradient", "Ravel"}
_MOVING_OPS = {*_KEEPING_OPS, "GetItem", "Flip", "Transpose", "Take", "Resize", "Pad", "Stack", "Concatenate", "Split"}


class Keras3:
    """See `Dialect`."""

    version: Literal[3] = 3

    def functional(self, thing: KerasModel) -> KerasModel | None:
        if not isinstance(thing, keras.Model):
            return None
        inner = getattr(thing, "_functional", None) if self.is_sequential(thing) else thing
        return inner if hasattr(inner, "_nodes_by_depth") else None

    def inputs(self, functional: KerasModel) -> Sequence[tuple[Symbol, Layer]]:
        return [(_symbol(item), item._keras_history.operation) for item in functional.inputs]

    def outputs(self, functional: KerasModel) -> Sequence[Symbol]:
        return [_symbol(item) for item in functional.outputs]

    def output_names(self, functional: KerasModel) -> Sequence[str]:
        structure = getattr(functional, "_outputs_struct", None)
        if isinstance(structure, dict) and len(structure) == len(functional.outputs):
            # Dictionaries are flattened in the order of their keys.
            return sorted(structure)
        return [item._keras_history.operation.name for item in functional.outputs]

    def calls(self, functional: KerasModel) -> Iterator[LayerCall]:
        for depth in sorted(functional._nodes_by_depth, reverse=True):
            for node in functional._nodes_by_depth[depth]:
                if not node.is_input:
                    yield LayerCall(node.operation, node.arguments.fill_in, [_symbol(item) for item in node.outputs])

    def is_sequential(self, thing: KerasModel) -> bool:
        return isinstance(thing, keras.Sequential)

    def is_layer(self, operation: Layer) -> bool:
        return isinstance(operation, keras.Layer)

    def context(self, operation: Layer, kwargs: Kwargs) -> Fields:
        # As `model(x, training=False)` does: augmentation layers are active by default.
        return {**kwargs, "training": False} if getattr(operation, "_call_has_training_arg", False) else kwargs

    def fused_activation(self, operation: Layer) -> Function | None:
        activation = getattr(operation, "activation", None) if _own_kind(operation) in FUSED else None
        return None if activation is keras.activations.linear else activation

    def without_activation(self, layer: Layer) -> Layer:
        return self.twin(layer, activation=keras.activations.linear)

    def twin(self, layer: Layer, **changes: Structure) -> Layer:
        name = scope_name(layer.name)
        if name != layer.name:
            changes["name"] = name
        if not changes and layer.activity_regularizer is None:
            return layer
        twin = object.__new__(type(layer))
        twin.__dict__.update(layer.__dict__, activity_regularizer=None, **changes)
        return twin

    def channels_last(self, layer: Layer) -> Layer | None:
        if _own_kind(layer) not in WITH_DATA_FORMAT:
            return None
        return self.twin(layer, data_format="channels_last", input_spec=None, _input_spec=None)

    def traits(self, operation: Layer, arguments: Structure) -> Traits:
        kind = type(operation).__name__
        if isinstance(operation, keras.Layer):
            own = _own_kind(operation) is not None
            if type(operation) is layers.Activation and not isinstance(operation.activation, keras.Layer):
                return replace(_of_function(operation.activation, _activation(operation)), kind=kind)
            return traits_of_layer(
                operation, kind, own=own, activation=_activation(operation), unpadded=self._unpadded(operation)
            )
        activation = _activation(operation)
        if not isinstance(operation, keras.Operation):
            return _of_function(operation, activation)
        constants = [item for item in keras.tree.flatten(arguments) if item is not None]
        return Traits(
            kind=kind,
            activation=activation,
            is_relu=activation in ("relu", "relu6"),
            ceiling=6.0 if activation == "relu6" else None,
            keeps_values=kind in _KEEPING_OPS,
            spatial=Pointwise() if _is_pointwise(operation, kind, constants) else None,
            merge=_MERGING_OPS.get(kind),  # type: ignore[arg-type]
            affine=_affine(kind, arguments),
            moves_pixels=kind in _MOVING_OPS,
        )

    def _unpadded(self, layer: Layer) -> Layer:
        return self.twin(layer, padding="valid") if hasattr(layer, "padding") else layer

    def weighted(self, operation: Layer) -> Weighted | None:
        return weighted_of(operation, _own_kind(operation))

    def normalisation(self, operation: Layer) -> tuple[int, Affine] | None:
        return normalisation_of(operation, _own_kind(operation))

    def shapes(self, operation: Layer, args: Structure, kwargs: Kwargs) -> list[Shape]:
        args, kwargs = keras.tree.map_structure(
            lambda item: keras.KerasTensor(item.shape, item.dtype) if isinstance(item, Symbol) else item,
            (args, dict(kwargs)),
        )
        if not hasattr(operation, "compute_output_spec"):
            # A plain function is an activation and keeps the shape.
            return [tuple(args[0].shape)]
        return [tuple(spec.shape) for spec in keras.tree.flatten(operation.compute_output_spec(*args, **kwargs))]

    def variables(self, model: KerasModel) -> Sequence[Value]:
        return list({id(variable): variable for variable in model.variables}.values())

    def weights(self, layer: Layer) -> Sequence[tuple[str, NDArray[np.generic]]]:
        return [(weight.path.rsplit("/", 1)[-1], np.asarray(weight)) for weight in layer.weights]

    def config(self, layer: Layer) -> JsonObject:
        return dict(layer.get_config())

    def summary(self, model: KerasModel, width: int) -> str:
        return printed(model, width)

    def until(self, functional: KerasModel, layer: Layer, call: int) -> KerasModel:
        nodes = [node for each in functional._nodes_by_depth.values() for node in each if node.operation is layer]
        if len(nodes) < call:
            raise LookupError(layer.name)
        ordered = sorted(nodes, key=layer._inbound_nodes.index)
        outputs = ordered[call - 1].outputs
        return keras.Model(functional.inputs, outputs[0] if len(outputs) == 1 else outputs, name="functional")


def _symbol(item: Structure) -> Symbol:
    return Symbol(id(item), str(item.name), tuple(item.shape), str(item.dtype))


def _own_kind(operation: Layer) -> str | None:
    return own_kind(operation, layers, "keras.src.applications.")


def _activation(operation: Layer) -> str | None:
    if isinstance(operation, layers.Activation):
        return str(getattr(operation.activation, "__name__", type(operation.activation).__name__)).lower()
    if isinstance(operation, (layers.Softmax, layers.ReLU, layers.LeakyReLU)):
        return type(operation).__name__.lower()
    if isinstance(operation, keras.Layer):
        return None
    name = getattr(operation, "__name__", type(operation).__name__).lower()
    return name if hasattr(keras.activations, name) else None


def _of_function(function: Function, activation: str | None) -> Traits:
    """Describes an activation that a layer applies: a function of Keras or of somebody else, seldom a layer."""
    own = bool(activation) and getattr(keras.activations, getattr(function, "__name__", ""), None) is function
    return Traits(
        kind=activation or str(getattr(function, "__name__", type(function).__name__)),
        activation=activation,
        is_relu=activation in ("relu", "relu6"),
        ceiling=6.0 if activation == "relu6" else None,
        keeps_values=activation == "linear",
        # Keras's own look at a cell and, at most, along its channels.
        spatial=Pointwise() if own else None,
    )


def _is_pointwise(operation: Layer, kind: str, constants: list[Value]) -> bool:
    module = type(operation).__module__
    if module.startswith("keras.src.applications."):
        return kind in OF_APPLICATIONS
    if not module.startswith("keras.src.ops."):
        return False
    if kind in _CHANNEL_OPS:
        return is_channel_axis(operation.axis)
    return kind in _ELEMENTWISE_OPS and all_per_channel(constants)


def _affine(kind: str, arguments: Structure) -> Value:
    """Reads arithmetic of one tensor with one constant; in `arguments` None stands where the tensor stood."""
    args, kwargs = arguments
    given = [*args, *kwargs.values()]
    if kind not in _ARITHMETIC or len(given) != 2 or sum(item is None for item in given) != 1:
        return None
    constants = [item for item in given if item is not None]
    return affine_of(_ARITHMETIC[kind], constants, reversed_=given[0] is not None)


KERAS_3 = Keras3()
