"""A chart's lines and ticks are where they belong."""

import numpy as np
import pytest

from service.imaging.plot import line_plot, ticks

BLUE, ORANGE = (0, 114, 178), (213, 94, 0)


def pixels_of(chart: np.ndarray, colour: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of a colour in the plot itself, below the legend."""
    rows, columns = np.nonzero((np.abs(chart.astype(int) - colour) <= 2).all(axis=2))
    return rows[rows > 45], columns[rows > 45]


@pytest.mark.parametrize(
    ("low", "high", "most", "expected"),
    [
        (0, 1, 6, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0.03, 0.37, 6, [0, 0.1, 0.2, 0.3, 0.4]),
        (-7, 12, 5, [-10, -5, 0, 5, 10, 15]),
        (1, 30, 8, [0, 5, 10, 15, 20, 25, 30]),
        (5, 5, 6, [2, 3, 4, 5, 6, 7, 8]),
        (0, 0, 6, [-0.6, -0.4, -0.2, 0, 0.2, 0.4, 0.6]),
        (0, 2.5e6, 6, [0, 500_000, 1_000_000, 1_500_000, 2_000_000, 2_500_000]),
        (1e-9, 3e-9, 5, [1e-9, 1.5e-9, 2e-9, 2.5e-9, 3e-9]),
    ],
)
def test_ticks_are_round_and_enclose(low: float, high: float, most: int, expected: list[float]) -> None:
    np.testing.assert_allclose(ticks(low, high, most), expected, rtol=1e-9, atol=1e-15)


def test_a_rising_and_a_falling_line_rise_and_fall() -> None:
    chart = line_plot({"up": [0, 1, 2, 3], "down": [3, 2, 1, 0]}, "Title", "epoch", "value")
    assert chart.shape == (320, 480, 3)
    assert chart.dtype == np.uint8
    for colour, sign in ((BLUE, -1), (ORANGE, 1)):
        rows, columns = pixels_of(chart, colour)
        assert np.corrcoef(rows, columns)[0, 1] * sign > 0.99
        assert np.ptp(columns) > 380
        assert np.ptp(rows) > 190


@pytest.mark.parametrize(
    ("title", "name", "x_label", "y_label"),
    [
        ("block5a_project_conv: channels 0, 1, 2, 3, 4, 5, 6, 7, 8 · chollet, 30 steps · 128×128 px", "0", "x", "y"),
        ("word " * 100, "0", "x", "y"),
        ("unbroken" * 50, "0", "x", "y"),
        ("Title", "a class with a name " * 20, "x", "y"),
        ("Title", "0", "x " * 300, "y " * 300),
    ],
    ids=["goes on below", "three lines are the most", "one long word", "legend", "labels"],
)
def test_every_text_fits(title: str, name: str, x_label: str, y_label: str) -> None:
    chart = line_plot({name: [1, 2], "other": [2, 1]}, title, x_label, y_label)
    rim = np.ones(chart.shape[:2], bool)
    rim[2:-2, 2:-8] = False
    assert chart.min(axis=2)[rim].min() > 250
    # Both lines are still there.
    for colour in (BLUE, ORANGE):
        rows, columns = np.nonzero((np.abs(chart.astype(int) - colour) <= 2).all(axis=2))
        assert np.ptp(rows) > 150
        assert np.ptp(columns) > 300


def test_a_title_that_is_too_wide_loses_no_word() -> None:
    one, two = (line_plot({"0": [1, 2]}, title, "", "") for title in ("long " * 8, "long " * 16))
    # Above the legend of each: one line of text, and two.
    ink = [np.count_nonzero(chart[: 7 + 18 * lines].min(axis=2) < 128) for lines, chart in ((1, one), (2, two))]
    assert ink[1] == pytest.approx(2 * ink[0], rel=0.1)


def test_a_value_stands_at_its_height() -> None:
    rows, _ = pixels_of(line_plot({"half": [0.5] * 9, "range": [0, 1]}, "", "", ""), BLUE)
    top, _ = pixels_of(line_plot({"top": [1] * 9, "range": [0, 1]}, "", "", ""), BLUE)
    bottom, _ = pixels_of(line_plot({"bottom": [0] * 9, "range": [0, 1]}, "", "", ""), BLUE)
    assert rows.mean() == pytest.approx((top.mean() + bottom.mean()) / 2, abs=1)


def test_what_is_not_finite_leaves_a_gap() -> None:
    chart = line_plot({"loss": [1, 1, float("nan"), 1, 1], "low": [0, 0, float("inf"), 0, 0], "high": [2]}, "", "", "")
    _, columns = pixels_of(chart, BLUE)
    gaps = np.diff(np.unique(columns))
    assert gaps.max() == pytest.approx(202, abs=12)
    assert (gaps > 2).sum() == 1


@pytest.mark.parametrize(
    "series",
    [
        {},
        {"empty": []},
        {"one": [0.5]},
        {"nan": [float("nan")] * 3},
        {"huge": [1e299, -1e299, 1e305]},
        {"same": [1e-30] * 5},
    ]
    + [{f"filter {index}": [index, index + 1] for index in range(20)}],
)
def test_odd_series_are_no_error(series: dict[str, list[float]]) -> None:
    assert line_plot(series, "Title", "x", "y", (300, 200)).shape == (200, 300, 3)


def test_a_single_value_is_a_dot() -> None:
    rows, columns = pixels_of(line_plot({"one": [0.5]}, "", "", ""), BLUE)
    assert 4 <= len(rows) <= 25
    assert np.ptp(columns) <= 5
