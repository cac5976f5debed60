"""Element-wise Grad-CAM: what speaks for the class, cell by cell and channel by channel."""

from __future__ import annotations

import numpy as np

from service.arrays import Floats
from service.explainers.cam.gradients import from_gradients
from service.explainers.cam.weighted import Channels
from service.explainers.channels import weighted


@from_gradients(
    "gradcam_elementwise",
    "Σ_k ReLU(G_k·A_k), cell by cell.",
    "https://github.com/jacobgil/pytorch-grad-cam",
    "Nothing is ever subtracted: a cell of much evidence for and as much against the class looks as if all of it were "
    "for the class, and maps of two classes share most of what they show. Behind a ReLU, where no activation is "
    "negative, it is layercam.",
)
def gradcam_elementwise(activations: Floats, gradients: Floats) -> Channels:
    """ReLU(G_k A_k), cell by cell, as the element-wise Grad-CAM of pytorch-grad-cam; no paper defines it."""
    return np.maximum(weighted(activations, gradients.astype(np.float64)), 0)
