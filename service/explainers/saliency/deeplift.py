"""DeepLIFT: what each pixel's difference from a baseline does to the score's."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from service.explainers.passes import scores_plan
from service.explainers.saliency.baselines import completeness, rises_of, said_of, starts_of
from service.explainers.saliency.paths import ZERO
from service.explainers.saliency.plain import one_pass
from service.explainers.variants import Maps, variant

if TYPE_CHECKING:
    from service.arrays import Value
    from service.explainers.saliency.params import SaliencyParams
    from service.explainers.subject import Subject
    from service.models.backends.interface import Plan


def _passes(subject: Subject, params: SaliencyParams) -> float:
    return 1 + 2 * len(params.baseline or ZERO) * one_pass(subject, params)


@variant(
    "deeplift",
    "(x-b)·m from the baseline b, with the multipliers m of the rescale rule: Δout/Δin at each curve in the place of "
    "its derivative; of several baselines the mean.",
    "https://arxiv.org/abs/1704.02685",
    "2 forward and backward a baseline",
    "Depends on the baseline, and parts of the image that look like it get nothing. What two values do only together, "
    "as in a gate, is halved between them.",
    estimate=_passes,
    takes=("baseline",),
)
def deeplift(subject: Subject, params: SaliencyParams) -> Maps:
    """Gives (x-b)·m, a map a target in the input's shape, whose sum is the rise of the score from b to x.

    Shrikumar et al. 2017, arXiv 1704.02685, rescale rule. A product of two values, as in a gate, takes the mean of each
    factor at x and b; softmax, attention and every other operation of several numbers the mean of its derivative on the
    straight line between its inputs at b and at x, by 32 points. `convergence_delta` tells by how much the sum misses.
    """
    (rows,) = scores_plan(subject)(subject.image.batch)
    subject = replace(subject, targets=subject.targets.resolved(rows[0]))
    image, baselines = subject.image, params.baseline or ZERO
    starts = starts_of(image, baselines)
    plan = _plan(subject)
    total = np.zeros((len(subject.targets.pairs), *image.shape), np.float64)
    before = []
    for place, start in enumerate(starts):
        subject.progress(place, len(starts))
        multipliers, scores = plan(np.concatenate([image.batch, start[None]]), subject.targets.chosen())
        total += multipliers[0].astype(np.float64) * (image.batch[0].astype(np.float64) - start)
        before.append(scores[1:])
    maps = list((total / len(starts)).astype(np.float32))
    rises = rises_of(subject.targets, rows, before)
    delta, warnings = completeness(maps, rises, "the network has operations that 32 points are too few for")
    return Maps(maps, rows[0], said_of(image, baselines) | delta, warnings)


def _plan(subject: Subject) -> Plan:
    """A plan: the image and its baseline (2, h, w, c), chosen (1, targets, 2) → multipliers (1, targets, h, w, c) and
    scores (2, n)."""
    backend, graph, targets = subject.backend, subject.graph, subject.targets
    ops = backend.ops

    def passes(batch: Value, chosen: Value) -> tuple[Value, Value]:
        def scores(value: Value) -> list[Value]:
            return targets.scores(ops, targets.matrix(ops, value)[:1], chosen)

        source = graph.inputs[0]
        _, gradients, (value,) = backend.gradients(
            graph, {source: batch}, [source], [targets.tensor], scores, "rescale"
        )
        stacked = ops.stack([ops.cast(gradient, "float32")[:1] for (gradient,) in gradients], axis=1)
        return stacked, targets.matrix(ops, value)

    key = ("rescaled", targets.key, len(targets.pairs))
    signature = [((2, *subject.image.shape), "float32"), ((1, len(targets.pairs), 2), "int32")]
    return backend.compiled(key, passes, signature)
