"""The original CAM, which needs a head of global average pooling over a layer, then one dense layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from service.arrays import Floats
from service.errors import MethodNotValid
from service.explainers.channels import weighted
from service.explainers.passes import values_at
from service.explainers.targets import NOTHING
from service.explainers.variants import Maps, variant

if TYPE_CHECKING:
    from service.explainers.cam.params import CamParams
    from service.explainers.subject import Subject
    from service.models.graph.graph import Graph, LayerEntry, Node
    from service.models.graph.head import Head

# The family is called after it, too.
ORIGINAL = "cam"
_PASSED = ("Dropout", "Flatten", "Reshape", "Identity")


@dataclass(frozen=True, eq=False)
class PooledDense:
    """The pooled layer, and (channels, classes) weights: one column a target, [-w, +w] for a single sigmoid unit."""

    pooled: LayerEntry
    class_weights: Floats


def dense_behind_pooling(graph: Graph, head: Head) -> PooledDense | None:
    """The head's parts, or None when it is another kind of head."""
    dense = graph.producer.get(head.logits)
    if dense is None or dense.traits.kind != "Dense":
        return None
    pooling: Node | None = graph.producer.get(dense.inputs[0])
    while pooling is not None and pooling.traits.kind in _PASSED:
        pooling = graph.producer.get(pooling.inputs[0])
    if pooling is None or pooling.traits.kind != "GlobalAveragePooling2D":
        return None
    entry = next((entry for entry in reversed(graph.layers) if entry.output is pooling.inputs[0]), None)
    weights = np.asarray(getattr(dense.op, "kernel", None), np.float32)
    if entry is None or weights.ndim != 2:
        return None
    return PooledDense(entry, np.concatenate([-weights, weights], axis=1) if head.binary else weights)


def _head(subject: Subject, params: CamParams) -> PooledDense:
    """Raises MethodNotValid for another kind of head, a neuron as target, and another layer than the pooled one, or
    several."""
    if params.layers:
        raise MethodNotValid(f"method {params.method} works at the pooled layer only, so it takes no 'layers'")
    head, name = subject.targets.head, params.layer
    found = dense_behind_pooling(subject.graph, head) if head else None
    if found is None:
        raise MethodNotValid(
            "method cam needs a head of global average pooling and one dense layer, and a class as target; use gradcam"
        )
    if name and subject.graph.entry(name).output is not found.pooled.output:
        raise MethodNotValid(f"method cam works at the pooled layer {found.pooled.path!r} only, not {name!r}")
    return found


def _check(subject: Subject, params: CamParams) -> None:
    _head(subject, params)


def _problem(graph: Graph, head: Head) -> str | None:
    lacking = dense_behind_pooling(graph, head) is None
    return "the model's head is not global average pooling and one dense layer" if lacking else None


@variant(
    ORIGINAL,
    "Σ_k w_k A_k with w the weights of the class in a head of global average pooling and one dense layer.",
    "https://arxiv.org/abs/1512.04150",
    "1 forward",
    "Exists only for such heads; the bias of the class is not in the map.",
    check=_check,
    problem=_problem,
    signed=True,
)
def pooled_cam(subject: Subject, params: CamParams) -> Maps:
    """Gives a signed map (h, w) a target, Σ_k w_k A_k. Zhou et al. 2016, arXiv 1512.04150, eq. 2."""
    head = _head(subject, params)
    activations, scores = values_at(subject, head.pooled.output)
    columns = head.class_weights
    pairs = subject.targets.resolved(scores).pairs
    weights = [columns[:, a] - (columns[:, b] if b != NOTHING else 0) for a, b in pairs]
    sums = (weighted(activations, column.astype(np.float64)).sum(axis=2) for column in weights)
    maps = [np.asarray(total, np.float32) for total in sums]
    return Maps(maps, scores, {"layer": head.pooled.path})
