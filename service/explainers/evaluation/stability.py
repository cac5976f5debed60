"""Stability: a map should hardly change when the image hardly does, and should when the network forgets."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from service.errors import MethodNotValid
from service.explainers.base import Part
from service.explainers.evaluation.alikeness import spearman
from service.explainers.evaluation.comparison import Comparison, Row
from service.explainers.evaluation.metric import Found, Work, metric

if TYPE_CHECKING:
    from service.explainers.base import Progress
    from service.explainers.evaluation.params import EvaluationParams
    from service.explainers.subject import Subject

MOST_BYTES = 1024**3


def _estimate_draws(params: EvaluationParams, work: Work) -> int:
    return params.draws * work.maps


@metric(
    "max_sensitivity",
    "The largest change of the map among `draws` images whose values each differ by at most `radius` of the image's "
    "range, as a share of the map's own length.",
    "https://arxiv.org/abs/1901.09392",
    "`draws` times what the map takes",
    "A map that never changes, such as one of edges that knows no class, is not sensitive at all; and few draws find "
    "less than the largest change.",
    better="lower",
    unit="0 and up",
    takes=("draws", "radius"),
    estimate=_estimate_draws,
)
def max_sensitivity(comparison: Comparison) -> Found:
    """Yeh 2019, definition 3.1: max over ‖δ‖∞ ≤ r of ‖φ(x + δ) - φ(x)‖ / ‖φ(x)‖, over random δ, the class held."""
    return Found([_changed(comparison, row, comparison.next_part()) for row in comparison.rows])


def _changed(comparison: Comparison, row: Row, progress: Progress) -> float | None:
    norm = float(np.linalg.norm(row.raw.astype(np.float64)))
    if row.maker is None or not norm:
        return None
    params, subject = comparison.params, comparison.subject
    batch = subject.image.batch
    radius = params.radius * float(batch.max() - batch.min())
    draw = np.random.default_rng(params.seed)
    most = 0.0
    for place in range(params.draws):
        progress(place, params.draws)
        noise = draw.uniform(-radius, radius, batch.shape).astype(np.float32)
        altered = replace(
            subject,
            image=replace(subject.image, batch=batch + noise),
            progress=Part(progress, place, params.draws),
        )
        change = row.maker.map_of(altered).astype(np.float64) - row.raw
        most = max(most, float(np.linalg.norm(change)) / norm)
    return most


def _estimate_stages(params: EvaluationParams, work: Work) -> int:
    return (params.stages + 1) * work.maps


def _check_learnt(subject: Subject, params: EvaluationParams) -> None:
    learnt = subject.graph.learnt_bytes(subject.targets.tensor)
    if not learnt:
        raise MethodNotValid(
            "randomization shuffles the weights of convolutions, dense layers and batch normalisations, and the model "
            "has none of float32; leave it out"
        )
    if learnt > MOST_BYTES:
        raise MethodNotValid(
            f"randomization copies the weights, and {learnt // 1024**2} MiB of them are more than the "
            f"{MOST_BYTES // 1024**2} MiB one call may copy; leave it out for this model"
        )


@metric(
    "randomization",
    "Mean rank correlation of the map with the maps of the same network as its layers, from the last to the first, "
    "have their weights shuffled in `stages` steps.",
    "https://arxiv.org/abs/1810.03292",
    "`stages` + 1 times what the map takes",
    "Low shows that the map depends on what the network learnt, not that it is right: random numbers would be 0 as "
    "well. A map that keeps its edges stays high because the image is the same.",
    better="lower",
    unit="-1 to 1",
    takes=("stages",),
    estimate=_estimate_stages,
    check=_check_learnt,
)
def randomization(comparison: Comparison) -> Found:
    """Adebayo 2018, section 3.1, cascading; in place of drawing weights anew the weights of a layer are permuted, which
    keeps their distribution. The arrays are (maps, stages): 0 in the rows that no method makes."""
    params = comparison.params
    found = [_cascade(comparison, row, comparison.next_part()) for row in comparison.rows]
    values = [None if curve is None else float(np.mean(curve)) for curve in found]
    curves = [np.zeros(params.stages) if curve is None else np.asarray(curve) for curve in found]
    return Found(values, {"randomization": np.stack(curves).astype(np.float32)})


def _cascade(comparison: Comparison, row: Row, progress: Progress) -> list[float] | None:
    """The rank correlation after each stage; None for a map that no method makes, or that has no ranks."""
    if row.maker is None or row.raw.min() == row.raw.max():
        return None
    subject, stages = comparison.subject, comparison.params.stages
    found = []
    with subject.backend.shuffled(subject.graph, subject.targets.tensor, comparison.params.seed) as (backend, network):
        first = len(network.layers)
        original = None
        # What rules share out backwards depends on what is folded, and here nothing is: so the first map is made anew.
        for stage in range(stages + 1):
            progress(stage, stages + 1)
            first, last = len(network.layers) * (stages - stage) // stages, first
            network.shuffle(first, last)
            part = Part(progress, stage, stages + 1)
            values = row.maker.map_of(replace(subject, backend=backend, graph=network.graph, progress=part))
            if original is None:
                original = values.astype(np.float64)
                continue
            alike = spearman(values.astype(np.float64), original) if np.isfinite(values).all() else None
            # A map of one value has nothing left of the other.
            found.append(0.0 if alike is None else alike)
    return found
