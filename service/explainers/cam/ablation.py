"""Ablation-CAM: what the score loses without a channel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from service.arrays import Floats
from service.explainers.cam.gradients import check_layer
from service.explainers.cam.weighted import Weighted, weighted_variant
from service.explainers.channels import weighted
from service.explainers.layers import layer_for
from service.explainers.passes import batch_of, chunks, values_at

if TYPE_CHECKING:
    from service.arrays import Value
    from service.explainers.cam.params import CamParams
    from service.explainers.subject import Subject
    from service.models.graph.graph import Tensor


def _passes(subject: Subject, params: CamParams) -> float:
    layer = layer_for(subject, params.layer, params.method).output
    share = subject.backend.share(subject.graph, subject.image.size, subject.targets.tensor, after=layer)
    return 2 + (layer.shape[-1] or 1) * share


@weighted_variant(
    "ablationcam",
    "ReLU(Σ_k w_k A_k) with w_k = (y - y_k) / |y|, y_k the score when channel k is 0.",
    "https://openaccess.thecvf.com/content_WACV_2020/html/"
    "Desai_Ablation-CAM_Visual_Explanations_for_Deep_Convolutional_Network_via_Gradient-free_Localization_WACV_2020_paper.html",
    "1 forward, and the head once a channel",
    "Channels that stand in for each other drop little when one alone is removed. The paper divides by y; by |y| a "
    "negative score does not turn the map over.",
    estimate=_passes,
    check=check_layer,
)
def ablationcam(subject: Subject, params: CamParams) -> Weighted:
    """Gives the channels w_k A_k of each target, w_k = (y - y_k) / |y| with y_k the score when A_k is 0.

    Ramaswamy and Desai 2020, WACV; the paper divides by y, here by its absolute value, so that a negative score does
    not turn the map over.
    """
    entry = layer_for(subject, params.layer, params.method)
    activations, scores = values_at(subject, entry.output)
    targets = subject.targets.resolved(scores)
    score = targets.values(scores)
    without = targets.values(_without_each(subject, entry.output, activations.shape[-1]))
    wide = score.astype(np.float64)
    drops = (wide - without) / np.maximum(np.abs(wide), 1e-12)
    channels = (weighted(activations, column) for column in drops.T)
    return Weighted(channels, scores, {"layer": entry.path, "divided_by": np.abs(score).tolist()})


def _without_each(subject: Subject, layer: Tensor, count: int) -> Floats:
    """The scores (count, n) without each of the layer's channels. Runs from the layer onward only."""
    backend, graph, targets = subject.backend, subject.graph, subject.targets
    ops = backend.ops
    needed = graph.suffix(layer, targets.tensor)

    def clean(batch: Value) -> list[Value]:
        return graph.run({graph.inputs[0]: batch}, needed)

    def ablated(keep: Value, *values: Value) -> Value:
        images = ops.shape(keep)[0]
        feeds = {tensor: ops.repeat(value, images, axis=0) for tensor, value in zip(needed, values, strict=True)}
        feeds[layer] = feeds[layer] * ops.cast(keep, feeds[layer].dtype)[:, None, None, :]
        (value,) = graph.run(feeds, [targets.tensor])
        return targets.matrix(ops, value)

    key = ("ablation", layer.path, targets.key)
    values = backend.compiled((*key, "clean"), clean, [batch_of(subject.image)])(subject.image.batch)
    signature = [((None, count), "float32")]
    signature += [((1, *value.shape[1:]), tensor.dtype) for tensor, value in zip(needed, values, strict=True)]
    plan = backend.compiled(key, ablated, signature)
    size = backend.chunk(graph, subject.image.size)
    parts = chunks(count, size, subject.progress)
    return np.concatenate([plan(1 - np.eye(count, dtype=np.float32)[part], *values)[0] for part in parts])
