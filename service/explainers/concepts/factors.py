"""Non-negative factors of a matrix, and how much of each is in other vectors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
MOST_ROUNDS = 500
# The factors are found once a round lowers the error by less than this share of it at the start.
TOLERANCE = 1e-6
SMALL = 1e-12
# Vectors that are solved for together: their systems take count² numbers each.
TOGETHER = 2048
MOST_TURNS = 100
# How often more wrong signs than before are borne until one at a time is turned.
PATIENCE = 3
# A hair of the parts' own lengths keeps parts that are the same, or 0, from being undetermined.
RIDGE = 1e-10


@dataclass(frozen=True, eq=False)
class Factors:
    """U (n, c) and W (c, k), both >= 0, whose product comes near the matrix; each row of W has the length 1, or is 0.

    `error` is ‖A - U W‖ / ‖A‖, `rounds` how many it took.
    """

    shares: Doubles
    parts: Doubles
    error: float
    rounds: int


def factorised(matrix: Doubles, count: int, told: Callable[[int, int], None] = lambda done, total: None) -> Factors:
    """A (n, k) >= 0 as U W of `count` parts, by ½‖A - U W‖² (Lee and Seung 1999, https://doi.org/10.1038/44565).

    Hierarchical alternating least squares (Cichocki and Phan 2009, https://doi.org/10.1587/transfun.E92.A.708, alg. 2)
    from the start of Boutsidis and Gallopoulos 2008 (https://doi.org/10.1016/j.patcog.2007.09.010), whose zeros are
    filled with a hundredth of the mean. There is nothing random in it. `told` hears of each round, and may raise.
    """
    shares, parts = _start(matrix, count)
    whole = float(np.square(matrix).sum())
    first = before = _error(matrix, shares, parts, whole)
    rounds = 0
    for rounds in range(1, MOST_ROUNDS + 1):
        told(rounds - 1, MOST_ROUNDS)
        _improve(shares, matrix @ parts.T, parts @ parts.T)
        _improve(parts.T, matrix.T @ shares, shares.T @ shares)
        error = _error(matrix, shares, parts, whole)
        if before - error <= TOLERANCE * first:
            break
        before = error
    lengths = np.linalg.norm(parts, axis=1)
    scale = np.where(lengths > 0, lengths, 1)
    error = np.sqrt(max(0.0, _error(matrix, shares, parts, whole)) / whole) if whole else 0.0
    return Factors(shares * scale, parts / scale[:, None], float(error), rounds)


def _start(matrix: Doubles, count: int) -> tuple[Doubles, Doubles]:
    """NNDSVDa: of each pair of singular vectors the signs that weigh more."""
    left, values, right = _singular(matrix, count)
    filling = 0.01 * matrix.mean()
    shares, parts = np.zeros((len(matrix), count)), np.zeros((count, matrix.shape[1]))
    for place in range(len(values)):
        pairs = [(np.maximum(sign * left[:, place], 0), np.maximum(sign * right[place], 0)) for sign in (1.0, -1.0)]
        column, row = max(pairs, key=lambda pair: float(np.linalg.norm(pair[0]) * np.linalg.norm(pair[1])))
        tall, wide = float(np.linalg.norm(column)), float(np.linalg.norm(row))
        if tall * wide > SMALL:
            factor = np.sqrt(values[place] * tall * wide)
            shares[:, place], parts[place] = factor * column / tall, factor * row / wide
    return np.where(shares > 0, shares, filling), np.where(parts > 0, parts, filling)


def _singular(matrix: Doubles, count: int) -> tuple[Doubles, Doubles, Doubles]:
    """The first `count` singular vectors and values, from the smaller of the two products of the matrix with itself."""
    tall = matrix.shape[0] >= matrix.shape[1]
    _, vectors = np.linalg.eigh(matrix.T @ matrix if tall else matrix @ matrix.T)
    vectors = vectors[:, ::-1][:, :count]
    # An eigenvector has no sign of its own.
    vectors = vectors * np.where(vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])] < 0, -1, 1)
    others = matrix @ vectors if tall else matrix.T @ vectors
    values = np.linalg.norm(others, axis=0)
    others = others / np.maximum(values, SMALL)
    return (others, values, vectors.T) if tall else (vectors, values, others.T)


def _improve(factor: Doubles, product: Doubles, gram: Doubles) -> None:
    """Changes each column of a factor, one after the other, to the best that is >= 0 while the rest stays."""
    for place in range(factor.shape[1]):
        if gram[place, place] > SMALL:
            step = (product[:, place] - factor @ gram[:, place]) / gram[place, place]
            np.maximum(factor[:, place] + step, 0, out=factor[:, place])


def _error(matrix: Doubles, shares: Doubles, parts: Doubles, whole: float) -> float:
    """‖A - U W‖², without making U W."""
    return float(whole - 2 * ((matrix @ parts.T) * shares).sum() + ((shares.T @ shares) * (parts @ parts.T)).sum())


def shares_of(vectors: Doubles, parts: Doubles) -> Doubles:
    """argmin ‖v - u W‖ over u >= 0 for each of the vectors (n, k), given the parts W (c, k): (n, c).

    Block principal pivoting (Kim and Park 2011, https://doi.org/10.1137/110821172, algorithm 2): exact, but that the
    largest squared length of a part times 1e-10 is added to each. All vectors go through it at once.
    """
    gram = parts @ parts.T
    gram = gram + RIDGE * max(float(np.diag(gram).max(initial=0)), SMALL) * np.eye(len(parts))
    products = vectors @ parts.T
    found = [_solved(gram, products[first : first + TOGETHER]) for first in range(0, len(products), TOGETHER)]
    return np.concatenate(found) if found else np.zeros((0, len(parts)))


def _solved(gram: Doubles, products: Doubles) -> Doubles:
    rows, count = products.shape
    used = np.zeros((rows, count), bool)
    found, slopes = np.zeros((rows, count)), -products
    fewest, patience = np.full(rows, count + 1), np.full(rows, PATIENCE)
    level = SMALL * np.maximum(np.abs(products).max(axis=1, initial=0), SMALL)[:, None]
    for _ in range(MOST_TURNS):
        wrong = (used & (found < -level)) | (~used & (slopes < -level))
        counts = wrong.sum(axis=1)
        open_rows = np.flatnonzero(counts)
        if not len(open_rows):
            break
        better = counts < fewest
        fewest = np.where(better, counts, fewest)
        patience = np.where(better, PATIENCE, patience - 1)
        last = count - 1 - wrong[:, ::-1].argmax(axis=1)
        one = np.zeros_like(wrong)
        one[np.arange(rows), last] = True
        used ^= np.where((patience >= 0)[:, None], wrong, wrong & one)
        inside = used[open_rows]
        systems = np.where(inside[:, :, None] & inside[:, None, :], gram, np.eye(count))
        sides = np.where(inside, products[open_rows], 0)
        solved = np.linalg.solve(systems, sides[..., None])[..., 0]
        found[open_rows] = np.where(inside, solved, 0)
        slopes[open_rows] = np.where(inside, 0, found[open_rows] @ gram - products[open_rows])
    return np.maximum(found, 0)
