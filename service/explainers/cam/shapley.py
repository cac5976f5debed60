"""Shapley-CAM: Grad-CAM with the second order of the score."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from service.explainers.cam.gradients import backward_passes, check_layer
from service.explainers.cam.weighted import Weighted, weighted_variant
from service.explainers.channels import weighted
from service.explainers.layers import layer_for
from service.explainers.passes import curvature_plan

if TYPE_CHECKING:
    from service.explainers.cam.params import CamParams
    from service.explainers.subject import Subject


def _passes(subject: Subject, params: CamParams) -> float:
    return 1 + 3 * backward_passes(subject, params)


def _check(subject: Subject, params: CamParams) -> None:
    """Raises as `check_layer` does, and MethodNotValid where an operation behind the layer has no second derivative,
    which compiling the pass shows."""
    check_layer(subject, params)
    curvature_plan(subject, layer_for(subject, params.layer, params.method).output)


@weighted_variant(
    "shapleycam",
    "ReLU(Σ_k w_k A_k) with w_k the mean over cells of G - HA/2, where HA is the product of the score's Hessian at the "
    "layer with the activations.",
    "https://arxiv.org/abs/2501.06261",
    "1 forward, 2 backward a target",
    "Where all behind the layer is piecewise linear, as behind the last convolution of most networks, the Hessian is 0 "
    "and the map is that of gradcam. The score is the one that is explained, a logit where there is one; the paper's "
    "own, which adds the logarithm of the probability, is not used.",
    estimate=_passes,
    check=_check,
)
def shapleycam(subject: Subject, params: CamParams) -> Weighted:
    """Gives the channels w_k A_k of each target, w_k = mean_ij (G - HA / 2)_ijk, H = ∂²y/∂A².

    Cai 2025, arXiv 2501.06261: the Shapley values of a layer's cells in the Taylor expansion of the score to the
    second order, from no activation to A, as a mean a channel.
    """
    entry = layer_for(subject, params.layer, params.method)
    plan = curvature_plan(subject, entry.output)
    values, gradients, products, rows = plan(subject.image.batch, subject.targets.chosen())
    slopes = gradients[0].astype(np.float64) - products[0].astype(np.float64) / 2
    channels = (weighted(values[0], slope.mean(axis=(0, 1))) for slope in slopes)
    return Weighted(channels, rows[0], {"layer": entry.path})
