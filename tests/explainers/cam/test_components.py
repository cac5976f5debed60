"""Principal components of a layer: of the evidence for a class, and by kernels; on paper and against decompositions."""

from __future__ import annotations

from typing import Any

import nets
import numpy as np
import pytest

from service.errors import MethodNotValid
from service.explainers.base import Progress
from service.explainers.cam.components import component_along_sum, largest_eigenpair
from service.explainers.cam.kpca import KERNELS, kernel_component
from service.models.loaded import LoadedModel


@pytest.fixture(scope="module")
def flat() -> LoadedModel:
    return nets.loaded(nets.pencil_flat())


def heatmap(model: LoadedModel, **params: Any) -> np.ndarray:
    return nets.explain(model, "cam", **params).arrays["heatmap"]


def symmetric(size: int, rank: int, seed: int = 0) -> np.ndarray:
    """A centred sigmoid kernel matrix, which has negative eigenvalues too."""
    points = np.random.default_rng(seed).normal(size=(size, rank))
    matrix = np.tanh(points @ points.T / rank + 1)
    return matrix - matrix.mean(0) - matrix.mean(1)[:, None] + matrix.mean()


@pytest.mark.parametrize(
    "channels",
    [
        # G·A of class 0 is (1, 4, 0, 0, 0, 24) in one channel; its mean is 29/6.
        [[1, 4, 0], [0, 0, 24]],
        [[-1, -4, 0], [0, 0, -24]],
    ],
)
def test_one_channel_is_itself_without_its_mean(channels: Any) -> None:
    values = np.array(channels, np.float64)[..., None]
    np.testing.assert_allclose(component_along_sum(values), values[..., 0] - values.mean(), rtol=1e-12)


def test_eigengradcam_on_paper(flat: LoadedModel) -> None:
    """Only channel 0 holds evidence for class 0, A_1 being 0 where its gradient is not; for class 1 the other."""
    for target, evidence in (("0", [[1, 4, 0], [0, 0, 24]]), ("1", [[0, 0, 6], [0, 18, 0]])):
        expected = np.array(evidence) - np.mean(evidence)
        np.testing.assert_allclose(heatmap(flat, method="eigengradcam", target=target), expected, rtol=1e-5)


def test_opposite_contrasts_have_opposite_maps(flat: LoadedModel) -> None:
    for model, image in ((flat, nets.IMAGE), (nets.loaded(nets.random_net()), np.ones((1, 7, 5, 2), np.float32))):
        there, back = (
            nets.explain(model, "cam", image, method="eigengradcam", target=target).arrays["heatmap"]
            for target in ("0-1", "1-0")
        )
        assert np.abs(there).max() > 0.01
        np.testing.assert_allclose(there, -back, rtol=1e-5, atol=1e-6)


def test_what_does_not_correlate_has_its_largest_value_positive() -> None:
    """The channels are opposite: their sum is 0 everywhere."""
    channel = np.array([[1.0, -5.0], [2.0, 2.0]])
    np.testing.assert_allclose(component_along_sum(np.stack([channel, -channel], 2)), -channel * np.sqrt(2))


@pytest.mark.parametrize(("size", "rank"), [(1, 1), (2, 1), (6, 2), (40, 3), (300, 8)])
def test_the_largest_eigenpair_is_that_of_a_full_decomposition(size: int, rank: int) -> None:
    matrix = symmetric(size, rank)
    values, vectors = np.linalg.eigh(matrix)
    value, vector = largest_eigenpair(matrix, Progress())
    assert value == pytest.approx(values[-1], abs=1e-9)
    assert abs(vector @ vectors[:, -1]) == pytest.approx(1, abs=1e-9) or values[-1] < 1e-9


def test_a_matrix_without_an_eigenvalue_above_0() -> None:
    assert largest_eigenpair(np.zeros((5, 5)), Progress())[0] == 0
    value, vector = largest_eigenpair(-np.diag([3.0, 1.0, 2.0]), Progress())
    assert value == pytest.approx(-1)
    np.testing.assert_allclose(np.abs(vector), [0, 1, 0], atol=1e-9)


def test_a_long_decomposition_can_be_stopped() -> None:
    class Stop(Progress):
        def __call__(self, done: int, total: int, *_: Any) -> None:
            assert total == 300
            if done == 3:
                raise TimeoutError

    with pytest.raises(TimeoutError):
        largest_eigenpair(symmetric(300, 8), Stop())


# By the cells themselves: scikit-learn's definitions, with γ = 1/k, coef0 = 1, degree 3.
PAIRS: dict[str, Any] = {
    "sigmoid": lambda x, y: np.tanh(x @ y / len(x) + 1),
    "rbf": lambda x, y: np.exp(-((x - y) @ (x - y)) / len(x)),
    "poly": lambda x, y: (x @ y / len(x) + 1) ** 3,
    "linear": lambda x, y: x @ y,
}


def by_pairs(activations: np.ndarray, kernel: str) -> np.ndarray:
    """The first kernel component by a loop over pairs of cells and a full decomposition, float64."""
    cells = activations.reshape(-1, activations.shape[-1]).astype(np.float64)
    cells = cells - cells.mean(axis=0)
    matrix = np.array([[PAIRS[kernel](x, y) for y in cells] for x in cells])
    centring = np.eye(len(cells)) - 1 / len(cells)
    values, vectors = np.linalg.eigh(centring @ matrix @ centring)
    projected = vectors[:, -1] * np.sqrt(max(values[-1], 0))
    return (projected * np.sign(projected[np.abs(projected).argmax()])).reshape(activations.shape[:2])


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("scale", [0.3, 3])
def test_kernels_by_pairs_of_cells(kernel: str, scale: float) -> None:
    activations = (np.random.default_rng(6).normal(size=(5, 4, 7)) ** 2 * scale).astype(np.float32)
    found = kernel_component(activations, kernel, Progress())
    np.testing.assert_allclose(found, by_pairs(activations, kernel), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kernel", KERNELS)
def test_cells_that_are_all_alike_have_no_component(kernel: str) -> None:
    activations = np.full((5, 4, 3), 0.1, np.float32) * np.array([1, 7, 1e4], np.float32)
    np.testing.assert_array_equal(kernel_component(activations, kernel, Progress()), np.zeros((5, 4)))


def test_kpcacam_of_two_cells_on_paper() -> None:
    """Cells -1 and 1 about their mean, k = 1: linear [[1, -1], [-1, 1]] has the eigenvalue 2; rbf, 1 beside e⁻⁴, is
    (1 - e⁻⁴)/2 · [[1, -1], [-1, 1]] when centred."""
    activations = np.array([[[4.0], [6.0]]], np.float32)
    np.testing.assert_allclose(np.abs(kernel_component(activations, "linear", Progress())), [[1, 1]], rtol=1e-6)
    side = np.sqrt((1 - np.exp(-4)) / 2)
    found = kernel_component(activations, "rbf", Progress())
    np.testing.assert_allclose(found[0, 0], -found[0, 1])
    np.testing.assert_allclose(np.abs(found), [[side, side]], rtol=1e-6)


def test_the_linear_kernel_is_eigencam(lite0: LoadedModel, chelsea: np.ndarray) -> None:
    for layer in ("top_activation", "block3a_project_bn"):
        kernel, plain = (
            nets.explain(lite0, "cam", chelsea, layer=layer, **params)
            for params in ({"method": "kpcacam", "kernel": "linear"}, {"method": "eigencam"})
        )
        expected = plain.arrays["heatmap"]
        atol = 1e-4 * np.abs(expected).max()
        np.testing.assert_allclose(kernel.arrays["heatmap"], expected, rtol=1e-4, atol=atol)
    assert [warning.code for warning in kernel.warnings][0] == "non_class_discriminative"


@pytest.mark.parametrize("kernel", KERNELS)
def test_on_a_photograph(lite0: LoadedModel, chelsea: np.ndarray, kernel: str) -> None:
    activations = nets.explain(lite0, "activations", chelsea, layers="top_activation").arrays["top_activation"]
    found = nets.explain(lite0, "cam", chelsea, method="kpcacam", kernel=kernel).arrays["heatmap"]
    expected = by_pairs(activations, kernel)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_more_cells_than_are_compared() -> None:
    """64×64 cells are compared, 65×64 are not, also of a network that takes any size."""
    model = nets.loaded(nets.any_size_net())
    heatmap = nets.explain(model, "cam", np.ones((1, 9, 129, 3), np.float32), method="kpcacam", layer="first")
    assert heatmap.arrays["heatmap"].shape == (4, 64)
    with pytest.raises(MethodNotValid, match="the 65×64 = 4160 cells of layer 'first' are more than the 4096"):
        nets.explain(model, "cam", np.ones((1, 131, 129, 3), np.float32), method="kpcacam", layer="first")
