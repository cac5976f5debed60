"""Slices of kernels, value by value."""

from __future__ import annotations

from typing import Any

import keras
import nets
import numpy as np
import pytest
from keras import layers
from pydantic import ValidationError

from service.errors import InvalidParameter, MethodNotValid, UnknownLayer
from service.explainers.kernels import KernelParams
from service.models.loaded import LoadedModel

# Values that tell their own place: row, column, input, output.
KERNEL = np.fromfunction(lambda h, w, i, o: 1000 * h + 100 * w + 10 * i + o, (2, 3, 3, 4)).astype(np.float32)
TRANSPOSED = np.ascontiguousarray(KERNEL.transpose(0, 1, 3, 2))


def model_of(*steps: tuple[Any, list[np.ndarray]], channels: int = 3) -> LoadedModel:
    net = keras.Sequential([keras.Input((8, 8, channels)), *(layer for layer, _ in steps)])
    for layer, weights in steps:
        layer.set_weights(weights)
    return nets.loaded(net)


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return model_of((layers.Conv2D(4, (2, 3), use_bias=False, name="conv"), [KERNEL]))


def kernels(model: LoadedModel, **params: Any) -> np.ndarray:
    explanation = nets.explain(model, "kernels", np.zeros((1, 8, 8, 3), np.float32), **params)
    assert explanation.primary == "kernels"
    assert explanation.scores is None
    return explanation.arrays["kernels"]


def test_one_input_channel(model: LoadedModel) -> None:
    first = kernels(model, layer="conv")
    assert first.dtype == np.float32
    assert first[..., 0].tolist() == [[0, 100, 200], [1000, 1100, 1200]]
    assert np.array_equal(first, KERNEL[:, :, 0])
    assert np.array_equal(kernels(model, layer="conv", input_channel="2"), KERNEL[:, :, 2])
    assert np.array_equal(kernels(model, layer=0, input_channel=1), KERNEL[:, :, 1])


def test_an_input_channel_that_is_none() -> None:
    with pytest.raises(ValidationError, match="it must be an index, mean or rgb"):
        KernelParams(layer="conv", input_channel="red")


def test_filters(model: LoadedModel) -> None:
    assert np.array_equal(kernels(model, layer="conv", filters="3,1"), KERNEL[:, :, 0][..., [3, 1]])


def test_mean_over_inputs(model: LoadedModel) -> None:
    assert kernels(model, layer="conv", input_channel="mean")[..., 1].tolist() == [[11, 111, 211], [1011, 1111, 1211]]


def test_rgb(model: LoadedModel) -> None:
    found = kernels(model, layer="conv", input_channel="rgb", filters="2")
    assert found.shape == (2, 3, 3, 1)
    assert np.array_equal(found, KERNEL[..., 2:3])


def test_depthwise_kernels_have_one_input() -> None:
    depthwise = KERNEL[..., :2]
    model = model_of((layers.DepthwiseConv2D((2, 3), depth_multiplier=2, use_bias=False, name="depth"), [depthwise]))
    found = kernels(model, layer="depth")
    assert found.shape == (2, 3, 6)
    # Output channel 2·i + m is input i with multiplier m.
    for channel in range(6):
        assert np.array_equal(found[..., channel], depthwise[:, :, channel // 2, channel % 2])
    image = np.zeros((1, 8, 8, 3), np.float32)
    image[0, 0, 0, 1] = 1
    (answer,) = nets.run(model, image, "depth")
    assert answer[0, 0, 0].tolist() == [0, 0, found[0, 0, 2], found[0, 0, 3], 0, 0]
    with pytest.raises(InvalidParameter, match="layer 'depth' has the input channels 0 to 0, not 1"):
        kernels(model, layer="depth", input_channel="1")


def test_separable_shows_its_depthwise_kernel() -> None:
    pointwise = np.ones((1, 1, 3, 5), np.float32)
    layer = layers.SeparableConv2D(5, (2, 3), use_bias=False, name="separable")
    found = kernels(model_of((layer, [KERNEL[..., :1], pointwise])), layer="separable")
    assert np.array_equal(found, KERNEL[..., 0])


def test_transposed_convolution_has_its_filters_last() -> None:
    layer = layers.Conv2DTranspose(4, (2, 3), use_bias=False, name="up")
    found = kernels(model_of((layer, [TRANSPOSED])), layer="up", input_channel="1")
    assert np.array_equal(found, KERNEL[:, :, 1])


@pytest.mark.parametrize(
    ("params", "error", "reason"),
    [
        ({"layer": "conv", "filters": "1,4"}, InvalidParameter, "layer 'conv' has the filters 0 to 3, not 4"),
        ({"layer": "conv", "input_channel": "3"}, InvalidParameter, "has the input channels 0 to 2, not 3"),
        ({"layer": "cnv"}, UnknownLayer, "there is no layer 'cnv'; the closest is 'conv'"),
    ],
)
def test_what_there_is_not(model: LoadedModel, params: dict[str, Any], error: type[Exception], reason: str) -> None:
    with pytest.raises(error, match=reason):
        kernels(model, **params)


def test_rgb_needs_three_inputs() -> None:
    layer = layers.Conv2D(1, 2, use_bias=False, name="conv")
    model = model_of((layer, [np.ones((2, 2, 1, 1), np.float32)]), channels=1)
    with pytest.raises(InvalidParameter, match="input_channel=rgb needs a layer with 3 input channels; 'conv' has 1"):
        kernels(model, layer="conv", input_channel="rgb")


@pytest.mark.parametrize("layer", ["gap", "scores", "image"])
def test_layers_without_kernels(layer: str) -> None:
    with pytest.raises(MethodNotValid, match=f"layer '{layer}' has no kernels to draw: it is no convolution"):
        kernels(nets.loaded(nets.pencil()), layer=layer)


def test_the_kernels_of_the_model_are_not_handed_out() -> None:
    net = nets.pencil()
    found = kernels(nets.loaded(net), layer="conv")
    if found.flags.writeable:
        found += 100
    assert net.get_layer("conv").get_weights()[0].ravel().tolist() == [1, -1]


def test_efficientnet_first_layer(lite0: LoadedModel) -> None:
    found = nets.explain(lite0, "kernels", layer="stem_conv", input_channel="rgb").arrays["kernels"]
    assert found.shape == (3, 3, 3, 32)
    assert np.array_equal(found, np.asarray(lite0.keras_model.get_layer("stem_conv").kernel))
