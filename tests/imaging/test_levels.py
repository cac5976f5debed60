"""What is taken for levels 0..255, number by number."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from service.imaging.npy import as_levels


@pytest.mark.parametrize(
    ("dtype", "numbers", "levels", "scaled", "range_"),
    [
        (np.uint8, [0, 1], [0, 1], None, None),
        (np.uint8, [0, 255], [0, 255], None, None),
        (np.uint16, [0, 257, 65535], [0, 1, 255], "uint16 / 257", None),
        (np.uint16, [100, 256], [100 / 257, 256 / 257], "uint16 / 257", None),
        (np.uint16, [0, 255], [0, 255], None, None),
        (np.uint16, [0, 1], [0, 1], None, "from 0 to 1"),
        (np.float32, [0, 0], [0, 0], None, None),
        (np.float32, [0, 1.5, 255], [0, 1.5, 255], None, None),
        (np.float32, [0, 1], [0, 1], None, "from 0 to 1"),
        (np.float32, [0.25, 0.5], [0.25, 0.5], None, "from 0.25 to 0.5"),
        (np.float32, [-1, 200], [-1, 200], None, "from -1 to 200"),
        (np.float32, [0, 255.5], [0, 255.5], None, "from 0 to 255.5"),
        (np.float32, [-3, -2], [-3, -2], None, "from -3 to -2"),
    ],
)
def test_levels(dtype: Any, numbers: list[float], levels: list[float], scaled: str | None, range_: str | None) -> None:
    given = np.array(numbers, dtype).reshape(1, -1, 1)
    found = as_levels(given)
    assert found.values.dtype == (np.uint8 if dtype is np.uint8 else np.float32)
    np.testing.assert_allclose(found.values.ravel(), levels, rtol=1e-6)
    assert found.scaled == scaled
    sentence = f"the array's numbers lie {range_} and are computed as levels 0..255; send levels 0..255, or "
    assert found.problem == (range_ and f"{sentence}preprocess=false with the network's own values")
