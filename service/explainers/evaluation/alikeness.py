"""How alike maps are, and how much of the image one map needs."""

from __future__ import annotations

import numpy as np

from service.explainers.evaluation.comparison import Comparison, Doubles
from service.explainers.evaluation.metric import Found, metric


def correlation(one: Doubles, other: Doubles) -> float | None:
    """Pearson's of two vectors; None where one of them is constant."""
    first, second = one - one.mean(), other - other.mean()
    norms = float(np.sqrt((first @ first) * (second @ second)))
    scale = float(np.abs(one).max(initial=0) * np.abs(other).max(initial=0))
    return float(first @ second) / norms if norms > 1e-14 * len(one) * scale else None


def ranks(values: Doubles) -> Doubles:
    """The place of each number when they are sorted; equal ones share the mean of their places."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = counts.cumsum()
    return np.asarray((ends - (counts - 1) / 2)[which.ravel()], np.float64)


def spearman(one: Doubles, other: Doubles) -> float | None:
    """The correlation of ranks of two arrays of equal shape; None where one of them is constant."""
    return correlation(ranks(one.ravel()), ranks(other.ravel()))


@metric(
    "complexity",
    "Entropy of the map's absolute values as shares of their sum, in nats: 0 for one pixel, the logarithm of their "
    "number where all are equal.",
    "https://arxiv.org/abs/2005.00631",
    "none",
    "A map that is small and wrong is as simple as one that is small and right; a coarse map enlarged counts as many "
    "pixels.",
    better="lower",
    unit="nats",
)
def complexity(comparison: Comparison) -> Found:
    """Bhatt 2020, definition 5: -Σ p_i ln p_i with p_i = |φ_i| / Σ_j |φ_j|. None for a map that is 0 everywhere."""
    return Found([entropy(row.values) for row in comparison.rows])


def entropy(values: Doubles) -> float | None:
    """Gives the entropy, in nats, of the absolute values as shares of their sum; None where all are 0."""
    amounts = np.abs(values[values != 0])
    if not amounts.size:
        return None
    shares = amounts / amounts.sum()
    shares = shares[shares > 0]
    return float(-(shares * np.log(shares)).sum())


@metric(
    "agreement",
    "Mean rank correlation of the map with the maps of all other methods; the matrix is in the arrays.",
    "https://arxiv.org/abs/2202.01602",
    "none",
    "Methods of one family agree because they are alike, not because they are right, and signed maps rank otherwise "
    "than those of amounts.",
    better="none",
    unit="-1 to 1",
)
def agreement(comparison: Comparison) -> Found:
    """Krishna 2022, rank correlation. The rows of random numbers count in no mean of others."""
    ordered = [ranks(row.values.ravel()) for row in comparison.rows]
    matrix = np.eye(len(ordered))
    for first, one in enumerate(ordered):
        for second in range(first):
            found = correlation(one, ordered[second])
            matrix[first, second] = matrix[second, first] = 0.0 if found is None else found
    counted = np.array([row.maker is not None or row.name == OWN for row in comparison.rows])
    values: list[float | None] = []
    for place in range(len(ordered)):
        others = counted & (np.arange(len(ordered)) != place)
        values.append(float(matrix[place, others].mean()) if others.any() else None)
    return Found(values, {"agreement": matrix.astype(np.float32)})


# The rows that no method makes: what the caller sent, and two maps of random numbers, one a pixel and one a cell.
OWN, PIXELS, CELLS = "own_map", "random_pixels", "random_cells"
