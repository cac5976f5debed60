"""Eigen-Grad-CAM: what dominates the evidence for a class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from service.explainers.cam.components import component_along_sum
from service.explainers.cam.gradients import ONE_PASS, at_layer, check_layer, one_pass
from service.explainers.channels import weighted
from service.explainers.variants import Maps, variant

if TYPE_CHECKING:
    from service.explainers.cam.params import CamParams
    from service.explainers.subject import Subject


@variant(
    "eigengradcam",
    "First principal component of the cells of G·A, each channel's mean removed. Its sign, which a component leaves "
    "open, is the one that correlates with Σ_k G_k·A_k.",
    "https://github.com/jacobgil/pytorch-grad-cam",
    ONE_PASS,
    "It shows how cells differ, not how much evidence they hold: its mean is 0, and cells below it may still speak for "
    "the class. Where no component dominates, a small change of the image may turn it into another.",
    estimate=one_pass,
    check=check_layer,
    signed=True,
    cam_layer=True,
)
def eigengradcam(subject: Subject, params: CamParams) -> Maps:
    """Gives a signed map (h, w) a target; that of a contrast a-b is the negative of that of b-a.

    As pytorch-grad-cam, which leaves the sign to the decomposition; after Muhammad and Yeasin 2020, arXiv 2008.00299.
    """
    found = at_layer(subject, params)
    evidence = (weighted(found.activations, gradients.astype(np.float64)) for gradients in found.gradients)
    maps = [np.asarray(component_along_sum(channels), np.float32) for channels in evidence]
    return Maps(maps, found.scores, {"layer": found.path})
