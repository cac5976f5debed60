"""Operations that keep their values and have another way back than their gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from service.arrays import Function, Structure, Value
from service.models.backends.interface import ReluRule
from service.models.graph.graph import Node

# The operation of its values alone, what went in, what came out, and what comes back for each of these → what goes back
# to each that went in.
Backward = Callable[[Function, Sequence[Value], Sequence[Value], Sequence[Value]], Sequence[Value]]


def with_backward(operation: Function, backward: Backward, *beside: Value) -> Function:
    """What stands in for `operation`, called in the same way.

    `beside` are further tensors that the values go back to, the first of what `backward` gives; they change nothing.
    """

    def stand_in(*args: Value, **kwargs: Value) -> Value:
        flat = keras.tree.flatten((args, kwargs))
        places = [place for place, item in enumerate(flat) if tf.is_tensor(item)]

        def of_values(*values: Value) -> Value:
            filled = list(flat)
            for place, value in zip(places, values, strict=True):
                filled[place] = value
            own_args, own_kwargs = keras.tree.pack_sequence_as((args, kwargs), filled)
            return operation(*own_args, **own_kwargs)

        def replaced(*tensors: Value) -> tuple[list[Value], Function]:
            given = tensors[len(beside) :]
            results = keras.tree.flatten(of_values(*given))

            def back(*upstream: Value, variables: Structure = None) -> Value:
                found = list(backward(of_values, given, results, upstream))
                return (found, [None] * len(variables)) if variables else found

            return results, back

        found = tf.custom_gradient(replaced)(*beside, *(flat[place] for place in places))
        return found[0] if len(found) == 1 else found

    return stand_in


def pulled_back(function: Function, at: Sequence[Value], upstream: Value) -> tuple[Value, list[Value]]:
    """`function(*at)`, and what `upstream` times its derivative is with respect to each, zeros where it depends on
    none."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        for value in at:
            tape.watch(value)
        result = function(*at)
    zero = tf.UnconnectedGradients.ZERO
    return result, tape.gradient(result, list(at), upstream, unconnected_gradients=zero)


def with_gradient(rule: ReluRule, node: Node) -> Function:
    """What stands in for the node's operation: the same values and, where it is a ReLU, the gradient of `rule`."""
    if not node.is_relu:
        return node.op

    def relu(x: Value) -> tuple[Value, Callable[[Value], Value]]:
        def backward(upstream: Value) -> Value:
            if rule == "redirected":
                return redirected(x, upstream, node.ceiling)
            passed = tf.where(upstream > 0, upstream, tf.zeros_like(upstream))
            return tf.where(x > 0, passed, tf.zeros_like(passed)) if rule == "guided" else passed

        return node.op(x), backward

    ruled: Function = tf.custom_gradient(relu)
    return ruled


def redirected(x: Value, upstream: Value, ceiling: float | None) -> Value:
    """Inputs (batch, …) of a ReLU and the gradient of its output → that of its input, for a value that is to rise.

    The ReLU's own gradient for images of which it lets anything through; for the others what pushes inputs of at
    most 0 up, and inputs of at least `ceiling` down. Olah et al. 2017, https://distill.pub/2017/feature-visualization.
    """
    none = tf.zeros_like(upstream)
    below = x <= 0
    above = tf.zeros_like(below) if ceiling is None else x >= ceiling
    plain = tf.where(below | above, none, upstream)
    pushing = tf.where(below, tf.maximum(upstream, none), tf.where(above, tf.minimum(upstream, none), upstream))
    axes = list(range(1, len(x.shape)))
    passes = tf.reduce_any(plain != 0, axis=axes, keepdims=True)
    return tf.where(passes, plain, pushing)
