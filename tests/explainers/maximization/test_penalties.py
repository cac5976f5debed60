"""Penalties by hand, and their gradients by finite differences."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from service.explainers.maximization.optimizers import mean_square, norm, penalty, total_variation
from service.models.backends.tensorflow import TensorFlowBackend

IMAGE = np.array([[[1], [3], [6]], [[2], [7], [0]]], np.float32)[None]


def of(function: Any, values: Any, *more: Any) -> list[float]:
    return np.asarray(function(keras.ops, keras.ops.convert_to_tensor(np.array(values, np.float32)), *more)).tolist()


def test_total_variation() -> None:
    """Sums over the pixels with a neighbour below and to the right, 1 and 3: (1² + 2²) + (4² + 3²), over 6 values."""
    assert of(total_variation, IMAGE) == [30 / 6]


def test_mean_square() -> None:
    assert of(mean_square, IMAGE) == pytest.approx([99 / 6])


def test_norm() -> None:
    """(1 + 729 + 46656 + 64 + 117649)^(1/6) / 6."""
    assert of(norm, IMAGE) == pytest.approx([165099 ** (1 / 6) / 6])
    assert of(norm, np.full((1, 2, 2, 1), 1e30)) == pytest.approx([1e30 * 4 ** (1 / 6) / 4])
    assert of(norm, np.zeros((1, 2, 2, 1)))[0] == pytest.approx(0, abs=1e-9)


def test_together() -> None:
    weights = keras.ops.convert_to_tensor(np.array([2, 3, 6], np.float32))
    both = np.concatenate([IMAGE, 0 * IMAGE + 1])
    found = of(penalty, both, weights, 1.0)
    squares = ((IMAGE - 1) ** 2).mean()
    assert found[0] == pytest.approx(2 * 5 + 3 * squares + 6 * 165099 ** (1 / 6) / 6, rel=1e-6)
    assert found[1] == pytest.approx(6 ** (1 / 6), rel=1e-6)


@pytest.mark.parametrize("function", [total_variation, mean_square, norm])
def test_gradients_are_finite_differences(function: Any) -> None:
    backend = TensorFlowBackend()
    plan = backend.compiled(
        "gradient",
        lambda x: backend.value_and_gradient(lambda at: function(backend.ops, at), x),
        [((None, 2, 3, 1), "float32")],
    )
    shifts = 1e-2 * np.eye(6, dtype=np.float32).reshape(6, 2, 3, 1)
    (above, _), (below, _), (_, gradient) = plan(IMAGE + shifts), plan(IMAGE - shifts), plan(IMAGE)
    np.testing.assert_allclose((above - below) / 2e-2, gradient.ravel(), rtol=2e-2, atol=1e-3)


def test_the_gradient_of_the_norm_of_nothing_is_finite() -> None:
    backend = TensorFlowBackend()
    _, gradient = backend.value_and_gradient(lambda at: norm(backend.ops, at), keras.ops.zeros((1, 2, 2, 1)))
    assert np.isfinite(np.asarray(gradient)).all()
