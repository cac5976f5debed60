"""The linear classifier whose normal is a concept activation vector."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
MOST_STEPS = 100
ENOUGH = 1e-10
SMALL = 1e-12


@dataclass(frozen=True, eq=False)
class Classifier:
    """Says how much a vector is of the first kind: `normal` (d,) times the vector, plus `offset`; > 0 is."""

    normal: Doubles
    offset: float

    def accuracy(self, first: Doubles, second: Doubles) -> float:
        """The share of vectors (n, d) of the first and of the second kind that are told right."""
        right = np.concatenate([first @ self.normal + self.offset > 0, second @ self.normal + self.offset <= 0])
        return float(right.mean())


def separating(first: Doubles, second: Doubles, penalty: float) -> Classifier:
    """The logistic regression that tells vectors (n, d) of one kind from those (m, d) of another.

    It minimises Σ log(1 + exp(-s_i (w·x_i + b))) + penalty/2·‖w‖², s_i = 1 for the first kind and -1 for the second, by
    Newton's method; b is not penalised. The best w is a sum of the vectors, so it is looked for among these alone.
    """
    vectors = np.concatenate([first, second])
    signs = np.concatenate([np.ones(len(first)), -np.ones(len(second))])
    values, turned = np.linalg.eigh(vectors @ vectors.T)
    kept = values > SMALL * max(float(values.max()), SMALL)
    roots = np.sqrt(values[kept])
    points = np.column_stack([turned[:, kept] * roots, np.ones(len(vectors))])
    weight = np.append(np.full(int(kept.sum()), penalty), 0.0)
    at = np.zeros(points.shape[1])
    for _ in range(MOST_STEPS):
        probability = 1 / (1 + np.exp(np.clip(signs * (points @ at), -500, 500)))
        slope = weight * at - points.T @ (signs * probability)
        curve = (points.T * (probability * (1 - probability))) @ points + np.diag(weight + SMALL)
        step = np.linalg.solve(curve, slope)
        at = _further(points, signs, weight, at, step, float(slope @ step))
        if float(slope @ step) <= ENOUGH:
            break
    return Classifier(vectors.T @ (turned[:, kept] @ (at[:-1] / roots)), float(at[-1]))


def _further(points: Doubles, signs: Doubles, weight: Doubles, at: Doubles, step: Doubles, gain: float) -> Doubles:
    """A step, halved until it lowers what is minimised as much as a step of its length should."""

    def cost(place: Doubles) -> float:
        return float(np.logaddexp(0, -signs * (points @ place)).sum() + 0.5 * (weight * place * place).sum())

    now, length = cost(at), 1.0
    while length > SMALL and cost(at - length * step) > now - 0.25 * length * gain + SMALL * abs(now):
        length /= 2
    return np.asarray(at - length * step)
