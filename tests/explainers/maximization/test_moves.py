"""Images that are moved: by hand, at their borders, and their gradients."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest

from service.explainers.maximization.moves import moved, moves
from service.explainers.maximization.params import MaximizationParams
from service.explainers.maximization.recipe import Recipe, recipe_for
from service.models.backends.tensorflow import TensorFlowBackend

STILL = {"jitter": 0, "rotate": 0, "scale": 0, "pad": 0}
IMAGE = np.arange(12, dtype=np.float32).reshape(1, 3, 4, 1)


def recipe(size: tuple[int, int] = (3, 4), **params: Any) -> Recipe:
    given = {"layer": "any", "preset": "chollet", **STILL, **params}
    return recipe_for(MaximizationParams.model_validate(given), size, 1)


def shown(image: np.ndarray, maps: Any, how: Recipe) -> np.ndarray:
    tensors = [keras.ops.convert_to_tensor(np.array(item, np.float32)) for item in (image, maps)]
    return np.asarray(moved(keras.ops, *tensors, how))[..., 0]


def test_nothing_moves() -> None:
    how = recipe()
    assert not how.moves
    maps = moves(how, [0], range(1))
    assert maps.tolist() == [[[1, 0, 0, 0, 1, 0]]]
    assert np.array_equal(shown(IMAGE, maps[0], how), IMAGE[..., 0])


def test_half_a_pixel_is_the_mean_of_two() -> None:
    found = shown(IMAGE, [[1, 0, 0.5, 0, 1, 0]], recipe())[0]
    assert found[:, :3].tolist() == [[0.5, 1.5, 2.5], [4.5, 5.5, 6.5], [8.5, 9.5, 10.5]]
    assert found[:, 3].tolist() == [1.5, 3.5, 5.5]


def test_a_quarter_turn() -> None:
    """column = y, row = 2 - x: the picture turned to the right, seen through its first three columns."""
    found = shown(IMAGE, [[0, 1, 0, -1, 0, 2]], recipe())[0]
    assert found[:, :3].tolist() == [[8, 4, 0], [9, 5, 1], [10, 6, 2]]


def test_grey_around_the_image_and_black_beyond() -> None:
    how = recipe(pad=1)
    found = shown(IMAGE, [[1, 0, -1, 0, 1, 1]], how)[0]
    assert found[:, :3].tolist() == [[0, 127.5, 0], [0, 127.5, 4], [0, 127.5, 8]]
    how = replace(how, low=-1.0, high=1.0)
    assert shown(IMAGE, [[1, 0, -1, 0, 1, 1]], how)[0, 0, :2].tolist() == [-1, 0]


def test_each_image_has_its_own_map() -> None:
    both = np.concatenate([IMAGE, 10 * IMAGE])
    found = shown(both, [[1, 0, 1, 0, 1, 0], [1, 0, 0, 0, 1, 1]], recipe())
    assert found[0, 0].tolist() == [1, 2, 3, 0]
    assert found[1, 0].tolist() == [40, 50, 60, 70]


def test_jitter_is_by_whole_pixels() -> None:
    how = recipe((20, 20), jitter=8)
    maps = moves(how, range(40), range(10))
    shifts = maps.reshape(-1, 6)[:, [2, 5]]
    assert sorted(set(shifts.ravel().tolist())) == list(range(-4, 5))
    assert (maps.reshape(-1, 6)[:, [0, 1, 3, 4]] == [1, 0, 0, 1]).all()


def test_turns_and_scales_are_about_the_middle_and_within_bounds() -> None:
    how = recipe((21, 31), rotate=10, scale=0.1)
    maps = moves(how, range(50), range(10)).reshape(-1, 6).astype(np.float64)
    a, b, c, d, e, f = maps.T
    np.testing.assert_allclose(a * 15 + b * 10 + c, 15, atol=1e-4)
    np.testing.assert_allclose(d * 15 + e * 10 + f, 10, atol=1e-4)
    factors, angles = 1 / np.hypot(a, d), np.rad2deg(np.arctan2(-d, a))
    assert 0.9 <= factors.min() < 0.91 < 1.09 < factors.max() <= 1.1
    assert -10 <= angles.min() < -9.5 < 9.5 < angles.max() <= 10


def test_a_larger_scale_enlarges() -> None:
    """The four pixels in the middle become the whole picture at twice the size."""
    how = recipe((4, 4))
    image = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
    found = shown(image, [[0.5, 0, 0.75, 0, 0.5, 0.75]], how)[0]
    assert found[0, 0] == pytest.approx(0.75 * 4 + 0.75)
    assert found.min() > image.min()


def test_moves_depend_on_seed_channel_and_step_alone() -> None:
    how = recipe((20, 20), jitter=8, rotate=10, scale=0.1)
    whole = moves(how, [3, 7, 5], range(6))
    assert whole.shape == (6, 3, 6)
    assert np.array_equal(moves(how, [7], range(4, 6)), whole[4:, 1:2])
    assert not np.array_equal(moves(replace(how, seed=1), [7], range(4, 6)), whole[4:, 1:2])


def test_gradients_are_exact() -> None:
    """Moving is linear where black is 0, so the gradient is the adjoint: Σ w·moved(x) = Σ x·gradient."""
    backend, random = TensorFlowBackend(), np.random.default_rng(0)
    how = recipe((9, 7), jitter=4, rotate=40, scale=0.3)
    image, weights = (random.normal(size=(3, 9, 7, 1)).astype(np.float32) for _ in range(2))
    maps = moves(how, range(3), range(1))[0]
    plan = backend.compiled(
        "adjoint",
        lambda x, given: backend.value_and_gradient(
            lambda at: backend.ops.sum(moved(backend.ops, at, given, how) * weights, axis=(1, 2, 3)), x
        ),
        [((None, 9, 7, 1), "float32"), ((None, 6), "float32")],
    )
    values, gradient = plan(image, maps)
    np.testing.assert_allclose((gradient * image).sum(axis=(1, 2, 3)), values, rtol=1e-4)
