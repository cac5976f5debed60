"""Gradients gathered along a path on which the image comes out of a blur."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from service.explainers.covers import blurred
from service.explainers.passes import chunks, gradients_plan, scores_plan
from service.explainers.saliency.baselines import completeness, rises_of
from service.explainers.saliency.noise import images_a_step
from service.explainers.saliency.plain import one_pass
from service.explainers.variants import Maps, variant

if TYPE_CHECKING:
    from service.explainers.saliency.params import SaliencyParams
    from service.explainers.subject import Subject
    from service.models.graph.preprocess import NetworkInput


def _passes(subject: Subject, params: SaliencyParams) -> float:
    return 2 + one_pass(subject, params) * params.steps


@variant(
    "blur_ig",
    "∫ ∂y/∂x·∂x/∂σ dσ from the image blurred by a Gaussian of deviation σ to the image itself, midpoint rule.",
    "https://arxiv.org/abs/2004.03383",
    "steps forward, steps backward",
    "It starts from the colours of the image itself: a large surface of one colour gets nothing, whatever it is, and "
    "what speaks for the class at the start of the path is in no part of the map. The rim is repeated when it is "
    "blurred; in the authors' code it is black, which darkens the rim of every blurred image. See convergence_delta.",
    estimate=_passes,
    takes=("steps", "max_deviation"),
)
def blur_ig(subject: Subject, params: SaliencyParams) -> Maps:
    """Gives Σ_k ∂y/∂x(x at the middle of σ_k and σ_{k+1})·(x_{σ_{k+1}} - x_{σ_k}), a map a target in the input's shape.

    Xu et al. 2020, arXiv 2004.03383, eq. 5, with finite differences in place of ∂x/∂σ, so that they sum to the whole
    way; `deviations_of` says which σ. `convergence_delta` is about the rise from the blurred image to the image.
    """
    image, scores = subject.image, scores_plan(subject)
    (rows,) = scores(image.batch)
    targets = subject.targets.resolved(rows[0])
    subject = replace(subject, targets=targets)
    widest = params.max_deviation or default_deviation(image)
    deviations = deviations_of(widest, 2 * params.steps)
    plan = gradients_plan(subject, subject.graph.inputs[0])
    total = np.zeros((len(targets.pairs), *image.shape), np.float64)
    start = at = blurred(image.batch, widest)
    for part in chunks(params.steps, images_a_step(subject), subject.progress):
        steps = range(part.start, part.stop)
        middles = np.concatenate([blurred(image.batch, float(deviations[2 * step + 1])) for step in steps])
        _, gradients, _ = plan(middles, targets.chosen(len(steps)))
        for step, gradient in zip(steps, gradients.astype(np.float64), strict=True):
            before, at = at, blurred(image.batch, float(deviations[2 * step + 2]))
            total += gradient * (at.astype(np.float64) - before)[0]
    maps = list(total.astype(np.float32))
    (start_rows,) = scores(start)
    delta, warnings = completeness(maps, rises_of(targets, rows, [start_rows]), "use more steps")
    return Maps(maps, rows[0], {"max_deviation": widest} | delta, warnings)


def default_deviation(image: NetworkInput) -> float:
    """Gives the deviation at the start of the path, in px."""
    return max(image.size) / 4


def deviations_of(widest: float, count: int) -> NDArray[np.float64]:
    """The `count` + 1 deviations of the path from the widest to 0, widest·(1 - t)² at even steps of t.

    An image changes most where it is hardly blurred. With 50 steps the map's sum missed the rise of the score by 5 % in
    the mean of five photographs on three networks, and by 12 % with deviations at even steps.
    """
    return widest * np.linspace(1, 0, count + 1) ** 2
