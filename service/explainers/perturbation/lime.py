"""LIME: a linear model of the score around the image, whose coefficients are the map."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from service.explainers.base import Scale
from service.explainers.perturbation.masks import Doubles, Rows
from service.explainers.perturbation.sampling import Design, sampled
from service.explainers.perturbation.segmented import SEGMENTED, Segmented, check_segmented

if TYPE_CHECKING:
    from service.explainers.perturbation.params import PerturbationParams
    from service.explainers.subject import Subject

# What lime's ridge regression adds to the diagonal.
RIDGE = 1.0


@sampled(
    "lime",
    "The coefficients of a ridge regression of the score on which segments are kept, weighted by nearness to the whole "
    "image.",
    "https://arxiv.org/abs/1602.04938",
    "The kernel's width decides what near means: with the usual 0.25 most masks hardly count, and two seeds may differ "
    "much; see fit_score and the standard error.",
    samples=1000,
    scale=Scale.SYMMETRIC,
    takes=(*SEGMENTED, "kernel_width"),
    check=check_segmented,
)
def lime(subject: Subject, params: PerturbationParams, samples: int) -> Design:
    """Designs the whole image, and masks that keep each segment with the probability ½.

    Ribeiro et al. 2016, arXiv 1602.04938, eq. 2, as their package computes it for images: the weight of a mask is
    √exp(-D²/width²), D its cosine distance to the whole image (1 where nothing is kept), and the ridge adds 1 to the
    diagonal, not for the intercept. All segments stay in the model.
    """
    segmented = Segmented.of(subject, params)
    count = segmented.count
    generator = np.random.default_rng(params.seed)
    drawn = generator.integers(0, 2, (samples - 1, count)).astype(np.float32)
    masks = segmented.masks(np.concatenate([np.ones((1, count), np.float32), drawn]))
    kept = masks.values.astype(np.float64)
    distance = 1 - np.sqrt(kept.mean(axis=1))
    weights = np.sqrt(np.exp(-np.square(distance / params.kernel_width)))

    def estimate(rows: Rows, scores: Doubles) -> Doubles:
        found, _ = _ridge(kept[rows], weights[rows], scores)
        return found

    def said(scores: Doubles, _: Doubles) -> dict[str, object]:
        rows = slice(0, len(scores))
        _, fits = _ridge(kept[rows], weights[rows], scores)
        return {"segment_count": count, "fit_score": fits[0] if len(fits) == 1 else fits}

    return Design(masks, estimate, segmented.painted, 1, said=said, extras=segmented.extras)


def _ridge(kept: Doubles, weights: Doubles, scores: Doubles) -> tuple[Doubles, list[float]]:
    """(targets, d) coefficients, and the share of each target's weighted variance that they explain."""
    share = weights[:, None] / weights.sum()
    inner, outer = kept - (kept * share).sum(axis=0), scores - (scores * share).sum(axis=0)
    weighted = inner * weights[:, None]
    gram = inner.T @ weighted + RIDGE * np.eye(kept.shape[1])
    found = np.linalg.solve(gram, weighted.T @ outer)
    left = (weights[:, None] * np.square(outer - inner @ found)).sum(axis=0)
    whole = np.maximum((weights[:, None] * np.square(outer)).sum(axis=0), 1e-12)
    return np.asarray(found.T), (1 - left / whole).tolist()
