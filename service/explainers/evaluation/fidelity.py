"""Fidelity: whether what a map gives a set of cells is what the score loses without them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from service.errors import InvalidParameter, MethodNotValid
from service.explainers.covers import colour_of
from service.explainers.evaluation.alikeness import correlation, spearman
from service.explainers.evaluation.comparison import Comparison, Doubles, cells_of
from service.explainers.evaluation.metric import Found, metric
from service.explainers.perturbation.segments import require_cells

if TYPE_CHECKING:
    from service.explainers.evaluation.params import EvaluationParams
    from service.explainers.subject import Subject

MOST_NUMBERS = 4_000_000
SETS = ("samples", "cells", "share")


def _check_sets(subject: Subject, params: EvaluationParams) -> None:
    cells = cells_of(params, subject.image.size)
    if params.cells is None and cells == (1, 1):
        raise MethodNotValid("the model's input is one pixel, and no set of cells of it could be covered; use deletion")
    require_cells(subject.image.size, cells)
    if params.samples * cells[0] * cells[1] > MOST_NUMBERS:
        raise InvalidParameter(
            f"{params.samples} sets of {cells[0]}×{cells[1]} cells are more than the {MOST_NUMBERS} "
            "numbers one call may hold; ask for fewer 'samples' or 'cells'"
        )
    if params.value != "blur":
        colour_of(subject.image, params.value)


@metric(
    "mufidelity",
    "Correlation, over random sets of cells that `value` covers, of the map's sum over the set with what is lost "
    "without it. `mufidelity_spearman` is that of their ranks.",
    "https://arxiv.org/abs/2005.00631",
    "1 forward a set, the same sets for all maps",
    "Sets of many cells say more of the sum of the map than of where it is high, and of few samples the number is "
    "uncertain by about 1 / √samples.",
    better="higher",
    unit="-1 to 1",
    takes=SETS,
    check=_check_sets,
    ranked=True,
    shared=True,
)
def mufidelity(comparison: Comparison) -> Found:
    """Bhatt 2020, eq. 4: corr over S of Σ_{i∈S} φ_i and f(x) - f(x without S), |S| fixed."""
    sets = comparison.sets
    sums = [sets.sums(row.values) for row in comparison.rows]
    ranks = [spearman(each, sets.drops) for each in sums]
    found = np.array([np.nan if value is None else value for value in ranks], np.float32)
    values = [correlation(each, sets.drops) for each in sums]
    # Two deviations of a correlation of so many independent draws that is 0.
    return Found(values, {"mufidelity_spearman": np.nan_to_num(found)}, 2 / float(np.sqrt(len(sets.drops))))


@metric(
    "infidelity",
    "Mean square, over random sets of cells that `value` covers, of the difference between the map's sum over the set "
    "and what is lost without it; each map is first multiplied by the one number, not below 0, that makes it least.",
    "https://arxiv.org/abs/1901.09392",
    "1 forward a set, the same sets for all maps",
    "A constant map does well where every set costs about as much. The number has the unit of the measure squared: "
    "compare it between maps of one call only.",
    better="lower",
    unit="that of what is measured, squared",
    takes=SETS,
    check=_check_sets,
    ranked=True,
    shared=True,
)
def infidelity(comparison: Comparison) -> Found:
    """Yeh 2019, definition 2.1 with the removal of sets as the perturbation and the map as what each pixel adds, and
    the optimal scaling of section 2: β = Σ ab / Σ a², but not below 0, so that a map of the opposite is none."""
    sets = comparison.sets
    errors = np.stack([scaled_errors(sets.sums(row.values), sets.drops) for row in comparison.rows])
    # Two standard errors of a difference, the largest between any two maps: all are of the same draws.
    differences = (errors[:, None] - errors).std(axis=2, ddof=1)
    within = 2 * float(differences.max()) / float(np.sqrt(errors.shape[1]))
    return Found([float(each.mean()) for each in errors], within=within)


def scaled_errors(sums: Doubles, drops: Doubles) -> Doubles:
    """(samples,): (β·sums - drops)² for the β >= 0 that makes their mean least; β is 0 where all sums are."""
    squares = float(sums @ sums)
    beta = max(0.0, float(sums @ drops) / squares) if squares else 0.0
    return np.asarray(np.square(beta * sums - drops), np.float64)
