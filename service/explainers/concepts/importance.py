"""How much each concept counts for a score: the rest of the network sees a picture made of more or less of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from service.arrays import Array, Floats
from service.explainers.base import Part
from service.explainers.passes import batch_of, chunks
from service.explainers.sensitivity import design, total_indices
from service.models.backends.interface import CHUNK_S

if TYPE_CHECKING:
    from service.arrays import Value
    from service.explainers.base import Progress
    from service.explainers.picture_sets import PictureSet
    from service.explainers.subject import Subject
    from service.models.backends.interface import Plan
    from service.models.graph.graph import Tensor

Doubles = NDArray[np.float64]
LEAST_SHARE = 0.02


def importances(
    subject: Subject,
    layer: Tensor,
    pictures: PictureSet,
    shares: Floats,
    parts: Floats,
    asked: tuple[int, int],
    progress: Progress,
) -> Doubles:
    """(n, c): the total Sobol index of each concept's share in the target's score, picture by picture; 0 where nothing
    changes a picture's score.

    `shares` (n, h, w, c) of the concepts `parts` (c, k) in every cell of the layer are multiplied by numbers in 0..1,
    one a concept, in so many draws from a seed, which are `asked`. Ranks of the target must be resolved. Fel et al.
    2023, arXiv 2211.10154, section 3.3.
    """
    count = len(parts)
    draws, seed = asked
    masks = design(draws, count, seed).reshape(-1, count)
    beside = _beside_plan(subject, layer)
    plan = _plan(subject, layer, shares.shape[1:3])
    step = _step(subject, layer)
    found = []
    for place in range(len(pictures)):
        around = beside(pictures.batch([place])) if beside else []
        here = shares[place : place + 1]
        rows = [
            plan(masks[part], here, parts, *around)[0]
            for part in chunks(len(masks), step, Part(progress, place, len(pictures)))
        ]
        scores = subject.targets.values(np.concatenate(rows)).astype(np.float64)
        found.append(total_indices(scores.reshape(draws, count + 2, 1))[0])
    return np.stack(found)


def _step(subject: Subject, layer: Tensor) -> int:
    """How many masks one step takes: the part of a network behind a layer takes a part of a pass."""
    backend, graph, size = subject.backend, subject.graph, subject.image.size
    share = max(LEAST_SHARE, backend.share(graph, size, subject.targets.tensor, after=layer))
    return backend.chunk(graph, size, seconds=CHUNK_S / share)


def _beside_plan(subject: Subject, layer: Tensor) -> Plan | None:
    """A plan: batch → the values that go round the layer; None where all goes through it."""
    graph = subject.graph
    _, *around = graph.suffix(layer, subject.targets.tensor)
    if not around:
        return None

    def forward(batch: Value) -> list[Value]:
        return graph.run({graph.inputs[0]: batch}, around)

    key = ("beside a layer", layer.path, subject.targets.key)
    return subject.backend.compiled(key, forward, [batch_of(subject.image)], shared=False)


def _plan(subject: Subject, layer: Tensor, cells: tuple[int, ...]) -> Plan:
    """A plan: masks (b, c), shares (1, h, w, c), parts (c, k), and what goes round the layer → scores (b, n)."""
    backend, graph, targets = subject.backend, subject.graph, subject.targets
    ops = backend.ops
    _, *around = graph.suffix(layer, targets.tensor)

    def scores(masks: Value, shares: Value, parts: Value, *values: Value) -> Value:
        images = ops.shape(masks)[0]
        feeds = {tensor: ops.repeat(value, images, axis=0) for tensor, value in zip(around, values, strict=True)}
        feeds[layer] = ops.cast(ops.matmul(shares * masks[:, None, None, :], parts), layer.dtype)
        (value,) = graph.run(feeds, [targets.tensor])
        return targets.matrix(ops, value)

    channels = backend.shape(graph, subject.image.size, layer)[-1]
    signature: list[tuple[tuple[int | None, ...], str]] = [
        ((None, None), "float32"),
        ((1, *cells, None), "float32"),
        ((None, channels), "float32"),
    ]
    shapes = [(backend.shape(graph, subject.image.size, tensor), tensor.dtype) for tensor in around]
    signature += [((1, *shape), dtype) for shape, dtype in shapes]
    return backend.compiled(("concept scores", layer.path, targets.key), scores, signature, shared=False)


def errors_of(found: Array) -> Doubles:
    """(n, c) → (c,): the standard error of the mean over n pictures; 0 for one."""
    if len(found) < 2:
        return np.zeros(found.shape[1])
    return np.asarray(found.std(axis=0, ddof=1) / np.sqrt(len(found)))
