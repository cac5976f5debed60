"""Finer-CAM: what tells a class from those that are nearly as likely."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from service.arrays import Floats
from service.errors import InvalidParameter, MethodNotValid
from service.explainers.cam.gradients import backward_passes, check_layer
from service.explainers.cam.weighted import Weighted, weighted_variant
from service.explainers.channels import weighted
from service.explainers.layers import layer_for
from service.explainers.passes import mixed_gradients_plan, scores_plan
from service.explainers.targets import NOTHING

if TYPE_CHECKING:
    from service.explainers.cam.params import CamParams
    from service.explainers.subject import Subject
    from service.models.graph.graph import Graph
    from service.models.graph.head import Head


def _passes(subject: Subject, params: CamParams) -> float:
    return 2 + backward_passes(subject, params)


def _problem(graph: Graph, head: Head) -> str | None:
    if head.classes is None:
        return "the model's output is a map and no vector of class scores, so there are no classes to compare"
    return "the model has one score, and no class to compare it with" if head.classes < 2 else None


def _check(subject: Subject, params: CamParams) -> None:
    """Raises as `check_layer` does, MethodNotValid for a target that is no class or a model with no other class, and
    InvalidParameter for more references than there are other classes."""
    targets = subject.targets
    if targets.head is None:
        raise MethodNotValid(f"{params.method} compares classes, and the target is a neuron; use gradcam")
    if any(second != NOTHING for _, second in targets.pairs):
        raise MethodNotValid(
            f"{params.method} compares a class with those nearest to it, and a contrast is a comparison already; use "
            "gradcam, or name the class alone"
        )
    if problem := _problem(subject.graph, targets.head):
        raise MethodNotValid(f"{params.method} is not valid: {problem}; use gradcam")
    others = (targets.head.classes or 0) - 1
    if params.references > others:
        raise InvalidParameter(f"references={params.references}: beside the target the model has {others} classes")
    check_layer(subject, params)


@weighted_variant(
    "finercam",
    "Grad-CAM of y - strength·(the mean score of the nearest classes): of the `references` classes whose scores differ "
    "least from y.",
    "https://arxiv.org/abs/2501.11309",
    "2 forward, 1 backward a target",
    "What the class shares with those it is compared with is taken away: where they are nothing alike, or the score "
    "itself is wanted, use gradcam. compared_with names the classes. Several of them count the same; pytorch-grad-cam "
    "weighs them by their probabilities.",
    estimate=_passes,
    check=_check,
    problem=_problem,
    takes=("references", "strength"),
)
def finercam(subject: Subject, params: CamParams) -> Weighted:
    """Gives the channels a_k A_k of each target, a_k = mean_ij ∂(y_c - strength·mean_d y_d)/∂A_ijk, d the nearest.

    Zhang et al. 2025, arXiv 2501.11309. The nearest are those of the image itself, also for a view of it.
    """
    entry, targets = layer_for(subject, params.layer, params.method), subject.targets
    scores = subject.scores if subject.scores is not None else scores_plan(subject)(subject.image.batch)[0][0]
    classes = [first for first, _ in targets.resolved(scores).pairs]
    nearest = [nearest_classes(scores, index, params.references) for index in classes]
    weights = np.zeros((1, len(classes), len(scores)), np.float32)
    for place, (index, others) in enumerate(zip(classes, nearest, strict=True)):
        weights[0, place, index] = 1
        weights[0, place, others] = -params.strength / len(others)
    values, gradients, rows = mixed_gradients_plan(subject, entry.output)(subject.image.batch, weights)
    channels = (weighted(values[0], each.mean(axis=(0, 1), dtype=np.float64)) for each in gradients[0])
    names = [[targets.labels[other] if targets.labels else other for other in others] for others in nearest]
    return Weighted(channels, rows[0], {"layer": entry.path, "compared_with": names})


def nearest_classes(scores: Floats, index: int, count: int) -> list[int]:
    """The `count` classes other than `index` whose (n,) scores differ least from its own, the nearest first; of equal
    ones the first."""
    distances = np.abs(scores.astype(np.float64) - scores[index])
    order = np.argsort(distances, kind="stable").tolist()
    return [each for each in order if each != index][:count]
