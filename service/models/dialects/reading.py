"""What both Kerases have in common: the names of layers and of their attributes."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Literal

import numpy as np

from service.arrays import Function, Layer, Structure, Value
from service.models.dialects.traits import (
    Affine,
    Cropping,
    Pointwise,
    Repetition,
    Spatial,
    Traits,
    Window,
    ZeroPadding,
)

FUSED = (
    "Dense", "EinsumDense", "Conv1D", "Conv2D", "Conv3D", "Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose",
    "DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D",
)  # fmt: skip
# Those that take `data_format` and keep no other order of axes in their weights.
WITH_DATA_FORMAT = {
    "Conv2D", "Conv2DTranspose", "DepthwiseConv2D", "SeparableConv2D", "MaxPooling2D", "AveragePooling2D",
    "GlobalAveragePooling2D", "GlobalMaxPooling2D", "ZeroPadding2D", "Cropping2D", "UpSampling2D",
}  # fmt: skip
_CONVOLUTIONS = {"Conv2D", "DepthwiseConv2D", "SeparableConv2D"}
_POOLINGS = {"MaxPooling2D": "max", "AveragePooling2D": "mean"}
_RANDOM = {
    "RandomFlip", "RandomRotation", "RandomZoom", "RandomTranslation", "RandomContrast", "RandomBrightness",
    "RandomHeight", "RandomWidth", "RandomCrop", "RandomHue", "RandomSaturation", "RandomColorDegeneration",
    "RandomColorJitter", "RandomGrayscale", "RandomInvert", "RandomPosterization", "RandomSharpness", "RandomShear",
    "RandomPerspective", "RandomGaussianBlur", "RandomErasing", "RandomElasticTransform", "RandomApply", "RandAugment",
    "AugMix", "MixUp", "CutMix",
}  # fmt: skip
_DROPOUTS = {
    "Dropout", "SpatialDropout2D", "GaussianNoise", "GaussianDropout", "AlphaDropout", "SpatialDropout1D",
    "SpatialDropout3D", "ActivityRegularization", "Identity",
}  # fmt: skip
# Random layers that change the size or cut when they predict, too.
_CUTTING = {"RandomCrop", "RandomHeight", "RandomWidth"}
_POINTWISE = {"ReLU", "LeakyReLU", "ELU", "ThresholdedReLU", "Dense", *_DROPOUTS, *(_RANDOM - _CUTTING)}
_MERGES = {"Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"}
_ALONG_AN_AXIS = {"Softmax", "BatchNormalization", "LayerNormalization", "UnitNormalization", "Concatenate"}
# Of keras.applications, which exports none of them: one factor, or one a channel.
OF_APPLICATIONS = {"CustomScaleLayer", "LayerScale", "StochasticDepth"}
_KEEP_VALUES = {"Reshape", "Flatten", *_DROPOUTS, *(_RANDOM - _CUTTING)}
# What changes pixels and leaves their range as it is.
_SAME_RANGE = {"AutoContrast", "Equalization", "ContrastLimitedAdaptiveHistogramEqualization", "Solarization"}
_MOVE_PIXELS = {
    "Resizing", "CenterCrop", "ZeroPadding2D", "Cropping2D", "Permute", "UpSampling2D", *_RANDOM, *_DROPOUTS,
    *_SAME_RANGE,
}  # fmt: skip
_MERGING = {
    "Average": "mean", "Maximum": "extreme", "Minimum": "extreme", "Concatenate": "join", "Add": "sum",
    "Multiply": "product",
}  # fmt: skip
_POOLED = ("GlobalAveragePooling", "AveragePooling"), ("GlobalMaxPooling", "MaxPooling")


def scope_name(name: str) -> str:
    """A layer's name as a scope of a compiled function may be named: files have spaces and other scripts in them."""
    plain = re.sub(r"[^A-Za-z0-9_.\\/>-]", "_", name)
    return plain if re.match(r"[A-Za-z0-9.]", plain) else f"layer{plain}"


def own_kind(operation: Layer, namespace: Structure, package: str) -> str | None:
    """The name of a layer's class where that is Keras's own, and no class of somebody else.

    `namespace` is `keras.layers`, `package` where `keras.applications` keeps the classes that it does not export.
    """
    kind, module = type(operation).__name__, type(operation).__module__
    if kind in OF_APPLICATIONS and module.startswith(package):
        return kind
    return kind if getattr(namespace, kind, None) is type(operation) else None


def traits_of_layer(layer: Layer, kind: str, *, own: bool, activation: str | None, unpadded: Function) -> Traits:
    """What a layer is. `own` says that its class is Keras's own; `unpadded` makes a twin without padding."""
    relu, ceiling = _relu(layer, kind) if own else (False, None)
    return Traits(
        kind=kind,
        activation=activation,
        is_relu=relu or activation in ("relu", "relu6"),
        ceiling=6.0 if activation == "relu6" else ceiling,
        keeps_values=(own and kind in _KEEP_VALUES) or activation == "linear",
        multiplications=_multiplications(layer, kind),
        spatial=_spatial(layer, kind, unpadded) if own else None,
        merge=_merge(kind) if own else None,  # type: ignore[arg-type]
        affine=_affine(layer, kind) if own else None,
        moves_pixels=own and _moves_pixels(layer, kind),
        has_weights=bool(layer.weights) and kind != "Normalization",
    )


def _relu(layer: Layer, kind: str) -> tuple[bool, float | None]:
    if kind == "ReLU":
        ceiling = layer.max_value
        is_relu = not float(layer.negative_slope or 0) and not float(layer.threshold or 0)
        return is_relu, None if ceiling is None or not is_relu else float(ceiling)
    if kind == "LeakyReLU":
        return not float(slope_of(layer)), None
    return False, None


def slope_of(leaky: Layer) -> Value:
    """The slope of a LeakyReLU, which Keras 2 calls `alpha`."""
    slope = getattr(leaky, "negative_slope", None)
    return leaky.alpha if slope is None else slope


def _merge(kind: str) -> str | None:
    for prefixes, what in zip(_POOLED, ("mean", "extreme"), strict=True):
        if kind.startswith(prefixes):
            return what
    return _MERGING.get(kind)


def _spatial(layer: Layer, kind: str, unpadded: Function) -> Spatial | None:
    if getattr(layer, "data_format", None) == "channels_first":
        return None
    if kind in _CONVOLUTIONS:
        return Window(
            _pair(layer.kernel_size),
            _pair(layer.strides),
            _pair(layer.dilation_rate),
            layer.padding,
            "convolution",
            unpadded,
        )
    if kind in _POOLINGS:
        rolls: Literal["max", "mean"] = "max" if kind == "MaxPooling2D" else "mean"
        return Window(_pair(layer.pool_size), _pair(layer.strides), (1, 1), layer.padding, rolls, unpadded)
    if kind == "ZeroPadding2D":
        return ZeroPadding(layer.padding[0][0], layer.padding[1][0])
    if kind == "Cropping2D":
        return Cropping(layer.cropping[0][0], layer.cropping[1][0])
    if kind == "UpSampling2D":
        return Repetition(*_pair(layer.size)) if layer.interpolation == "nearest" else None
    return Pointwise() if _is_pointwise(layer, kind) else None


def _is_pointwise(layer: Layer, kind: str) -> bool:
    if kind in _POINTWISE or kind in _MERGES or kind in OF_APPLICATIONS:
        return True
    if kind in _ALONG_AN_AXIS:
        return is_channel_axis(layer.axis)
    if kind == "Normalization":
        return all(axis in (-1, 3) for axis in layer.axis)
    if kind == "Rescaling":
        return is_per_channel(layer.scale) and is_per_channel(layer.offset)
    return kind == "PReLU" and is_per_channel(layer.alpha)


def _moves_pixels(layer: Layer, kind: str) -> bool:
    if kind == "Pipeline":
        return all(_moves_pixels(inner, type(inner).__name__) for inner in layer.layers)
    return kind in _MOVE_PIXELS


def _affine(layer: Layer, kind: str) -> Affine | None:
    if kind == "Pipeline":
        return _one_after_another(layer.layers)
    if kind == "Rescaling":
        return affine(layer.scale, layer.offset)
    if kind == "Normalization" and getattr(layer, "mean", None) is not None:
        mean, variance = np.asarray(layer.mean, np.float64), np.asarray(layer.variance, np.float64)
        deviation = np.maximum(np.sqrt(variance), 1e-7)
        if getattr(layer, "invert", False):
            return affine(deviation, mean)
        return affine(1 / deviation, -mean / deviation)
    return None


def _one_after_another(layers: Iterable[Value]) -> Affine | None:
    """Gives the arithmetic of layers of which each moves pixels or is arithmetic with constants; None where another is
    among them."""
    scale, offset, found = np.ones(1), np.zeros(1), False
    for layer in layers:
        kind = type(layer).__name__
        own = _affine(layer, kind)
        if own is not None:
            scale, offset, found = scale * own.scale, offset * own.scale + own.offset, True
        elif not _moves_pixels(layer, kind):
            return None
    return Affine(scale, offset) if found else None


def affine(scale: Value, offset: Value) -> Affine | None:
    """None where one of the two is no number and no list of numbers."""
    try:
        return Affine(np.asarray(scale, np.float64).ravel(), np.asarray(offset, np.float64).ravel())
    except (TypeError, ValueError):
        return None


def affine_of(kind: str, constants: list[Value], *, reversed_: bool) -> Affine | None:
    """Gives the arithmetic of `x + c`, `x - c`, `x * c`, `x / c`, and of `c - x` where `reversed_`; `kind` is the
    operation's word."""
    if len(constants) != 1 or constants[0] is None:
        return None
    try:
        value = np.asarray(constants[0], np.float64)
    except (TypeError, ValueError):
        return None
    if kind == "add":
        return affine(1.0, value)
    if kind == "subtract":
        return affine(-1.0, value) if reversed_ else affine(1.0, -value)
    if kind == "multiply":
        return affine(value, 0.0)
    if kind == "divide" and not reversed_ and (value != 0).all():
        return affine(1 / value, 0.0)
    return None


def _multiplications(layer: Layer, kind: str) -> int:
    if kind == "DepthwiseConv2D":
        return math.prod(_pair(layer.kernel_size))
    if kind == "SeparableConv2D":
        return math.prod(_pair(layer.kernel_size)) + int(layer.pointwise_kernel.shape[-2])
    kernel = getattr(layer, "kernel", None)
    if kernel is None or len(kernel.shape) < 2:
        return 0
    return int(math.prod(kernel.shape[:-1]))


def is_channel_axis(axis: Value) -> bool:
    """Whether an axis, or a list of one, is the last of four."""
    axes = axis if isinstance(axis, (list, tuple)) else [axis]
    return list(axes) in ([-1], [3])


def is_per_channel(value: Value) -> bool:
    """Whether a constant is the same in every cell: a number, or one a channel."""
    shape = tuple(value.shape) if hasattr(value, "shape") else np.shape(value)
    return len(shape) <= 4 and all(size == 1 for size in shape[:-1])


def all_per_channel(constants: Iterable[Value]) -> bool:
    """Whether no constant tells one cell from another."""
    return all(map(is_per_channel, constants))


def _pair(value: Value) -> tuple[int, int]:
    first, second = (value, value) if isinstance(value, int) else value
    return int(first), int(second)
