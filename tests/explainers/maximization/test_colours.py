"""The map from an image's values to the network's input is the model's own preprocessing, found by asking it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from service.explainers.maximization.colours import colour_map, colours_of
from service.models.files.spec import InputSpec, Preprocessing
from service.models.graph.preprocess import InputShape, NetworkInput, as_is, prepare

MODES = [
    Preprocessing(mode="none"),
    Preprocessing(mode="rescale01"),
    Preprocessing(mode="tf"),
    Preprocessing(mode="torch"),
    Preprocessing(mode="caffe"),
    Preprocessing(mode="mean_std", mean=(127, 100, 90), std=(128, 64, 32)),
]
RANGES = [(0, 255), (-1, 1), (0, 1)]


def prepared(levels: np.ndarray, channels: int, mode: Preprocessing, **spec: Any) -> NetworkInput:
    shape = InputShape(levels.shape[0], levels.shape[1], channels)
    return prepare(levels.astype(np.float32), shape, InputSpec(**spec), mode)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.mode)
@pytest.mark.parametrize("order", ["rgb", "bgr"])
@pytest.mark.parametrize(("low", "high"), RANGES)
def test_it_gives_what_the_preprocessing_gives(mode: Preprocessing, order: str, low: float, high: float) -> None:
    levels = np.random.default_rng(0).uniform(0, 255, (4, 5, 3))
    image = prepared(levels, 3, mode, colour_order=order)
    found = colour_map(image, low, high)
    values = levels / 255 * (high - low) + low
    np.testing.assert_allclose(values @ found.matrix + found.offset, image.batch[0], rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(found.values(image.batch)[0], values, rtol=1e-3, atol=2e-4 * (high - low))


def test_a_network_that_takes_the_presets_own_values_gets_them_unchanged() -> None:
    levels = np.zeros((2, 2, 3))
    for mode, (low, high) in zip(("none", "tf", "rescale01"), RANGES, strict=True):
        found = colour_map(prepared(levels, 3, Preprocessing(mode=mode)), low, high)
        np.testing.assert_allclose(found.matrix, np.eye(3), atol=1e-6)
        np.testing.assert_allclose(found.offset, 0, atol=1e-6)


def test_grey_networks_have_one_colour() -> None:
    levels = np.random.default_rng(0).uniform(0, 255, (4, 5, 1))
    image = prepared(levels, 1, Preprocessing(mode="tf"))
    found = colour_map(image, 0, 255)
    assert found.matrix.shape == (1, 1)
    np.testing.assert_allclose(levels @ found.matrix + found.offset, image.batch[0], atol=1e-5)


def test_without_a_channel_axis() -> None:
    shape = InputShape(4, 5, 1, rank3=True)
    image = prepare(np.full((4, 5, 1), 51, np.uint8), shape, InputSpec(), Preprocessing(mode="rescale01"))
    assert colours_of(image) == 1
    found = colour_map(image, 0, 255)
    np.testing.assert_allclose(found.matrix, [[1 / 255]])
    np.testing.assert_allclose(found.values(image.batch), np.full((1, 4, 5, 1), 51), rtol=1e-5)


def test_alpha_is_opaque() -> None:
    image = prepared(np.zeros((2, 2, 4)), 4, Preprocessing(mode="none"))
    found = colour_map(image, 0, 255)
    assert found.matrix.shape == (3, 4)
    np.testing.assert_allclose(np.array([1, 2, 3]) @ found.matrix + found.offset, [1, 2, 3, 255], rtol=1e-5)


def test_other_channels_have_no_levels() -> None:
    image = as_is(np.zeros((2, 2, 5), np.float32), InputShape(2, 2, 5), InputSpec(), Preprocessing(mode="tf"))
    assert colours_of(image) == 5
    found = colour_map(image, -1, 1)
    assert np.array_equal(found.matrix, np.eye(5))
    assert not found.offset.any()
