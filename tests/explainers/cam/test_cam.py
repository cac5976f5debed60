"""Grad-CAM: on paper, against NumPy in float64, against a tape of its own, and on a photograph."""

from __future__ import annotations

from typing import Any

import keras
import nets
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from service.errors import MethodNotValid, UnknownLayer
from service.explainers.cam.gradients import gradcam
from service.explainers.cam.weighted import summed
from service.models.loaded import LoadedModel


@pytest.fixture(scope="module")
def pencil() -> LoadedModel:
    return nets.loaded(nets.pencil())


def heatmap(model: LoadedModel, image: np.ndarray = nets.IMAGE, **params: Any) -> np.ndarray:
    explanation = nets.explain(model, "cam", image, method="gradcam", **params)
    assert explanation.primary == "heatmap"
    found = explanation.arrays["heatmap"]
    assert found.dtype == np.float32
    return found


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        # a = W[:, c] / 6
        ("0", nets.POSITIVE),
        ("1", 2 * nets.NEGATIVE),
        ("top1", 2 * nets.NEGATIVE),
        # -A_0 + A_1 is [[-1, -2, 1], [0, 3, -4]]: the final ReLU leaves A_1.
        ("2", nets.NEGATIVE),
        ("0-1", nets.POSITIVE),
        ("1-0", 2 * nets.NEGATIVE),
        ("0-2", 2 * nets.POSITIVE),
        ("2-3", 2 * nets.NEGATIVE),
        ("1-3", nets.POSITIVE + 3 * nets.NEGATIVE),
    ],
)
def test_pencil(pencil: LoadedModel, target: str, expected: np.ndarray) -> None:
    np.testing.assert_allclose(heatmap(pencil, target=target), expected, rtol=1e-6)


@pytest.mark.parametrize(
    "form", ["softmax-layer", "activation-layer", "after-reshape", "before-reshape", "ops", "bare"]
)
def test_every_form_of_the_head_gives_the_same_map(form: str) -> None:
    model = nets.loaded(nets.pencil(form))
    np.testing.assert_allclose(heatmap(model, target="1"), 2 * nets.NEGATIVE, rtol=1e-6)


def test_gradients_are_averaged_over_the_cells() -> None:
    model = nets.loaded(nets.pencil_flat())
    # Mean gradients (3.5, -1) and (0, 6).
    np.testing.assert_allclose(heatmap(model, target="0"), 3.5 * nets.POSITIVE, rtol=1e-6)
    np.testing.assert_allclose(heatmap(model, target="1"), 6 * nets.NEGATIVE, rtol=1e-6)


def test_softmax_as_target_would_be_another_map(pencil: LoadedModel) -> None:
    """dp_2/dA_k = p_2·(W[k,2] - Σ_j p_j W[k,j]) / 6 has other signs than dy_2/dA_k."""
    probabilities = nets.softmax(nets.LOGITS)
    weights = probabilities[2] * (nets.WEIGHTS[:, 2] - nets.WEIGHTS @ probabilities) / 6
    of_softmax = np.maximum(weights[0] * nets.POSITIVE + weights[1] * nets.NEGATIVE, 0)
    of_logit = heatmap(pencil, target="2")
    assert weights[1] < 0
    assert not of_softmax.any()
    assert of_logit.max() == pytest.approx(3)


def test_sigmoid_unit_and_its_opposite() -> None:
    model = nets.loaded(nets.sigmoid_unit())
    np.testing.assert_allclose(heatmap(model, target="1"), 0.5 * nets.POSITIVE, rtol=1e-6)
    np.testing.assert_allclose(heatmap(model, target="0"), 0.5 * nets.NEGATIVE, rtol=1e-6)


def test_convolution_only_head() -> None:
    model = nets.loaded(nets.conv_head())
    # Class maps A_0, A_1 and A_0 + A_1; each logit is the mean of its own.
    np.testing.assert_allclose(heatmap(model, target="top1"), (nets.POSITIVE + nets.NEGATIVE) / 6, rtol=1e-6)
    np.testing.assert_allclose(heatmap(model, target="0", layer="conv"), nets.POSITIVE / 6, rtol=1e-6)


def test_nothing_speaks_for_the_class(pencil: LoadedModel) -> None:
    explanation = nets.explain(pencil, "cam", target="3", method="gradcam")
    assert explanation.arrays["heatmap"].tolist() == [[0, 0, 0], [0, 0, 0]]
    (warned,) = [item for item in explanation.warnings if item.code == "all_zero_map"]
    assert warned.detail == "heatmap is 0 everywhere: no position speaks for the target"
    assert not [item for item in nets.explain(pencil, "cam", target="0").warnings if item.code == "all_zero_map"]


def test_scores_and_layer_are_reported(pencil: LoadedModel) -> None:
    explanation = nets.explain(pencil, "cam", target="2", layer="1")
    np.testing.assert_allclose(explanation.scores, nets.LOGITS, rtol=1e-6)
    assert explanation.parameters["layer"] == "conv"


def test_the_map_is_never_normalised(pencil: LoadedModel) -> None:
    np.testing.assert_allclose(heatmap(pencil, 100 * nets.IMAGE, target="0"), 100 * nets.POSITIVE, rtol=1e-6)


def test_one_trace_for_all_targets_and_images() -> None:
    model = nets.loaded(nets.pencil())
    for target in ("top1", "0", "1", "0-1", "2"):
        heatmap(model, target=target)
    heatmap(model, 2 * nets.IMAGE)
    assert model.backend.traces == 1
    heatmap(model, layer="image")
    assert model.backend.traces == 2


def numpy_gradcam(model: Any, image: np.ndarray, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Grad-CAM of the layer `first` of `nets.random_net` and its activations: float64, loops, no tensor library."""
    kernel, bias, kernel2, bias2, dense, dense_bias = (weight.astype(np.float64) for weight in model.get_weights())
    x = np.pad(image[0].astype(np.float64), ((1, 1), (1, 1), (0, 0)))
    first = np.zeros((4, 3, 4))
    for row in range(4):
        for column in range(3):
            window = x[2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
            first[row, column] = np.einsum("hwc,hwck", window, kernel) + bias
    first = np.maximum(first, 0)
    second = np.zeros((3, 2, 3))
    for row in range(3):
        for column in range(2):
            second[row, column] = np.tanh(
                np.einsum("hwc,hwck", first[row : row + 2, column : column + 2], kernel2) + bias2
            )
    logits = second.ravel() @ dense + dense_bias
    assert np.allclose(np.asarray(model(image))[0], nets.softmax(logits), atol=1e-6)
    upstream = dense[:, index].reshape(3, 2, 3) * (1 - second**2)
    gradient = np.zeros_like(first)
    for row in range(3):
        for column in range(2):
            gradient[row : row + 2, column : column + 2] += np.einsum("k,hwck->hwc", upstream[row, column], kernel2)
    weights = gradient.mean(axis=(0, 1))
    return np.maximum((first * weights).sum(axis=-1), 0), first


@pytest.mark.parametrize("index", range(4))
def test_against_numpy(index: int) -> None:
    net = nets.random_net()
    model = nets.loaded(net)
    image = np.random.default_rng(index).normal(size=(1, 7, 5, 2)).astype(np.float32)
    expected, activations = numpy_gradcam(net, image, index)
    np.testing.assert_allclose(heatmap(model, image, layer="first", target=str(index)), expected, atol=1e-5)
    found = nets.explain(model, "activations", image, layers="first").arrays["first"]
    np.testing.assert_allclose(found, activations, atol=1e-5)


def tape_gradcam(model: Any, layer: str, image: np.ndarray, index: int) -> np.ndarray:
    """Grad-CAM from a Keras model whose last layer is a Dense with a softmax, the textbook's way."""
    last = model.layers[-1]
    twin = keras.Model(model.inputs[0], [model.get_layer(layer).output, last.input])
    with tf.GradientTape() as tape:
        maps, features = twin(image, training=False)
        logit = tf.tensordot(features, last.kernel.value, 1)[:, index] + last.bias[index]
    weights = tf.reduce_mean(tape.gradient(logit, maps), axis=(1, 2))
    return np.maximum(np.einsum("hwk,k->hw", maps[0], weights[0]), 0)


@pytest.mark.parametrize("layer", ["first", "second"])
def test_against_a_tape(layer: str) -> None:
    net = nets.random_net(seed=5)
    model = nets.loaded(net)
    image = np.random.default_rng(0).normal(size=(1, 7, 5, 2)).astype(np.float32)
    for index in range(4):
        expected = tape_gradcam(net, layer, image, index)
        np.testing.assert_allclose(heatmap(model, image, layer=layer, target=str(index)), expected, atol=1e-5)


@pytest.mark.parametrize(("target", "index"), [("top1", 285), ("386", 386), ("tabby", 281)])
def test_against_a_tape_on_a_photograph(lite0: LoadedModel, chelsea: np.ndarray, target: str, index: int) -> None:
    found = heatmap(lite0, chelsea, target=target)
    expected = tape_gradcam(lite0.keras_model, "top_activation", chelsea, index)
    assert found.shape == (7, 7)
    assert found.max() > 0.01
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_chelsea_s_face_is_what_makes_her_a_cat(lite0: LoadedModel, chelsea: np.ndarray) -> None:
    """Eyes and nose lie in rows 2 to 4 of 7; the rim of the photograph is fur and background."""
    found = heatmap(lite0, chelsea)
    row, column = np.unravel_index(found.argmax(), found.shape)
    assert 1 <= row <= 5
    assert 1 <= column <= 5
    share = found[1:6, 1:6].sum() / found.sum()
    assert share > 25 / 49


def test_arithmetic() -> None:
    activations = np.array([[[1, 2], [3, 4]]], np.float32)
    gradients = np.array([[[2, -4], [4, 0]]], np.float32)
    # Weights (3, -2): the sums are 3 - 4 = -1 and 9 - 8 = 1.
    assert gradcam.formula(activations, gradients).tolist() == [[[3, -4], [9, -8]]]
    assert summed(gradcam.formula(activations, gradients), "none").tolist() == [[0, 1]]


@pytest.mark.parametrize("layer", ["gap", "scores", "2"])
def test_layers_without_a_map(pencil: LoadedModel, layer: str) -> None:
    with pytest.raises(MethodNotValid) as caught:
        heatmap(pencil, layer=layer)
    assert "cannot be used for gradcam: its output has the shape" in caught.value.detail
    assert caught.value.detail.endswith("; valid layers are image, conv")


def test_a_layer_the_score_does_not_depend_on() -> None:
    x = keras.Input((2, 3, 1), name="image")
    used, other = layers.Conv2D(2, 1, name="used")(x), layers.Conv2D(2, 1, name="other")(x)
    scores = layers.Dense(3, name="scores")(layers.GlobalAveragePooling2D()(used))
    model = nets.loaded(keras.Model(x, [scores, other]))
    with pytest.raises(MethodNotValid, match="the score does not depend on layer 'other'"):
        heatmap(model, layer="other")
    with pytest.raises(UnknownLayer, match="there is no layer 'othr'; the closest is 'other'"):
        heatmap(model, layer="othr")


def test_callers_arrays_are_left_alone(pencil: LoadedModel) -> None:
    image = nets.IMAGE.copy()
    heatmap(pencil, image)
    assert np.array_equal(image, nets.IMAGE)
