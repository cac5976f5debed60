"""The full gradient: on paper, and complete on real networks of ReLUs; of others the answer says what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import nets
import numpy as np
import pytest
from keras import layers

from service.models.files.entries import spec_of_file
from service.models.loaded import LoadedModel, load_model


def biased() -> Any:
    """A_0 = ReLU(x + 1), A_1 = ReLU(-x); BatchNormalization of 2·A + (1, -1); scores mean(B_0) + 4 and mean(B_1)."""
    image = keras.Input((2, 3, 1), name="image")
    conv, norm = layers.Conv2D(2, 1, name="conv"), layers.BatchNormalization(epsilon=0.0, name="norm")
    scores = layers.Dense(2, name="scores")
    out = scores(layers.GlobalAveragePooling2D(name="gap")(norm(layers.ReLU(name="relu")(conv(image)))))
    conv.set_weights([np.array([[[[1, -1]]]], np.float32), np.array([1, 0], np.float32)])
    # gamma 4, beta (3, 1), mean 1, variance 4: scale 2, offset beta - 2.
    norm.set_weights([np.array(each, np.float32) for each in ([4, 4], [3, 1], [1, 1], [4, 4])])
    scores.set_weights([np.eye(2, dtype=np.float32), np.array([4, 0], np.float32)])
    return keras.Model(image, out)


def explained(model: LoadedModel, image: np.ndarray = nets.IMAGE, /, **params: Any) -> Any:
    return nets.explain(model, "saliency", image, method="fullgrad", **params)


@pytest.mark.parametrize("generation", [2, 3])
def test_the_biases_of_a_graph(generation: int) -> None:
    """Wherever a constant is added, with or without the normalisation folded away."""
    model = nets.loaded(nets.in_keras_2(biased()) if generation == 2 else biased())
    found = {tensor.path: bias.tolist() for tensor, bias in model.graph.biases(model.head.logits)}
    assert found == {"conv": [1, 0], "norm": [1, -1], "scores": [4, 0]}


def test_arithmetic_of_the_network_is_a_bias() -> None:
    image = keras.Input((2, 3, 1), name="image")
    shifted = layers.Rescaling(2.0, offset=-3.0, name="rescaling")(image)
    model = nets.loaded(keras.Model(image, layers.Dense(2, use_bias=False)(layers.Flatten()(shifted))))
    assert [bias.tolist() for _, bias in model.graph.biases(model.head.logits)] == [[-3.0]]
    assert abs(explained(model, target="0").parameters["completeness_delta"]) < 1e-5


def test_on_paper() -> None:
    """∂y_0/∂x = 2/6 where x > -1; ∂y_0/∂conv the same, ∂y_0/∂norm = 1/6 everywhere, so that its share rescales to 0.

    x·∂y/∂x is [[1, 2, 0], [0, 0, 4]]/3; b·∂y/∂conv is [[1, 1, 0], [1, 0, 1]]/3 in channel 0 and 0 in channel 1;
    b·∂y/∂norm is 1/6 in channel 0 and 0 in channel 1. At x = -1 a ReLU passes nothing.
    """
    found = explained(nets.loaded(biased()), target="0")
    expected = np.array([[1, 2, 0], [0, 0, 4]]) / 4 + [[1, 1, 0], [1, 0, 1]] + np.ones((2, 3))
    np.testing.assert_allclose(found.arrays["heatmap"], expected, rtol=1e-6)
    # y_0 = 2·mean(ReLU(x + 1)) + 1 + 4 = 2·11/6 + 5.
    assert found.targets.values(found.scores)[0] == pytest.approx(11 / 3 + 5)
    assert abs(found.parameters["completeness_delta"]) < 1e-5
    assert found.parameters["biased_layers"] == 2
    assert found.warnings == ()


def test_several_targets_and_contrasts_are_complete() -> None:
    found = explained(nets.loaded(biased()), target="0,1,0-1")
    assert np.abs(found.parameters["completeness_delta"]).max() < 1e-5
    assert [found.arrays[name].shape for name in found.maps] == [(2, 3)] * 3
    alone = explained(nets.loaded(biased()), target="0-1").arrays["heatmap"]
    np.testing.assert_allclose(found.arrays["heatmap:0-1"], alone, rtol=1e-6)


FILES = [
    "mlperf_tiny__pretrainedResnet_cifar10.h5",
    "tensorspace__keras_mnist.h5",
    "cnn_explainer_tinyvgg.keras",
    "fer__emotion_model.hdf5",
]


@pytest.mark.parametrize("file", FILES)
def test_real_networks_of_relus_are_complete(data: Path, tmp_path: Path, file: str) -> None:
    model = load_model(spec_of_file(data / "models" / file), tmp_path)
    image = np.random.default_rng(0).uniform(size=model.input_shape.batch).astype(np.float32)
    found = explained(model, image, target="0,1")
    missed = np.array(found.parameters["completeness_delta"]) / found.targets.values(found.scores)
    assert np.abs(missed).max() < 1e-5
    assert not found.warnings
    assert min(found.arrays[name].min() for name in found.maps) >= 0


@pytest.mark.parametrize(
    ("activation", "scale", "told"), [("relu6", 1, False), ("relu6", 2, True), ("swish", 0.5, True)]
)
def test_what_is_no_relu_is_told(activation: str, scale: float, told: bool) -> None:
    """A ReLU6 counts only at its ceiling, as for 8: of the score of 2 + 4 + 6 there are 6 missing."""
    found = explained(nets.loaded(nets.with_activation(activation)), np.float32(scale) * nets.IMAGE, target="0")
    assert [warning.code for warning in found.warnings] == ["completeness_delta"] * told
    if told:
        assert f"{found.parameters['completeness_delta']:+.3g} more than the score" in found.warnings[0].detail
    if activation == "relu6":
        assert found.parameters["completeness_delta"] == pytest.approx(-6 * told, abs=1e-5)


def test_a_network_without_biases_shows_its_input_alone() -> None:
    found = explained(nets.loaded(nets.conv_head()), target="0")
    assert found.parameters["biased_layers"] == 0
    np.testing.assert_allclose(found.arrays["heatmap"], nets.POSITIVE / 4, rtol=1e-6)
