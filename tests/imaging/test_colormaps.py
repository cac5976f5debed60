"""Tables against published values."""

import numpy as np
import pytest

from service.imaging.colormaps import COLORMAPS, apply, apply_levels, lookup


@pytest.mark.parametrize(
    ("name", "index", "colour"),
    [
        ("viridis", 0, (68, 1, 84)),
        ("viridis", 128, (33, 145, 140)),
        ("viridis", 255, (253, 231, 37)),
        ("inferno", 0, (0, 0, 4)),
        ("inferno", 255, (252, 255, 164)),
        ("jet", 0, (0, 0, 127)),
        ("jet", 29, (0, 0, 255)),
        ("jet", 64, (0, 129, 255)),
        ("jet", 128, (125, 255, 121)),
        ("jet", 255, (127, 0, 0)),
        ("gray", 77, (77, 77, 77)),
        ("coolwarm", 0, (59, 76, 192)),
        ("coolwarm", 255, (180, 4, 38)),
    ],
)
def test_colours(name: str, index: int, colour: tuple[int, int, int]) -> None:
    np.testing.assert_allclose(lookup(name)[index].astype(int), colour, atol=1)


def test_coolwarm_is_light_grey_in_the_middle_and_nowhere_else_grey() -> None:
    table = lookup("coolwarm").astype(int)
    np.testing.assert_allclose(table[127:129], 221, atol=3)
    assert (table[:100, 2] > table[:100, 0] + 30).all()
    assert (table[156:, 0] > table[156:, 2] + 30).all()


@pytest.mark.parametrize("name", COLORMAPS)
def test_tables_are_shared_and_cannot_be_changed(name: str) -> None:
    table = lookup(name)
    assert table.shape == (256, 3)
    assert table.dtype == np.uint8
    with pytest.raises(ValueError, match="read-only"):
        table[0] = 1


def test_apply_uses_256_equal_steps_and_clips() -> None:
    values = np.float32([[0.0, 1 / 256, 0.5], [0.999, 1.0, 7.0], [-1.0, 0.0039, 0.25]])
    expected = np.int64([[0, 1, 128], [255, 255, 255], [0, 0, 64]])
    np.testing.assert_array_equal(apply(values, "gray")[:, :, 0], expected)
    np.testing.assert_array_equal(apply(values, "viridis"), lookup("viridis")[expected])


@pytest.mark.parametrize("shape", [(5,), (4, 7), (3, 4, 5)])
def test_apply_levels_keeps_the_shape(shape: tuple[int, ...]) -> None:
    levels = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    np.testing.assert_array_equal(apply_levels(levels, "inferno"), lookup("inferno")[levels])


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="no colormap 'hot'; there are viridis, jet, gray, inferno, coolwarm"):
        lookup("hot")
