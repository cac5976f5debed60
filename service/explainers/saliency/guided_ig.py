"""Integrated gradients along a path that keeps away from large gradients as long as it may."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from service.explainers.passes import gradients_plan, scores_plan
from service.explainers.saliency.baselines import completeness, rises_of, said_of, scores_of, starts_of
from service.explainers.saliency.noise import images_a_step
from service.explainers.saliency.paths import ZERO
from service.explainers.variants import Maps, variant

if TYPE_CHECKING:
    from service.arrays import Floats
    from service.explainers.saliency.params import SaliencyParams
    from service.explainers.subject import Subject

Doubles = NDArray[np.float64]
# A distance this close to what is left, as a share of the whole, is there.
CLOSE = 1e-9


@dataclass(frozen=True, eq=False)
class GuidedPath:
    """A path from a `start` to an image `start + whole`, arrays of one shape.

    A value's place on it is its share of the way, 0 to 1. At the end of step k of n the values' distances to the image
    sum to (1 - k/n) of the whole, and no place is further than `reach` from k/n.
    """

    whole: Doubles
    fraction: float
    reach: float

    def moved(self, places: Doubles, gradient: Doubles, done: float) -> Doubles:
        """The places after the step that ends at the share `done` of the whole, chosen by the gradient at `places`."""
        last = min(done + self.reach, 1.0)
        distances = np.abs(self.whole)
        total = distances.sum()
        # What does not move at all is always where it should be.
        places = np.where(distances > 0, np.maximum(places, done - self.reach), last)
        size = np.abs(gradient)
        while True:
            excess = (distances * (1 - places)).sum() - total * (1 - done)
            size = np.where(places < last, size, np.inf)
            least = np.partition(size, int(self.fraction * (size.size - 1)), axis=None)
            chosen = (size <= least[int(self.fraction * (size.size - 1))]) & np.isfinite(size)
            if excess <= CLOSE * total or not chosen.any():
                return places
            possible = (distances * (last - places))[chosen].sum()
            if excess < possible:
                return np.where(chosen, places + (last - places) * (excess / possible), places)
            places = np.where(chosen, last, places)


def _passes(subject: Subject, params: SaliencyParams) -> float:
    count = len(params.baseline or ZERO)
    return 1 + count + 3 * count * len(subject.targets.pairs) * params.steps


@variant(
    "guided_ig",
    "Integrated gradients along a path on which the values with the least gradients move first.",
    "https://arxiv.org/abs/2106.09788",
    "steps forward, steps backward, for each target",
    "Depends on the baseline. The path is another for each target and image, so two maps are harder to compare than "
    "those of integrated_gradients. Each step sees the gradient at its start alone, as in the paper, and goes where "
    "that is least: on networks whose gradients flicker the map misses the rise of the score, often by half of it, and "
    "200 steps do not mend that. See convergence_delta.",
    estimate=_passes,
    takes=("steps", "baseline", "fraction", "max_dist"),
)
def guided_ig(subject: Subject, params: SaliencyParams) -> Maps:
    """Gives Σ_k ∂y/∂x(x_k)·(x_{k+1} - x_k) along the path of `GuidedPath`, a map a target in the input's shape.

    Kapishnikov et al. 2021, arXiv 2106.09788, algorithm 1 with the bound of section 3.3, as their code has it. Of
    several baselines it is the mean. All paths take their steps together, so that each step is one batch.
    """
    scores = scores_plan(subject)
    (rows,) = scores(subject.image.batch)
    subject = replace(subject, targets=subject.targets.resolved(rows[0]))
    baselines = params.baseline or ZERO
    starts = starts_of(subject.image, baselines)
    found = _followed(subject, params, starts)
    maps = list((found / len(starts)).astype(np.float32))
    rises = rises_of(subject.targets, rows, scores_of(scores, starts))
    delta, warnings = completeness(maps, rises, "use more steps, or a smaller max_dist")
    return Maps(maps, rows[0], said_of(subject.image, baselines) | delta, warnings)


def _followed(subject: Subject, params: SaliencyParams, starts: Floats) -> Doubles:
    """The sum over the starts of the gradients along the path of each target, (targets, h, w, c)."""
    image, pairs = subject.image, subject.targets.pairs
    ways = [GuidedPath(image.batch[0].astype(np.float64) - start, params.fraction, params.max_dist) for start in starts]
    paths = [(start, target) for start in range(len(starts)) for target in range(len(pairs))]
    places = np.zeros((len(paths), *image.shape), np.float64)
    found = np.zeros((len(pairs), *image.shape), np.float64)
    # Each image of a batch has one target, so the plan is that of one.
    single = replace(subject, targets=replace(subject.targets, pairs=pairs[:1]))
    plan = gradients_plan(single, subject.graph.inputs[0])
    size = images_a_step(single)
    for step in range(params.steps):
        for begin in range(0, len(paths), size):
            subject.progress(step * len(paths) + begin, params.steps * len(paths))
            part = paths[begin : begin + size]
            at = zip(part, places[begin : begin + size], strict=True)
            batch = np.stack([starts[start] + place * ways[start].whole for (start, _), place in at])
            chosen = np.array([[pairs[target]] for _, target in part], np.int32)
            _, gradients, _ = plan(batch.astype(np.float32), chosen)
            for number, (start, target) in enumerate(part):
                gradient, before = gradients[number, 0].astype(np.float64), places[begin + number].copy()
                places[begin + number] = ways[start].moved(before, gradient, (step + 1) / params.steps)
                found[target] += gradient * (places[begin + number] - before) * ways[start].whole
    return found
