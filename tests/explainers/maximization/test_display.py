"""What is drawn: standardized, cropped, clipped, and shrunk for the animation."""

from __future__ import annotations

import numpy as np

from service.explainers.maximization import displayed
from service.explainers.maximization.display import MAX_FRAME_BYTES, frame_shape, shrunk

PLAIN = {"postprocess": "none", "strength": 0.1, "crop": 0}


def test_as_it_is() -> None:
    levels = np.array([-20, 0, 99.4, 99.6, 255, 400], np.float32).reshape(1, 1, 6, 1)
    assert displayed(levels, PLAIN).ravel().tolist() == [0, 0, 99, 100, 255, 255]
    assert displayed(levels, PLAIN).dtype == np.uint8


def test_standardized_by_hand() -> None:
    """Levels 100 ± 20: (± 1)·0.1 + 0.5 = 0.4 and 0.6; a second image with another range looks the same."""
    levels = np.array([[80, 120, 80, 120], [-900, 1100, -900, 1100]], np.float32).reshape(2, 2, 2, 1)
    expected = [[102, 153, 102, 153]] * 2
    assert displayed(levels, {**PLAIN, "postprocess": "standardize"}).reshape(2, 4).tolist() == expected
    outlier = np.array([0] * 99 + [1], np.float32).reshape(1, 10, 10, 1)
    assert displayed(outlier, {**PLAIN, "postprocess": "standardize"}).max() == 255


def test_a_constant_image_is_grey() -> None:
    levels = np.full((1, 3, 3, 3), 200, np.float32)
    assert set(displayed(levels, {**PLAIN, "postprocess": "standardize"}).ravel().tolist()) <= {127, 128}


def test_cropped_after_it_is_standardized() -> None:
    levels = np.zeros((1, 6, 8, 1), np.float32)
    levels[0, 0] = 240
    found = displayed(levels, {"postprocess": "standardize", "strength": 0.15, "crop": 2})
    assert found.shape == (1, 2, 4, 1)
    assert (found < 128).all()


def test_frames_shrink_by_a_whole_factor_until_they_fit() -> None:
    assert frame_shape(10, (4, 64, 48, 3), PLAIN) == ((10, 4, 64, 48, 3), 1)
    assert frame_shape(0, (512, 64, 64, 3), PLAIN) == ((0, 512, 64, 64, 3), 1)
    shape, factor = frame_shape(60, (64, 128, 100, 3), {**PLAIN, "crop": 3})
    assert (shape, factor) == ((60, 64, 40, 31, 3), 3)
    assert np.prod(shape) <= MAX_FRAME_BYTES < 60 * 64 * 61 * 47 * 3


def test_blocks_are_averaged() -> None:
    image = np.arange(20, dtype=np.uint8).reshape(1, 4, 5, 1)
    assert shrunk(image, 2)[0, ..., 0].tolist() == [[3, 5], [13, 15]]
    assert np.array_equal(shrunk(image, 1), image)
