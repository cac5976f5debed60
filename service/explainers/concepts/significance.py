"""Whether two samples differ: Student's t-test."""

from __future__ import annotations

from math import exp, lgamma, log, log1p

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
MOST_TERMS = 300
EQUAL = 1e-15


def p_value(first: Doubles, second: Doubles) -> float:
    """The two-sided probability that means so far apart come of samples (n,) and (m,) of one normal distribution.

    Student's t with the pooled variance, n + m - 2 degrees of freedom. Two samples without any spread are told apart
    for sure (0) where their means differ, and not at all (1) where they are the same.
    """
    freedom = len(first) + len(second) - 2
    spread = float(np.square(first - first.mean()).sum() + np.square(second - second.mean()).sum()) / freedom
    apart = float(first.mean() - second.mean())
    if spread <= EQUAL:
        return 1.0 if abs(apart) <= EQUAL else 0.0
    t_squared = apart**2 / (spread * (1 / len(first) + 1 / len(second)))
    return _beta(freedom / (freedom + t_squared), freedom / 2, 0.5)


def _beta(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b), by its continued fraction (DLMF 8.17.22)."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta(1 - x, b, a)
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x)) / a
    found, upper, lower = 1.0, 1.0, 0.0
    for term in range(1, MOST_TERMS):
        half = term // 2
        over = -(a + half) * (a + b + half) if term % 2 else half * (b - half)
        share = over * x / ((a + term - 1) * (a + term))
        lower = 1 / (1 + share * lower)
        upper = 1 + share / upper
        found *= upper * lower
        if abs(upper * lower - 1) < EQUAL:
            break
    return front / found
