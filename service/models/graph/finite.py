"""Weights that hold NaN or infinity."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from service.arrays import Array
from service.models.graph.graph import Graph, Tensor


def is_finite(array: Array) -> bool:
    """Whether every number is."""
    # Numbers are read faster than an answer for each is written: by BLAS, else by a sum. Large ones may overflow there.
    flat = array.ravel() if array.flags.c_contiguous and array.dtype.char in "fd" else None
    with np.errstate(over="ignore", invalid="ignore"):
        total = array.sum() if flat is None else flat.dot(flat)
        return bool(np.isfinite(total)) or bool(np.isfinite(array).all())


def bad_weights(graph: Graph, computing: Collection[Tensor] | None = None) -> str | None:
    """Names the weights that are not finite, as a sentence, of the layers that compute these values, or of all; None
    where every number is finite."""
    for entry in graph.layers:
        if entry.is_model or (computing is not None and entry.output not in computing):
            continue
        for name, weights in graph.dialect.weights(entry.layer):
            if weights.dtype.kind == "f" and not is_finite(weights):
                wrong = int((~np.isfinite(weights)).sum())
                return (
                    f"the weights of the model are not finite, whatever the image: {name!r} of layer {entry.path!r} "
                    f"holds NaN or infinity in {wrong} of its {weights.size} numbers"
                )
    return None
