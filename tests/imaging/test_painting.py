"""Maps in colour, alone and over a photograph: against numbers worked out by hand, and the whole at once."""

import numpy as np
import pytest

from service import strips
from service.imaging.colormaps import lookup
from service.imaging.painting import Painting, Region, Scale, inside, resize_map, scale_unit


def painted(values: np.ndarray, colormap: str = "gray", scale: Scale = "max") -> np.ndarray:
    return Painting.of(values, values.shape, None, scale).on(None, colormap)


def test_colours() -> None:
    np.testing.assert_array_equal(painted(np.float32([[0, 2]]), "jet"), lookup("jet")[[[0, 255]]])


@pytest.mark.parametrize("alpha", [0.0, 0.25, 0.4, 0.77, 1.0])
def test_a_photograph_is_blended_exactly(alpha: float) -> None:
    image = np.random.default_rng(1).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    values = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)
    image.setflags(write=False)
    expected = (1 - alpha) * image + alpha * painted(values, "jet")
    blended = Painting.of(values, (16, 16), None, "max").on(image, "jet", alpha)
    assert np.abs(blended - expected).max() <= 0.5 + 1e-4
    assert blended.dtype == np.uint8


def test_a_blend_by_hand() -> None:
    # viridis ends in (253, 231, 37): 0.6 * 100 + 0.4 * 253 = 161.2, 0.6 * 50 + 0.4 * 231 = 122.4, 0.4 * 37 = 14.8
    painting = Painting.of(np.float32([[1]]), (1, 1), None, "max")
    np.testing.assert_array_equal(painting.on(np.uint8([[[100, 50, 0]]]), "viridis", 0.4), [[[161, 122, 15]]])


def test_a_photograph_of_another_size_is_refused() -> None:
    painting = Painting.of(np.zeros((3, 2), np.float32), (3, 2), None, "max")
    with pytest.raises(ValueError, match=r"the photograph is \(2, 3\), the map is laid over \(3, 2\)"):
        painting.on(np.zeros((2, 3, 3), np.uint8), "jet", 0.4)


def test_an_unknown_colormap_is_refused() -> None:
    with pytest.raises(ValueError, match="There is no colormap 'rainbow'"):
        painted(np.float32([[1]]), "rainbow")


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("scale", ["max", "minmax", "symmetric"])
def test_what_is_not_finite_is_refused(wrong: float, scale: Scale) -> None:
    with pytest.raises(ValueError, match="NaN or infinity"), np.errstate(invalid="ignore"):
        painted(np.float32([[0, wrong, 1]]), scale=scale)


@pytest.mark.parametrize(
    ("values", "scale", "levels"),
    [
        ([0, 0, 0], "max", [0, 0, 0]),
        ([-3, -1, -2], "max", [0, 0, 0]),
        ([7, 7, 7], "minmax", [128, 128, 128]),
        ([0, 0, 0], "symmetric", [128, 128, 128]),
        ([-4, 0, 2], "symmetric", [0, 128, 192]),
        ([-3e38, 0, 3e38], "minmax", [0, 128, 255]),
        ([0, 1.4e-45, 2.8e-45], "max", [0, 128, 255]),
    ],
)
def test_levels(values: list[float], scale: Scale, levels: list[int]) -> None:
    assert painted(np.float32([values]), scale=scale)[0, :, 0].tolist() == levels


REGIONS: list[Region | None] = [None, (0, 0, 301, 500), (20, 30, 200, 300), (-50, 11.5, 480, 333.3), (900, 900, 9, 9)]


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("cells", [(7, 7), (1, 1), (1, 9), (40, 30), (224, 224), (700, 900)])
@pytest.mark.parametrize("scale", ["max", "minmax", "symmetric"])
def test_strips_are_the_whole_at_once(
    scale: Scale, cells: tuple[int, int], region: Region | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Levels of the colours' table that differ by rounding are next to each other, and few."""
    monkeypatch.setattr(strips, "STRIP_VALUES", 10_000)
    monkeypatch.setattr(strips, "_threads", lambda: 3)
    size = (301, 500)
    values = np.random.default_rng(5).normal(size=cells).astype(np.float32)
    laid = resize_map(values, size, region)
    there = inside(size, region or (0, 0, *size))
    unit = np.full(size, 0.5 if scale == "symmetric" else 0.0)
    if laid[there].size:
        unit[there] = scale_unit(laid[there], scale)
    expected = np.clip(unit * 256, 0, 255).astype(np.uint8)
    found = Painting.of(values, size, region, scale).on(None, "gray")[..., 0]
    difference = np.abs(found.astype(int) - expected)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.005
