"""Weighted sums of a layer's channels: A and G are the (h, w, k) float32 activations and gradients of one layer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from service.arrays import Floats


def by_mean_gradient(activations: Floats, gradients: Floats) -> Floats:
    """ReLU(Σ_k a_k A_k), a_k = mean_ij G_ijk: (h, w), >= 0. Selvaraju et al. 2017, arXiv 1610.02391, eq. 1 and 2."""
    return weighted(activations, gradients.mean(axis=(0, 1), dtype=np.float64))


def weighted(activations: Floats, weights: NDArray[np.float64], *, positive: bool = True) -> Floats:
    """Σ_k w_k A_k, clipped at 0 where `positive`: (h, w) float32."""
    total = activations.astype(np.float64) @ weights
    return clipped(total) if positive else np.asarray(total, np.float32)


def clipped(values: NDArray[np.float64]) -> Floats:
    """max(values, 0), as float32."""
    return np.asarray(np.maximum(values, 0), np.float32)
