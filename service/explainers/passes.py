"""Compiled passes that several methods share; plans of the same key are traced once a model."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from service.arrays import Floats

if TYPE_CHECKING:
    from service.arrays import Value
    from service.explainers.base import Progress
    from service.explainers.subject import Subject
    from service.models.backends.interface import Backend, Plan, ReluRule
    from service.models.graph.graph import Tensor
    from service.models.graph.preprocess import NetworkInput

CHOSEN = ((None, None, 2), "int32")
MIXED = ((None, None, None), "float32")


def batch_of(image: NetworkInput) -> tuple[tuple[int | None, ...], str]:
    """The signature of a batch of such images."""
    return (None, *image.shape), "float32"


def scores_plan(subject: Subject) -> Plan:
    """A plan: batch (b, h, w, c) → scores (b, n) float32."""
    backend, graph, image, targets = subject.backend, subject.graph, subject.image, subject.targets

    def forward(batch: Value) -> Value:
        (value,) = graph.run({graph.inputs[0]: batch}, [targets.tensor])
        return targets.matrix(backend.ops, value)

    return backend.compiled(("scores", targets.key), forward, [batch_of(image)], rows=backend.rows(graph, image.size))


def values_plan(subject: Subject, layer: Tensor) -> Plan:
    """A plan: batch (b, h, w, c) → the layer's values (b, …) and scores (b, n), both float32."""
    backend, graph, image, targets = subject.backend, subject.graph, subject.image, subject.targets

    def forward(batch: Value) -> tuple[Value, Value]:
        maps, value = graph.run({graph.inputs[0]: batch}, [layer, targets.tensor])
        return backend.ops.cast(maps, "float32"), targets.matrix(backend.ops, value)

    rows = backend.rows(graph, image.size)
    return backend.compiled(("values", layer.path, targets.key), forward, [batch_of(image)], rows=rows)


def values_at(subject: Subject, layer: Tensor) -> tuple[Floats, Floats]:
    """The layer's values (h, w, k) and the scores (n,) of the image, both float32, from one forward pass."""
    maps, scores = values_plan(subject, layer)(subject.image.batch)
    return maps[0], scores[0]


def gradients_plan(subject: Subject, layer: Tensor, rule: ReluRule | None = None) -> Plan:
    """A plan: batch (b, h, w, c), chosen (b, targets, 2) → the layer's values (b, …), gradients (b, targets, …), scores
    (b, n), all float32."""
    ops, targets = subject.backend.ops, subject.targets

    def scores(matrix: Value, chosen: Value) -> list[Value]:
        return targets.scores(ops, matrix, chosen)

    return _gradients_plan(subject, layer, ("gradients", rule), CHOSEN, scores, rule)


def mixed_gradients_plan(subject: Subject, layer: Tensor) -> Plan:
    """A plan as `gradients_plan`, with weights (b, targets, n) in place of pairs: each target is the sum of all scores
    with these weights."""
    ops, count = subject.backend.ops, len(subject.targets.pairs)

    def scores(matrix: Value, weights: Value) -> list[Value]:
        return [ops.sum(matrix * weights[:, place], axis=1) for place in range(count)]

    return _gradients_plan(subject, layer, ("mixed gradients",), MIXED, scores)


def _gradients_plan(
    subject: Subject,
    layer: Tensor,
    key: tuple[Hashable, ...],
    asked: tuple[tuple[int | None, ...], str],
    scores: Callable[[Value, Value], list[Value]],
    rule: ReluRule | None = None,
) -> Plan:
    backend, graph, image, targets = subject.backend, subject.graph, subject.image, subject.targets
    ops = backend.ops

    def passes(batch: Value, chosen: Value) -> tuple[Value, Value, Value]:
        feeds = {graph.inputs[0]: batch}
        (values,), gradients, (value,) = backend.gradients(
            graph, feeds, [layer], [targets.tensor], lambda value: scores(targets.matrix(ops, value), chosen), rule
        )
        stacked = ops.stack([ops.cast(gradient, "float32") for (gradient,) in gradients], axis=1)
        return ops.cast(values, "float32"), stacked, targets.matrix(ops, value)

    rows = backend.rows(graph, image.size, backward=layer in graph.inputs)
    known_by = (*key, layer.path, targets.key, len(targets.pairs))
    return backend.compiled(known_by, passes, [batch_of(image), asked], rows=rows)


def curvature_plan(subject: Subject, layer: Tensor) -> Plan:
    """A plan as `gradients_plan`, with a result more between gradients and scores: for each target the product
    (b, targets, …) of its score's Hessian at the layer with the layer's values.

    Raises MethodNotValid where an operation behind the layer has no second derivative.
    """
    backend, graph, image, targets = subject.backend, subject.graph, subject.image, subject.targets
    ops = backend.ops

    def passes(batch: Value, chosen: Value) -> tuple[Value, Value, Value, Value]:
        def scores(value: Value) -> list[Value]:
            return targets.scores(ops, targets.matrix(ops, value), chosen)

        feeds = {graph.inputs[0]: batch}
        values, gradients, products, (value,) = backend.hessian_products(graph, feeds, layer, [targets.tensor], scores)
        found = (ops.stack([ops.cast(each, "float32") for each in some], axis=1) for some in (gradients, products))
        return ops.cast(values, "float32"), *found, targets.matrix(ops, value)

    rows = backend.rows(graph, image.size, backward=True)
    key = ("curvature", layer.path, targets.key, len(targets.pairs))
    return backend.compiled(key, passes, [batch_of(image), CHOSEN], rows=rows)


def chunks(total: int, size: int, progress: Progress) -> Iterator[slice]:
    """`total` things in steps of `size`; before each step the call may be stopped."""
    for start in range(0, total, size):
        progress(start, total)
        yield slice(start, min(start + size, total))


def resized(backend: Backend, maps: Floats, size: tuple[int, int]) -> Floats:
    """Maps (n, h, w) at another size (n, H, W), bilinear between half-pixel centres."""

    def resize(values: Value) -> Value:
        return backend.ops.image.resize(values[..., None], size, interpolation="bilinear")[..., 0]

    (result,) = backend.compiled(("resize", maps.shape[1:], size), resize, [((None, *maps.shape[1:]), "float32")])(maps)
    return np.asarray(result, np.float32)
