"""Layer-wise relevance propagation: a score is shared out backwards, layer by layer, and what is lost is counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import tensorflow as tf

from service.arrays import Function, Value
from service.errors import MethodNotValid
from service.models.backends.backward import pulled_back, with_backward
from service.models.backends.interface import LayerRule, Relevance
from service.models.dialects.roles import gate_of, role_of
from service.models.dialects.weighted import Weighted
from service.models.graph.graph import Graph, Node, Tensor

# What sums and normalisations add to their divisor, as a share of the root mean square: next to nothing.
LEAST = 1e-6
# What is lost, in this order, an image each.
LOST = ("biases", "epsilon", "nowhere")

Back = Callable[[Value, Value], tuple[Value, Value]]


@dataclass(frozen=True, eq=False)
class Rules:
    """How relevance goes back through every node between the input and `end`.

    `of` holds the rule of each weighted node, by its output; `bounds` the least and the largest value that the input of
    a first layer can have, by that input.
    """

    asked: Relevance
    of: Mapping[Tensor, LayerRule]
    bounds: Mapping[Tensor, tuple[Value, Value]]

    def stand_in(self, node: Node, lost: Value) -> Function:
        """The node's operation, whose way back is relevance; `lost` (b, 3) counts what does not arrive.

        Raises MethodNotValid for an operation without a rule.
        """
        shapes = [tensor.shape for tensor in node.inputs]
        role = role_of(node.traits, shapes, node.outputs[0].shape)
        if role == "route":
            return node.op
        if role == "activation":
            return with_backward(node.op, lambda _, inputs, outputs, upstream: upstream)
        if role == "gate":
            signal = 1 - (gate_of(shapes, node.outputs[0].shape) or 0)
            return with_backward(node.op, lambda _, inputs, outputs, upstream: _to_one(inputs, signal, upstream[0]))
        if role in ("sum", "scaling"):
            return with_backward(node.op, _summed, lost)
        if role == "weighted" and isinstance(node.op, Weighted):
            return _weighted(node.op, self.of[node.outputs[0]], self.asked, self.bounds.get(node.inputs[0]), lost)
        raise MethodNotValid(
            f"lrp has no rule for {node.path!r} ({node.traits.kind}); use deeplift or integrated_gradients"
        )


def rules_for(graph: Graph, end: Tensor, asked: Relevance) -> dict[Tensor, LayerRule]:
    """The rule of each weighted node between the input and `end`, by its output.

    The composite is that of Montavon et al. 2019 (LNCS 11700, chapter 10), as they take it for VGG16: the box rule for
    what reads the image, gamma for the first half of the convolutions, epsilon for the others, 0 for dense layers.
    """
    nodes = [node for node in weighted_nodes(graph, end) if isinstance(node.op, Weighted)]
    if asked.rule != "composite":
        return {node.outputs[0]: asked.rule for node in nodes}
    first = set(first_nodes(graph, end))
    convolutions = [node for node in nodes if node.traits.kind != "Dense"]
    half = -(-len(convolutions) // 2)
    found: dict[Tensor, LayerRule] = {node.outputs[0]: "zero" for node in nodes}
    for place, node in enumerate(convolutions):
        found[node.outputs[0]] = "box" if node in first else "gamma" if place < half else "epsilon"
    return found


def weighted_nodes(graph: Graph, end: Tensor) -> list[Node]:
    """The nodes with a kernel between the input and `end`, in order, as they are run."""
    nodes = graph.folds.applied(graph.between(graph.inputs, end), {*graph.inputs, end})
    return [node for node in nodes if isinstance(node.op, Weighted)]


def first_nodes(graph: Graph, end: Tensor) -> list[Node]:
    """Gives those of them that no other comes before: what reads the image."""
    behind: set[Tensor] = set()
    weighted = {node.outputs[0] for node in weighted_nodes(graph, end)}
    found = []
    for node in graph.folds.applied(graph.between(graph.inputs, end), {*graph.inputs, end}):
        after = any(tensor in behind for tensor in node.inputs)
        if node.outputs[0] in weighted and not after:
            found.append(node)
        if after or node.outputs[0] in weighted:
            behind.update(node.outputs)
    return found


def seeded(value: Value) -> Value:
    """The value itself, whose way back multiplies by it: the derivative of a score becomes its relevance."""
    return with_backward(tf.identity, lambda _, inputs, outputs, upstream: [upstream[0] * inputs[0]])(value)


def _each(values: Value) -> Value:
    """(b,): the sum of each image's numbers."""
    return tf.reduce_sum(tf.reshape(tf.cast(values, tf.float32), (tf.shape(values)[0], -1)), axis=1)


def _divided(relevance: Value, by: Value) -> tuple[Value, Value]:
    """Relevance / by, 0 where that is 0; and (b,) what finds no way there."""
    none = tf.equal(by, 0)
    ratio = tf.where(none, tf.zeros_like(by), relevance / tf.where(none, tf.ones_like(by), by))
    return ratio, _each(tf.where(none, relevance, tf.zeros_like(relevance)))


def _steadied(value: Value, share: float) -> tuple[Value, Value]:
    """The value moved away from 0 by a share of the image's root mean square, and by how much."""
    axes = list(range(1, len(value.shape)))
    size = share * tf.sqrt(tf.reduce_mean(tf.square(value), axis=axes, keepdims=True))
    added = tf.where(value < 0, -size, size) * tf.ones_like(value)
    return value + added, added


def _lost(biases: Value, epsilon: Value, nowhere: Value) -> Value:
    return tf.stack([biases, epsilon, nowhere], axis=1)


def _to_one(inputs: Sequence[Value], signal: int, relevance: Value) -> list[Value]:
    """All relevance to the signal, none to what it is multiplied by. Arras et al. 2017, arXiv 1706.07206."""
    return [relevance if place == signal else tf.zeros_like(value) for place, value in enumerate(inputs)]


def _summed(
    function: Function, inputs: Sequence[Value], outputs: Sequence[Value], upstream: Sequence[Value]
) -> list[Value]:
    """Each value's share of a sum; what a normalisation adds keeps its own."""
    steadied, added = _steadied(outputs[0], LEAST)
    ratio, nowhere = _divided(upstream[0], steadied)
    _, pulled = pulled_back(function, inputs, ratio)
    back = [value * each for value, each in zip(inputs, pulled, strict=True)]
    arrived = sum(_each(each) for each in back)
    return [_lost(_each(ratio * outputs[0]) - arrived, _each(ratio * added), nowhere), *back]


def _weighted(
    op: Weighted, rule: LayerRule, asked: Relevance, bounds: tuple[Value, Value] | None, lost: Value
) -> Function:
    """A separable convolution is two layers, each with the rule."""
    if op.kind != "separable":
        return with_backward(op, _back_through(op, rule, asked, bounds), lost)
    depth = replace(op, kind="depthwise", kernels=op.kernels[:1], bias=None)
    point = replace(op, kind="convolution", kernels=op.kernels[1:], strides=(1, 1), dilation=(1, 1), padding="valid")
    inner: LayerRule = "gamma" if rule == "box" else rule
    first = with_backward(depth, _back_through(depth, rule, asked, bounds), lost)
    second = with_backward(point, _back_through(point, inner, asked, None), lost)
    return lambda values: second(first(values))


def _back_through(op: Weighted, rule: LayerRule, asked: Relevance, bounds: tuple[Value, Value] | None) -> Function:
    layer = _Layer(op)

    def backward(
        _: Function, inputs: Sequence[Value], outputs: Sequence[Value], upstream: Sequence[Value]
    ) -> list[Value]:
        x, relevance = inputs[0], upstream[0]
        if rule == "box" and bounds is not None:
            return layer.box(x, relevance, bounds)
        if rule == "alphabeta":
            return layer.alphabeta(x, relevance, asked.alpha)
        if rule == "zplus":
            return layer.zplus(x, relevance)
        if rule == "gamma":
            return layer.gamma(x, outputs[0], relevance, asked.gamma)
        share = asked.epsilon if rule == "epsilon" else LEAST
        return layer.epsilon(x, outputs[0], relevance, share)

    return backward


class _Layer:
    """The rules of one layer z = W x + b: (lost (b, 3), relevance of x) each, of x and the relevance of z."""

    def __init__(self, op: Weighted) -> None:
        kernel = op.kernels[0]
        self._whole = replace(op, bias=None)
        self._positive = replace(op, kernels=(tf.maximum(kernel, 0),), bias=None)
        self._negative = replace(op, kernels=(tf.minimum(kernel, 0),), bias=None)
        self._bias = tf.zeros((), tf.float32) if op.bias is None else tf.convert_to_tensor(op.bias)
        self._above, self._below = tf.maximum(self._bias, 0), tf.minimum(self._bias, 0)

    def epsilon(self, x: Value, z: Value, relevance: Value, share: float) -> list[Value]:
        """R_i = Σ_j x_i w_ij R_j / (z_j + ε·sign z_j), ε a share of the root mean square of z. Bach et al. 2015, PLoS
        ONE 10(7), eq. 58."""
        steadied, added = _steadied(z, share)
        ratio, nowhere = _divided(relevance, steadied)
        _, (pulled,) = pulled_back(self._whole, [x], ratio)
        return [_lost(_each(ratio * self._bias), _each(ratio * added), nowhere), x * pulled]

    def alphabeta(self, x: Value, relevance: Value, alpha: float) -> list[Value]:
        """R_i = Σ_j (α z⁺_ij/z⁺_j - β z⁻_ij/z⁻_j) R_j with β = α - 1, z⁺ and z⁻ the positive and negative parts of x_i
        w_ij and b_j. Bach et al. 2015, eq. 60."""
        gained, biases, lost = self._share(x, relevance * alpha, self._positive, self._negative, self._above)
        if alpha != 1:
            opposed, below, missing = self._share(
                x, relevance * (1 - alpha), self._negative, self._positive, self._below
            )
            gained, biases, lost = gained + opposed, biases + below, lost + missing
        return [_lost(biases, tf.zeros_like(biases), lost), gained]

    def zplus(self, x: Value, relevance: Value) -> list[Value]:
        """R_i = Σ_j z⁺_ij R_j / Σ_i z⁺_ij, without biases. Montavon et al. 2017, Pattern Recognition 65, eq. 15."""
        gained, none, nowhere = self._share(x, relevance, self._positive, self._negative, tf.zeros_like(self._bias))
        return [_lost(none, tf.zeros_like(none), nowhere), gained]

    def gamma(self, x: Value, z: Value, relevance: Value, gamma: float) -> list[Value]:
        """R_i = Σ_j (x_i w_ij + γ (x_i w_ij)⁺) R_j / (z_j + γ z⁺_j) where z_j >= 0, with negative parts where z_j < 0.
        Montavon et al. 2019, eq. 10.4; for signed values Andéol et al. 2021, arXiv 2108.01335."""
        over, under = tf.maximum(x, 0), tf.minimum(x, 0)
        parts = []
        for side, first, second, bias in (
            (z >= 0, self._positive, self._negative, self._above),
            (z < 0, self._negative, self._positive, self._below),
        ):
            own = first(over) + second(under) + bias
            ratio, nowhere = _divided(tf.where(side, relevance, tf.zeros_like(relevance)), z + gamma * own)
            _, (whole,) = pulled_back(self._whole, [x], ratio)
            _, (of_over,) = pulled_back(first, [over], ratio)
            _, (of_under,) = pulled_back(second, [under], ratio)
            back = x * whole + gamma * (over * of_over + under * of_under)
            parts.append((back, _each(ratio * (self._bias + gamma * bias)), nowhere))
        (back, biases, nowhere), (other, of_other, missing) = parts
        return [_lost(biases + of_other, tf.zeros_like(biases), nowhere + missing), back + other]

    def box(self, x: Value, relevance: Value, bounds: tuple[Value, Value]) -> list[Value]:
        """R_i = Σ_j (x_i w_ij - l_i w⁺_ij - h_i w⁻_ij) R_j / Σ_i (the same), for x between l and h. Montavon et al.
        2017, Pattern Recognition 65, eq. 16."""
        low, high = (bound * tf.ones_like(x) for bound in bounds)
        z = self._whole(x) - self._positive(low) - self._negative(high)
        ratio, nowhere = _divided(relevance, z)
        back = tf.zeros_like(x)
        for value, layer, sign in ((x, self._whole, 1.0), (low, self._positive, -1.0), (high, self._negative, -1.0)):
            _, (pulled,) = pulled_back(layer, [value], ratio)
            back += sign * value * pulled
        none = tf.zeros_like(nowhere)
        return [_lost(none, none, nowhere), back]

    def _share(
        self, x: Value, relevance: Value, first: Weighted, second: Weighted, bias: Value
    ) -> tuple[Value, Value, Value]:
        """The relevance of x by one sign of its parts of z, what the bias keeps, and what finds no way."""
        over, under = tf.maximum(x, 0), tf.minimum(x, 0)
        own = first(over) + second(under) + bias
        ratio, nowhere = _divided(relevance, own)
        _, (of_over,) = pulled_back(first, [over], ratio)
        _, (of_under,) = pulled_back(second, [under], ratio)
        return over * of_over + under * of_under, _each(ratio * bias), nowhere
