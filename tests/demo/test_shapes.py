"""The drawn pictures: reproducible, balanced, and geometrically what their class says."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from service.demo.shapes import CIRCUMRADIUS_PX, KINDS, MARGIN_PX, SIZE_PX, dataset, draw, outline


def drawn_hull(picture: np.ndarray) -> np.ndarray:
    """The convex hull of the pixels that are not background, which is the colour of the border."""
    border = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]]).astype(float)
    distance = np.linalg.norm(picture - np.median(border, axis=0), axis=-1)
    apart = (distance > 0.5 * distance.max()).astype(np.uint8)
    apart = cv2.morphologyEx(
        cv2.copyMakeBorder(apart, 1, 1, 1, 1, cv2.BORDER_CONSTANT), cv2.MORPH_CLOSE, np.ones((2, 2))
    )
    return cv2.convexHull(np.argwhere(apart).astype(np.float32))


def roundness(picture: np.ndarray) -> float:
    """Area over that of the smallest enclosing circle: circle 1, square 2 / pi = 0.64, triangle at most 0.41."""
    hull = drawn_hull(picture)
    return float(cv2.contourArea(hull) / (np.pi * cv2.minEnclosingCircle(hull)[1] ** 2))


def test_a_picture_is_28_by_28_rgb() -> None:
    for kind in KINDS:
        picture = draw(kind, np.random.default_rng(3))
        assert picture.shape == (28, 28, 3)
        assert picture.dtype == np.uint8


def test_the_seed_alone_decides() -> None:
    images, labels = dataset(30, 5)
    again, same_labels = dataset(30, 5)
    np.testing.assert_array_equal(images, again)
    np.testing.assert_array_equal(labels, same_labels)
    other, _ = dataset(30, 6)
    assert (images != other).mean() > 0.9
    assert len({image.tobytes() for image in images}) == 30


def test_classes_are_alphabetical_and_balanced() -> None:
    assert list(KINDS) == ["circle", "square", "triangle"]
    _, labels = dataset(300, 1)
    assert labels.dtype == np.int64
    np.testing.assert_array_equal(np.bincount(labels), [100, 100, 100])
    np.testing.assert_array_equal(np.sort(np.bincount(dataset(100, 1)[1])), [33, 33, 34])
    assert (labels[:-1] != labels[1:]).mean() == pytest.approx(2 / 3, abs=0.1)


def test_circle_has_one_radius() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        corners = outline("circle", rng)
        radii = np.linalg.norm(corners - corners.mean(axis=0), axis=1)
        np.testing.assert_allclose(radii, radii[0])
        assert 4.5 <= radii[0] <= 11


def sides_and_angles(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Side lengths in pixels and inner angles in degrees."""
    sides = np.roll(corners, -1, axis=0) - corners
    lengths = np.linalg.norm(sides, axis=1)
    cosines = -np.sum(sides * np.roll(sides, 1, axis=0), axis=1) / (lengths * np.roll(lengths, 1))
    return lengths, np.degrees(np.arccos(cosines))


def test_square_has_equal_sides_and_right_angles() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        lengths, angles = sides_and_angles(outline("square", rng))
        np.testing.assert_allclose(lengths, lengths[0])
        np.testing.assert_allclose(angles, 90)


def test_triangle_has_three_wide_angles() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        _, angles = sides_and_angles(outline("triangle", rng))
        assert angles.sum() == pytest.approx(180)
        assert angles.min() >= 35
        assert angles.max() <= 85


@pytest.mark.parametrize(("kind", "symmetry_degrees"), [("square", 90), ("triangle", 360)])
def test_shapes_are_turned(kind: str, symmetry_degrees: float) -> None:
    rng = np.random.default_rng(0)
    firsts = np.array([corners[0] - corners.mean(axis=0) for corners in (outline(kind, rng) for _ in range(200))])
    turns = np.degrees(np.arctan2(firsts[:, 1], firsts[:, 0])) % symmetry_degrees
    np.testing.assert_array_less(20, np.histogram(turns, bins=5, range=(0, symmetry_degrees))[0])


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_vary_in_place_and_size_and_stay_inside(kind: str) -> None:
    rng = np.random.default_rng(0)
    outlines = [outline(kind, rng) for _ in range(200)]
    lowest, highest = MARGIN_PX - 1e-9, SIZE_PX - MARGIN_PX + 1e-9
    assert all(lowest <= corners.min() and corners.max() <= highest for corners in outlines)
    sizes = np.array([np.ptp(corners, axis=0).max() for corners in outlines])
    assert sizes.max() / sizes.min() > CIRCUMRADIUS_PX[kind][1] / CIRCUMRADIUS_PX[kind][0] * 0.8
    assert np.std([corners.mean(axis=0) for corners in outlines], axis=0).min() > 2


@pytest.mark.parametrize(
    ("kind", "lowest", "highest"), [("circle", 0.8, 1.0), ("square", 0.58, 0.8), ("triangle", 0.3, 0.58)]
)
def test_what_is_drawn_is_the_shape(kind: str, lowest: float, highest: float) -> None:
    rng = np.random.default_rng(0)
    measured = np.array([roundness(draw(kind, rng)) for _ in range(200)])
    assert np.mean((lowest < measured) & (measured < highest)) > 0.97


def test_edges_are_anti_aliased() -> None:
    between = []
    for seed in range(20):
        picture = draw("circle", np.random.default_rng(seed)).astype(float)
        distance = np.linalg.norm(picture - picture[0, 0], axis=-1)
        between.append(np.mean((distance > 0.3 * distance.max()) & (distance < 0.7 * distance.max())))
    assert np.mean(between) > 0.02


def test_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="'hexagon' is not one of circle, square, triangle"):
        draw("hexagon", np.random.default_rng(0))
