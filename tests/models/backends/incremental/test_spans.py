"""Where the change lies, worked out on paper: `.` clean, `#` changed."""

from __future__ import annotations

import numpy as np
import pytest

from service.models.backends.incremental.spans import Crop, Reach, WindowSpan


def span(length: int, *windows: tuple[int, int]) -> WindowSpan:
    return WindowSpan.of_windows(length, windows)


def test_windows_cropped_at_the_border_are_kept_at_the_size_of_the_largest() -> None:
    found = span(8, (0, 3), (3, 6), (6, 8))
    assert (found.low.tolist(), found.high.tolist()) == ([0, 3, 6], [2, 5, 7])
    assert (found.start.tolist(), found.size) == ([0, 3, 5], 3)


def test_a_3_kernel_reaches_one_cell_further_on_either_side() -> None:
    """`..##....` → `.####...` and, at the border, `##......` → `###.....`."""
    reach = Reach.of_kernel(3, 1, 1, "same", 8)
    assert reach == Reach(3, 1, 1)
    found = reach.outputs(span(8, (2, 4), (0, 2), (6, 8)), 8)
    assert (found.low.tolist(), found.high.tolist()) == ([1, 0, 5], [4, 2, 7])
    assert (found.start.tolist(), found.size) == ([1, 0, 4], 4)
    crop = reach.inputs(found)
    assert (crop.start.tolist(), crop.size) == ([0, -1, 3], 6)


def test_valid_padding_loses_the_rim() -> None:
    found = Reach.of_kernel(3, 1, 1, "valid", 8).outputs(span(8, (0, 1), (4, 5), (7, 8)), 6)
    assert (found.low.tolist(), found.high.tolist()) == ([0, 2, 5], [0, 4, 5])


@pytest.mark.parametrize(
    ("length", "kernel", "stride", "dilation", "before"),
    [
        # (out-1)·stride + extent - length cells are missing; the smaller half stands in front.
        (8, 3, 2, 1, 0),
        (7, 3, 2, 1, 1),
        (8, 2, 1, 1, 0),
        (8, 5, 1, 1, 2),
        (8, 3, 1, 2, 2),
        (8, 2, 2, 1, 0),
        (9, 2, 2, 1, 0),
        (8, 1, 2, 1, 0),
        (224, 7, 2, 1, 2),
    ],
)
def test_same_padding_is_tensorflows(length: int, kernel: int, stride: int, dilation: int, before: int) -> None:
    found = Reach.of_kernel(kernel, stride, dilation, "same", length)
    assert found == Reach((kernel - 1) * dilation + 1, stride, before)
    assert Reach.of_kernel(kernel, stride, dilation, "valid", length).before == 0


def test_aligned_windows_stay_tight_through_strides() -> None:
    """Patches of 4 on a grid of 4 through two 2×2 poolings: one cell, not two."""
    found = span(16, *[(start, start + 4) for start in range(0, 16, 4)])
    for length in (8, 4):
        found = Reach.of_kernel(2, 2, 1, "valid", 2 * length).outputs(found, length)
    assert (found.start.tolist(), found.size) == ([0, 1, 2, 3], 1)


def test_windows_off_the_grid_need_one_cell_more() -> None:
    found = Reach.of_kernel(2, 2, 1, "valid", 8).outputs(span(8, (0, 2), (1, 3), (5, 7)), 4)
    assert (found.low.tolist(), found.high.tolist()) == ([0, 0, 2], [0, 1, 3])
    assert (found.start.tolist(), found.size) == ([0, 0, 2], 2)


def test_what_a_stride_steps_over_changes_nothing_but_is_kept_within_the_map() -> None:
    """A 1×1 convolution of stride 4 on 8 cells sees the cells 0 and 4 only."""
    found = Reach.of_kernel(1, 4, 1, "same", 8).outputs(span(8, (1, 2), (4, 5), (6, 8)), 2)
    assert (found.start.tolist(), found.size) == ([1, 1, 1], 1)


def test_a_merge_holds_both() -> None:
    wide, narrow = span(8, (0, 4), (4, 8)), span(8, (2, 3), (5, 6))
    assert wide.united(narrow).size == 4
    apart = span(8, (0, 2), (2, 4)).united(span(8, (3, 5), (4, 6)))
    assert (apart.start.tolist(), apart.size) == ([0, 2], 5)


def test_padding_and_repeating_compute_nothing_new() -> None:
    padded = span(4, (0, 2), (2, 4)).moved(3, 9)
    assert (padded.length, padded.start.tolist(), padded.size) == (9, [3, 5], 2)
    repeated = span(4, (0, 2), (3, 4)).repeated(2)
    assert (repeated.length, repeated.low.tolist(), repeated.high.tolist()) == (8, [0, 6], [3, 7])
    assert (repeated.start.tolist(), repeated.size) == ([0, 4], 4)


def test_shares_of_average_pooling_count_the_cells_within_the_map() -> None:
    """3 cells, `same`, on 4: the first and the last see two of their three."""
    reach = Reach.of_kernel(3, 1, 1, "same", 4)
    whole = span(4, (0, 4))
    np.testing.assert_allclose(reach.shares(whole, 4), [[3 / 2, 1, 1, 3 / 2]])


def test_crops() -> None:
    part = span(8, (2, 4), (6, 8))
    assert Crop.of(part).same_as(part)
    assert not Crop.whole(part).same_as(part)
    assert (Crop.whole(part).start.tolist(), Crop.whole(part).size) == ([0, 0], 8)
