"""The layers whose maps are looked at: which are valid, and which one is meant where the caller names none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.errors import MethodNotValid

if TYPE_CHECKING:
    from service.explainers.subject import Subject
    from service.models.graph.graph import Graph, LayerEntry, Tensor

PASSIVE = ("Pooling", "Dropout", "Reshape", "Padding", "Cropping", "InputLayer")
NAMED_LAYERS = 4


def is_map(output: Tensor) -> bool:
    """Whether a value is a stack of maps (batch, h, w, channels) with more than one cell."""
    shape = output.shape
    return len(shape) == 4 and (None in shape[1:3] or int(shape[1] or 1) * int(shape[2] or 1) > 1)


def why_no_map(entry: LayerEntry) -> str | None:
    """Says why a layer's output is no map, as half a sentence; None where it is one."""
    if is_map(entry.output):
        return None
    return f"its output has the shape {entry.output.shape[1:]}, not (height, width, channels) with several cells"


def default_layer(graph: Graph) -> LayerEntry:
    """The last layer with a spatial map that is neither pooling nor dropout nor a change of shape.

    Raises MethodNotValid when the model has none.
    """
    for entry in reversed(graph.layers):
        passive = any(word in entry.kind for word in PASSIVE)
        if is_map(entry.output) and not passive and not entry.is_model:
            return entry
    raise MethodNotValid(
        "the model has no layer with a spatial map (height, width, channels) of more than one cell, so there is no "
        "class activation map; saliency and occlusion work on any model"
    )


def lacks_map(graph: Graph) -> str | None:
    """Says why there is no default layer, as a sentence; None where there is one."""
    try:
        default_layer(graph)
    except MethodNotValid:
        return "the model has no layer with a spatial map (height, width, channels)"
    return None


def layer_for(subject: Subject, name: str | None, method: str) -> LayerEntry:
    """The layer of that name, or the default one, for a map by `method`.

    Raises UnknownLayer, or MethodNotValid, with the layers that are valid, for one without a map or one that the score
    does not depend on.
    """
    graph = subject.graph
    entry = graph.entry(name) if name else default_layer(graph)
    problem = why_no_map(entry)
    if problem:
        raise MethodNotValid(f"layer {entry.path!r} cannot be used for {method}: {problem}{_valid(graph)}")
    if not graph.depends_on(subject.targets.tensor, entry.output):
        raise MethodNotValid(f"the score does not depend on layer {entry.path!r}{_valid(graph)}")
    return entry


def _valid(graph: Graph) -> str:
    paths = [entry.path for entry in graph.layers if is_map(entry.output)]
    more = f" and {len(paths) - NAMED_LAYERS} before them" if len(paths) > NAMED_LAYERS else ""
    return f"; valid layers are {', '.join(paths[-NAMED_LAYERS:])}{more}" if paths else ""
