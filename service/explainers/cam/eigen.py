"""Eigen-CAM: what dominates a layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.arrays import Floats
from service.errors import MethodNotValid
from service.explainers.cam.components import largest_positive, principal_component
from service.explainers.cam.gradients import check_layer
from service.explainers.layers import layer_for
from service.explainers.passes import values_at
from service.explainers.variants import Maps, Warned, variant

if TYPE_CHECKING:
    from service.explainers.cam.params import CamParams
    from service.explainers.subject import Subject


def check_component(subject: Subject, params: CamParams) -> None:
    """Raises as `check_layer` does, and MethodNotValid for a mean of views: the signs of their components are set one
    by one, so that they may cancel out."""
    check_layer(subject, params)
    if params.smooth == "augment":
        raise MethodNotValid(
            f"{params.method} takes no smooth=augment: the sign of a component is set view by view, so that views may "
            "cancel out; use smooth=none, or eigengradcam, whose sign is that of the evidence"
        )


def same_for_all(subject: Subject, params: CamParams, component: Floats, scores: Floats) -> Maps:
    """The map that is the same for every target, with the warning that it is."""
    detail = f"{params.method} knows no class: the map would be the same for any target"
    layer = layer_for(subject, params.layer, params.method).path
    warnings = (Warned("non_class_discriminative", detail),)
    return Maps([component] * len(subject.targets.pairs), scores, {"layer": layer}, warnings)


@variant(
    "eigencam",
    "Projection of the centred activations on their first principal component.",
    "https://arxiv.org/abs/2008.00299",
    "1 forward",
    "Knows no class: it shows what dominates the layer, whatever is asked for.",
    check=check_component,
    signed=True,
    cam_layer=True,
)
def eigencam(subject: Subject, params: CamParams) -> Maps:
    """Gives the same signed map (h, w) for every target; see `first_component`."""
    activations, scores = values_at(subject, layer_for(subject, params.layer, params.method).output)
    return same_for_all(subject, params, first_component(activations), scores)


def first_component(activations: Floats) -> Floats:
    """A as (hw, k), each channel's mean removed, projected on its first right singular vector: (h, w), signed.

    The sign is the one that makes the largest absolute value positive; NaN where A is not finite.
    Muhammad and Yeasin 2020, arXiv 2008.00299.
    """
    return largest_positive(principal_component(activations))
