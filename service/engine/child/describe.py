"""What the engine tells about a warm model: the model itself, its layers, one layer."""

from __future__ import annotations

import gc
import re

import numpy as np

from service.arrays import Array, KerasModel, Layer
from service.contract.models import (
    HeadFound,
    InputFound,
    InputImage,
    LayerFound,
    LayerRow,
    ModelFound,
    OutputFound,
    PreprocessingFound,
    Validity,
)
from service.errors import InvalidParameter, KerascopeError
from service.explainers import EXPLAINERS
from service.explainers.base import Explainer, Photograph
from service.explainers.layers import default_layer
from service.json_types import Json, JsonObject
from service.models.graph.graph import Graph, LayerEntry
from service.models.loaded import LoadedModel


def model_found(model: LoadedModel) -> ModelFound:
    """Everything that was found or inferred about a model."""
    shape, mode, head = model.input_shape, model.preprocessing, model.head
    picture = InputImage(
        height=shape.height,
        width=shape.width,
        channels=shape.channels,
        resize=model.spec.input.resize,
        colour_order=model.spec.input.colour_order,
    )
    return ModelFound(
        digest=model.digest,
        keras=model.written_by,
        input=None if model.obstacle else picture,
        inputs=[
            InputFound(name=tensor.path, shape=list(tensor.shape[1:]), dtype=tensor.dtype)
            for tensor in model.graph.inputs
        ],
        outputs=[
            OutputFound(
                name=name,
                layer=own.output.path,
                shape=list(own.output.shape[1:]),
                kind=own.kind,
                classes=own.classes,
            )
            for name, own in zip(model.graph.output_names, model.heads, strict=True)
        ],
        obstacle=model.obstacle,
        preprocessing=PreprocessingFound(
            mode=mode.mode, mean=mode.mean, std=mode.std, assumed=model.preprocessing_assumed
        ),
        head=HeadFound(kind=head.kind, activation=head.activation, classes=head.classes, inferred=head.inferred),
        labels=list(model.labels),
        parameters=int(model.keras_model.count_params()),
        layers=len(model.graph.layers),
        cam_layer=cam_layer(model),
        notes=list(model.notes),
    )


def cam_layer(model: LoadedModel) -> str | None:
    """The spec's CAM layer, else the default one; None for a network without spatial maps."""
    if model.spec.cam_layer:
        return model.spec.cam_layer
    try:
        return default_layer(model.graph).path
    except KerascopeError:
        return None


def method_validity(model: LoadedModel, explainer: Explainer) -> Validity:
    """Whether a method is valid for a model, its variants that are not and why, and the layers and targets it takes."""
    names = [variant.name for variant in explainer.variants]
    obstacle = model.obstacle if explainer.photograph is not Photograph.NONE else None
    reasons = {name: obstacle or explainer.problem(name, model.graph, model.head) for name in names}
    layers = [entry.path for entry in model.graph.layers if explainer.why_not(entry) is None]
    return Validity(
        valid=any(reason is None for reason in reasons.values()),
        not_valid={name: reason for name, reason in reasons.items() if reason},
        layers=layers,
        classes=model.head.classes if explainer.targeted else None,
        outputs=list(model.graph.output_names),
    )


def layer_row(graph: Graph, entry: LayerEntry) -> LayerRow:
    """One line of the layer list: how to address it, what it is, what it takes, which methods take it."""
    return LayerRow(
        path=entry.path,
        index=entry.index,
        class_name=entry.kind,
        inputs=[each.path for each in graph.layers_before(entry)],
        output_shape=list(entry.output.shape[1:]),
        parameters=int(sum(int(np.prod(weight.shape)) for weight in entry.layer.weights)),
        trainable=bool(entry.layer.trainable and entry.layer.trainable_weights),
        methods=[explainer.name for explainer in EXPLAINERS if explainer.why_not(entry) is None],
    )


def layer_found(graph: Graph, entry: LayerEntry) -> LayerFound:
    """One layer whole: its row, its config, the statistics of its weights."""
    config = graph.dialect.config(entry.layer)
    config.pop("layers", None)
    return LayerFound(
        **dict(layer_row(graph, entry)),
        config=_plain(config),
        weights=[{"name": name, **_statistics(values)} for name, values in graph.dialect.weights(entry.layer)],
        not_valid={
            explainer.name: reason for explainer in EXPLAINERS if (reason := explainer.why_not(entry)) is not None
        },
    )


def _statistics(values: Array) -> JsonObject:
    if not values.size or values.dtype.kind not in "fiu":
        return {"shape": list(values.shape), "dtype": values.dtype.name}
    wide = values.astype(np.float64)
    return {
        "shape": list(values.shape),
        "dtype": values.dtype.name,
        "mean": float(wide.mean()),
        "std": float(wide.std()),
        "min": float(wide.min()),
        "max": float(wide.max()),
        "zero_share": float((values == 0).mean()),
    }


def _plain(value: Json) -> Json:
    """A config as JSON values, without the modules Keras writes beside its own classes."""
    if isinstance(value, dict):
        if "class_name" in value and "module" in value:
            return {"class_name": value["class_name"], "config": _plain(value.get("config", {}))}
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (str, int, float, bool)) or value is None:
        return value
    return str(value)


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
