"""Compiled passes that several methods share; plans of the same key are traced once a model."""

from __future__ import annotations

from collections.abc import Iterator
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


def values_at(subject: Subject, layer: Tensor) -> tuple[Floats, Floats]:
    """The layer's values (h, w, k) and the scores (n,) of the image, both float32, from one forward pass."""
    backend, graph, image, targets = subject.backend, subject.graph, subject.image, subject.targets

    def forward(batch: Value) -> tuple[Value, Value]:
        maps, value = graph.run({graph.inputs[0]: batch}, [layer, targets.tensor])
        return backend.ops.cast(maps, "float32"), targets.matrix(backend.ops, value)

    rows = backend.rows(graph, image.size)
    plan = backend.compiled(("values", layer.path, targets.key), forward, [batch_of(image)], rows=rows)
    maps, scores = plan(image.batch)
    return maps[0], scores[0]


def gradients_plan(subject: Subject, layer: Tensor, rule: ReluRule | None = None) -> Plan:
    """A plan: batch (b, h, w, c), chosen (b, targets, 2) → the layer's values (b, …), gradients (b, targets, …), scores
    (b, n), all float32."""
    backend, graph, image, targets = subject.backend, subject.graph, subject.image, subject.targets
    ops = backend.ops

    def passes(batch: Value, chosen: Value) -> tuple[Value, Value, Value]:
        def scores(value: Value) -> list[Value]:
            return targets.scores(ops, targets.matrix(ops, value), chosen)

        feeds = {graph.inputs[0]: batch}
        (values,), gradients, (value,) = backend.gradients(graph, feeds, [layer], [targets.tensor], scores, rule)
        stacked = ops.stack([ops.cast(gradient, "float32") for (gradient,) in gradients], axis=1)
        return ops.cast(values, "float32"), stacked, targets.matrix(ops, value)

    key = ("gradients", layer.path, targets.key, len(targets.pairs), rule)
    rows = backend.rows(graph, image.size, backward=layer in graph.inputs)
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
