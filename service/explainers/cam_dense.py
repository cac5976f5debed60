"""The head that Zhou's CAM needs: global average pooling over a layer, then one dense layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from service.models.graph.graph import Graph, LayerEntry, Node
    from service.models.graph.head import Head

_PASSED = ("Dropout", "Flatten", "Reshape", "Identity")


@dataclass(frozen=True, eq=False)
class PooledDense:
    """The pooled layer, and (channels, classes) weights: one column a target, [-w, +w] for a single sigmoid unit."""

    pooled: LayerEntry
    class_weights: NDArray[np.float32]


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
