"""What an image loses for not looking like one."""

from __future__ import annotations

from typing import Any

NORM = 6


def penalty(ops: Any, values: Any, weights: Any, middle: float) -> Any:
    """Values (b, h, w, c) → (b,): the three penalties, times their `weights` (3,)."""
    terms = (total_variation(ops, values), mean_square(ops, values - middle), norm(ops, values))
    return sum(weights[place] * term for place, term in enumerate(terms))


def total_variation(ops: Any, values: Any) -> Any:
    """(b,): squared differences to the pixel below and to the right, over the number of values; squared unit.

    Mahendran and Vedaldi 2016 with β = 2, https://arxiv.org/abs/1512.02017.
    """
    here = values[:, :-1, :-1]
    squares = ops.square(values[:, 1:, :-1] - here) + ops.square(values[:, :-1, 1:] - here)
    return ops.sum(squares, axis=(1, 2, 3)) / _count(values)


def mean_square(ops: Any, values: Any) -> Any:
    """(b,), squared unit."""
    return ops.mean(ops.square(values), axis=(1, 2, 3))


def norm(ops: Any, values: Any) -> Any:
    """(b,): the L6 norm over the number of values."""
    amounts = ops.abs(values)
    # In units of the largest, whose sixth power would overflow.
    largest = ops.stop_gradient(ops.max(amounts, axis=(1, 2, 3))) + 1e-12
    powers = ops.sum((amounts / largest[:, None, None, None]) ** NORM, axis=(1, 2, 3))
    return largest * (powers + 1e-12) ** (1 / NORM) / _count(values)


def _count(values: Any) -> int:
    return int(values.shape[1] * values.shape[2] * values.shape[3])
