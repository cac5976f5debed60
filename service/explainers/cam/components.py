"""Principal components of a layer's cells: each cell is a point with a coordinate a channel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from service.arrays import Floats

if TYPE_CHECKING:
    from service.explainers.base import Progress

# The residual at which the pair is taken for found, as a share of the largest eigenvalue by absolute value.
TOLERANCE = 1e-11
# The small eigenproblem is solved every so many steps.
LOOK = 8


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


def largest_eigenpair(matrix: NDArray[np.float64], progress: Progress) -> tuple[float, NDArray[np.float64]]:
    """The largest algebraic eigenvalue of a symmetric matrix (n, n), and its eigenvector (n,) of length 1, sign open.

    The others, which a full decomposition finds too, would take several times as long and as much memory.

    Lanczos' method from a fixed random vector, with every vector made orthogonal to all before it (Golub and Van Loan,
    Matrix Computations, 10.3); `progress` is told each step.
    """
    size = len(matrix)
    basis = np.empty((size, size))
    diagonal: list[float] = []
    beside: list[float] = []
    vector = np.random.default_rng(0).normal(size=size)
    vector /= np.linalg.norm(vector)
    for step in range(size):
        progress(step, size)
        basis[step] = vector
        known = basis[: step + 1]
        image = matrix @ vector
        diagonal.append(float(vector @ image))
        for _ in range(2):  # Once leaves what rounding puts back.
            image -= known.T @ (known @ image)
        length = float(np.linalg.norm(image))
        if step % LOOK == LOOK - 1 or step == size - 1 or length <= TOLERANCE * max(map(abs, diagonal)):
            values, vectors = np.linalg.eigh(np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1))
            if step == size - 1 or length * abs(vectors[-1, -1]) <= TOLERANCE * float(np.abs(values).max()):
                break
        beside.append(length)
        vector = image / length
    return float(values[-1]), np.asarray(vectors[:, -1] @ known)
