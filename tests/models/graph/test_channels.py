"""The values of one pixel, mode by mode."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from service.models.files.spec import Preprocessing
from service.models.graph.channels import converted, normalise


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("none", 102), ("rescale01", 0.4), ("tf", -0.2), ("caffe", 102 - 103.939)],
)
def test_modes_on_one_channel(mode: Any, expected: float) -> None:
    value = normalise(np.array([[[102]]], np.float32), Preprocessing(mode=mode))
    np.testing.assert_allclose(value, [[[expected]]], rtol=1e-5)


def test_keras_preprocess_input_agrees() -> None:
    from keras.applications import densenet, mobilenet_v2, vgg16

    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, 3)).astype(np.float32)
    for mode, module in (("caffe", vgg16), ("tf", mobilenet_v2), ("torch", densenet)):
        expected = module.preprocess_input(pixels.copy())
        np.testing.assert_allclose(normalise(pixels, Preprocessing(mode=mode)), expected, rtol=1e-5, atol=1e-5)


FIVE = np.array([[[0, 51, 102, 153, 255]]], np.float32)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (Preprocessing(mode="none"), [0, 51, 102, 153, 255]),
        (Preprocessing(mode="rescale01"), [0, 0.2, 0.4, 0.6, 1]),
        (Preprocessing(mode="tf"), [-1, -0.6, -0.2, 0.2, 1]),
        (Preprocessing(mode="mean_std", mean=(51,), std=(51,)), [-1, 0, 1, 2, 4]),
        (Preprocessing(mode="mean_std", mean=(0, 1, 2, 3, 5), std=(10,)), [0, 5, 10, 15, 25]),
        (Preprocessing(mode="mean_std", mean=(0,), std=(1, 1, 2, 1, 5)), [0, 51, 51, 153, 51]),
    ],
)
def test_modes_on_five_channels(mode: Preprocessing, expected: list[float]) -> None:
    np.testing.assert_allclose(normalise(FIVE, mode).ravel(), expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("have", "wanted", "expected"),
    [
        ([10], 1, [10]),
        ([10], 3, [10, 10, 10]),
        ([10], 4, [10, 10, 10, 255]),
        ([10, 20, 30], 3, [10, 20, 30]),
        ([10, 20, 30], 1, [10 * 0.299 + 20 * 0.587 + 30 * 0.114]),
        ([10, 20, 30], 4, [10, 20, 30, 255]),
        ([10, 20, 30, 7], 3, [10, 20, 30]),
        ([10, 20, 30, 7], 4, [10, 20, 30, 7]),
        ([10, 20, 30, 7], 1, [10 * 0.299 + 20 * 0.587 + 30 * 0.114]),
    ],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_channels(have: list[int], wanted: int, expected: list[float], dtype: Any) -> None:
    image = np.array([[have]], dtype)
    np.testing.assert_allclose(converted(image, wanted), [[expected]], rtol=1e-6)
    assert image.tolist() == [[have]]
