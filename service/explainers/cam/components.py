"""Principal components of a layer's cells: each cell is a point with a coordinate a channel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from service.arrays import Floats


def principal_component(values: Floats | NDArray[np.float64]) -> NDArray[np.float64]:
    """(h, w, k) as (hw, k), each channel's mean removed, projected on its first right singular vector: (h, w) float64.

    Its sign is open; NaN everywhere where a value is not finite.
    """
    height, width, channels = values.shape
    flat = values.reshape(-1, channels).astype(np.float64)
    centred = flat - flat.mean(axis=0)
    if not np.isfinite(centred).all():
        return np.full((height, width), np.nan)
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    return np.asarray((left[:, 0] * singular[0]).reshape(height, width))


def largest_positive(component: NDArray[np.float64]) -> Floats:
    """The component (h, w) float32 with the sign that makes its largest absolute value positive."""
    sign = -1.0 if component.flat[np.abs(component).argmax()] < 0 else 1.0
    return np.asarray(sign * component, np.float32)


def component_along_sum(channels: NDArray[np.float64]) -> NDArray[np.float64]:
    """The first principal component (h, w) of weighted channels (h, w, k), with the sign that makes it correlate
    positively with their sum; where the two do not correlate, its largest absolute value is positive."""
    component = principal_component(channels)
    total = channels.sum(axis=2)
    # The component's own mean is 0, each channel's being removed.
    covariance = float(((total - total.mean()) * component).sum())
    if covariance == 0:
        return np.asarray(largest_positive(component), np.float64)
    return component if covariance > 0 or np.isnan(covariance) else -component
