"""The arithmetic of class activation maps, on arrays: A and G are (h, w, k) activations and gradients of one layer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def gradcam(activations: Floats, gradients: Floats) -> Floats:
    """ReLU(Σ_k a_k A_k), a_k = mean_ij G_ijk: (h, w), >= 0. Selvaraju et al. 2017, arXiv 1610.02391, eq. 1 and 2."""
    return weighted(activations, gradients.mean(axis=(0, 1), dtype=np.float64))


def gradcam_plus_plus(activations: Floats, gradients: Floats) -> Floats:
    """ReLU(Σ_k w_k A_k), w_k = Σ_ij α ReLU(G), α = G² / (2G² + S_k G³), S_k = Σ_ab A_abk, α = 0 where G = 0.

    (h, w), >= 0. Chattopadhay et al. 2018, arXiv 1710.11063, eq. 19; α is not renormalised.
    """
    a, g = activations.astype(np.float64), gradients.astype(np.float64)
    # Divided through by G², which leaves 1 / (2 + S G).
    denominator = 2 + a.sum(axis=(0, 1)) * g
    usable = (g != 0) & (denominator != 0)
    alpha = np.where(usable, 1 / np.where(usable, denominator, 1), 0)
    return weighted(activations, (alpha * np.maximum(g, 0)).sum(axis=(0, 1)))


def hirescam(activations: Floats, gradients: Floats) -> Floats:
    """ReLU(Σ_k G_k A_k): (h, w), >= 0. Draelos and Carin 2020, arXiv 2011.08891; clipped at 0 as Grad-CAM."""
    return _positive((gradients.astype(np.float64) * activations).sum(axis=2))


def layercam(activations: Floats, gradients: Floats) -> Floats:
    """ReLU(Σ_k ReLU(G_k) A_k): (h, w), >= 0. Jiang et al. 2021, IEEE TIP 30, eq. 6 and 7."""
    return _positive((np.maximum(gradients, 0).astype(np.float64) * activations).sum(axis=2))


def xgradcam(activations: Floats, gradients: Floats) -> Floats:
    """ReLU(Σ_k w_k A_k), w_k = Σ G A / (Σ A + 1e-7): (h, w), >= 0. Fu et al. 2020, arXiv 2008.02312, eq. 9."""
    product = (gradients.astype(np.float64) * activations).sum(axis=(0, 1))
    return weighted(activations, product / (activations.sum(axis=(0, 1), dtype=np.float64) + 1e-7))


def eigencam(activations: Floats) -> Floats:
    """A as (hw, k), each channel's mean removed, projected on its first right singular vector: (h, w), signed.

    The sign is the one that makes the largest absolute value positive; NaN where A is not finite.
    Muhammad and Yeasin 2020, arXiv 2008.00299.
    """
    height, width, channels = activations.shape
    flat = activations.reshape(-1, channels).astype(np.float64)
    centred = flat - flat.mean(axis=0)
    if not np.isfinite(centred).all():
        return np.full((height, width), np.nan, np.float32)
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    projected = left[:, 0] * singular[0]
    sign = -1.0 if projected[np.abs(projected).argmax()] < 0 else 1.0
    return np.asarray((sign * projected).reshape(height, width), np.float32)


def weighted(activations: Floats, weights: NDArray[np.float64], *, positive: bool = True) -> Floats:
    """Σ_k w_k A_k, clipped at 0 where `positive`: (h, w) float32."""
    total = activations.astype(np.float64) @ weights
    return _positive(total) if positive else np.asarray(total, np.float32)


def _positive(values: NDArray[np.float64]) -> Floats:
    return np.asarray(np.maximum(values, 0), np.float32)


FROM_GRADIENTS: dict[str, Callable[[Floats, Floats], Floats]] = {
    "gradcam": gradcam,
    "gradcam++": gradcam_plus_plus,
    "hirescam": hirescam,
    "layercam": layercam,
    "xgradcam": xgradcam,
}
