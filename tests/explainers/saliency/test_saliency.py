"""Gradient maps, worked out on paper on the networks of `nets.py`, and against formulas recomputed in NumPy."""

from __future__ import annotations

from typing import Any

import keras
import nets
import numpy as np
import pytest
from keras import layers
from pydantic import ValidationError

from service.errors import MethodNotValid
from service.explainers.covers import blurred
from service.explainers.heatmaps import reduce_colours
from service.models.loaded import LoadedModel

UP = (nets.IMAGE[0, ..., 0] > 0).astype(np.float32)
DOWN = (nets.IMAGE[0, ..., 0] < 0).astype(np.float32)
X = nets.IMAGE[0, ..., 0]


@pytest.fixture(scope="module")
def pencil() -> LoadedModel:
    return nets.loaded(nets.pencil())


def signed(model: LoadedModel, image: np.ndarray = nets.IMAGE, /, **params: Any) -> np.ndarray:
    return nets.explain(model, "saliency", image, sign="signed", **params).arrays["heatmap"]


# ∂y_c/∂x is W_0c/6 where x > 0 and -W_1c/6 where x < 0.
@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        ("gradient", "0", UP),
        ("gradient", "1", -2 * DOWN),
        ("gradient", "2", -UP - DOWN),
        ("gradient", "1-0", -2 * DOWN - UP),
        ("gradient_x_input", "0", X * UP),
        ("gradient_x_input", "1", -2 * X * DOWN),
        ("guided_backprop", "0", UP),
        ("guided_backprop", "2", -DOWN),
        ("guided_backprop", "3", np.zeros((2, 3))),
        ("deconvnet", "0", np.ones((2, 3))),
        ("deconvnet", "2", -np.ones((2, 3))),
        ("deconvnet", "3", np.zeros((2, 3))),
        ("integrated_gradients", "0", X * UP),
        ("integrated_gradients", "2", -X * (UP + DOWN)),
        # Guided 1 where x > 0, times the Grad-CAM map relu(x).
        ("guided_gradcam", "0", UP * nets.POSITIVE),
    ],
)
def test_pencil(pencil: LoadedModel, method: str, target: str, expected: np.ndarray) -> None:
    np.testing.assert_allclose(signed(pencil, method=method, target=target), expected, rtol=1e-5, atol=1e-7)


def test_absolute_is_the_default_and_positive_drops_the_rest(pencil: LoadedModel) -> None:
    np.testing.assert_allclose(nets.explain(pencil, "saliency", target="1").arrays["heatmap"], 2 * DOWN)
    positive = nets.explain(pencil, "saliency", target="1", sign="positive")
    assert not positive.arrays["heatmap"].any()
    assert [warning.code for warning in positive.warnings] == ["all_zero_map"]


def test_colours_become_one_map() -> None:
    values = np.array([[[3.0, -4.0], [1.0, 2.0]]], np.float32)
    expected = {
        ("max", "absolute"): [[4, 2]],
        ("max", "positive"): [[3, 2]],
        ("max", "signed"): [[-4, 2]],
        ("mean", "absolute"): [[3.5, 1.5]],
        ("mean", "positive"): [[1.5, 1.5]],
        ("mean", "signed"): [[-0.5, 1.5]],
        ("l2", "absolute"): [[5, np.sqrt(5)]],
        ("l2", "positive"): [[3, np.sqrt(5)]],
    }
    for (how, sign), result in expected.items():
        np.testing.assert_allclose(reduce_colours(values, how, sign), result, rtol=1e-6)


def test_l2_has_no_sign(pencil: LoadedModel) -> None:
    with pytest.raises(ValidationError, match="l2 has no sign"):
        signed(pencil, reduce="l2")


@pytest.mark.parametrize("method", ["smoothgrad", "squaregrad", "vargrad"])
def test_noisy_variants_against_numpy(pencil: LoadedModel, method: str) -> None:
    deviation = 0.4 * 7
    gradients = []
    for sample in range(9):
        noisy = X + deviation * np.random.default_rng([11, sample]).standard_normal((2, 3, 1))[..., 0]
        gradients.append(np.where(noisy > 0, -1.0, np.where(noisy < 0, -1.0, 0)) + np.where(noisy > 0, 2.0, 0))
    # Target 0 minus target 2: (6 + 6)/6 where x > 0, -(0 - 6)/6 where x < 0.
    gradients = [np.where(gradient > 0, 2.0, 1.0) for gradient in gradients]
    expected = {
        "smoothgrad": np.mean(gradients, axis=0),
        "squaregrad": np.mean(np.square(gradients), axis=0),
        "vargrad": np.var(gradients, axis=0),
    }[method]
    found = signed(pencil, method=method, target="0-2", samples=9, noise=0.4, seed=11)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_smoothgrad_follows_its_seed(pencil: LoadedModel) -> None:
    first, again, other = (signed(pencil, method="smoothgrad", target="0", noise=1, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.01


def test_integrated_gradients_are_exact_on_a_linear_network() -> None:
    model = nets.loaded(nets.without_maps())
    found = nets.explain(model, "saliency", method="integrated_gradients", target="3", sign="signed", steps=2)
    np.testing.assert_allclose(found.arrays["heatmap"], [[0, 0, 0], [0, 0, 0]], atol=1e-7)
    found = nets.explain(model, "saliency", method="integrated_gradients", target="4", sign="signed", steps=2)
    np.testing.assert_allclose(found.arrays["heatmap"], [[0, 0, 0], [0, -3, 0]], atol=1e-6)
    assert abs(found.parameters["convergence_delta"]) < 1e-6


@pytest.mark.parametrize("baseline", ["zero", "black", "mean", "blur"])
def test_integrated_gradients_are_complete_on_a_smooth_network(baseline: str) -> None:
    model = nets.loaded(nets.smooth_net())
    image = np.random.default_rng(0).normal(size=(1, 7, 5, 3)).astype(np.float32)
    found = nets.explain(model, "saliency", image, method="integrated_gradients", baseline=baseline, target="2")
    assert abs(found.parameters["convergence_delta"]) < 1e-3
    assert [warning.code for warning in found.warnings] == []


def test_too_few_steps_are_told() -> None:
    keras.utils.set_random_seed(2)
    net = keras.Sequential(
        [keras.Input((2, 2, 1)), layers.Flatten(), layers.Dense(8, activation="tanh"), layers.Dense(2)]
    )
    model = nets.loaded(net)
    image = np.full((1, 2, 2, 1), 30, np.float32)
    found = nets.explain(model, "saliency", image, method="integrated_gradients", steps=2, target="0")
    assert "convergence_delta" in [warning.code for warning in found.warnings]


@pytest.mark.parametrize("method", ["guided_backprop", "deconvnet", "guided_gradcam"])
@pytest.mark.parametrize("activation", ["swish", "gelu", "tanh", keras.layers.LeakyReLU(negative_slope=0.2)])
def test_guided_variants_need_a_relu(method: str, activation: Any) -> None:
    model = nets.loaded(nets.with_activation(activation))
    with pytest.raises(MethodNotValid, match="this network has none"):
        signed(model, method=method)


@pytest.mark.parametrize(
    "activation",
    ["relu", "relu6", keras.layers.ReLU(), keras.layers.ReLU(6.0), keras.layers.LeakyReLU(negative_slope=0.0)],
)
def test_every_kind_of_relu_is_guided(activation: Any) -> None:
    model = nets.loaded(nets.with_activation(activation))
    np.testing.assert_allclose(signed(model, method="guided_backprop", target="2"), -DOWN, atol=1e-7)
    np.testing.assert_allclose(signed(model, method="gradient", target="2"), -UP - DOWN, atol=1e-7)


def test_relu_inside_a_nested_model_is_guided() -> None:
    x = keras.Input((2, 3, 1))
    model = nets.loaded(keras.Sequential([keras.Input((2, 3, 1)), keras.Model(x, nets.pencil("bare")(x))]))
    np.testing.assert_allclose(signed(model, method="guided_backprop", target="2"), -DOWN, atol=1e-7)


def test_guided_variants_say_that_they_fail_the_randomisation_check(pencil: LoadedModel) -> None:
    found = nets.explain(pencil, "saliency", method="guided_backprop", target="0")
    assert [warning.code for warning in found.warnings] == ["fails_randomisation_check"]
    assert "1810.03292" in found.warnings[0].detail


@pytest.mark.parametrize("layer", ["gap", "scores"])
def test_guided_gradcam_needs_a_layer_with_a_map(pencil: LoadedModel, layer: str) -> None:
    with pytest.raises(MethodNotValid, match=f"layer '{layer}' cannot be used for guided_gradcam"):
        signed(pencil, method="guided_gradcam", layer=layer)


def test_blur_keeps_constants_and_spreads_a_point() -> None:
    np.testing.assert_allclose(blurred(np.full((1, 5, 4, 2), 3, np.float32), 1.5), 3, rtol=1e-6)
    point = np.zeros((1, 9, 9, 1), np.float32)
    point[0, 4, 4] = 1
    spread = blurred(point, 1.0)[0, ..., 0]
    assert spread.sum() == pytest.approx(1, rel=1e-3)
    assert spread[4, 5] / spread[4, 4] == pytest.approx(np.exp(-0.5), rel=1e-4)


METHODS = [
    "gradient",
    "gradient_x_input",
    "guided_backprop",
    "deconvnet",
    "smoothgrad",
    "squaregrad",
    "vargrad",
    "integrated_gradients",
    "guided_ig",
    "blur_ig",
    "gradient_shap",
    "fullgrad",
    "guided_gradcam",
]


@pytest.mark.parametrize("method", METHODS)
def test_several_targets_in_one_call_are_those_of_single_calls(pencil: LoadedModel, method: str) -> None:
    together = nets.explain(pencil, "saliency", method=method, target="0,2", sign="signed")
    for name, target in zip(together.maps, ("0", "2"), strict=True):
        np.testing.assert_allclose(
            together.arrays[name], signed(pencil, method=method, target=target), rtol=1e-6, atol=1e-7
        )
    assert list(together.arrays) == ["heatmap:0", "heatmap:2", "gradient:0", "gradient:2"]
