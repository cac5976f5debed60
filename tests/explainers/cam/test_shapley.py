"""Shapley-CAM: on paper, against finite differences and tapes, and where there is no second derivative."""

from __future__ import annotations

from typing import Any

import keras
import nets
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from service.errors import MethodNotValid
from service.models.loaded import LoadedModel


def heatmap(model: LoadedModel, image: np.ndarray = nets.IMAGE, **params: Any) -> np.ndarray:
    return nets.explain(model, "cam", image, **params).arrays["heatmap"]


def squared() -> Any:
    """Score 0 is the mean of A_0 squared, score 1 that of A_1: G is A/3 and HA is A/3, so that w_k is mean(A_k)/6."""
    x = keras.Input((2, 3, 1), name="image")
    conv = layers.Conv2D(2, 1, activation="relu", use_bias=False, name="conv")
    y = layers.GlobalAveragePooling2D(name="gap")(keras.ops.square(conv(x)))
    conv.set_weights([np.array([[[[1, -1]]]], np.float32)])
    return keras.Model(x, layers.Softmax(name="probabilities")(y))


@pytest.mark.parametrize(("target", "expected"), [("0", 7 / 6 / 6 * nets.POSITIVE), ("1", 4 / 6 / 6 * nets.NEGATIVE)])
def test_on_paper(target: str, expected: np.ndarray) -> None:
    model = nets.loaded(squared())
    np.testing.assert_allclose(heatmap(model, method="shapleycam", layer="conv", target=target), expected, rtol=1e-5)
    np.testing.assert_allclose(heatmap(model, method="gradcam", layer="conv", target=target), 2 * expected, rtol=1e-5)


@pytest.mark.parametrize("layer", ["top_activation", "block5c_project_bn"])
def test_behind_which_all_is_piecewise_linear(lite0: LoadedModel, chelsea: np.ndarray, layer: str) -> None:
    found, plain = (
        heatmap(lite0, chelsea, method=method, layer=layer, target="285-101") for method in ("shapleycam", "gradcam")
    )
    assert plain.max() > 1e-3
    np.testing.assert_allclose(found, plain, rtol=1e-4, atol=1e-6 * plain.max())


def curved(activation: str) -> Any:
    """Two convolutions with a bend everywhere, normalised, pooled both ways."""
    keras.utils.set_random_seed(2)
    return keras.Sequential(
        [
            keras.Input((9, 8, 3), name="image"),
            layers.Conv2D(5, 3, activation=activation, name="first"),
            layers.DepthwiseConv2D(3, padding="same", activation=activation, name="second"),
            layers.BatchNormalization(name="normal"),
            layers.MaxPooling2D(2, name="pool"),
            layers.Conv2D(6, 2, activation=activation, name="third"),
            layers.GlobalAveragePooling2D(name="gap"),
            layers.Dense(4, activation="softmax", name="scores"),
        ]
    )


@pytest.mark.parametrize("activation", ["swish", "tanh", "gelu", "elu"])
def test_against_tapes(activation: str) -> None:
    """Two tapes over the layers of the Keras model itself, in float64."""
    net = curved(activation)
    image = np.random.default_rng(3).normal(size=(1, 9, 8, 3)).astype(np.float32)
    double = nets.in_float64(net)
    maps = tf.Variable(double.layers[0](image.astype(np.float64)))
    with tf.GradientTape() as outer:
        with tf.GradientTape() as inner:
            value = tf.convert_to_tensor(maps)
            for layer in double.layers[1:-1]:
                value = layer(value, training=False) if layer.name == "normal" else layer(value)
            last = double.layers[-1]
            score = tf.tensordot(value, last.kernel.value, 1)[0, 2] + last.bias[2]
        gradient = inner.gradient(score, maps)
        slope = tf.reduce_sum(gradient * tf.constant(maps.numpy()))
    weights = (gradient - outer.gradient(slope, maps) / 2).numpy()[0].mean(axis=(0, 1))
    expected = np.maximum(maps.numpy()[0] @ weights, 0)
    assert np.abs(expected - np.maximum(maps.numpy()[0] @ gradient.numpy()[0].mean((0, 1)), 0)).max() > 1e-4
    found = heatmap(nets.loaded(net), image, method="shapleycam", layer="first", target="2")
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * expected.max())


def test_each_image_of_a_batch_has_its_own() -> None:
    """The product of the Hessian of one image does not depend on those beside it."""
    model = nets.loaded(nets.random_net())
    graph, tensor = model.graph, model.graph.entry("first").output
    images = np.random.default_rng(0).normal(size=(3, 7, 5, 2)).astype(np.float32)

    def products(batch: Any) -> Any:
        feeds = {graph.inputs[0]: batch}
        return model.backend.hessian_products(graph, feeds, tensor, [model.head.logits], lambda y: [y[:, 1]])[2][0]

    plan = model.backend.compiled("products", products, [((None, 7, 5, 2), "float32")])
    together = plan(images)[0]
    assert np.abs(together).max() > 0.01
    for place in range(3):
        np.testing.assert_allclose(together[place], plan(images[place : place + 1])[0][0], rtol=1e-5, atol=1e-6)


def test_an_operation_without_a_second_derivative() -> None:
    """The check says so, before anything is computed."""
    x = keras.Input((4, 4, 1), name="image")
    y = layers.Conv2D(2, 1, name="conv")(x)
    y = layers.GlobalAveragePooling2D(name="gap")(layers.Activation("softsign", name="bent")(y))
    model = nets.loaded(keras.Model(x, layers.Dense(3, activation="softmax", name="scores")(y)))
    with pytest.raises(MethodNotValid, match=r"Softsign between 'conv' and the score has no second derivative"):
        heatmap(model, np.ones((1, 4, 4, 1), np.float32), method="shapleycam", layer="conv")
    heatmap(model, np.ones((1, 4, 4, 1), np.float32), method="shapleycam", layer="bent")
