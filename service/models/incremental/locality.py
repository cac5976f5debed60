"""What an operation does around a cell of a map: nothing but the cell itself, a neighbourhood, or everything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers

from service.models.canonical import twin
from service.models.cost import Shape
from service.models.graph import Node, Tensor
from service.models.incremental.spans import Reach

Shapes = Mapping[Tensor, Shape]


@dataclass(frozen=True, eq=False)
class Pointwise:
    """Each cell of the output follows from the same cell of the inputs."""


@dataclass(frozen=True, eq=False)
class Sliding:
    """Each cell of the output follows from a neighbourhood of the one input; `fill` stands beyond the map.

    `op` computes it from a crop that holds the whole neighbourhoods. Where `mean` is true, only the cells within the
    map count in the average.
    """

    rows: Reach
    columns: Reach
    fill: float
    op: Callable[..., Any]
    mean: bool = False


@dataclass(frozen=True, eq=False)
class Shifted:
    """The input with so many cells more in front of it; the cells beyond the map are 0."""

    rows: int
    columns: int


@dataclass(frozen=True, eq=False)
class Repeated:
    """Each cell of the input so many times."""

    rows: int
    columns: int


Locality = Pointwise | Sliding | Shifted | Repeated

_CONVOLUTIONS = (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D)
_POOLINGS = (layers.MaxPooling2D, layers.AveragePooling2D)
# Layers without parameters, with one a channel, and those that only act in training.
_POINTWISE = {
    layers.Activation, layers.ReLU, layers.LeakyReLU, layers.ELU, layers.Identity, layers.ActivityRegularization,
    layers.Dropout, layers.SpatialDropout2D, layers.GaussianNoise, layers.GaussianDropout, layers.AlphaDropout,
    layers.RandomFlip, layers.RandomRotation, layers.RandomZoom, layers.RandomTranslation, layers.RandomContrast,
    layers.RandomBrightness, layers.Dense,
}  # fmt: skip
_MERGES = {layers.Add, layers.Subtract, layers.Multiply, layers.Average, layers.Maximum, layers.Minimum}
_ALONG_AN_AXIS = {
    layers.Softmax, layers.BatchNormalization, layers.LayerNormalization, layers.UnitNormalization, layers.Concatenate,
}  # fmt: skip
# Classes of keras.applications that Keras does not export; one factor, or one a channel.
_OF_APPLICATIONS = {"CustomScaleLayer", "LayerScale", "StochasticDepth"}
_ELEMENTWISE_OPS = {
    "Absolute", "Abs", "Add", "Celu", "Clip", "Divide", "Elu", "Exp", "Gelu", "HardShrink", "HardSigmoid", "HardSilu",
    "HardTanh", "LeakyRelu", "Log", "LogSigmoid", "Maximum", "Minimum", "Multiply", "Negative", "Power", "Reciprocal",
    "Relu", "Relu6", "Selu", "Sigmoid", "Silu", "SoftShrink", "Softplus", "Softsign", "Sqrt", "Square", "Squareplus",
    "Subtract", "Tanh", "TanhShrink", "Threshold", "TrueDivide",
}  # fmt: skip
_CHANNEL_OPS = {"Concatenate", "LogSoftmax", "Softmax"}


def locality(node: Node, shapes: Shapes) -> Locality | None:
    """What the node does around a cell; None for one that looks at the whole map, or that is not known."""
    values = [shapes[tensor] for tensor in (*node.inputs, *node.outputs)]
    if len(node.outputs) != 1 or any(len(shape) != 3 for shape in values):
        return None
    op: Any = node.op
    kind = type(op)
    if getattr(op, "data_format", None) == "channels_first":
        return None
    if kind in _CONVOLUTIONS or kind in _POOLINGS:
        return _sliding(op, values[0])
    if kind is layers.ZeroPadding2D:
        return Shifted(op.padding[0][0], op.padding[1][0])
    if kind is layers.Cropping2D:
        (top, _), (left, _) = op.cropping
        return Sliding(Reach(1, before=-top), Reach(1, before=-left), 0.0, lambda value: value)
    if kind is layers.UpSampling2D and op.interpolation == "nearest":
        return Repeated(*op.size)
    same_map = len({shape[:2] for shape in values}) == 1
    return Pointwise() if same_map and _is_pointwise(node) else None


def _sliding(op: Any, shape: Shape) -> Sliding:
    pooling = type(op) in _POOLINGS
    kernel = op.pool_size if pooling else op.kernel_size
    dilation = (1, 1) if pooling else op.dilation_rate
    reaches = [
        Reach.of_kernel(kernel[axis], op.strides[axis], dilation[axis], op.padding, shape[axis]) for axis in (0, 1)
    ]
    return Sliding(
        reaches[0],
        reaches[1],
        fill=-np.inf if type(op) is layers.MaxPooling2D else 0.0,
        op=twin(op, padding="valid"),
        mean=type(op) is layers.AveragePooling2D and op.padding == "same",
    )


def _is_pointwise(node: Node) -> bool:
    op: Any = node.op
    kind = type(op)
    if kind is layers.Activation or not isinstance(op, keras.Operation):
        return _is_activation(op.activation if kind is layers.Activation else op)
    if kind in _POINTWISE or kind in _MERGES:
        return True
    if kind in _ALONG_AN_AXIS:
        return _is_channel_axis(op.axis)
    if kind is layers.Normalization:
        return all(axis in (-1, 3) for axis in op.axis)
    if kind is layers.Rescaling:
        return _is_per_channel(op.scale) and _is_per_channel(op.offset)
    if kind is layers.PReLU:
        return _is_per_channel(op.alpha)
    if kind.__module__.startswith("keras.src.applications."):
        return kind.__name__ in _OF_APPLICATIONS
    if not kind.__module__.startswith("keras.src.ops."):
        return False
    constants = [item for item in keras.tree.flatten((node.args, dict(node.kwargs))) if not isinstance(item, Tensor)]
    if kind.__name__ in _CHANNEL_OPS:
        return _is_channel_axis(op.axis)
    return kind.__name__ in _ELEMENTWISE_OPS and all(map(_is_per_channel, constants))


def _is_activation(function: Any) -> bool:
    """One of Keras's own: these look at a cell and, at most, along its channels."""
    if isinstance(function, keras.Layer):
        return type(function) in (layers.ReLU, layers.LeakyReLU, layers.ELU)
    name = getattr(function, "__name__", "")
    return bool(name) and getattr(keras.activations, name, None) is function


def _is_channel_axis(axis: Any) -> bool:
    axes = axis if isinstance(axis, (list, tuple)) else [axis]
    return list(axes) in ([-1], [3])


def _is_per_channel(value: Any) -> bool:
    """Whether a constant is the same in every cell: a number, or one a channel."""
    shape = np.shape(value) if not hasattr(value, "shape") else tuple(value.shape)
    return len(shape) <= 4 and all(size == 1 for size in shape[:-1])
