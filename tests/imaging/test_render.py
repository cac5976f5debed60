"""Scaling and resizing against numbers worked out by hand."""

import numpy as np
import pytest

from service.imaging.painting import Scale, inside, resize_map, scale_unit, shown


@pytest.mark.parametrize(
    ("mode", "values", "expected"),
    [
        ("max", [0, 1, 4], [0, 0.25, 1]),
        ("max", [2, 3, 4], [0.5, 0.75, 1]),
        ("max", [-8, 1, 4], [0, 0.25, 1]),
        ("max", [-8, -1, -4], [0, 0, 0]),
        ("max", [0, 0, 0], [0, 0, 0]),
        ("minmax", [-1, 0, 3], [0, 0.25, 1]),
        ("minmax", [7, 7, 7], [0.5, 0.5, 0.5]),
        ("minmax", [-3e38, 0, 3e38], [0, 0.5, 1]),
        ("symmetric", [-4, 0, 2], [0, 0.5, 0.75]),
        ("symmetric", [1, 2, 4], [0.625, 0.75, 1]),
        ("symmetric", [0, 0, 0], [0.5, 0.5, 0.5]),
        ("symmetric", [-3e38, 0, 3e38], [0, 0.5, 1]),
        ("max", [0, 1.4e-45, 2.8e-45], [0, 0.5, 1]),
    ],
)
def test_scale_unit(mode: Scale, values: list[float], expected: list[float]) -> None:
    given = np.float32([values])
    before = given.copy()
    unit = scale_unit(given, mode)
    np.testing.assert_allclose(unit, [expected], atol=1e-6)
    assert unit.dtype == np.float32
    np.testing.assert_array_equal(given, before)


@pytest.mark.parametrize("mode", ["max", "minmax", "symmetric"])
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_scale_unit_refuses_what_is_not_finite(mode: Scale, wrong: float) -> None:
    with pytest.raises(ValueError, match="NaN or infinity"):
        scale_unit(np.float32([[0, wrong, 1]]), mode)


def test_resize_interpolates_between_half_pixel_centres() -> None:
    resized = resize_map(np.float32([[0, 4]]), (1, 4))
    np.testing.assert_allclose(resized, [[0, 1, 3, 4]])
    np.testing.assert_allclose(resize_map(np.float32([[0], [4]]), (4, 2)), [[0, 0], [1, 1], [3, 3], [4, 4]])


@pytest.mark.parametrize("size", [(35, 50), (7, 5), (3, 4), (224, 224)])
def test_a_region_of_the_whole_picture_is_no_region(size: tuple[int, int]) -> None:
    values = np.random.default_rng(3).normal(size=(7, 5)).astype(np.float32)
    np.testing.assert_allclose(resize_map(values, size, (0, 0, *size)), resize_map(values, size), atol=1e-5)


def test_a_region_inside_the_picture_leaves_zero_around_it() -> None:
    laid = resize_map(np.float32([[1, 2], [3, 4]]), (4, 5), (1, 2, 2, 2))
    np.testing.assert_allclose(laid, [[0, 0, 0, 0, 0], [0, 0, 1, 2, 0], [0, 0, 3, 4, 0], [0, 0, 0, 0, 0]])


def test_a_region_beyond_the_picture_is_cut() -> None:
    values = np.arange(16, dtype=np.float32).reshape(4, 4)
    np.testing.assert_allclose(resize_map(values, (2, 4), (-1, 0, 4, 4)), values[1:3])
    np.testing.assert_allclose(resize_map(values, (4, 2), (0, -2, 4, 4)), values[:, 2:])
    assert not resize_map(values + 1, (2, 2), (5, 5, 4, 4)).any()


def test_a_region_between_pixels_takes_the_pixels_whose_centre_it_holds() -> None:
    laid = resize_map(np.float32([[6]]), (1, 5), (0, 0.6, 1, 3))
    np.testing.assert_allclose(laid, [[0, 6, 6, 6, 0]])


def test_a_long_thin_picture_needs_no_square_in_memory() -> None:
    assert resize_map(np.ones((7, 7), np.float32), (16_384, 2), (0, -8191, 16_384, 16_384)).min() == pytest.approx(1)


def test_a_map_that_shrinks_is_averaged() -> None:
    """From four cells to two each pixel reaches two cells far: shares 3, 3, 1, 0 and 0, 1, 3, 3 of 7."""
    np.testing.assert_allclose(resize_map(np.float32([[0, 0, 14, 0]]), (1, 2)), [[2, 6]], rtol=1e-6)


@pytest.mark.parametrize(
    ("size", "region", "expected"),
    [
        ((4, 6), (0, 0, 4, 6), (slice(0, 4), slice(0, 6))),
        ((4, 6), (1, 2, 2, 3), (slice(1, 3), slice(2, 5))),
        ((4, 6), (0.4, 0.6, 2, 3), (slice(0, 2), slice(1, 4))),
        ((4, 6), (-3, -1.5, 20, 4), (slice(0, 4), slice(0, 2))),
        ((2, 2), (5, 5, 4, 4), (slice(2, 2), slice(2, 2))),
    ],
)
def test_inside(size: tuple[int, int], region: tuple[float, ...], expected: tuple[slice, slice]) -> None:
    assert inside(size, region) == expected


@pytest.mark.parametrize(
    ("region", "size", "expected"),
    [
        ((0, 0, 1, 4), (1, 4), [10, 20, 30, 40]),
        ((0, 0, 1, 4), (1, 2), [15, 35]),
        ((0, 1, 1, 2), (1, 2), [20, 30]),
        ((0, 1, 1, 2), (1, 4), [20, 22.5, 27.5, 30]),
        ((0, -2, 1, 8), (1, 8), [0, 0, 10, 20, 30, 40, 0, 0]),
        ((0, -2, 1, 8), (1, 4), [0, 15, 35, 0]),
        ((0, -0.5, 1, 4), (1, 4), [10, 15, 25, 35]),
    ],
)
def test_what_a_region_shows(region: tuple[float, ...], size: tuple[int, int], expected: list[float]) -> None:
    picture = np.repeat(np.uint8([10, 20, 30, 40])[None, :, None], 3, axis=2)
    found = shown(picture, region, size)
    assert found.shape == (*size, 3)
    assert np.abs(found[0, :, 0] - np.array(expected)).max() <= 0.5
    turned = shown(picture.transpose(1, 0, 2).copy(), (region[1], region[0], region[3], region[2]), size[::-1])
    np.testing.assert_array_equal(turned, found.transpose(1, 0, 2))
