"""Class activation maps: where in the image the evidence for a class lies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from service.errors import MethodNotValid
from service.explainers.base import Cost, Explainer, Explanation, Picture, Progress, Target, Variant, Warned, is_map
from service.explainers.params import HeatmapParams, LayerName

if TYPE_CHECKING:
    from service.models.backend import TensorFlowBackend
    from service.models.graph import Graph, LayerEntry

GRADCAM = Variant(
    "gradcam",
    "ReLU(Σ_k a_k A_k) with a_k the mean gradient of channel k (Selvaraju et al. 2017).",
    "https://arxiv.org/abs/1610.02391",
)


class CamParams(HeatmapParams):
    """Which map of which layer."""

    method: Literal["gradcam"] = Field("gradcam", description="The definition of the map.")
    layer: LayerName | None = Field(
        None,
        max_length=300,
        description="Name, path or index of the layer. By default the last one with a spatial map that is no pooling.",
    )


class Cam(Explainer):
    """Class activation maps by gradient: one forward pass, and a backward pass from the score to the layer only."""

    name = "cam"
    title = "Class activation map"
    summary = "Where in the image the evidence for a class lies: Grad-CAM."
    cost = Cost.BACKWARD
    picture = Picture.HEATMAP
    outputs = ("overlay", "heatmap")
    variants = (GRADCAM,)
    targeted = True
    Params = CamParams

    def explain(
        self,
        backend: TensorFlowBackend,
        graph: Graph,
        image: NDArray[np.float32],
        target: Target,
        params: CamParams,
        progress: Progress,
    ) -> Explanation:
        """Gives `heatmap` (h, w) float32, >= 0, in logit per unit of activation: the map of the paper, not normalised.

        Raises MethodNotValid when the layer has no spatial map or the score does not depend on it, UnknownLayer.
        """
        entry = graph.entry(params.layer) if params.layer else default_layer(graph)
        problem = self.why_not(entry)
        if problem:
            raise MethodNotValid(
                f"layer {entry.path!r} cannot be used for {params.method}: {problem}{_valid_layers(graph)}"
            )
        if not graph.depends_on(target.head.logits, entry.output):
            raise MethodNotValid(f"the class score does not depend on layer {entry.path!r}{_valid_layers(graph)}")

        def maps_and_gradients(batch: object, chosen: object) -> object:
            def score(logits: object) -> object:
                return target.score(backend.ops, target.head.class_scores(logits), chosen)

            (maps,), (gradients,), (logits,) = backend.gradients(
                graph, {graph.inputs[0]: batch}, [entry.output], [target.head.logits], score
            )
            return (
                *(backend.ops.cast(value, "float32") for value in (maps, gradients)),
                target.head.class_scores(logits),
            )

        signature = [((None, *image.shape[1:]), "float32"), ((2,), "int32")]
        plan = backend.compiled(("cam", entry.path), maps_and_gradients, signature)
        maps, gradients, scores = plan(image, target.chosen)
        heatmap = gradcam(maps[0], gradients[0])
        warnings: tuple[Warned, ...] = ()
        if not heatmap.any():
            warnings = (
                Warned(
                    "all_zero_map", f"no position of layer {entry.path!r} speaks for the class: the map is 0 everywhere"
                ),
            )
        return Explanation(
            {"heatmap": heatmap}, "heatmap", scores=scores[0], parameters={"layer": entry.path}, warnings=warnings
        )

    @classmethod
    def why_not(cls, entry: LayerEntry) -> str | None:
        if not is_map(entry.output):
            return (
                f"its output has the shape {entry.output.shape[1:]}, not (height, width, channels) with several cells"
            )
        return None


def gradcam(activations: NDArray[np.float32], gradients: NDArray[np.float32]) -> NDArray[np.float32]:
    """(h, w, k) activations and gradients → (h, w) map: ReLU of the channels weighted by their mean gradients."""
    weights = gradients.mean(axis=(0, 1))
    return np.asarray(np.maximum(activations @ weights, 0), np.float32)


def default_layer(graph: Graph) -> LayerEntry:
    """The last layer with a spatial map that is neither pooling nor dropout nor a change of shape.

    Raises MethodNotValid when the model has none.
    """
    for entry in reversed(graph.layers):
        kind = type(entry.layer).__name__
        passive = any(word in kind for word in ("Pooling", "Dropout", "Reshape", "Padding", "Cropping", "InputLayer"))
        if is_map(entry.output) and not passive and not hasattr(entry.layer, "layers"):
            return entry
    raise MethodNotValid(
        "the model has no layer with a spatial map (height, width, channels), so no class activation map"
    )


def _valid_layers(graph: Graph) -> str:
    paths = [entry.path for entry in graph.layers if is_map(entry.output)]
    return f"; valid layers are {', '.join(paths[-4:])}" + (
        f" and {len(paths) - 4} before them" if len(paths) > 4 else ""
    )
