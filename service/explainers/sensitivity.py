"""Total Sobol indices: how much of a value's variance is gone when one of its factors no longer varies."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from service.arrays import Floats

Doubles = NDArray[np.float64]


def design(draws: int, count: int, seed: int) -> Floats:
    """Draws of a, b and, for every factor j, a with the j-th number of b: (draws, count + 2, count) in 0..1.

    The numbers of all draws are a Latin hypercube. The same seed draws the same ones.
    """
    generator = np.random.default_rng(seed)
    strata = generator.random((draws, 2 * count)).argsort(axis=0)
    numbers = ((strata + generator.random((draws, 2 * count))) / draws).astype(np.float32)
    values = np.repeat(numbers[:, None, :count], count + 2, axis=1)
    values[:, 1] = numbers[:, count:]
    for factor in range(count):
        values[:, 2 + factor, factor] = numbers[:, count + factor]
    return values


def total_indices(found: Doubles) -> Doubles:
    """(draws, count + 2, targets) values of such draws → (targets, count): S_j = Σ (y(a) - y(a_j))² / (2n·V(y)), V over
    the values of a and b, 0 where nothing varies. Jansen 1999, https://doi.org/10.1016/S0010-4655(98)00154-4.
    """
    if len(found) < 2:
        return np.zeros((found.shape[2], found.shape[1] - 2))
    changes = np.square(found[:, 2:] - found[:, :1]).mean(axis=0)
    variance = found[:, :2].reshape(-1, found.shape[2]).var(axis=0)
    return np.asarray((changes / (2 * np.where(variance > 0, variance, np.inf))).T)
