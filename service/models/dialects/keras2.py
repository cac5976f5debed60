"""Models of Keras 2, read by `tf_keras`, the Keras 2 that goes on. Imported with the first such model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray
from tf_keras import layers

from service.arrays import Function, KerasModel, Kwargs, Layer, Structure, Value
from service.json_types import Fields, JsonObject
from service.models.dialects.dialect import LayerCall, Shape, Symbol
from service.models.dialects.reading import (
    FUSED,
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

ACTIVATIONS = {
    "nn.relu": "relu", "nn.relu6": "relu6", "nn.softmax": "softmax",
    "nn.log_softmax": "log_softmax", "LogSoftmax": "log_softmax", "compat.v1.nn.softmax": "softmax",
    "nn.sigmoid": "sigmoid", "math.sigmoid": "sigmoid", "nn.silu": "silu", "nn.swish": "silu", "nn.gelu": "gelu",
    "nn.elu": "elu", "nn.selu": "selu", "nn.tanh": "tanh", "math.tanh": "tanh", "nn.leaky_relu": "leaky_relu",
    "nn.softplus": "softplus", "math.softplus": "softplus", "Relu": "relu", "Relu6": "relu6", "Softmax": "softmax",
    "Sigmoid": "sigmoid", "Tanh": "tanh", "Elu": "elu", "Selu": "selu", "Softplus": "softplus",
}  # fmt: skip
ARITHMETIC = {
    "math.add": "add", "__operators__.add": "add", "AddV2": "add", "Add": "add",
    "math.subtract": "subtract", "__operators__.subtract": "subtract", "Sub": "subtract",
    "math.multiply": "multiply", "__operators__.multiply": "multiply", "Mul": "multiply",
    "math.truediv": "divide", "math.divide": "divide", "__operators__.truediv": "divide", "RealDiv": "divide",
    "compat.v1.truediv": "divide", "compat.v1.div": "divide", "math.divide_no_nan": "divide", "BiasAdd": "add",
    "nn.bias_add": "add",
}  # fmt: skip
ELEMENTWISE = {
    *ARITHMETIC, *ACTIVATIONS, "math.maximum", "math.minimum", "math.abs", "math.square", "math.sqrt", "math.exp",
    "math.negative", "math.rsqrt", "math.log", "math.pow", "clip_by_value", "cast", "identity", "Maximum", "Minimum",
    "Abs", "Square", "Sqrt", "Rsqrt", "Exp", "Neg", "Cast",
}  # fmt: skip
ALONG_CHANNELS = {"softmax", "log_softmax"}
MERGING = {
    "math.reduce_mean": "mean", "Mean": "mean", "math.reduce_max": "extreme", "Max": "extreme",
    "math.maximum": "extreme", "Maximum": "extreme", "math.minimum": "extreme", "Minimum": "extreme",
    "concat": "join", "ConcatV2": "join", "stack": "join", "Pack": "join", "math.add": "sum",
    "__operators__.add": "sum", "AddV2": "sum", "math.multiply": "product", "__operators__.multiply": "product",
    "Mul": "product",
}  # fmt: skip
KEEPING = {"reshape", "Reshape", "squeeze", "Squeeze", "expand_dims", "ExpandDims", "cast", "Cast", "identity"}
MOVING = {
    *KEEPING, "__operators__.getitem", "StridedSlice", "reverse", "ReverseV2", "transpose", "compat.v1.transpose",
    "Transpose", "stack", "Pack", "unstack", "Unpack", "concat", "ConcatV2", "split", "Split", "gather", "GatherV2",
    "pad", "compat.v1.pad", "Pad", "PadV2", "MirrorPad", "image.resize", "compat.v1.image.resize", "ResizeBilinear",
    "ResizeNearestNeighbor", "image.flip_left_right", "image.resize_with_pad", "slice", "tile", "Tile",
}  # fmt: skip

# Layers that hold a function of TensorFlow, and the name it is known by.
_FUNCTION, _NODE, _SLICE = "TFOpLambda", "TensorFlowOpLayer", "SlicingOpLambda"


class Keras2:
    """See `Dialect`."""

    version: Literal[2] = 2

    def functional(self, thing: KerasModel) -> KerasModel | None:
        if self.is_sequential(thing):
            return thing if thing._graph_initialized else None
        return thing if isinstance(thing, tf_keras.Model) and hasattr(thing, "_nodes_by_depth") else None

    def inputs(self, functional: KerasModel) -> Sequence[tuple[Symbol, Layer]]:
        return [(_symbol(item), item._keras_history.layer) for item in functional.inputs]

    def outputs(self, functional: KerasModel) -> Sequence[Symbol]:
        return [_symbol(item) for item in functional.outputs]

    def output_names(self, functional: KerasModel) -> Sequence[str]:
        structure = getattr(functional, "_nested_outputs", None)
        if isinstance(structure, dict) and len(structure) == len(functional.outputs):
            return sorted(structure)
        return list(functional.output_names)

    def calls(self, functional: KerasModel) -> Iterator[LayerCall]:
        for depth in sorted(functional._nodes_by_depth, reverse=True):
            for node in functional._nodes_by_depth[depth]:
                if not node.is_input:
                    yield LayerCall(
                        node.layer, _filling(node), [_symbol(item) for item in tf.nest.flatten(node.outputs)]
                    )

    def is_sequential(self, thing: KerasModel) -> bool:
        return isinstance(thing, tf_keras.Sequential)

    def is_layer(self, operation: Layer) -> bool:
        return isinstance(operation, tf_keras.layers.Layer)

    def context(self, operation: Layer, kwargs: Kwargs) -> Fields:
        given = {name: value for name, value in kwargs.items() if name != "mask" or value is not None}
        if getattr(operation, "_expects_training_arg", False):
            given["training"] = False
        return given

    def fused_activation(self, operation: Layer) -> Function | None:
        activation = getattr(operation, "activation", None) if _own_kind(operation) in FUSED else None
        return None if activation is tf_keras.activations.linear else activation

    def without_activation(self, layer: Layer) -> Layer:
        return self.twin(layer, activation=tf_keras.activations.linear)

    def twin(self, layer: Layer, **changes: Structure) -> Layer:
        name = scope_name(layer.name)
        if name != layer.name:
            changes["_name"] = name
        if not changes and layer._activity_regularizer is None:
            return layer
        twin = object.__new__(type(layer))
        twin.__dict__.update(layer.__dict__, _activity_regularizer=None, **changes)
        return twin

    def channels_last(self, layer: Layer) -> Layer | None:
        if _own_kind(layer) not in WITH_DATA_FORMAT:
            return None
        changes: JsonObject = {"data_format": "channels_last", "_input_spec": None}
        if hasattr(layer, "_channels_first"):
            changes |= {"_channels_first": False}
        if hasattr(layer, "_tf_data_format"):
            changes |= {"_tf_data_format": "NHWC"}
        return self.twin(layer, **changes)

    def traits(self, operation: Layer, arguments: Structure) -> Traits:
        if not self.is_layer(operation):
            return _of_function(operation)
        kind = type(operation).__name__
        if kind in (_FUNCTION, _NODE, _SLICE):
            return _of_tensorflow(operation, kind, arguments)
        own = _own_kind(operation) is not None
        if type(operation) is layers.Activation and not self.is_layer(operation.activation):
            return replace(_of_function(operation.activation), kind=kind)
        return traits_of_layer(
            operation, kind, own=own, activation=_activation(operation, kind), unpadded=self._unpadded(operation)
        )

    def _unpadded(self, layer: Layer) -> Layer:
        return self.twin(layer, padding="valid") if hasattr(layer, "padding") else layer

    def weighted(self, operation: Layer) -> Weighted | None:
        return weighted_of(operation, _own_kind(operation))

    def normalisation(self, operation: Layer) -> tuple[int, Affine] | None:
        return normalisation_of(operation, _own_kind(operation))

    def shapes(self, operation: Layer, args: Structure, kwargs: Kwargs) -> list[Shape]:
        # TensorFlow itself infers them, from the operation built in a graph of its own that nobody runs; only one of a
        # function may read variables from outside.
        with tf.__internal__.FuncGraph("shapes").as_default():
            args, kwargs = tf.nest.map_structure(
                lambda item: tf.compat.v1.placeholder(item.dtype, item.shape) if isinstance(item, Symbol) else item,
                (args, dict(kwargs)),
            )
            return [tuple(value.shape) for value in tf.nest.flatten(operation(*args, **kwargs))]

    def variables(self, model: KerasModel) -> Sequence[Value]:
        return list({id(variable): variable for variable in model.variables}.values())

    def weights(self, layer: Layer) -> Sequence[tuple[str, NDArray[np.generic]]]:
        return [
            (weight.name.rsplit("/", 1)[-1].removesuffix(":0"), np.asarray(weight.numpy())) for weight in layer.weights
        ]

    def config(self, layer: Layer) -> JsonObject:
        return dict(layer.get_config())

    def summary(self, model: KerasModel, width: int) -> str:
        lines: list[str] = []
        model.summary(print_fn=lines.append, line_length=width)
        return "\n".join(lines) + "\n"

    def until(self, functional: KerasModel, layer: Layer, call: int) -> KerasModel:
        nodes = [node for each in functional._nodes_by_depth.values() for node in each if node.layer is layer]
        if len(nodes) < call:
            raise LookupError(layer.name)
        ordered = sorted(nodes, key=layer._inbound_nodes.index)
        return tf_keras.Model(functional.inputs, ordered[call - 1].outputs, name="model")


def _symbol(item: Structure) -> Symbol:
    return Symbol(id(item), str(item.name), tuple(item.shape), item.dtype.name)


def _filling(node: Structure) -> Callable[[Mapping[int, Value]], tuple[Structure, Kwargs]]:
    def fill(known: Mapping[int, Value]) -> tuple[Structure, Kwargs]:
        filled: tuple[Structure, Kwargs] = tf.nest.map_structure(
            lambda item: known.get(id(item), item), (node.call_args, node.call_kwargs)
        )
        return filled

    return fill


def _own_kind(operation: Layer) -> str | None:
    return own_kind(operation, layers, "tf_keras.src.applications.")


def _plain_name(function: Function) -> str:
    name = str(getattr(function, "__name__", type(function).__name__)).lower().removesuffix("_v2")
    return "silu" if name == "swish" else name


def _activation(layer: Layer, kind: str) -> str | None:
    if kind == "Activation":
        return _plain_name(layer.activation)
    return kind.lower() if kind in ("Softmax", "ReLU", "LeakyReLU") else None


def _of_function(function: Function) -> Traits:
    """Reads an activation that a layer applies: of Keras, of TensorFlow, or of somebody else; seldom a layer."""
    name = _plain_name(function)
    own = name if name in ("silu", "log_softmax") or hasattr(tf_keras.activations, name) else None
    return Traits(
        kind=name,
        activation=own,
        is_relu=own in ("relu", "relu6") or name == "relu6",
        ceiling=6.0 if name == "relu6" else None,
        keeps_values=own == "linear",
        spatial=Pointwise() if own and getattr(function, "__module__", "").startswith("tf_keras.") else None,
    )


def _of_tensorflow(layer: Layer, kind: str, arguments: Structure) -> Traits:
    """Describes a function or operation of TensorFlow that Keras 2 wrapped in a layer of its own."""
    if kind == _NODE:
        name = str(layer.node_def.op)
        constants = [np.asarray(value) for value in layer.constants.values()]
        first_is_constant = 0 in layer.constants
    else:
        name = "__operators__.getitem" if kind == _SLICE else str(layer.symbol or "")
        args, kwargs = arguments
        given = [*args, *(value for key, value in kwargs.items() if key in ("x", "y", "bias"))]
        constants = [item for item in given if item is not None]
        first_is_constant = bool(given) and given[0] is not None
    activation = ACTIVATIONS.get(name)
    along = activation in ALONG_CHANNELS
    pointwise = name in ELEMENTWISE and all_per_channel(constants) and (not along or _channels_alone(arguments))
    arithmetic = ARITHMETIC.get(name)
    return Traits(
        kind=name,
        activation=activation,
        is_relu=activation in ("relu", "relu6"),
        ceiling=6.0 if activation == "relu6" else None,
        keeps_values=name in KEEPING,
        spatial=Pointwise() if pointwise else None,
        merge=MERGING.get(name) if not constants or name not in ARITHMETIC else None,  # type: ignore[arg-type]
        affine=affine_of(arithmetic, constants, reversed_=first_is_constant) if arithmetic else None,
        moves_pixels=name in MOVING,
    )


def _channels_alone(arguments: Structure) -> bool:
    _, kwargs = arguments
    return is_channel_axis(kwargs.get("axis", -1))


KERAS_2 = Keras2()
