"""Concept activation vectors: the directions from random pictures to those of a concept, and between random ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.arrays import Floats
from service.explainers.base import Progress

Doubles = NDArray[np.float64]
HELD_OUT_SHARE = 1 / 3
MOST_STEPS = 100
ENOUGH = 1e-10
SMALL = 1e-12


@dataclass(frozen=True, eq=False)
class Directions:
    """`normals` (2, r, d) of length 1: those of the concept, then those between random pictures. `accuracies` (2, r) on
    the `held_out` of `a_side` pictures a side; `flat` counts the directions that are 0.
    """

    normals: Doubles
    accuracies: Doubles
    a_side: int
    held_out: int
    flat: int


def directions_of(
    concept: Floats, random: Floats, repeats: int, penalty: float, seed: int, progress: Progress
) -> Directions:
    """Directions in the space of the activations (n, d) and (m, d).

    In each repetition, whose generator is `default_rng([seed, i])`, the random pictures are shuffled and cut into two
    sides of the same number of pictures, at most half of them and at most as many as the concept has; as many of the
    concept's are drawn. One classifier tells these from the first side, another the second side from the first. The
    last third of every side is held out.
    """
    a_side = min(len(concept), len(random) // 2)
    held_out = max(1, int(HELD_OUT_SHARE * a_side))
    normals = np.zeros((2, repeats, concept.shape[1]))
    accuracies = np.zeros((2, repeats))
    for repeat in range(repeats):
        progress(repeat, repeats)
        generator = np.random.default_rng([seed, repeat])
        drawn = generator.permutation(len(random))
        own = concept[generator.permutation(len(concept))[:a_side]].astype(np.float64)
        others = random[drawn[:a_side]].astype(np.float64)
        for kind, side in enumerate((own, random[drawn[a_side : 2 * a_side]].astype(np.float64))):
            found = separating(side[:-held_out], others[:-held_out], penalty)
            length = float(np.linalg.norm(found.normal))
            normals[kind, repeat] = found.normal / length if length else found.normal
            accuracies[kind, repeat] = found.accuracy(side[-held_out:], others[-held_out:])
    return Directions(normals, accuracies, a_side, held_out, int((~normals.any(axis=2)).sum()))


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
