"""KernelSHAP: Shapley values of segments, by a regression on the scores of random coalitions."""

from __future__ import annotations

from math import comb
from typing import TYPE_CHECKING

import numpy as np

from service.arrays import Floats
from service.errors import InvalidParameter
from service.explainers.base import Scale
from service.explainers.perturbation.masks import Doubles, Rows
from service.explainers.perturbation.sampling import Design, sampled
from service.explainers.perturbation.segmented import SEGMENTED, Segmented, check_segmented

if TYPE_CHECKING:
    from service.explainers.perturbation.params import PerturbationParams
    from service.explainers.subject import Subject


@sampled(
    "kernelshap",
    "Shapley values of the segments: each one's share in the rise of the score from the covered to the whole image.",
    "https://arxiv.org/abs/1705.07874",
    "Segments share what they do together, and images that are half covered are nothing the network was trained on. "
    "The values depend on the segments and on what covers.",
    samples=1000,
    scale=Scale.SYMMETRIC,
    takes=SEGMENTED,
    check=check_segmented,
)
def kernelshap(subject: Subject, params: PerturbationParams, samples: int) -> Design:
    """Designs the whole image, the covered one, and coalitions of segments in pairs of complements.

    Lundberg and Lee 2017, arXiv 1705.07874, theorem 2: the values φ minimise Σ_z π(z)·(y(z) - y(0) - z·φ)² under
    Σ φ = y(1) - y(0), with π(z) = (d-1) / (C(d,|z|)·|z|·(d-|z|)). Where all 2^d - 2 coalitions are no more than the
    samples, each is taken with its weight and the values are exact; else they are drawn by their weight (Covert and Lee
    2021, arXiv 2012.01536, section 3). Raises InvalidParameter for too few samples for so many segments.
    """
    segmented = Segmented.of(subject, params)
    count = segmented.count
    exact = count < 30 and 2**count <= samples
    if not exact and samples < 2 * count + 2:
        raise InvalidParameter(
            f"{samples} samples are too few for {count} segments: kernelshap needs at least {2 * count + 2}"
        )
    coalitions, weights = _all(count) if exact else _drawn(count, samples - 2, params.seed)
    ends = np.stack([np.ones(count, np.float32), np.zeros(count, np.float32)])
    masks = segmented.masks(np.concatenate([ends, coalitions]))

    def estimate(rows: Rows, scores: Doubles) -> Doubles:
        if len(rows) < 3:
            return np.zeros((scores.shape[1], count))
        kept = masks.values[rows[2:]].astype(np.float64)
        return _regressed(kept, weights[rows[2:] - 2], scores)

    def said(scores: Doubles, values: Doubles) -> dict[str, object]:
        missed = (scores[0] - scores[1] - values.sum(axis=1)).tolist()
        bases = scores[1].tolist() if len(scores) > 1 else []
        return {
            "segment_count": count,
            "exact": exact,
            "base_score": bases[0] if len(bases) == 1 else bases,
            "additivity_residual": missed[0] if len(missed) == 1 else missed,
        }

    return Design(masks, estimate, segmented.painted, 2, 2, exact, said, segmented.extras)


def _all(count: int) -> tuple[Floats, Doubles]:
    """Every coalition but the empty and the whole one, (2^d - 2, d), and the weight of each."""
    numbers = np.arange(1, 2**count - 1)
    coalitions = (numbers[:, None] >> np.arange(count) & 1).astype(np.float32)
    sizes = coalitions.sum(axis=1).astype(int)
    weight = np.array([0.0, *((count - 1) / (comb(count, size) * size * (count - size)) for size in range(1, count))])
    return coalitions, weight[sizes]


def _drawn(count: int, samples: int, seed: int) -> tuple[Floats, Doubles]:
    """Coalitions (samples, d), each followed by its complement, drawn by their weight, so that all weigh the same."""
    generator = np.random.default_rng(seed)
    sizes = np.arange(1, count)
    share = 1 / (sizes * (count - sizes))
    pairs = samples // 2
    drawn = generator.choice(sizes, size=pairs, p=share / share.sum())
    # The positions of the smallest of d random numbers are a random subset.
    order = generator.random((pairs, count)).argsort(axis=1).argsort(axis=1)
    half = (order < drawn[:, None]).astype(np.float32)
    return np.stack([half, 1 - half], axis=1).reshape(-1, count), np.ones(2 * pairs)


def _regressed(kept: Doubles, weights: Doubles, scores: Doubles) -> Doubles:
    """(targets, d): the weighted least squares under Σ φ = y(1) - y(0), by a Lagrange multiplier; the least φ where
    there are fewer coalitions than it takes. The first of `scores` (2 + rows, targets) are those of the whole image and
    of the covered one."""
    rise = scores[0] - scores[1]
    gram = kept.T @ (kept * weights[:, None])
    right = kept.T @ ((scores[2:] - scores[1]) * weights[:, None])
    count = len(gram)
    bordered = np.zeros((count + 1, count + 1))
    bordered[:count, :count] = gram
    bordered[count, :count] = bordered[:count, count] = np.trace(gram) / count
    sums = np.vstack([right, rise * np.trace(gram) / count])
    found, *_ = np.linalg.lstsq(bordered, sums, rcond=1e-12)
    return np.asarray(found[:count].T)
