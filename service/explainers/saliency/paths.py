"""Gradients gathered along straight paths from baselines to the image."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from service.explainers.passes import chunks, gradients_plan, scores_plan
from service.explainers.saliency.baselines import completeness, rises_of, said_of, scores_of, starts_of
from service.explainers.saliency.noise import images_a_step
from service.explainers.saliency.plain import one_pass
from service.explainers.variants import Maps, variant

if TYPE_CHECKING:
    from service.arrays import Floats
    from service.explainers.saliency.baselines import Baseline
    from service.explainers.saliency.params import SaliencyParams
    from service.explainers.subject import Subject

ZERO: tuple[Baseline, ...] = ("zero",)


def passes_along(subject: Subject, params: SaliencyParams, default: tuple[Baseline, ...] = ZERO) -> float:
    """One pass of the image, one of each baseline, and a forward and a backward pass for each point on its path."""
    return 1 + len(params.baseline or default) * (1 + one_pass(subject, params) * params.steps)


@variant(
    "integrated_gradients",
    "(x-b)·∫ ∂y/∂x from the baseline b to x, Gauss-Legendre; of several baselines the mean.",
    "https://arxiv.org/abs/1703.01365",
    "steps forward, steps backward",
    "Depends on the baseline: parts of the image that look like it get nothing. See convergence_delta.",
    estimate=passes_along,
    takes=("steps", "baseline"),
)
def integrated_gradients(subject: Subject, params: SaliencyParams) -> Maps:
    """Gives (x-b)·∫₀¹ ∂y/∂x(b + t(x-b)) dt by Gauss-Legendre quadrature, a map a target in the input's shape.

    Sundararajan et al. 2017, arXiv 1703.01365. Exact where the gradient is a polynomial of degree < 2·steps in t.
    `convergence_delta` tells by how much the map's sum misses the rise of the score from the baseline to the image.
    """
    return integrated(subject, params.baseline or ZERO, params.steps)


def integrated(subject: Subject, baselines: tuple[Baseline, ...], count: int) -> Maps:
    """The mean, over the baselines, of the gradients integrated by `count` points from each to the image."""
    scores = scores_plan(subject)
    (rows,) = scores(subject.image.batch)
    subject = replace(subject, targets=subject.targets.resolved(rows[0]))
    starts = starts_of(subject.image, baselines)
    maps = list((_along(subject, starts, count) / len(starts)).astype(np.float32))
    rises = rises_of(subject.targets, rows, scores_of(scores, starts))
    delta, warnings = completeness(maps, rises, "use more steps")
    return Maps(maps, rows[0], said_of(subject.image, baselines) | delta, warnings)


def _along(subject: Subject, starts: Floats, count: int) -> NDArray[np.float64]:
    """The sum of the integrals from each of the `starts` (n, h, w, c) to the image by `count` points, (targets, h, w,
    c)."""
    image, targets = subject.image, subject.targets
    plan = gradients_plan(subject, subject.graph.inputs[0])
    points, weights = np.polynomial.legendre.leggauss(count)
    positions, shares = (points + 1) / 2, weights / 2
    found = np.zeros((len(targets.pairs), *image.shape), np.float64)
    total = np.zeros_like(found)
    differences = image.batch - starts
    for part in chunks(len(starts) * count, images_a_step(subject), subject.progress):
        which, place = np.divmod(np.arange(part.start, part.stop), count)
        steps = positions[place].reshape(-1, *[1] * len(image.shape))
        batch = (starts[which] + steps * differences[which]).astype(np.float32)
        _, gradients, _ = plan(batch, targets.chosen(len(batch)))
        for start in np.unique(which):
            own = which == start
            total += np.tensordot(shares[place[own]], gradients[own].astype(np.float64), axes=1)
            if place[own][-1] == count - 1:
                found += total * differences[start]
                total[:] = 0
    return found
