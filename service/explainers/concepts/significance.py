"""Whether a concept's scores differ from those of random directions, by Student's t-test, and when to doubt it."""

from __future__ import annotations

from math import exp, lgamma, log, log1p

import numpy as np
from numpy.typing import NDArray

from service.explainers.concepts.directions import Directions
from service.explainers.variants import Warned

Doubles = NDArray[np.float64]
MOST_TERMS = 300
EQUAL = 1e-15
SIGNIFICANT = 0.05
BEYOND = 2
NEAR_CHANCE = 0.6
SAME = 1e-4


def tested(scores: Doubles, found: Directions) -> dict[str, float]:
    """What is said of the scores (2, r) of a concept's directions and of random ones: means, deviations, p and the
    accuracy of the classifiers behind them.

    `significant` asks for more than a small p, as all repetitions draw from the same pictures: the mean score lies
    beyond two deviations of the random ones, which more repetitions do not make smaller.
    """
    probability = p_value(scores[0], scores[1])
    apart, spread = abs(float(scores[0].mean() - scores[1].mean())), float(scores[1].std(ddof=1))
    return {
        "score": float(scores[0].mean()),
        "score_deviation": float(scores[0].std(ddof=1)),
        "random_score": float(scores[1].mean()),
        "random_score_deviation": float(scores[1].std(ddof=1)),
        "p_value": probability,
        "significant": probability < SIGNIFICANT and apart > BEYOND * spread,
        "accuracy": float(found.accuracies[0].mean()),
        "random_accuracy": float(found.accuracies[1].mean()),
    }


def doubts(
    layer: str, result: dict[str, float], found: Directions, derivatives: NDArray[np.float64]
) -> tuple[Warned, ...]:
    """Says why scores along directions are not to be trusted; the derivatives (2, r, n) are those that they count."""
    said = []
    if np.ptp(derivatives, axis=2).max() <= SAME * np.abs(derivatives).max():
        detail = (
            f"the derivatives are the same on all pictures, as behind layer {layer!r} the network is linear: every "
            "direction has the score 0 or 1; name an earlier layer"
        )
        said.append(Warned("linear_behind", detail))
    if not result["significant"]:
        detail = (
            f"the score of the concept is {result['score']:.2f} and those of random directions are "
            f"{result['random_score']:.2f} ± {result['random_score_deviation']:.2f} (p = {result['p_value']:.2g}): it "
            f"does not lie beyond {BEYOND} of their deviations, so it is not to be trusted that the concept counts"
        )
        said.append(Warned("not_significant", detail))
    if result["accuracy"] < NEAR_CHANCE:
        detail = (
            f"the classifiers tell {100 * result['accuracy']:.0f} % of the pictures right that they have not seen, and "
            "chance is 50 %: the layer hardly knows the concept, and the score is not to be trusted"
        )
        said.append(Warned("near_chance", detail))
    if found.flat:
        said.append(Warned("no_direction", f"{found.flat} of the directions are 0: their pictures are all the same"))
    return tuple(said)


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
