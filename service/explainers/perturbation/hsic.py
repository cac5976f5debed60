"""HSIC: how much the score depends on whether a segment is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from service.errors import InvalidParameter
from service.explainers.base import Scale
from service.explainers.perturbation.masks import Doubles, Rows
from service.explainers.perturbation.sampling import Design, sampled
from service.explainers.perturbation.segmented import SEGMENTED, Segmented, check_segmented

if TYPE_CHECKING:
    from service.explainers.perturbation.params import PerturbationParams
    from service.explainers.subject import Subject

# The kernel of the scores has a number for every pair of masks.
MOST_SAMPLES = 2000


def _check(subject: Subject, params: PerturbationParams, samples: int) -> None:
    check_segmented(subject, params, samples)
    if samples > MOST_SAMPLES:
        raise InvalidParameter(f"hsic compares all masks with each other and takes at most {MOST_SAMPLES} samples")


@sampled(
    "hsic",
    "The Hilbert-Schmidt independence criterion between a segment being kept and the score.",
    "https://arxiv.org/abs/2206.06219",
    "It has no sign, and sees a segment's own effect; what only several segments do together it hardly shows.",
    samples=1000,
    scale=Scale.MAX,
    takes=SEGMENTED,
    check=_check,
)
def hsic(subject: Subject, params: PerturbationParams, samples: int) -> Design:
    """Designs masks that keep each segment with the probability ½, a Latin hypercube cut at ½.

    Novello et al. 2022, arXiv 2206.06219: HSIC_j = tr(K_j·H·L·H) / n², with K_j(u, v) = ½ - (u - v)² on the segment's
    own numbers, the kernel for binary masks of xplique, whose authors' method this is, L the Gaussian kernel
    exp(-(y - y')²/(2σ²)) on the scores, σ the median distance between two scores, and H = I - 1/n.
    """
    segmented = Segmented.of(subject, params)
    count = segmented.count
    generator = np.random.default_rng(params.seed)
    halves = generator.random((samples, count)).argsort(axis=0) < samples // 2
    masks = segmented.masks(halves.astype(np.float32))

    def estimate(rows: Rows, scores: Doubles) -> Doubles:
        signs = 2 * masks.values[rows].astype(np.float64) - 1
        return np.stack([_dependence(signs, column) for column in scores.T])

    return Design(masks, estimate, segmented.painted, said=lambda *_: {"segment_count": count}, extras=segmented.extras)


def _dependence(signs: Doubles, scores: Doubles) -> Doubles:
    """(d,): HSIC of each column of `signs` (n, d), -1 or 1, with the scores (n,).

    K_j is ½·s·sᵀ for signs s, as (u - v)² is 0 or 1 where they agree or not: tr(K_j·HLH) is ½·sᵀ·HLH·s.
    """
    distances = np.abs(scores[:, None] - scores)
    width = float(np.median(distances[np.triu_indices(len(scores), 1)])) if len(scores) > 1 else 0.0
    if width == 0:
        width = float(distances.max()) or 1.0
    kernel = np.exp(-0.5 * np.square(distances / width))
    rows = kernel.mean(axis=0)
    centred = kernel - rows - rows[:, None] + rows.mean()
    return np.asarray(0.5 * (signs * (centred @ signs)).sum(axis=0) / max(len(scores), 1) ** 2)
