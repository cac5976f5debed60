"""Class activation maps: where in the image the evidence for a class lies."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Field

from service.errors import MethodNotValid
from service.explainers.base import Cost, Explainer, Explanation, Picture, Progress, Scale, Warned, is_map
from service.explainers.cam_ablation import ablationcam, scorecam, usable_channels, values_at
from service.explainers.cam_dense import PooledDense, dense_behind_pooling
from service.explainers.cam_maps import FROM_GRADIENTS, Floats, eigencam, weighted
from service.explainers.cam_variants import VARIANTS
from service.explainers.heatmaps import map_names, map_warnings
from service.explainers.params import HeatmapParams, LayerName
from service.explainers.passes import gradients_plan
from service.explainers.targets import NOTHING, Targets

if TYPE_CHECKING:
    from service.models.backends.interface import Backend
    from service.models.graph.graph import Graph, LayerEntry
    from service.models.graph.head import Head
    from service.models.graph.preprocess import NetworkInput

SIGNED = ("eigencam", "cam")


def _plus_signs(value: Any) -> Any:
    """A `+` in a query string arrives as a space, unless it is written %2B."""
    return value.replace(" ", "+") if isinstance(value, str) else value


Method = Annotated[
    Literal["gradcam", "gradcam++", "hirescam", "layercam", "xgradcam", "scorecam", "ablationcam", "eigencam", "cam"],
    BeforeValidator(_plus_signs),
]


class CamParams(HeatmapParams):
    """Which map of which layer."""

    method: Method = Field("gradcam", description="The definition of the map.")
    layer: LayerName | None = Field(
        None,
        max_length=300,
        description="Name, path or index of the layer. By default the last one with a spatial map that is no pooling.",
    )
    max_channels: int | None = Field(
        128, ge=1, le=65536, description="scorecam only: channels to weigh, those of the largest spatial deviation."
    )


class Cam(Explainer):
    """Class activation maps: the activations of one layer, weighted by what they do for the class."""

    name = "cam"
    title = "Class activation map"
    summary = "Where in the image the evidence for a class lies, in nine definitions."
    cost = Cost.BACKWARD
    picture = Picture.HEATMAP
    outputs = ("overlay", "heatmap")
    variants = VARIANTS
    only = {"max_channels": ("scorecam",)}
    targeted = True
    Params = CamParams

    def explain(
        self,
        backend: Backend,
        graph: Graph,
        image: NetworkInput,
        targets: Targets,
        params: CamParams,
        progress: Progress,
    ) -> Explanation:
        """Gives a `heatmap` (h, w) float32 a target, not normalised; >= 0, but signed for eigencam and cam."""
        entry, head = _layer_and_head(params, graph, targets)
        extra: dict[str, Any] = {"layer": entry.path}
        warnings: list[Warned] = []
        if params.method in FROM_GRADIENTS:
            plan = gradients_plan(backend, graph, image, targets, entry.output)
            values, gradients, rows = plan(image.batch, targets.chosen())
            maps = [FROM_GRADIENTS[params.method](values[0], gradient) for gradient in gradients[0]]
            scores = rows[0]
            targets = targets.resolved(scores)
        else:
            activations, scores = values_at(backend, graph, image, targets, entry.output)
            targets = targets.resolved(scores)
            maps = []
            if params.method == "scorecam":
                channels = usable_channels(activations, params.max_channels)
                left_out = len(usable_channels(activations, None)) - len(channels)
                varying = len(channels) + left_out
                extra |= {
                    "channels_used": len(channels),
                    "channels_left_out": left_out,
                    "channels_constant": activations.shape[-1] - varying,
                }
                if left_out:
                    detail = (
                        f"{left_out} channels of smaller spatial deviation were left out; raise max_channels for all"
                    )
                    warnings.append(Warned("channels_left_out", detail))
                maps = scorecam(backend, graph, image, targets, activations, channels, progress)
            elif params.method == "ablationcam":
                extra["divided_by"] = np.abs(targets.values(scores)).tolist()
                maps = ablationcam(backend, graph, image, targets, entry.output, activations, scores, progress)
            elif params.method == "eigencam":
                maps = [eigencam(activations)] * len(targets.pairs)
                detail = "eigencam knows no class: the map would be the same for any target"
                warnings.append(Warned("non_class_discriminative", detail))
            elif head:
                maps = _class_maps(head, targets, activations)
        names = map_names(targets, "heatmap")
        for name, values in zip(names, maps, strict=True):
            warnings += map_warnings(name, values, coarse=True)
        arrays = dict(zip(names, maps, strict=True))
        scale = Scale.SYMMETRIC if params.method in SIGNED and params.colormap == "coolwarm" else Scale.MAX
        return Explanation(arrays, names[0], scores, targets, tuple(names), extra, scale, warnings=tuple(warnings))

    @classmethod
    def passes(cls, params: CamParams, graph: Graph, image: NetworkInput, targets: Targets, backend: Backend) -> int:
        layer = _layer_and_head(params, graph, targets)[0].output
        channels = layer.shape[-1] or 1
        if params.method == "scorecam":
            return 2 + min(channels, params.max_channels or channels)
        behind = backend.share(graph, image.size, targets.tensor, after=layer)
        if params.method == "ablationcam":
            return ceil(2 + channels * behind)
        return ceil(1 + 2 * len(targets.pairs) * behind) if params.method in FROM_GRADIENTS else 1

    @classmethod
    def check(cls, params: CamParams, graph: Graph, image: NetworkInput, targets: Targets, backend: Backend) -> None:
        """Raises UnknownLayer, MethodNotValid for a layer without a map or one that the score does not depend on."""
        _layer_and_head(params, graph, targets)

    @classmethod
    def takes_cam_layer(cls, params: CamParams) -> bool:
        return params.method != "cam"

    @classmethod
    def problem(cls, variant: str, graph: Graph, head: Head) -> str | None:
        if problem := lacks_map(graph):
            return problem
        if variant == "cam" and dense_behind_pooling(graph, head) is None:
            return "the model's head is not global average pooling and one dense layer"
        return None

    @classmethod
    def why_not(cls, entry: LayerEntry) -> str | None:
        if not is_map(entry.output):
            return (
                f"its output has the shape {entry.output.shape[1:]}, not (height, width, channels) with several cells"
            )
        return None


def _layer_and_head(params: CamParams, graph: Graph, targets: Targets) -> tuple[LayerEntry, PooledDense | None]:
    """The layer whose maps are weighed; for `cam` itself the head that says which layer it is."""
    if params.method != "cam":
        return layer_for(graph, targets, params.layer, params.method), None
    head = _pooled_head(graph, targets, params.layer)
    return head.pooled, head


def default_layer(graph: Graph) -> LayerEntry:
    """The last layer with a spatial map that is neither pooling nor dropout nor a change of shape.

    Raises MethodNotValid when the model has none.
    """
    for entry in reversed(graph.layers):
        kind = entry.kind
        passive = any(word in kind for word in ("Pooling", "Dropout", "Reshape", "Padding", "Cropping", "InputLayer"))
        if is_map(entry.output) and not passive and not entry.is_model:
            return entry
    raise MethodNotValid(
        "the model has no layer with a spatial map (height, width, channels) of more than one cell, so there is no "
        "class activation map; saliency and occlusion work on any model"
    )


def lacks_map(graph: Graph) -> str | None:
    """Why there is no default layer, as a sentence; None where there is one."""
    try:
        default_layer(graph)
    except MethodNotValid:
        return "the model has no layer with a spatial map (height, width, channels)"
    return None


def layer_for(graph: Graph, targets: Targets, name: str | None, method: str) -> LayerEntry:
    """The layer of that name, or the default one. Raises UnknownLayer, or MethodNotValid with those that are valid."""
    entry = graph.entry(name) if name else default_layer(graph)
    problem = Cam.why_not(entry)
    if problem:
        raise MethodNotValid(f"layer {entry.path!r} cannot be used for {method}: {problem}{_valid(graph)}")
    if not graph.depends_on(targets.tensor, entry.output):
        raise MethodNotValid(f"the score does not depend on layer {entry.path!r}{_valid(graph)}")
    return entry


def _pooled_head(graph: Graph, targets: Targets, name: str | None) -> PooledDense:
    found = dense_behind_pooling(graph, targets.head) if targets.head else None
    if found is None:
        raise MethodNotValid(
            "method cam needs a head of global average pooling and one dense layer, and a class as target; use gradcam"
        )
    if name and graph.entry(name).output is not found.pooled.output:
        raise MethodNotValid(f"method cam works at the pooled layer {found.pooled.path!r} only, not {name!r}")
    return found


def _class_maps(head: PooledDense, targets: Targets, activations: Floats) -> list[Floats]:
    columns = head.class_weights
    weights = [columns[:, a] - (columns[:, b] if b != NOTHING else 0) for a, b in targets.pairs]
    return [weighted(activations, column.astype(np.float64), positive=False) for column in weights]


def _valid(graph: Graph) -> str:
    paths = [entry.path for entry in graph.layers if is_map(entry.output)]
    more = f" and {len(paths) - 4} before them" if len(paths) > 4 else ""
    return f"; valid layers are {', '.join(paths[-4:])}{more}" if paths else ""
