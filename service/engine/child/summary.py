"""A model as Keras itself summarizes it, whole or up to a layer."""

from __future__ import annotations

import gc
import re

from service.arrays import KerasModel, Layer
from service.errors import InvalidParameter
from service.models.graph.graph import Graph, LayerEntry
from service.models.loaded import LoadedModel


def summary_of(model: LoadedModel, width: int, until: str | None = None) -> tuple[str, list[LayerEntry]]:
    """Keras's own text, `width` characters wide, and the layers in it with those of nested models.

    With `until`, of `keras.Model(model.inputs, layer.output)`; of a layer inside a nested model, from the inputs of
    that model on. Raises UnknownLayer, or InvalidParameter where Keras makes no such model.
    """
    graph, dialect = model.graph, model.graph.dialect
    if until is None:
        return dialect.summary(model.keras_model, width), list(graph.layers)
    entry = graph.entry(until)
    prefix, whole, call = _home(model, entry)
    try:
        text = dialect.summary(dialect.until(whole, entry.layer, call), width)
    except (LookupError, ValueError) as error:
        raise InvalidParameter(f"until: there is no model from the inputs to layer {entry.path!r} alone") from error
    finally:
        # Keras leaves cycles behind, and they would hold the layers of a model that becomes cold.
        gc.collect()
    kept = {*graph.until(entry.output).layers, entry}
    return text, [each for each in graph.layers if each in kept and each.path.startswith(prefix)]


def _home(model: LoadedModel, entry: LayerEntry) -> tuple[str, KerasModel, int]:
    """The path in front of a layer's own name, the innermost model that calls it, and which of its calls is meant."""
    dialect = model.graph.dialect
    around = [
        each.path + "/" for each in model.graph.layers if each.is_model and entry.path.startswith(each.path + "/")
    ]
    for prefix in (*sorted(around, key=len, reverse=True), ""):
        called = re.fullmatch(r"(?:#(\d+))?", entry.path.removeprefix(prefix).removeprefix(entry.layer.name))
        if called:
            holder = _layer_at(model.graph, prefix) if prefix else model.keras_model
            return prefix, dialect.functional(holder), int(called[1] or 1)
    raise InvalidParameter(f"until: layer {entry.path!r} belongs to no model of its own")


def _layer_at(graph: Graph, prefix: str) -> Layer:
    return graph.entry(prefix.removesuffix("/")).layer
