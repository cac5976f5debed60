"""Eigen-CAM: what dominates a layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from service.arrays import Floats
from service.explainers.cam.gradients import check_layer
from service.explainers.layers import layer_for
from service.explainers.passes import values_at
from service.explainers.variants import Maps, Warned, variant

if TYPE_CHECKING:
    from service.explainers.cam.params import CamParams
    from service.explainers.subject import Subject


@variant(
    "eigencam",
    "Projection of the centred activations on their first principal component.",
    "https://arxiv.org/abs/2008.00299",
    "1 forward",
    "Knows no class: it shows what dominates the layer, whatever is asked for.",
    check=check_layer,
    signed=True,
    cam_layer=True,
)
def eigencam(subject: Subject, params: CamParams) -> Maps:
    """Gives the same map for every target; see `first_component`."""
    entry = layer_for(subject, params.layer, params.method)
    activations, scores = values_at(subject, entry.output)
    maps = [first_component(activations)] * len(subject.targets.pairs)
    detail = f"{params.method} knows no class: the map would be the same for any target"
    return Maps(maps, scores, {"layer": entry.path}, (Warned("non_class_discriminative", detail),))


def first_component(activations: Floats) -> Floats:
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
