"""Arrays of every dtype that messages carry, with the values that a careless copy would change."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from service.engine.protocol import DType

DTYPES = get_args(DType)


def extremes(dtype: str) -> NDArray[Any]:
    """The outermost values; of floats the least ones, both infinities, -0 and NaN with and without a sign."""
    kind = np.dtype(dtype)
    if kind.kind == "f":
        least = np.finfo(kind).smallest_subnormal
        return np.array([np.nan, -np.nan, np.inf, -np.inf, -0.0, np.finfo(kind).max, least, 1 / 3], kind)
    if kind.kind == "b":
        return np.array([True, False, False])
    return np.array([np.iinfo(kind).min, np.iinfo(kind).max, 0, 1, 7], kind)
