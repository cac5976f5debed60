"""Expected gradients: between noisy copies of the image and baselines, at places drawn at random."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from service.explainers.passes import chunks, gradients_plan, scores_plan
from service.explainers.saliency.baselines import (
    completeness,
    one_or_all,
    rises_of,
    said_of,
    scores_of,
    starts_of,
)
from service.explainers.saliency.noise import images_a_step, noise_deviation
from service.explainers.saliency.paths import ZERO
from service.explainers.saliency.plain import one_pass
from service.explainers.variants import Maps, variant

if TYPE_CHECKING:
    from service.explainers.saliency.params import SaliencyParams
    from service.explainers.subject import Subject


def _passes(subject: Subject, params: SaliencyParams) -> float:
    return 1 + len(params.baseline or ZERO) + one_pass(subject, params) * params.samples


@variant(
    "gradient_shap",
    "Mean of (x̃-b)·∂y/∂x(b + α(x̃-b)) over n noisy copies x̃ of the image, α from U(0, 1), b the baselines in turn.",
    "https://arxiv.org/abs/1906.10670",
    "n forward, n backward",
    "An estimate: with few samples the map is as noisy as standard_error says of its sum. It depends on the "
    "baselines, and its values are Shapley values only as far as the score is linear between them and the image.",
    estimate=_passes,
    takes=("samples", "noise", "seed", "baseline"),
)
def gradient_shap(subject: Subject, params: SaliencyParams) -> Maps:
    """Gives the mean of (x̃_i - b_i)·∂y/∂x(b_i + α_i(x̃_i - b_i)), a map a target in the input's shape.

    Erion et al. 2021, arXiv 1906.10670, eq. 3, with noise on the image as Lundberg's GradientExplainer and Captum's
    GradientShap have it: x̃_i = x + N(0, σ²), σ = noise·(max x - min x). Copy i draws its noise and then α_i by a
    generator of its own, and starts from the baseline i modulo their number. `convergence_delta` is about the rise of
    the score from the baselines to the image without noise; `standard_error` is that of the map's sum.
    """
    image, scores = subject.image, scores_plan(subject)
    (rows,) = scores(image.batch)
    targets = subject.targets.resolved(rows[0])
    subject = replace(subject, targets=targets)
    baselines = params.baseline or ZERO
    starts = starts_of(image, baselines)
    deviation = noise_deviation(image, params.noise)
    plan = gradients_plan(subject, subject.graph.inputs[0])
    total = np.zeros((len(targets.pairs), *image.shape), np.float64)
    sums = np.zeros((params.samples, len(targets.pairs)), np.float64)
    for part in chunks(params.samples, images_a_step(subject), subject.progress):
        points, ways = [], []
        for sample in range(part.start, part.stop):
            random = np.random.default_rng([params.seed, sample])
            start = starts[sample % len(starts)]
            way = image.batch[0] + deviation * random.standard_normal(image.shape) - start
            points.append(start + random.uniform() * way)
            ways.append(way)
        _, gradients, _ = plan(np.stack(points).astype(np.float32), targets.chosen(len(points)))
        products = gradients.astype(np.float64) * np.stack(ways)[:, None]
        total += products.sum(axis=0)
        sums[part] = products.reshape(*products.shape[:2], -1).sum(axis=2)
    maps = list((total / params.samples).astype(np.float32))
    shares = np.bincount(np.arange(params.samples) % len(starts), minlength=len(starts))
    # Of more baselines than samples the last are not drawn.
    rises = rises_of(targets, rows, scores_of(scores, starts), shares.tolist())
    delta, warnings = completeness(maps, rises, "use more samples, or less noise")
    errors = (sums.std(axis=0, ddof=1) / np.sqrt(params.samples)).tolist()
    said = said_of(image, baselines) | {"deviation": deviation} | delta | {"standard_error": one_or_all(errors)}
    return Maps(maps, rows[0], said, warnings)
