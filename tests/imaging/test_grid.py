"""Tiles: their grey levels, their places, their number, their limits."""

import numpy as np
import pytest

from service.imaging.colormaps import COLORMAPS, lookup
from service.imaging.grid import Normalisation, grid, normalise, stack

PINK = (250, 10, 120)


def channels(*values: list[float]) -> np.ndarray:
    """Each list as a channel of one row: (1, n, C) float32."""
    return np.float32(values).T[None]


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        # mean 2, std sqrt((4 + 1 + 0 + 9) / 4) = 1.8708: 128 - 68.4, 128 - 34.2, 128, 128 + 102.6; then mean 0, std 10
        ("standard", [[60, 94, 128, 231], [64, 192, 64, 192], [128, 128, 128, 128]]),
        ("minmax", [[0, 51, 102, 255], [0, 255, 0, 255], [128, 128, 128, 128]]),
        # one range from -10 to 10
        ("shared", [[128, 140, 153, 191], [0, 255, 0, 255], [217, 217, 217, 217]]),
    ],
)
def test_normalise(how: Normalisation, expected: list[list[int]]) -> None:
    levels = normalise(channels([0, 1, 2, 5], [-10, 10, -10, 10], [7, 7, 7, 7]), how)
    assert levels.dtype == np.uint8
    np.testing.assert_array_equal(levels[0].T, expected)


def test_standard_is_clipped() -> None:
    levels = normalise(channels([100] + [0] * 99, [-100] + [0] * 99), "standard")
    assert levels[0, 0].tolist() == [255, 0]


@pytest.mark.parametrize("how", ["standard", "minmax", "shared"])
@pytest.mark.parametrize("value", [0.0, 0.1, -3.3, 1e30, 1e-40])
def test_a_constant_is_mid_grey(how: Normalisation, value: float) -> None:
    assert (normalise(np.full((5, 7, 3), value, np.float32), how) == 128).all()


@pytest.mark.parametrize("how", ["standard", "minmax", "shared"])
def test_tiny_and_huge_values_are_drawn(how: Normalisation) -> None:
    for size in (1e-44, 3e38):
        levels = normalise(channels([-size, size]), how)
        assert levels[0, :, 0].tolist() == ([64, 192] if how == "standard" else [0, 255])


@pytest.mark.parametrize("how", ["standard", "minmax", "shared"])
def test_what_is_not_finite_is_refused(how: Normalisation) -> None:
    with pytest.raises(ValueError, match="NaN or infinity"):
        normalise(channels([0, np.nan]), how)


def test_tiles_stand_where_they_belong_and_the_last_row_is_drawn() -> None:
    tiles = np.uint8([[[10, 20, 30, 40, 50]]])
    drawn = grid(tiles, colormap="gray", per_row=3, min_tile_px=1, background=PINK)
    assert drawn.shape == (5, 7, 3)
    p = PINK[0]
    np.testing.assert_array_equal(
        drawn[:, :, 0],
        [
            [p, p, p, p, p, p, p],
            [p, 10, p, 20, p, 30, p],
            [p, p, p, p, p, p, p],
            [p, 40, p, 50, p, p, p],
            [p, p, p, p, p, p, p],
        ],
    )
    np.testing.assert_array_equal(drawn[3, 5], PINK)


@pytest.mark.parametrize("count", [1, 15, 16, 17, 33])
def test_every_tile_is_drawn(count: int) -> None:
    tiles = np.tile(np.arange(1, count + 1, dtype=np.uint8) * 7, (2, 2, 1))
    drawn = grid(tiles, colormap="gray", min_tile_px=2)
    assert sorted(set(drawn[:, :, 0].ravel()) - {0}) == [7 * index for index in range(1, count + 1)]
    assert drawn.shape[1] == 1 + 3 * min(count, 16)


@pytest.mark.parametrize("colormap", COLORMAPS)
def test_tiles_have_the_colours_of_the_map(colormap: str) -> None:
    drawn = grid(np.uint8([[[0, 200]]]), colormap=colormap, min_tile_px=1, margin=0)
    np.testing.assert_array_equal(drawn[0], lookup(colormap)[[0, 200]])


def test_rgb_tiles() -> None:
    drawn = grid([np.full((2, 3, 3), PINK, np.uint8), np.zeros((2, 3, 3), np.uint8)], margin=0, min_tile_px=2)
    np.testing.assert_array_equal(drawn[:, :3], np.full((2, 3, 3), PINK))
    assert not drawn[:, 3:].any()


@pytest.mark.parametrize(("side", "drawn_side"), [(1, 32), (5, 30), (7, 35), (14, 28), (28, 28), (112, 112)])
def test_small_tiles_are_enlarged_by_a_whole_factor(side: int, drawn_side: int) -> None:
    tiles = np.random.default_rng(2).integers(0, 256, (side, side, 2), dtype=np.uint8)
    drawn = grid(tiles, colormap="gray", margin=0)
    assert drawn.shape == (drawn_side, 2 * drawn_side, 3)
    factor = drawn_side // side
    np.testing.assert_array_equal(drawn[:, :drawn_side, 0], tiles[:, :, 0].repeat(factor, 0).repeat(factor, 1))


@pytest.mark.parametrize(
    ("shape", "max_px"),
    [((56, 56, 64), 50_000), ((7, 7, 2048), 100_000), ((300, 2, 40), 5000), ((2, 900, 3), 900), ((9, 9, 500), 512)],
)
def test_a_picture_never_passes_its_limit(shape: tuple[int, int, int], max_px: int) -> None:
    drawn = grid(np.full(shape, 255, np.uint8), colormap="gray", max_px=max_px)
    assert max_px / 8 < drawn.shape[0] * drawn.shape[1] <= max_px
    assert drawn.any()


def test_more_tiles_than_pixels_are_refused() -> None:
    with pytest.raises(ValueError, match="500 tiles do not fit into 400 pixels"):
        grid(np.zeros((1, 1, 500), np.uint8), max_px=400)


@pytest.mark.parametrize("tiles", [[], np.zeros((4, 4, 0), np.uint8), [np.zeros((1, 1, 3)), np.zeros((1, 2, 3))]])
def test_no_tiles_and_uneven_tiles_are_refused(tiles: object) -> None:
    with pytest.raises(ValueError, match=r"there is no tile|of several sizes"):
        grid(tiles)


def test_a_title_is_a_strip_above() -> None:
    tiles = np.full((28, 28, 32), 90, np.uint8)
    plain, titled = grid(tiles), grid(tiles, title="conv2d")
    assert titled.shape == (plain.shape[0] + 24, plain.shape[1], 3)
    np.testing.assert_array_equal(titled[24:], plain)
    strip = titled[:24]
    assert strip.max() > 200
    assert not strip[:, 80:].any()


def test_a_title_on_a_light_background_is_dark() -> None:
    strip = grid(np.full((28, 28, 32), 90, np.uint8), title="conv2d", background=(255, 255, 255))[:24]
    assert strip.min() < 60
    assert strip[0].min() == 255


def test_a_long_title_is_shortened_and_stays_inside() -> None:
    tiles = np.full((28, 28, 1), 90, np.uint8)
    for title in ("block5_conv3" * 30, "two\nlines", "w" * 20_000, ""):
        titled = grid(tiles, title=title)
        assert titled.shape[1] <= 400
        assert not titled[:24, -3:].any()


def test_captions_stand_below_their_tiles() -> None:
    tiles = np.full((48, 48, 3), 128, np.uint8)
    plain, named = grid(tiles, per_row=2, margin=4), grid(tiles, per_row=2, margin=4, captions=["7", "", "wide" * 30])
    assert (plain.shape, named.shape) == ((108, 108, 3), (140, 108, 3))
    strips = [named[52:68, 4:52], named[52:68, 56:104], named[120:136, 4:52]]
    assert [bool(strip.any()) for strip in strips] == [True, False, True]
    np.testing.assert_array_equal(named[68:72], 0)
    np.testing.assert_array_equal(named[72:120, 4:52], plain[56:104, 4:52])


def test_stack() -> None:
    tall = stack([np.full((2, 3, 3), 9, np.uint8), np.full((1, 5, 3), 7, np.uint8)], gap=2, background=PINK)
    p = PINK[0]
    np.testing.assert_array_equal(
        tall[:, :, 0], [[9, 9, 9, p, p], [9, 9, 9, p, p], [p, p, p, p, p], [p, p, p, p, p], [7, 7, 7, 7, 7]]
    )
