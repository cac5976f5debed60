"""Whether every number is finite: the quick answer is the exact one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from service.models.graph.finite import is_finite

HUGE = np.finfo(np.float32).max
VIEWS: list[Any] = [lambda array: array, lambda array: array[::-1], lambda array: array.T, lambda array: array[:, 1:]]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4"])
@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("wrong", [None, np.nan, np.inf, -np.inf])
def test_one_number_among_many(dtype: str, view: Any, wrong: float | None) -> None:
    array = np.ones((50, 70), dtype)
    if wrong is not None:
        array[20, 30] = wrong
    assert is_finite(view(array)) is (wrong is None)


@pytest.mark.parametrize(
    ("values", "finite"),
    [
        ([HUGE, HUGE], True),
        ([HUGE, -HUGE], True),
        ([HUGE, HUGE, np.nan], False),
        ([np.inf, -np.inf], False),
        ([-0.0, np.finfo(np.float32).smallest_subnormal], True),
        ([], True),
    ],
)
def test_what_overflows_when_it_is_added_up(values: list[float], finite: bool) -> None:
    assert is_finite(np.array(values, np.float32)) is finite


@pytest.mark.parametrize("array", [np.array(3, np.float32), np.array([True]), np.arange(5, dtype=np.uint8)])
def test_other_shapes_and_dtypes(array: Any) -> None:
    assert is_finite(array)
