"""Networks of every shape that methods must take: what is computed is the plain definition, recomputed with a tape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import nets
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from service.errors import MethodNotValid
from service.explainers.layers import default_layer
from service.models.loaded import LoadedModel


def separable() -> Any:
    return [layers.SeparableConv2D(4, 3, activation="relu", name="last"), layers.GlobalAveragePooling2D()]


def depthwise() -> Any:
    return [layers.DepthwiseConv2D(3, depth_multiplier=2, activation="relu6", name="last"), layers.Flatten()]


def normalised() -> Any:
    return [
        layers.Rescaling(1 / 4),
        layers.Normalization(mean=0.1, variance=0.5),
        layers.RandomFlip(),
        layers.Conv2D(4, 3, name="last"),
        layers.BatchNormalization(),
        layers.LeakyReLU(negative_slope=0.3),
        layers.Flatten(),
    ]


def residual() -> Any:
    x = keras.Input((6, 8, 3))
    y = layers.Conv2D(3, 3, padding="same", activation="relu", name="last")(x)
    return [keras.Model(x, layers.Add()([x, y]), name="block"), layers.GlobalAveragePooling2D()]


BODIES: dict[str, Callable[[], Any]] = {
    "separable": separable,
    "depthwise": depthwise,
    "normalised": normalised,
    "residual": residual,
}


def network(body: Callable[[], Any], channels: int = 3, activation: str = "softmax") -> Any:
    keras.utils.set_random_seed(4)
    head = layers.Dense(3, activation=activation, name="scores")
    return keras.Sequential([keras.Input((6, 8, channels), name="image"), *body(), head])


def image(channels: int = 3) -> np.ndarray:
    return np.random.default_rng(2).normal(size=(1, 6, 8, channels)).astype(np.float32)


def tape_gradients(net: Any, batch: np.ndarray, index: int) -> np.ndarray:
    """∂logit/∂x by a tape over the Keras model itself, its last activation taken off a copy."""
    bare = keras.models.clone_model(net)
    bare.set_weights(net.get_weights())
    bare.layers[-1].activation = keras.activations.linear
    x = tf.constant(batch)
    with tf.GradientTape() as tape:
        tape.watch(x)
        score = bare(x, training=False)[:, index]
    return tape.gradient(score, x).numpy()[0]


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("activation", ["softmax", "linear"])
def test_gradient(body: str, activation: str) -> None:
    net = network(BODIES[body], activation=activation)
    found = nets.explain(nets.loaded(net), "saliency", image(), target="1").arrays["gradient"]
    expected = tape_gradients(net, image(), 1)
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("body", ["separable", "depthwise", "residual"])
@pytest.mark.parametrize("method", ["gradcam", "scorecam", "ablationcam"])
def test_cam_at_every_kind_of_convolution(body: str, method: str) -> None:
    model = nets.loaded(network(BODIES[body]))
    layer = "block/last" if body == "residual" else "last"
    found = nets.explain(model, "cam", image(), layer=layer, method=method, target="top2")
    for name in found.maps:
        assert found.arrays[name].shape == ((6, 8) if body == "residual" else (4, 6))
    assert max(values.max() for values in found.arrays.values()) > 0


def test_gradcam_at_a_separable_convolution_is_the_pooled_weights() -> None:
    """Behind global average pooling, a_k is the class weight over the number of cells."""
    net = network(separable)
    model = nets.loaded(net)
    activations = nets.run(model, image(), "last")[0][0]
    weights = net.layers[-1].get_weights()[0][:, 2]
    expected = np.maximum(activations @ weights, 0) / 24
    found = nets.explain(model, "cam", image(), layer="last", target="2").arrays["heatmap"]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_channels(channels: int) -> None:
    net = network(depthwise, channels)
    model = nets.loaded(net)
    found = nets.explain(model, "saliency", image(channels), target="0").arrays
    np.testing.assert_allclose(found["gradient"], tape_gradients(net, image(channels), 0), rtol=1e-4, atol=1e-6)
    for value in ("mean", "zero", "gray", "blur", "0.5", "255,0,0"):
        occluded = nets.explain(model, "occlusion", image(channels), value=value, patch="3").arrays["heatmap"]
        assert np.isfinite(occluded).all()


def test_half_precision() -> None:
    keras.config.set_dtype_policy("mixed_float16")
    try:
        half = network(separable)
    finally:
        keras.config.set_dtype_policy("float32")
    whole = network(separable)
    whole.set_weights(half.get_weights())
    for name, params in (("cam", {"layer": "last"}), ("saliency", {}), ("occlusion", {"patch": "3"})):
        found, expected = (
            nets.explain(nets.loaded(net), name, image(), target="1", **params).arrays["heatmap"]
            for net in (half, whole)
        )
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=0.02 * np.abs(expected).max() + 1e-4)


def single_cell() -> LoadedModel:
    return nets.loaded(
        keras.Sequential(
            [
                keras.Input((6, 8, 3), name="image"),
                layers.Conv2D(4, 3, activation="relu", name="wide"),
                layers.Conv2D(5, (4, 6), activation="relu", name="single"),
                layers.Flatten(name="flatten"),
                layers.Dense(3, activation="softmax", name="scores"),
            ]
        )
    )


def test_a_last_map_of_one_cell_is_passed_over_and_explained() -> None:
    model = single_cell()
    assert default_layer(model.graph).path == "wide"
    for layer in ("single", "flatten", "scores"):
        with pytest.raises(MethodNotValid, match="several cells; valid layers are image, wide"):
            nets.explain(model, "cam", image(), layer=layer)


def test_outputs_by_name_and_index() -> None:
    model = nets.loaded(nets.two_outputs())
    assert nets.explain(model, "predict").arrays["logits"].tolist() == pytest.approx([7, 9, -3, -11])
    for output in ("indoors", "1"):
        found = nets.explain(model, "cam", method="cam", target="0", output=output)
        np.testing.assert_allclose(found.arrays["heatmap"], 3 * (nets.NEGATIVE - nets.POSITIVE), rtol=1e-6)
        assert found.scores is not None
        assert found.scores.tolist() == pytest.approx([-0.5, 0.5])


def test_constant_map_is_told() -> None:
    model = nets.loaded(nets.pencil())
    found = nets.explain(model, "cam", np.full((1, 2, 3, 1), 2, np.float32), target="0")
    np.testing.assert_allclose(found.arrays["heatmap"], 2)
    assert [warning.code for warning in found.warnings] == ["constant_map", "map_smaller_than_3x3"]


def test_saturated_probability_is_told() -> None:
    model = nets.loaded(nets.pencil())
    found = nets.explain(model, "occlusion", nets.IMAGE * 9, patch="1")
    assert "saturated_probability" in [warning.code for warning in found.warnings]
