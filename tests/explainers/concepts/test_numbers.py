"""The arithmetic of concepts beside other ways to the same numbers: factors, shares, classifiers, p values, indices."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from service.explainers.concepts.directions import separating
from service.explainers.concepts.factors import factorised, shares_of
from service.explainers.concepts.significance import p_value
from service.explainers.sensitivity import design, total_indices


def test_planted_factors_are_found() -> None:
    """Each part has channels of its own, and rows with nothing but it."""
    random = np.random.default_rng(0)
    parts = np.zeros((3, 12))
    for place in range(3):
        parts[place, 4 * place : 4 * place + 4] = random.random(4) + 0.1
    shares = np.concatenate([np.eye(3), random.random((40, 3)) * (random.random((40, 3)) < 0.5)])
    found = factorised(shares @ parts, 3)
    lengths = np.linalg.norm(parts, axis=1)
    order = [int((found.parts @ row).argmax()) for row in parts]
    assert sorted(order) == [0, 1, 2]
    np.testing.assert_allclose(found.parts[order], parts / lengths[:, None], atol=1e-3)
    np.testing.assert_allclose(found.shares[:, order], shares * lengths, atol=3e-3)
    assert found.error < 1e-3
    assert (found.shares >= 0).all()
    assert (found.parts >= 0).all()


@pytest.mark.parametrize("shape", [(30, 8), (8, 30)])
def test_the_error_is_that_of_the_product_and_nothing_is_random(shape: tuple[int, int]) -> None:
    matrix = np.random.default_rng(1).random(shape)
    found, again = factorised(matrix, 3), factorised(matrix, 3)
    np.testing.assert_array_equal(found.parts, again.parts)
    missed = np.linalg.norm(matrix - found.shares @ found.parts) / np.linalg.norm(matrix)
    assert found.error == pytest.approx(missed, rel=1e-6)
    # Of no better use than the first singular vectors, and not much worse on numbers that are all positive.
    values = np.linalg.svd(matrix, compute_uv=False)
    best = np.sqrt(np.square(values[3:]).sum() / np.square(values).sum())
    assert best <= found.error < 1.4 * best


def test_factors_of_nothing_and_of_less_than_asked() -> None:
    assert not factorised(np.zeros((5, 4)), 2).shares.any()
    one = factorised(np.outer([1.0, 2, 3], [1.0, 1, 0, 2]), 3)
    np.testing.assert_allclose(one.shares @ one.parts, np.outer([1, 2, 3], [1, 1, 0, 2]), atol=1e-3)


def by_every_choice(vector: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Non-negative least squares by trying which parts are in it."""
    best, least = np.zeros(len(parts)), float(vector @ vector)
    for kept in itertools.chain.from_iterable(
        itertools.combinations(range(len(parts)), size) for size in range(1, len(parts) + 1)
    ):
        solution = np.linalg.lstsq(parts[list(kept)].T, vector, rcond=None)[0]
        missed = float(np.square(vector - solution @ parts[list(kept)]).sum())
        if (solution >= 0).all() and missed < least:
            best, least = np.zeros(len(parts)), missed
            best[list(kept)] = solution
    return best


def test_shares_are_those_of_every_choice() -> None:
    random = np.random.default_rng(2)
    parts = random.random((5, 9)) * (random.random((5, 9)) < 0.6)
    vectors = random.normal(size=(40, 9))
    expected = np.stack([by_every_choice(vector, parts) for vector in vectors])
    np.testing.assert_allclose(shares_of(vectors, parts), expected, atol=1e-7)


def test_parts_that_are_the_same_share_and_none_has_nothing() -> None:
    parts = np.array([[1.0, 1, 0], [1, 1, 0], [0, 0, 0]])
    np.testing.assert_allclose(shares_of(np.array([[2.0, 2, 5]]), parts), [[1, 1, 0]], atol=1e-6)
    assert shares_of(np.zeros((0, 3)), parts).shape == (0, 3)


@pytest.mark.parametrize("penalty", [0.1, 1.0, 10.0])
def test_a_classifier_has_no_slope_left(penalty: float) -> None:
    """The function is Σ log(1 + exp(-s(w·x + b))) + penalty/2·‖w‖², of more directions than there are vectors."""
    random = np.random.default_rng(3)
    first, second = random.normal(size=(9, 50)) + 0.3, random.normal(size=(7, 50))
    found = separating(first, second, penalty)
    vectors, signs = np.concatenate([first, second]), np.array([1] * 9 + [-1] * 7)
    wrong = signs / (1 + np.exp(signs * (vectors @ found.normal + found.offset)))
    np.testing.assert_allclose(penalty * found.normal, wrong @ vectors, atol=1e-5)
    assert wrong.sum() == pytest.approx(0, abs=1e-5)
    assert found.accuracy(first, second) == 1


def test_a_classifier_on_paper() -> None:
    """Two points at ±1: w = 2·σ(-w) for penalty 1."""
    found = separating(np.array([[1.0, 0]]), np.array([[-1.0, 0]]), 1.0)
    weight = float(found.normal[0])
    assert weight == pytest.approx(2 / (1 + np.exp(weight)), abs=1e-6)
    assert found.normal[1] == found.offset == 0
    assert found.accuracy(np.array([[-3.0, 0]]), np.array([[-3.0, 0]])) == 0.5


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        # By scipy.stats.ttest_ind, 1.17.1.
        ([1, 2, 3, 4], [2, 3, 4, 7], 0.2782357222418576),
        ([0.5, 0.6, 0.4], [0.9, 1.0, 0.8, 0.9], 0.0020585239624297956),
        ([1, 2], [1.5, 1.5], 1.0),
        # Two samples of 2 degrees of freedom: 1 - t/√(2 + t²), t = 2/√(0.25 + 0.25).
        ([0, 1], [2, 3], 1 - np.sqrt(8) / np.sqrt(10)),
        ([1, 1, 1], [1, 1], 1.0),
        ([1, 1, 1], [0, 0], 0.0),
    ],
)
def test_p_values(first: list[float], second: list[float], expected: float) -> None:
    assert p_value(np.array(first, float), np.array(second, float)) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_indices_of_a_sum_are_the_shares_of_its_variance() -> None:
    """y = Σ w_j x_j of independent x_j: S_j = w_j² / Σ w²; of a product x_0 x_1 both are 4/7."""
    masks = design(4096, 3, 0)
    weights = np.array([3.0, 2, -1])
    scores = (masks.astype(np.float64) @ weights)[..., None]
    np.testing.assert_allclose(total_indices(scores)[0], weights**2 / 14, atol=0.03)
    product = (masks[..., 0] * masks[..., 1]).astype(np.float64)[..., None]
    np.testing.assert_allclose(total_indices(product)[0], [4 / 7, 4 / 7, 0], atol=0.03)
    assert not total_indices(np.ones((8, 5, 1))).any()
