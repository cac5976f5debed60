"""Gradients gathered along a path from a baseline to the image."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from service.arrays import Floats
from service.explainers.covers import blur_deviation, blurred
from service.explainers.passes import chunks, gradients_plan, scores_plan
from service.explainers.saliency.noise import images_a_step
from service.explainers.saliency.plain import one_pass
from service.explainers.variants import Maps, Warned, variant

if TYPE_CHECKING:
    from service.explainers.saliency.params import SaliencyParams
    from service.explainers.subject import Subject
    from service.models.graph.preprocess import NetworkInput

Baseline = Literal["zero", "black", "mean", "blur"]
DELTA_LIMIT = 0.05


def _passes(subject: Subject, params: SaliencyParams) -> float:
    return 2 + one_pass(subject, params) * params.steps


@variant(
    "integrated_gradients",
    "(x-b)·∫ ∂y/∂x from the baseline b to x, Gauss-Legendre.",
    "https://arxiv.org/abs/1703.01365",
    "steps forward, steps backward",
    "Depends on the baseline: parts of the image that look like it get nothing. See convergence_delta.",
    estimate=_passes,
    takes=("steps", "baseline"),
)
def integrated_gradients(subject: Subject, params: SaliencyParams) -> Maps:
    """Gives (x-b)·∫₀¹ ∂y/∂x(b + t(x-b)) dt by Gauss-Legendre quadrature, a map a target in the input's shape.

    Sundararajan et al. 2017, arXiv 1703.01365. Exact where the gradient is a polynomial of degree < 2·steps in t.
    `convergence_delta` tells by how much the map's sum misses the rise of the score from the baseline to the image.
    """
    scores = scores_plan(subject)
    (rows,) = scores(subject.image.batch)
    subject = replace(subject, targets=subject.targets.resolved(rows[0]))
    start = baseline_of(subject.image, params.baseline)
    maps = _along(subject, start, params.steps)
    (start_rows,) = scores(start)
    values = subject.targets.values
    rises = (values(rows).astype(np.float64) - values(start_rows))[0]
    deltas = [float(each.sum(dtype=np.float64) - rise) for each, rise in zip(maps, rises, strict=True)]
    said: dict[str, object] = (
        {"blur_deviation": blur_deviation(subject.image.size)} if params.baseline == "blur" else {}
    )
    said["convergence_delta"] = deltas[0] if len(deltas) == 1 else deltas
    warnings = tuple(
        Warned(
            "convergence_delta",
            f"the map sums to {delta:+.3g} more than the score rises ({rise:.3g}): use more steps",
        )
        for delta, rise in zip(deltas, rises, strict=True)
        if abs(delta) > DELTA_LIMIT * abs(rise)
    )
    return Maps(maps, rows[0], said, warnings)


def _along(subject: Subject, start: Floats, count: int) -> list[Floats]:
    """The integral from `start` (1, h, w, c) to the image, by `count` points."""
    image, targets = subject.image, subject.targets
    plan = gradients_plan(subject, subject.graph.inputs[0])
    points, weights = np.polynomial.legendre.leggauss(count)
    positions, shares = (points + 1) / 2, weights / 2
    total = np.zeros((len(targets.pairs), *image.shape), np.float64)
    difference = image.batch - start
    for part in chunks(count, images_a_step(subject), subject.progress):
        steps = positions[part].reshape(-1, *[1] * len(image.shape))
        _, gradients, _ = plan((start + steps * difference).astype(np.float32), targets.chosen(len(steps)))
        total += np.tensordot(shares[part], gradients.astype(np.float64), axes=1)
    return list((total * difference).astype(np.float32))


def baseline_of(image: NetworkInput, kind: Baseline) -> Floats:
    """(1, h, w, c): zeros of the preprocessed space, black, the image's mean colour, or the image heavily blurred."""
    if kind == "black":
        black = image.colour((0.0, 0.0, 0.0))
        return np.broadcast_to(black if len(image.shape) == 3 else black[0], image.batch.shape).astype(np.float32)
    if kind == "mean":
        mean = image.batch.mean(axis=(1, 2), keepdims=True, dtype=np.float64)
        return np.broadcast_to(mean, image.batch.shape).astype(np.float32)
    if kind == "blur":
        return blurred(image.batch, blur_deviation(image.size))
    return np.zeros_like(image.batch)
