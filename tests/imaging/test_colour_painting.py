"""Maps of three colours: zero is mid grey, one scale for all colours, the same pixels as one map alone has."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from service.imaging.colour_painting import ColourPainting
from service.imaging.painting import resize_map, scale_unit

VALUES = np.random.default_rng(0).normal(size=(5, 7, 3)).astype(np.float32)


def test_on_paper() -> None:
    values = np.array([[[2, 0, -1], [0, -2, 1]]], np.float32)
    signed = ColourPainting.of(values, (1, 2), None, "symmetric").on(None, None)
    np.testing.assert_array_equal(signed, [[[255, 128, 64], [128, 0, 191]]])
    positive = ColourPainting.of(np.maximum(values, 0), (1, 2), None, "max").on(None, None)
    np.testing.assert_array_equal(positive, [[[255, 0, 0], [0, 0, 128]]])
    photograph = np.full((1, 2, 3), 100, np.uint8)
    mixed = ColourPainting.of(values, (1, 2), None, "symmetric").on(photograph, None, 0.25)
    np.testing.assert_array_equal(mixed, [[[139, 107, 91], [107, 75, 123]]])


@pytest.mark.parametrize("size", [(5, 7), (41, 30), (3, 4), (700, 400)])
@pytest.mark.parametrize("region", [None, (-2.0, 1.0, 45.0, 20.0)])
@pytest.mark.parametrize("scale", ["symmetric", "max"])
def test_each_colour_lies_where_a_map_would(size: tuple[int, int], region: Any, scale: Any) -> None:
    painted = ColourPainting.of(VALUES, size, region, scale).on(None, None)
    laid = np.stack([resize_map(VALUES[..., colour], size, region) for colour in range(3)], axis=-1)
    seen = resize_map(np.ones((5, 7), np.float32), size, region) > 0
    expected = np.full((*size, 3), 0.5 if scale == "symmetric" else 0.0)
    expected[seen] = scale_unit(laid[seen], scale)
    assert np.abs(painted - 255 * expected).max() < 0.51


def test_nothing_is_grey_or_black() -> None:
    nothing = np.zeros((2, 2, 3), np.float32)
    assert set(ColourPainting.of(nothing, (4, 4), None, "symmetric").on(None, None).ravel()) == {128}
    assert set(ColourPainting.of(nothing, (4, 4), None, "max").on(None, None).ravel()) == {0}


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="laid over"):
        ColourPainting.of(VALUES, (4, 4), None, "max").on(np.zeros((4, 5, 3), np.uint8), None)
    with pytest.raises(ValueError, match="NaN"):
        ColourPainting.of(VALUES * np.float32("nan"), (4, 4), None, "max")
