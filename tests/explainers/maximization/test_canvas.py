"""Parameters become values, and these parameters again: pixels, Fourier coefficients, colours, sigmoid."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest

from service.explainers.maximization.canvas import COLOURS, Canvas, image_of, scales, spectrum_of, spectrum_shape
from service.explainers.maximization.params import MaximizationParams
from service.explainers.maximization.recipe import Recipe, recipe_for
from service.models.backends.tensorflow import TensorFlowBackend

SIZES = [(4, 4), (6, 8), (5, 7), (8, 5)]


def recipe(size: tuple[int, int] = (8, 8), colours: int = 3, **params: Any) -> Recipe:
    return recipe_for(MaximizationParams.model_validate({"layer": "any", **params}), size, colours)


def values(canvas: Canvas, parameters: np.ndarray) -> np.ndarray:
    return np.asarray(canvas.values(keras.ops, keras.ops.convert_to_tensor(parameters)))


def test_scales_by_hand() -> None:
    """4×4 px: frequencies 0, 1/4 and 1/2 on each axis; sqrt(16) / 4 over them, 0 taken for 1/4."""
    root = 2**0.5
    expected = [[4, 4, 2], [4, 4 / root, 4 / 5**0.5], [2, 4 / 5**0.5, 2 / root], [4, 4 / root, 4 / 5**0.5]]
    np.testing.assert_allclose(scales((4, 4)), expected, rtol=1e-6)


@pytest.mark.parametrize("size", SIZES)
def test_the_image_of_a_spectrum_is_its_inverse_transform(size: tuple[int, int]) -> None:
    spectrum = np.random.default_rng(0).normal(size=(2, *spectrum_shape(size, 3))).astype(np.float32)
    scaled = spectrum * scales(size)
    expected = np.fft.irfft2(scaled[:, 0] + 1j * scaled[:, 1], size).transpose(0, 2, 3, 1)
    found = np.asarray(image_of(keras.ops, keras.ops.convert_to_tensor(spectrum), size))
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("size", SIZES)
def test_back_and_forth(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).normal(size=(*size, 2)).astype(np.float32)
    spectrum = keras.ops.convert_to_tensor(spectrum_of(image)[None])
    np.testing.assert_allclose(np.asarray(image_of(keras.ops, spectrum, size))[0], image, atol=1e-5)


@pytest.mark.parametrize("size", SIZES)
def test_the_gradient_of_the_transform_is_its_adjoint(size: tuple[int, int]) -> None:
    backend, random = TensorFlowBackend(), np.random.default_rng(1)
    spectrum = random.normal(size=(1, *spectrum_shape(size, 3))).astype(np.float32)
    weights = random.normal(size=(1, *size, 3)).astype(np.float32)
    plan = backend.compiled(
        "adjoint",
        lambda at: backend.value_and_gradient(
            lambda x: backend.ops.sum(image_of(backend.ops, x, size) * weights, axis=(1, 2, 3)), at
        ),
        [(spectrum.shape, "float32")],
    )
    value, gradient = plan(spectrum)
    np.testing.assert_allclose((gradient * spectrum).sum(), value[0], rtol=1e-4)


def test_colours_are_lucids() -> None:
    """Columns of the published matrix over the longest one's norm, sqrt(0.26² + 2·0.27²) = 0.46195."""
    expected = np.array([[0.26, 0.27, 0.27], [0.09, 0, -0.09], [0.02, -0.05, 0.03]]) / 0.46195
    np.testing.assert_allclose(COLOURS, expected, rtol=1e-4)


def test_pixels_are_added_to_the_mean_of_the_noise() -> None:
    canvas = Canvas(recipe((2, 2), 1))
    assert canvas.shape == (2, 2, 1)
    np.testing.assert_allclose(values(canvas, np.full((1, 2, 2, 1), -10, np.float32)), 128)


def test_a_sigmoid_keeps_values_in_range() -> None:
    canvas = Canvas(recipe((2, 2), 1, preset="lucid", parametrization="pixel"))
    found = values(canvas, np.array([0, np.log(3), -50, 50], np.float32).reshape(1, 2, 2, 1))
    np.testing.assert_allclose(found.ravel(), [0.5, 0.75, 0, 1], atol=1e-6)
    np.testing.assert_allclose(canvas.levels(found).ravel(), [127.5, 191.25, 0, 255], atol=1e-4)


def test_levels_of_a_symmetric_range() -> None:
    canvas = Canvas(recipe((2, 2), 1, preset="keras-io"))
    assert canvas.levels(np.array([-1, 0, 0.5, 2])).tolist() == [0, 127.5, 191.25, 382.5]


@pytest.mark.parametrize("preset", ["chollet", "keras-io", "keras-vis", "lucid"])
@pytest.mark.parametrize(
    "how", [{}, {"parametrization": "fourier"}, {"decorrelate": True}, {"parametrization": "pixel"}]
)
def test_parameters_of_given_values(preset: str, how: dict[str, Any]) -> None:
    canvas = Canvas(recipe((6, 5), preset=preset, **how))
    low, high = canvas.recipe.low, canvas.recipe.high
    given = np.random.default_rng(2).uniform(low + 0.1 * (high - low), high - 0.1 * (high - low), (6, 5, 3))
    found = values(canvas, canvas.parameters(given.astype(np.float32))[None])[0]
    np.testing.assert_allclose(found, given, atol=(high - low) * 1e-5)


@pytest.mark.parametrize("preset", ["chollet", "keras-io", "keras-vis", "lucid"])
@pytest.mark.parametrize("parametrization", ["pixel", "fourier"])
def test_gray_is_the_middle_of_the_range(preset: str, parametrization: str) -> None:
    canvas = Canvas(recipe((9, 8), preset=preset, parametrization=parametrization, init="gray"))
    levels = canvas.levels(values(canvas, canvas.start(3, None)[None]))
    np.testing.assert_allclose(levels, 127.5, atol=1e-2)


def test_noise_is_that_of_the_recipes() -> None:
    """U(0, 1)·20 + 128; (U(0, 1) - 0.5)/4; about the middle with a deviation of 5 % of the range."""
    ranges = {"chollet": (128, 148), "keras-io": (-0.125, 0.125), "keras-vis": (105.4, 149.6)}
    for preset, (low, high) in ranges.items():
        canvas = Canvas(recipe((64, 64), preset=preset))
        found = values(canvas, canvas.start(0, None)[None])
        assert low <= found.min() < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < found.max() <= high
    spectrum = Canvas(recipe((64, 64), preset="lucid")).start(0, None)
    assert spectrum.shape == (2, 3, 64, 33)
    assert spectrum.std() == pytest.approx(0.01, rel=0.02)


def test_noise_depends_on_seed_and_channel_alone() -> None:
    first, second = (Canvas(recipe(seed=seed)) for seed in (0, 1))
    assert np.array_equal(first.start(7, None), first.start(7, None))
    assert not np.array_equal(first.start(7, None), first.start(8, None))
    assert not np.array_equal(first.start(7, None), second.start(7, None))


def test_a_spectrum_of_noise_gives_noise_of_about_its_deviation() -> None:
    """Lucid's scale is chosen so that a step is as long in either parametrization."""
    canvas = Canvas(replace(recipe((64, 64), preset="lucid"), squash=False, decorrelate=False))
    assert 0.005 < values(canvas, canvas.start(0, None)[None]).std() < 0.02
