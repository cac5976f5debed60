"""The largest eigenvalue of a symmetric matrix without the others, which would take several times as long and as much
memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from service.explainers.base import Progress

# The residual at which the pair is taken for found, as a share of the largest eigenvalue by absolute value.
TOLERANCE = 1e-11
# The small eigenproblem is solved every so many steps.
LOOK = 8


def largest_eigenpair(matrix: NDArray[np.float64], progress: Progress) -> tuple[float, NDArray[np.float64]]:
    """The largest algebraic eigenvalue of a symmetric matrix (n, n), and its eigenvector (n,) of length 1, sign open.

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
        if step % LOOK == LOOK - 1 or step == size - 1 or length <= TOLERANCE * abs(diagonal[0]):
            values, vectors = np.linalg.eigh(np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1))
            if step == size - 1 or length * abs(vectors[-1, -1]) <= TOLERANCE * float(np.abs(values).max()):
                break
        beside.append(length)
        vector = image / length
    return float(values[-1]), np.asarray(vectors[:, -1] @ known)
