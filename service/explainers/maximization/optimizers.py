"""A gradient becomes a step; and what an image loses for not looking like one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from service.arrays import Ops, Value

OptimizerName = Literal["normalized_gradient", "adam", "rmsprop"]
NORM = 6


def penalty(ops: Ops, values: Value, weights: Value, middle: float) -> Value:
    """Values (b, h, w, c) → (b,): the three penalties, times their `weights` (3,)."""
    terms = (total_variation(ops, values), mean_square(ops, values - middle), norm(ops, values))
    return sum(weights[place] * term for place, term in enumerate(terms))


def total_variation(ops: Ops, values: Value) -> Value:
    """Gives (b,): squared differences to the pixel below and to the right, over the number of values; squared unit.

    Mahendran and Vedaldi 2016 with β = 2, https://arxiv.org/abs/1512.02017.
    """
    here = values[:, :-1, :-1]
    squares = ops.square(values[:, 1:, :-1] - here) + ops.square(values[:, :-1, 1:] - here)
    return ops.sum(squares, axis=(1, 2, 3)) / _count(values)


def mean_square(ops: Ops, values: Value) -> Value:
    """Gives (b,), squared unit."""
    return ops.mean(ops.square(values), axis=(1, 2, 3))


def norm(ops: Ops, values: Value) -> Value:
    """Gives (b,): the L6 norm over the number of values."""
    amounts = ops.abs(values)
    # In units of the largest, whose sixth power would overflow.
    largest = ops.stop_gradient(ops.max(amounts, axis=(1, 2, 3))) + 1e-12
    powers = ops.sum((amounts / largest[:, None, None, None]) ** NORM, axis=(1, 2, 3))
    return largest * (powers + 1e-12) ** (1 / NORM) / _count(values)


def _count(values: Value) -> int:
    return int(values.shape[1] * values.shape[2] * values.shape[3])


MOMENTS: dict[OptimizerName, int] = {"normalized_gradient": 0, "rmsprop": 1, "adam": 2}
"""How many running means each keeps."""
RMS_FLOOR = 1e-5
SQUARE_FLOOR = 1e-12
RMSPROP_DECAY, RMSPROP_FLOOR = 0.95, 1e-7
ADAM_FIRST, ADAM_SECOND, ADAM_FLOOR = 0.9, 0.999, 1e-8


def step(
    ops: Ops, name: OptimizerName, norm: Literal["rms", "l2"], gradient: Value, moments: Value, number: Value
) -> tuple[Value, Value]:
    """Gradients (b, …) and running means (b, k, …) before step `number` (from 0) → steps of size 1, and the means.

    `normalized_gradient` divides by the root mean square or the norm of an image's gradient; `rmsprop` starts from
    the gradient over its norm, with decay 0.95 (Hinton 2012); `adam` is Kingma and Ba 2015, arXiv 1412.6980.
    """
    if name == "normalized_gradient":
        return normalized(ops, gradient, norm), moments
    if name == "rmsprop":
        gradient = normalized(ops, gradient, "l2")
        mean = RMSPROP_DECAY * moments[:, 0] + (1 - RMSPROP_DECAY) * ops.square(gradient)
        return gradient / ops.sqrt(mean + RMSPROP_FLOOR), mean[:, None]
    first = ADAM_FIRST * moments[:, 0] + (1 - ADAM_FIRST) * gradient
    second = ADAM_SECOND * moments[:, 1] + (1 - ADAM_SECOND) * ops.square(gradient)
    share, square_share = 1 - ADAM_FIRST ** (number + 1), 1 - ADAM_SECOND ** (number + 1)
    change = first / share / (ops.sqrt(second / square_share) + ADAM_FLOOR)
    return change, ops.stack([first, second], axis=1)


def normalized(ops: Ops, gradient: Value, norm: Literal["rms", "l2"]) -> Value:
    """Each image's gradient (b, …) over its root mean square plus 1e-5, or over its norm; 0 stays 0."""
    axes = tuple(range(1, len(gradient.shape)))
    squares = ops.square(gradient)
    if norm == "rms":
        return gradient / (ops.sqrt(ops.mean(squares, axis=axes, keepdims=True)) + RMS_FLOOR)
    return gradient / ops.sqrt(ops.maximum(ops.sum(squares, axis=axes, keepdims=True), SQUARE_FLOOR))
