"""Gradients that ReLUs let through by another rule than their own."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from service.arrays import Function, Value
from service.models.backends.interface import ReluRule
from service.models.graph.graph import Node


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
