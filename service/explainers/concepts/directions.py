"""Concept activation vectors: the directions from random pictures to those of a concept, and between random ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.arrays import Floats
from service.explainers.base import Progress
from service.explainers.concepts.classifier import separating

Doubles = NDArray[np.float64]
HELD_OUT_SHARE = 1 / 3


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
