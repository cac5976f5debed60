"""Class activation maps whose weights come from changing one channel at a time: Score-CAM and Ablation-CAM."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from service.explainers.cam_maps import Floats, weighted
from service.explainers.passes import batch_of, chunks, scores_plan
from service.explainers.targets import Targets

if TYPE_CHECKING:
    from service.explainers.base import Progress
    from service.models.backends.interface import Backend
    from service.models.graph.graph import Graph, Tensor
    from service.models.graph.preprocess import NetworkInput


def values_at(
    backend: Backend, graph: Graph, image: NetworkInput, targets: Targets, layer: Tensor
) -> tuple[Floats, Floats]:
    """The layer's values (h, w, k) and the scores (n,) of one forward pass."""

    def forward(batch: Any) -> Any:
        maps, value = graph.run({graph.inputs[0]: batch}, [layer, targets.tensor])
        return backend.ops.cast(maps, "float32"), targets.matrix(backend.ops, value)

    rows = backend.rows(graph, image.size)
    plan = backend.compiled(("values", layer.path, targets.key), forward, [batch_of(image)], rows=rows)
    maps, scores = plan(image.batch)
    return maps[0], scores[0]


def usable_channels(activations: Floats, most: int | None) -> NDArray[np.intp]:
    """Channels that are not constant; of more than `most`, those of the largest spatial deviation, in order."""
    flat = activations.reshape(-1, activations.shape[-1])
    # Written so that a channel with NaN counts as varying, and its map tells.
    varying = np.flatnonzero(~(flat.min(axis=0) == flat.max(axis=0)))
    if most is None or len(varying) <= most:
        return varying
    spread = flat[:, varying].std(axis=0, dtype=np.float64)
    return np.sort(varying[np.argsort(-spread, kind="stable")[:most]])


def scorecam(
    backend: Backend,
    graph: Graph,
    image: NetworkInput,
    targets: Targets,
    activations: Floats,
    channels: NDArray[np.intp],
    progress: Progress,
) -> list[Floats]:
    """A map (h, w) >= 0 a target: ReLU(Σ_k w_k A_k), w = softmax over channels of the rise in score.

    M_k = minmax(up(A_k)); the rise is the score (logit) of x·M_k minus that of the baseline, an input of zeros.
    Wang et al. 2020, arXiv 1910.01279, algorithm 1. With probabilities in place of logits the softmax makes all
    weights nearly equal, and the map nearly the same for every class.
    """
    if not len(channels):
        return [np.zeros(activations.shape[:2], np.float32)] * len(targets.pairs)
    ops = backend.ops

    def masked(batch: Any, maps: Any) -> Any:
        up = ops.image.resize(maps[..., None], image.size, interpolation="bilinear")
        low, high = ops.min(up, axis=(1, 2), keepdims=True), ops.max(up, axis=(1, 2), keepdims=True)
        mask = (up - low) / ops.maximum(high - low, 1e-12)
        pixels = batch * (mask if len(image.shape) == 3 else mask[..., 0])
        (value,) = graph.run({graph.inputs[0]: pixels}, [targets.tensor])
        return targets.matrix(ops, value)

    signature = [batch_of(image), ((None, *activations.shape[:2]), "float32")]
    plan = backend.compiled(("scorecam", activations.shape[:2], targets.key), masked, signature)
    (baseline,) = scores_plan(backend, graph, image, targets)(np.zeros_like(image.batch))
    maps = np.ascontiguousarray(activations[..., channels].transpose(2, 0, 1))
    rows = [plan(image.batch, maps[part])[0] for part in chunks(len(maps), backend.chunk(graph, image.size), progress)]
    values = targets.values(np.concatenate([baseline, *rows])).astype(np.float64)
    found = []
    for column in (values[1:] - values[:1]).T:
        exponential = np.exp(column - column.max())
        found.append(weighted(activations[..., channels], exponential / exponential.sum()))
    return found


def ablationcam(
    backend: Backend,
    graph: Graph,
    image: NetworkInput,
    targets: Targets,
    layer: Tensor,
    activations: Floats,
    scores: Floats,
    progress: Progress,
) -> list[Floats]:
    """A map (h, w) >= 0 a target: ReLU(Σ_k w_k A_k), w_k = (y - y_k) / |y| with y_k the score when A_k is 0.

    Runs from the layer onward only. Ramaswamy and Desai 2020, WACV; the paper divides by y, here by its absolute
    value, so that a negative score does not turn the map over.
    """
    ops = backend.ops
    needed = graph.suffix(layer, targets.tensor)

    def clean(batch: Any) -> Any:
        return graph.run({graph.inputs[0]: batch}, needed)

    def ablated(keep: Any, *values: Any) -> Any:
        count = ops.shape(keep)[0]
        feeds = {tensor: ops.repeat(value, count, axis=0) for tensor, value in zip(needed, values, strict=True)}
        feeds[layer] = feeds[layer] * ops.cast(keep, feeds[layer].dtype)[:, None, None, :]
        (value,) = graph.run(feeds, [targets.tensor])
        return targets.matrix(ops, value)

    key = ("ablation", layer.path, targets.key)
    values = backend.compiled((*key, "clean"), clean, [batch_of(image)])(image.batch)
    signature = [((None, activations.shape[-1]), "float32")]
    signature += [((1, *value.shape[1:]), tensor.dtype) for tensor, value in zip(needed, values, strict=True)]
    plan = backend.compiled(key, ablated, signature)
    count = activations.shape[-1]
    size = backend.chunk(graph, image.size)
    rows = [plan(1 - np.eye(count, dtype=np.float32)[part], *values)[0] for part in chunks(count, size, progress)]
    score = targets.values(scores).astype(np.float64)
    drops = (score - targets.values(np.concatenate(rows))) / np.maximum(np.abs(score), 1e-12)
    return [weighted(activations, column) for column in drops.T]
