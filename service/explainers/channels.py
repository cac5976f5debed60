"""Weighted channels of a layer: A and G are its (h, w, k) float32 activations and gradients."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from service.arrays import Floats


def by_mean_gradient(activations: Floats, gradients: Floats) -> Floats:
    """ReLU(Σ_k a_k A_k), a_k = mean_ij G_ijk: (h, w), >= 0. Selvaraju et al. 2017, arXiv 1610.02391, eq. 1 and 2."""
    return clipped(weighted(activations, gradients.mean(axis=(0, 1), dtype=np.float64)).sum(axis=2))


def weighted(activations: Floats, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """w_k A_k: the channels (h, w, k) float64, weighted by (k,), or cell by cell by (h, w, k)."""
    return np.asarray(activations.astype(np.float64) * weights)


def clipped(values: NDArray[np.float64]) -> Floats:
    """max(values, 0), as float32."""
    return np.asarray(np.maximum(values, 0), np.float32)
