"""The other class activation maps, worked out on paper on the networks of `nets.py`."""

from __future__ import annotations

from typing import Any

import nets
import numpy as np
import pytest

from service.contract.questions import Compute
from service.engine.child.operations import Operations
from service.errors import InvalidParameter, MethodNotValid, NonFiniteResult
from service.explainers.base import Progress
from service.explainers.cam import gradients as by
from service.explainers.cam.eigen import first_component
from service.explainers.cam.variants import VARIANTS
from service.explainers.cam.weighted import summed
from service.explainers.variants import names_of
from service.models.loaded import LoadedModel

A = np.stack([nets.POSITIVE, nets.NEGATIVE], axis=-1)
GRADIENTS = nets.FLAT.transpose(3, 0, 1, 2)


@pytest.fixture(scope="module")
def flat() -> LoadedModel:
    return nets.loaded(nets.pencil_flat())


@pytest.fixture(scope="module")
def pencil() -> LoadedModel:
    return nets.loaded(nets.pencil())


def heatmap(model: LoadedModel, **params: Any) -> np.ndarray:
    return nets.explain(model, "cam", **params).arrays["heatmap"]


def summed_of(variant: by.FromGradients, activations: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    return summed(variant.formula(activations, gradients), "none")


# alpha = 1 / (2 + 7 G) for G = 1 … 6, and w = Σ alpha·G; the second channel has no positive gradient.
PLUS_PLUS = 1 / 9 + 2 / 16 + 3 / 23 + 4 / 30 + 5 / 37 + 6 / 44


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        ("gradcam", "0", [[3.5, 7, 0], [0, 0, 14]]),
        ("gradcam", "1", [[0, 0, 6], [0, 18, 0]]),
        ("gradcam++", "0", PLUS_PLUS * nets.POSITIVE),
        ("hirescam", "0", [[1, 4, 0], [0, 0, 24]]),
        ("hirescam", "1", [[0, 0, 6], [0, 18, 0]]),
        ("layercam", "0", [[1, 4, 0], [0, 0, 24]]),
        ("xgradcam", "0", 29 / 7 * nets.POSITIVE),
        ("xgradcam", "1", [[0, 0, 6], [0, 18, 0]]),
    ],
)
def test_from_gradients(flat: LoadedModel, method: str, target: str, expected: Any) -> None:
    np.testing.assert_allclose(heatmap(flat, method=method, target=target), expected, rtol=1e-6)


def test_the_last_relu_is_applied_to_the_sum_and_in_layercam_to_the_gradients() -> None:
    activations = np.array([[[1, 2], [3, 0]]], np.float32)
    gradients = np.array([[[2, -1], [-1, 4]]], np.float32)
    np.testing.assert_array_equal(summed_of(by.hirescam, activations, gradients), [[0, 0]])
    np.testing.assert_array_equal(summed_of(by.layercam, activations, gradients), [[2, 0]])
    np.testing.assert_allclose(summed_of(by.gradcam, activations, gradients), [[3.5, 1.5]])
    # Σ G·A = (-1, -2), Σ A = (4, 2): weights -1/4 and -1.
    np.testing.assert_allclose(summed_of(by.xgradcam, activations, gradients), [[0, 0]])
    # S = (4, 2); alpha = 1/(2+8), -, 1/(2+8) for the positive gradients 2 and 4.
    np.testing.assert_allclose(summed_of(by.gradcam_plus_plus, activations, gradients), [[0.2 + 0.8, 0.6]], rtol=1e-6)


def test_gradcam_plus_plus_survives_what_makes_its_fraction_infinite() -> None:
    activations = np.array([[[-1.0]]], np.float32)
    assert summed_of(by.gradcam_plus_plus, activations, np.array([[[2.0]]], np.float32)) == 0
    assert summed_of(by.gradcam_plus_plus, activations, np.array([[[0.0]]], np.float32)) == 0


@pytest.mark.parametrize(("target", "weights"), [("0", (6, 0)), ("1", (0, 12)), ("3", (-6, -6)), ("1-0", (-6, 12))])
def test_cam_is_the_dense_weights_and_gradcam_its_positive_part(
    pencil: LoadedModel, target: str, weights: tuple[int, int]
) -> None:
    expected = weights[0] * nets.POSITIVE + weights[1] * nets.NEGATIVE
    np.testing.assert_allclose(heatmap(pencil, method="cam", target=target), expected, rtol=1e-6)
    np.testing.assert_allclose(heatmap(pencil, target=target), np.maximum(expected, 0) / 6, rtol=1e-6)


def test_cam_of_a_single_sigmoid_unit_has_two_sides() -> None:
    model = nets.loaded(nets.sigmoid_unit())
    np.testing.assert_allclose(heatmap(model, method="cam", target="1"), 3 * (nets.POSITIVE - nets.NEGATIVE))
    np.testing.assert_allclose(heatmap(model, method="cam", target="0"), 3 * (nets.NEGATIVE - nets.POSITIVE))


def test_cam_needs_its_head(flat: LoadedModel, pencil: LoadedModel) -> None:
    with pytest.raises(MethodNotValid, match="global average pooling and one dense layer"):
        heatmap(flat, method="cam")
    with pytest.raises(MethodNotValid, match="'conv' only"):
        heatmap(pencil, method="cam", layer="image")


def test_eigencam_is_the_first_eigenvector_of_the_covariance(pencil: LoadedModel) -> None:
    flat = A.reshape(6, 2).astype(np.float64)
    centred = flat - [7 / 6, 4 / 6]
    _, vectors = np.linalg.eigh(centred.T @ centred)
    expected = (centred @ vectors[:, -1]).reshape(2, 3)
    expected *= np.sign(expected.flat[np.abs(expected).argmax()])
    found = nets.explain(pencil, "cam", method="eigencam")
    np.testing.assert_allclose(found.arrays["heatmap"], expected, rtol=1e-5)
    assert found.arrays["heatmap"].min() < 0 < found.arrays["heatmap"].max()
    assert [warning.code for warning in found.warnings][0] == "non_class_discriminative"


def test_eigencam_by_economy_is_that_by_the_full_decomposition() -> None:
    activations = np.random.default_rng(4).normal(size=(5, 4, 9)).astype(np.float32)
    flat = activations.reshape(20, 9).astype(np.float64)
    centred = flat - flat.mean(axis=0)
    full = centred @ np.linalg.svd(centred, full_matrices=True)[2][0]
    full *= np.sign(full[np.abs(full).argmax()])
    np.testing.assert_allclose(first_component(activations), full.reshape(5, 4), rtol=1e-5, atol=1e-6)


def test_eigencam_of_one_channel_is_the_channel_without_its_mean() -> None:
    np.testing.assert_allclose(first_component(np.array([[[1], [2]], [[3], [10]]], np.float32)), [[-3, -2], [-1, 6]])
    np.testing.assert_allclose(first_component(np.array([[[3], [2]], [[1], [-6]]], np.float32)), [[-3, -2], [-1, 6]])


@pytest.mark.parametrize("target", [0, 1, 3])
def test_scorecam(pencil: LoadedModel, target: int) -> None:
    # Masks A_0/4 and A_1/3 leave means (5.25, 0)/6 and (0, 10/3)/6; the baseline's logits are the biases.
    means = np.array([[5.25 / 6, 0], [0, 10 / 18]])
    rises = (means @ nets.WEIGHTS)[:, target]
    weights = nets.softmax(rises)
    expected = np.maximum(weights[0] * nets.POSITIVE + weights[1] * nets.NEGATIVE, 0)
    np.testing.assert_allclose(heatmap(pencil, method="scorecam", target=str(target)), expected, rtol=1e-5)


def test_scorecam_keeps_the_channels_of_largest_deviation(pencil: LoadedModel) -> None:
    # Deviations: A_0 has 1.46, A_1 has 1.11.
    found = nets.explain(pencil, "cam", method="scorecam", target="1", max_channels=1)
    np.testing.assert_allclose(found.arrays["heatmap"], nets.POSITIVE)
    assert (found.parameters["channels_used"], found.parameters["channels_left_out"]) == (1, 1)
    assert [warning.code for warning in found.warnings] == ["channels_left_out", "map_smaller_than_3x3"]


def test_scorecam_where_no_channel_varies(pencil: LoadedModel) -> None:
    found = nets.explain(pencil, "cam", np.full((1, 2, 3, 1), 2, np.float32), method="scorecam", target="top2")
    assert found.parameters["channels_used"] == 0
    for name in found.maps:
        np.testing.assert_array_equal(found.arrays[name], np.zeros((2, 3)))
    assert [warning.code for warning in found.warnings].count("all_zero_map") == 2


@pytest.mark.parametrize(
    "method", ["eigencam", "eigengradcam", "kpcacam", "shapleycam", "scorecam", "ablationcam", "gradcam", "cam"]
)
def test_what_overflows_is_told_with_its_layer(method: str) -> None:
    net = nets.pencil()
    net.get_layer("conv").set_weights([np.full((1, 1, 1, 2), 3e38, np.float32)])
    asked = Compute(methods=[{"name": "cam", "params": {"method": method}}], top=1, preprocess=False)
    model = nets.loaded(net)
    with pytest.raises(NonFiniteResult, match="layer 'conv:linear' is the first"):
        Operations(5000, 50_000).explain(model, asked, {"image": nets.IMAGE[0]}, Progress(), model.backend)


@pytest.mark.parametrize(
    ("target", "weights"),
    [("0", (1, 0)), ("1", (0, 8 / 9)), ("3", (0, 0)), ("2", (0, 4 / 3))],
)
def test_ablationcam(pencil: LoadedModel, target: str, weights: tuple[float, float]) -> None:
    # Scores 7, 9, -3, -11; without A_0: 0, 9, 4, -4; without A_1: 7, 1, -7, -7. (y - y_k) / |y|.
    expected = np.maximum(weights[0] * nets.POSITIVE + weights[1] * nets.NEGATIVE, 0)
    if target == "2":
        expected = np.maximum(-7 / 3 * nets.POSITIVE + 4 / 3 * nets.NEGATIVE, 0)
    np.testing.assert_allclose(heatmap(pencil, method="ablationcam", target=target), expected, rtol=1e-5)


def test_ablationcam_where_a_branch_goes_round_the_layer() -> None:
    model = nets.loaded(nets.bypassed())
    # Scores mean(A_0) + mean(x) = 10/6, and without A_0: 3/6.
    expected = (10 / 6 - 3 / 6) / (10 / 6) * nets.POSITIVE
    np.testing.assert_allclose(heatmap(model, method="ablationcam", layer="conv", target="0"), expected, rtol=1e-5)


@pytest.mark.parametrize("method", names_of(VARIANTS))
def test_several_targets_in_one_call_are_those_of_single_calls(pencil: LoadedModel, method: str) -> None:
    together = nets.explain(pencil, "cam", method=method, target="top3")
    assert together.maps == ("heatmap:1", "heatmap:0", "heatmap:2")
    for name, target in zip(together.maps, ("1", "0", "2"), strict=True):
        np.testing.assert_allclose(together.arrays[name], heatmap(pencil, method=method, target=target), rtol=1e-6)


def test_softmax_as_score_would_be_another_map(pencil: LoadedModel) -> None:
    """The probability of class 1 depends on every logit; its map would not be that of the logit."""
    probabilities = nets.softmax(nets.LOGITS)
    jacobian = probabilities[1] * (np.eye(4)[1] - probabilities)
    weights = nets.WEIGHTS @ jacobian / 6
    with_softmax = np.maximum(weights[0] * nets.POSITIVE + weights[1] * nets.NEGATIVE, 0)
    with_logit = heatmap(pencil, target="1")
    assert np.abs(with_softmax - with_logit).max() > 1
    np.testing.assert_allclose(with_logit, 2 * nets.NEGATIVE)


@pytest.mark.parametrize("target", ["top5", "top0", "0,1,2,3,0,1,2,3,0,1,2"])
def test_more_targets_than_there_may_be(pencil: LoadedModel, target: str) -> None:
    with pytest.raises(InvalidParameter):
        heatmap(pencil, target=target)


def test_neuron_as_target(flat: LoadedModel) -> None:
    # The cell (1, 2) of channel 0 has gradient 1 with respect to itself and 0 elsewhere.
    found = heatmap(flat, method="hirescam", target="neuron:conv:1,2,0")
    np.testing.assert_array_equal(found, [[0, 0, 0], [0, 0, 4]])
    mean = heatmap(flat, method="gradcam", target="neuron:conv:1")
    np.testing.assert_allclose(mean, nets.NEGATIVE / 6)
