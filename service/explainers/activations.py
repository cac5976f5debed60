"""What the layers of a network answer to an image: their feature maps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from service.arrays import Array, Floats
from service.errors import InvalidParameter, MethodNotValid
from service.explainers.base import Cost, Explainer, Explanation, Picture
from service.explainers.layers import is_map
from service.explainers.params import Indices, LayerNames, TileParams, written_beyond
from service.explainers.passes import batch_of
from service.explainers.variants import Variant, Warned

if TYPE_CHECKING:
    from service.arrays import Ops, Value
    from service.explainers.subject import Subject
    from service.models.graph.graph import Graph, LayerEntry, Tensor

DEFAULT_LAYERS = 12


class ActivationParams(TileParams):
    """Says which feature maps, and how they are drawn."""

    layers: LayerNames | None = Field(
        None,
        max_length=64,
        description="Names, paths or indices, e.g. `conv2d,3,backbone/conv1` or `0-7`. By default every convolution "
        "and pooling layer before the first flatten or global pooling, at most 12.",
    )


class Activations(Explainer[ActivationParams]):
    """Feature maps of one or many layers from one forward pass that stops at the deepest of them."""

    name = "activations"
    title = "Activations"
    summary = "Feature maps of one or many layers, with the mean, deviation and share of active cells of each channel."
    cost = Cost.FORWARD
    picture = Picture.TILES
    outputs = ("activations",)
    variants = (
        Variant(
            name,
            "The layer's output itself.",
            "",
            caution="A high activation says that a pattern is there, not that any class depends on it.",
        ),
    )
    Params = ActivationParams

    def explain(self, subject: Subject, params: ActivationParams) -> Explanation:
        """Gives for each layer an array named by its path, (h, w, channels) float32, the channels asked for only."""
        tensors = _tensors(params, subject.graph)
        found = _forward(subject, tensors, statistics=True)
        statistics: dict[str, Mapping[str, object]] = {}
        warnings: list[Warned] = []
        for tensor, numbers in zip(tensors, found[len(tensors) :], strict=True):
            said = channel_statistics(numbers[0], params.channels)
            statistics[tensor.path] = said
            if dead := said["dead_channels"]:
                warnings.append(
                    Warned("dead_channels", f"{len(dead)} channels of {tensor.path!r} are 0 everywhere: {dead[:32]}")
                )
        maps = found[: len(tensors)]
        return replace(_explanation(tensors, maps, params), statistics=statistics, warnings=tuple(warnings))

    def explain_raw(self, subject: Subject, params: ActivationParams) -> Explanation:
        """Gives the arrays alone: of the first layers of a network their statistics take as long as computing them."""
        tensors = _tensors(params, subject.graph)
        return _explanation(tensors, _forward(subject, tensors, statistics=False), params)

    @classmethod
    def check(cls, subject: Subject, params: ActivationParams) -> None:
        """Raises UnknownLayer, MethodNotValid for a layer without maps, InvalidParameter for a channel it has not."""
        for tensor in _tensors(params, subject.graph):
            if len(tensor.shape) not in (2, 4):
                raise MethodNotValid(
                    f"layer {tensor.path!r} has the output shape {tensor.shape[1:]}; feature maps need (height, width, "
                    "channels), and a vector of units is drawn as one row"
                )
            count = 1 if len(tensor.shape) == 2 else tensor.shape[-1] or 0
            if beyond := written_beyond(params.channels or (), count):
                raise InvalidParameter(f"layer {tensor.path!r} has the channels 0 to {count - 1}, not {beyond}")

    @classmethod
    def stated_arrays(cls, params: ActivationParams) -> int:
        return len(params.layers or (1,))

    @classmethod
    def arrays_of(cls, subject: Subject, params: ActivationParams) -> int:
        return len(_tensors(params, subject.graph))

    @classmethod
    def channel_pictures(cls, subject: Subject, params: ActivationParams) -> int:
        if params.view != "channel":
            return 0
        counts = [1 if len(tensor.shape) == 2 else tensor.shape[-1] or 0 for tensor in _tensors(params, subject.graph)]
        return sum(count if params.channels is None else len(params.channels) for count in counts)

    @classmethod
    def why_not(cls, entry: LayerEntry) -> str | None:
        return None if len(entry.output.shape) in (2, 4) else f"its output has the shape {entry.output.shape[1:]}"


def _tensors(params: ActivationParams, graph: Graph) -> list[Tensor]:
    return [graph.value(name) for name in params.layers or default_layers(graph)]


def _forward(subject: Subject, tensors: list[Tensor], *, statistics: bool) -> list[Array]:
    """The maps (1, h, w, k) of each tensor, then, where they are asked for, what is `measured` of each."""
    backend, graph, image = subject.backend, subject.graph, subject.image

    def forward(batch: Value) -> list[Value]:
        values = graph.run({graph.inputs[0]: batch}, tensors)
        maps = [backend.ops.cast(as_maps(value), "float32") for value in values]
        return [*maps, *(measured(backend.ops, each) for each in maps if statistics)]

    key = ("activations" if statistics else "raw activations", *(tensor.path for tensor in tensors))
    rows = backend.rows(graph, image.size, backward=True)
    return backend.compiled(key, forward, [batch_of(image)], rows=rows)(image.batch)


def _explanation(tensors: list[Tensor], maps: list[Array], params: ActivationParams) -> Explanation:
    arrays = {tensor.path: choose(each[0], params.channels) for tensor, each in zip(tensors, maps, strict=True)}
    return Explanation(
        arrays,
        tensors[0].path,
        parameters={"layers": [tensor.path for tensor in tensors]},
        titles={
            path: f"{path} · {each.shape[0]}×{each.shape[1]} · {each.shape[2]} channels"
            for path, each in arrays.items()
        },
    )


def choose(maps: Floats, channels: Indices | None) -> Floats:
    """The channels asked for, in that order."""
    return maps if channels is None else np.ascontiguousarray(maps[..., list(channels)])


def as_maps(value: Value) -> Value:
    """Maps (b, h, w, k) as they are; units (b, k) as one map (b, 1, k, 1)."""
    return value if len(value.shape) == 4 else value[:, None, :, None]


def measured(ops: Ops, maps: Value) -> Value:
    """Maps (b, h, w, k) → (b, 5, k): mean, standard deviation, max, the share of cells above 0 and of those not 0."""
    axes = (1, 2)
    above, other = (ops.mean(ops.cast(held, "float32"), axis=axes) for held in (maps > 0, maps != 0))
    return ops.stack([ops.mean(maps, axis=axes), ops.std(maps, axis=axes), ops.max(maps, axis=axes), above, other], 1)


def channel_statistics(numbers: Floats, channels: Indices | None) -> dict[str, list[int] | list[float]]:
    """What is said of the channels asked for, from `measured` (5, k); which are 0 everywhere."""
    chosen = list(range(numbers.shape[1]) if channels is None else channels)
    mean, std, highest, active, other = numbers[:, chosen].tolist()
    return {
        "channels": chosen,
        "mean": mean,
        "std": std,
        "max": highest,
        "active_share": active,
        "dead_channels": [number for number, share in zip(chosen, other, strict=True) if share == 0],
    }


def default_layers(graph: Graph) -> tuple[str, ...]:
    """Every convolution and pooling layer before the first flatten or global pooling; the first 12 of them."""
    names: list[str] = []
    for entry in graph.layers:
        kind = entry.kind
        if kind == "Flatten" or kind.startswith("Global"):
            break
        if ("Conv" in kind or "Pooling" in kind) and is_map(entry.output):
            names.append(entry.path)
    if not names:
        raise MethodNotValid("the model has no convolution or pooling layer; name the layers to show with 'layers'")
    return tuple(names[:DEFAULT_LAYERS])
