"""Steps of the optimizers, worked out by hand."""

from __future__ import annotations

from typing import Any, Literal

import keras
import numpy as np
import pytest

from service.explainers.maximization.optimizers import MOMENTS, OptimizerName, normalized, step


def tensor(values: Any) -> Any:
    return keras.ops.convert_to_tensor(np.array(values, np.float32))


def taken(name: OptimizerName, gradients: list[list[float]], norm: Literal["rms", "l2"] = "rms") -> list[np.ndarray]:
    """The step for each gradient in turn, of one image."""
    moments, found = tensor(np.zeros((1, MOMENTS[name], 2))), []
    for number, gradient in enumerate(gradients):
        change, moments = step(keras.ops, name, norm, tensor([gradient]), moments, tensor(number))
        found.append(np.asarray(change)[0])
    return found


def test_over_the_root_mean_square() -> None:
    """sqrt((9 + 16) / 2) = 3.5355."""
    np.testing.assert_allclose(taken("normalized_gradient", [[3, 4]])[0], [0.848526, 1.131368], rtol=1e-5)


def test_over_the_norm() -> None:
    np.testing.assert_allclose(taken("normalized_gradient", [[3, 4]], "l2")[0], [0.6, 0.8], rtol=1e-6)


@pytest.mark.parametrize("norm", ["rms", "l2"])
def test_no_gradient_no_step(norm: Literal["rms", "l2"]) -> None:
    assert np.asarray(normalized(keras.ops, tensor([[0, 0]]), norm)).tolist() == [[0, 0]]
    for name in MOMENTS:
        assert taken(name, [[0, 0], [0, 0]], norm)[1].tolist() == [0, 0]


def test_each_image_by_its_own_norm() -> None:
    found = np.asarray(normalized(keras.ops, tensor([[3, 4], [0, 0.001]]), "l2"))
    np.testing.assert_allclose(found, [[0.6, 0.8], [0, 1]], rtol=1e-6)


def test_rmsprop() -> None:
    """Gradients (0.6, 0.8) and (1, 0): means 0.05·(0.36, 0.64), then 0.95 of these and 0.05·(1, 0)."""
    first, second = taken("rmsprop", [[3, 4], [7, 0]])
    np.testing.assert_allclose(first, [0.6 / (0.018 + 1e-7) ** 0.5, 0.8 / (0.032 + 1e-7) ** 0.5], rtol=1e-5)
    np.testing.assert_allclose(second, [1 / (0.0171 + 0.05 + 1e-7) ** 0.5, 0], rtol=1e-5)


def test_adam() -> None:
    """First 3 / |3|; then (0.9·0.3 + 0.1·1) / 0.19 over sqrt((0.999·0.009 + 0.001·1) / 0.001999)."""
    first, second = taken("adam", [[3, -4], [1, 0]])
    np.testing.assert_allclose(first, [1, -1], rtol=1e-5)
    np.testing.assert_allclose(second[0], (0.37 / 0.19) / (0.009991 / 0.001999) ** 0.5, rtol=1e-4)
    np.testing.assert_allclose(second[1], (-0.36 / 0.19) / (0.015984 / 0.001999) ** 0.5, rtol=1e-4)
