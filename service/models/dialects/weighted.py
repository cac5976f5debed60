"""Convolutions and dense layers as plain operations of TensorFlow on their own variables."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from service.arrays import Array, Layer, Value
from service.models.dialects.traits import Affine

Kind = Literal["convolution", "depthwise", "separable", "transposed", "dense"]
_KINDS: dict[str, Kind] = {
    "Conv2D": "convolution",
    "DepthwiseConv2D": "depthwise",
    "SeparableConv2D": "separable",
    "Conv2DTranspose": "transposed",
    "Dense": "dense",
}
Sides = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Weighted:
    """A convolution or dense layer of float32 values, channels last, without its activation.

    `kernels` (two of a separable one) and `bias` are variables of TensorFlow, `bias` None where there is none. The last
    axis of the last kernel counts the outputs, but for `depthwise` (height, width, in, multiplier) and `transposed`
    (height, width, out, in).
    """

    kind: Kind
    kernels: tuple[Value, ...]
    bias: Value | None
    strides: Sides = (1, 1)
    dilation: Sides = (1, 1)
    padding: str = "valid"

    @property
    def kernel(self) -> Value:
        """The last kernel."""
        return self.kernels[-1]

    @property
    def outputs(self) -> int:
        """Counts the channels that it gives."""
        shape = _shape(self.kernels[-1])
        return math.prod(shape[2:]) if self.kind == "depthwise" else shape[2 if self.kind == "transposed" else -1]

    @property
    def own_bytes(self) -> int:
        """Counts what the last kernel and the bias take: all that `scaled` makes anew."""
        return 4 * (math.prod(_shape(self.kernels[-1])) + (0 if self.bias is None else self.outputs))

    def __call__(self, values: Value) -> Value:
        """Computes what the layer gives for `values`, float32 (batch, height, width, channels) or, of a dense one,
        (batch, ..., channels)."""
        result = self._multiplied(values)
        return result if self.bias is None else tf.nn.bias_add(result, self.bias)

    def unpadded(self) -> Weighted:
        """Gives the same operation without padding."""
        return replace(self, padding="valid")

    def scaled(self, affine: Affine) -> Weighted:
        """Gives the layer followed by `affine`, one factor and one offset an output, with variables of its own."""
        *before, kernel = self.kernels
        factors = affine.scale
        if self.kind == "depthwise":
            factors = factors.reshape(kernel.shape[2:])
        elif self.kind == "transposed":
            factors = factors[:, None]
        bias = affine.offset if self.bias is None else self.bias.numpy() * affine.scale + affine.offset
        return replace(self, kernels=(*before, variable_of(kernel.numpy(), factors)), bias=variable_of(bias))

    def _multiplied(self, values: Value) -> Value:
        kernel, padding = self.kernels[-1], self.padding.upper()
        if self.kind == "dense":
            return keras.ops.matmul(values, kernel)
        if self.kind == "transposed":
            return keras.ops.conv_transpose(values, kernel, self.strides, self.padding, data_format="channels_last")
        if self.kind == "convolution":
            if values.shape[-1] == kernel.shape[-2]:
                return tf.nn.conv2d(values, kernel, self.strides, padding, dilations=self.dilation)
            # In groups, which TensorFlow itself cannot compute on every device.
            return keras.ops.conv(values, kernel, self.strides, self.padding, "channels_last", self.dilation)
        strides = (1, *self.strides, 1)
        values = tf.nn.depthwise_conv2d(values, self.kernels[0], strides, padding, dilations=self.dilation)
        return values if self.kind == "depthwise" else tf.nn.conv2d(values, kernel, 1, "VALID")


def variable_of(values: Array, factors: NDArray[np.float64] | float = 1.0) -> Value:
    """Makes a float32 variable of `values` x `factors`, multiplied in float64 without a copy in it."""
    product = np.multiply(
        values, factors, out=np.empty(values.shape, np.float32), casting="same_kind", dtype=np.float64
    )
    return tf.Variable(product, trainable=False)


def weighted_of(layer: Layer, kind: str | None) -> Weighted | None:
    """Reads a layer of either Keras whose own class is `kind`, None for another's; None for one that computes
    otherwise: in another type, with channels first, or with weights that are quantized or have an adapter beside them.
    """
    found = _KINDS.get(kind or "")
    if found is None or layer.compute_dtype != "float32" or getattr(layer, "data_format", None) == "channels_first":
        return None
    if getattr(layer, "quantization_mode", None) or getattr(layer, "lora_enabled", False):
        return None
    kernels = tuple(map(_variable, _kernels(layer, found)))
    bias = _variable(layer.bias) if layer.use_bias else None
    if any(variable.dtype != tf.float32 for variable in kernels):
        return None
    if found == "dense":
        return Weighted(found, kernels, bias)
    strides, dilation = _sides(layer.strides), _sides(layer.dilation_rate)
    if found == "transposed" and (dilation != (1, 1) or layer.output_padding is not None):
        return None
    # TensorFlow computes these in a way of its own, which the two Kerases call differently.
    if max(strides) > 1 and max(dilation) > 1:
        return None
    return Weighted(found, kernels, bias, strides, dilation, layer.padding)


def _kernels(layer: Layer, kind: Kind) -> tuple[Value, ...]:
    if kind == "separable":
        return layer.depthwise_kernel, layer.pointwise_kernel
    # Keras 2 calls a depthwise one by another name.
    return (getattr(layer, "depthwise_kernel", None) if hasattr(layer, "depthwise_kernel") else layer.kernel,)


def _variable(variable: Value) -> Value:
    """TensorFlow's own variable, which Keras 3 keeps within one of its own."""
    return variable.value if isinstance(variable, keras.Variable) else variable


def _shape(variable: Value) -> tuple[int, ...]:
    return tuple(int(size) for size in variable.shape)


def _sides(value: Value) -> Sides:
    first, second = (value, value) if isinstance(value, int) else value
    return int(first), int(second)


def normalisation_of(layer: Layer, kind: str | None) -> tuple[int, Affine] | None:
    """The axis along which a BatchNormalization of float32 values predicts `scale`·x + `offset`, and these two; None
    for another layer, and where it normalises along several axes.

    Ioffe and Szegedy 2015: scale = gamma / sqrt(variance + epsilon), offset = beta - mean·scale.
    """
    if kind != "BatchNormalization" or layer.compute_dtype != "float32":
        return None
    axes = layer.axis if isinstance(layer.axis, (list, tuple)) else [layer.axis]
    if len(axes) != 1:
        return None
    mean, variance = (np.asarray(value, np.float64) for value in (layer.moving_mean, layer.moving_variance))
    # Of weights that are not finite, or a variance below 0, it gives what the layer gives: values that are not.
    with np.errstate(all="ignore"):
        scale = 1 / np.sqrt(variance + layer.epsilon)
        if layer.gamma is not None:
            scale = scale * np.asarray(layer.gamma, np.float64)
        offset = -mean * scale
        if layer.beta is not None:
            offset = offset + np.asarray(layer.beta, np.float64)
    return int(axes[0]), Affine(scale, offset)
