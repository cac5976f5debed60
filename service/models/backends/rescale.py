"""DeepLIFT's rescale rule: differences from a baseline in the place of derivatives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from service.arrays import Function, Value
from service.models.backends.backward import pulled_back, with_backward
from service.models.dialects.roles import is_largest, is_linear, is_of_one_number
from service.models.graph.graph import Node

# Where a value differs less from its baseline, the derivative takes the place of a ratio.
SMALL = 1e-6
POINTS = 32


def rescaled(node: Node) -> Function:
    """What stands in for the node's operation on a batch whose second half is the baselines of the first.

    What goes back is the multipliers of the first half, zeros for the second. Shrikumar et al. 2017, arXiv 1704.02685:
    linear operations have their derivatives (section 3.5.1), functions of one number Δout / Δin (eq. 8). The largest of
    several numbers shares its change as Lundberg's DeepExplainer does. Everything else has the mean of its derivatives
    on the straight line from the baseline: that is the rescale rule where both exist, it halves what the two factors of
    a product do together, and its parts sum to the change of the output.
    """
    if is_linear(node.traits):
        return node.op
    if len(node.inputs) == 1 and is_of_one_number(node.traits):
        return with_backward(node.op, _ratio)
    if len(node.inputs) == 1 and is_largest(node.traits):
        return with_backward(node.op, _largest)
    return with_backward(node.op, _on_the_line(node))


def _halves(value: Value) -> tuple[Value, Value]:
    own, baseline = tf.split(value, 2)
    return own, baseline


def _with_zeros(values: Value, like: Value) -> Value:
    return tf.cast(tf.concat([values, tf.zeros_like(values)], 0), like.dtype)


def _ratio(
    function: Function, inputs: Sequence[Value], outputs: Sequence[Value], upstream: Sequence[Value]
) -> list[Value]:
    own, baseline = _halves(tf.cast(inputs[0], tf.float32))
    after, before = _halves(tf.cast(outputs[0], tf.float32))
    change = own - baseline
    small = tf.abs(change) < SMALL
    _, (slope,) = pulled_back(function, inputs, tf.ones_like(outputs[0]))
    ratio = tf.where(
        small, tf.cast(_halves(slope)[0], tf.float32), (after - before) / tf.where(small, tf.ones_like(own), change)
    )
    return [_with_zeros(_halves(tf.cast(upstream[0], tf.float32))[0] * ratio, inputs[0])]


def _largest(
    function: Function, inputs: Sequence[Value], outputs: Sequence[Value], upstream: Sequence[Value]
) -> list[Value]:
    own, baseline = _halves(inputs[0])
    after, before = _halves(outputs[0])
    multiplier, _ = _halves(upstream[0])
    larger = tf.maximum(after, before)
    shared = tf.concat([multiplier * (larger - before), multiplier * (after - larger)], 0)
    _, (pulled,) = pulled_back(function, inputs, shared)
    change = own - baseline
    small = tf.abs(change) < SMALL
    total = sum(_halves(pulled))
    return [_with_zeros(tf.where(small, 0.0, total / tf.where(small, tf.ones_like(change), change)), inputs[0])]


def _on_the_line(node: Node) -> Function:
    # The derivative of a product of two changes evenly along the line, so that its middle is its mean.
    count = 1 if node.traits.merge == "product" and len(node.inputs) == 2 else POINTS
    points, weights = np.polynomial.legendre.leggauss(count)

    def along(values: Value, factors: np.ndarray[Any, Any]) -> Value:
        """Each of the values (b, …) times each of the factors: (points·b, …), a point after the other."""
        spread = tf.reshape(tf.constant(factors, values.dtype), (count, *[1] * len(values.shape)))
        return tf.reshape(spread * values[None], (-1, *tf.unstack(tf.shape(values))[1:]))

    def backward(
        function: Function, inputs: Sequence[Value], outputs: Sequence[Value], upstream: Sequence[Value]
    ) -> list[Value]:
        halves = [_halves(value) for value in inputs]
        places = (points + 1) / 2
        at = [along(own, places) + along(baseline, 1 - places) for own, baseline in halves]
        at = [tf.ensure_shape(each, (None, *own.shape[1:])) for each, (own, _) in zip(at, halves, strict=True)]
        _, pulled = pulled_back(function, at, along(_halves(upstream[0])[0], weights / 2))
        sums = [
            tf.reduce_sum(tf.reshape(tf.cast(each, tf.float32), (count, *tf.unstack(tf.shape(own)))), axis=0)
            for each, (own, _) in zip(pulled, halves, strict=True)
        ]
        return [_with_zeros(total, value) for total, value in zip(sums, inputs, strict=True)]

    return backward
