"""Compiled passes that several methods share; plans of the same key are traced once a model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from service.explainers.targets import Targets

if TYPE_CHECKING:
    from service.explainers.base import Progress
    from service.models.backends.interface import Backend, Plan, ReluRule
    from service.models.graph.graph import Graph, Tensor
    from service.models.graph.preprocess import NetworkInput

CHOSEN = ((None, None, 2), "int32")


def batch_of(image: NetworkInput) -> tuple[tuple[int | None, ...], str]:
    """The signature of a batch of such images."""
    return (None, *image.shape), "float32"


def scores_plan(backend: Backend, graph: Graph, image: NetworkInput, targets: Targets) -> Plan:
    """batch (b, h, w, c) → scores (b, n) float32."""

    def forward(batch: Any) -> Any:
        (value,) = graph.run({graph.inputs[0]: batch}, [targets.tensor])
        return targets.matrix(backend.ops, value)

    return backend.compiled(("scores", targets.key), forward, [batch_of(image)], rows=backend.rows(graph, image.size))


def gradients_plan(
    backend: Backend,
    graph: Graph,
    image: NetworkInput,
    targets: Targets,
    layer: Tensor,
    rule: ReluRule | None = None,
) -> Plan:
    """batch, chosen (b, targets, 2) → the layer's values (b, …), gradients (b, targets, …), scores (b, n), float32."""
    ops = backend.ops

    def passes(batch: Any, chosen: Any) -> Any:
        def scores(value: Any) -> list[Any]:
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


def resized(backend: Backend, maps: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Maps (n, h, w) at another size (n, H, W), bilinear between half-pixel centres."""

    def resize(values: Any) -> Any:
        return backend.ops.image.resize(values[..., None], size, interpolation="bilinear")[..., 0]

    (result,) = backend.compiled(("resize", maps.shape[1:], size), resize, [((None, *maps.shape[1:]), "float32")])(maps)
    return np.asarray(result, np.float32)
