"""Non-negative least squares: how much of each part is in each of many vectors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
# Vectors that are solved for together: their systems take count² numbers each.
TOGETHER = 2048
MOST_ROUNDS = 100
# How often more wrong signs than before are borne until one at a time is turned.
PATIENCE = 3
# A hair of the parts' own lengths keeps parts that are the same, or 0, from being undetermined.
RIDGE = 1e-10
SMALL = 1e-12


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
    for _ in range(MOST_ROUNDS):
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
