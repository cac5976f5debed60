"""Gradient maps: how the score changes with each pixel."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from service.errors import MethodNotValid
from service.explainers.base import Cost, Explainer, Explanation, Picture, Progress, Scale, Warned
from service.explainers.cam import lacks_map, layer_for
from service.explainers.cam_maps import gradcam
from service.explainers.heatmaps import map_names, map_warnings, reduce_colours
from service.explainers.params import Colormap, HeatmapParams, LayerName
from service.explainers.passes import chunks, gradients_plan, resized, scores_plan
from service.explainers.saliency_paths import Baseline, blur_deviation, integrated, noise_deviation, noisy_statistics
from service.explainers.saliency_variants import VARIANTS
from service.explainers.targets import Targets
from service.models.backends.interface import ReluRule

if TYPE_CHECKING:
    from service.models.backends.interface import Backend
    from service.models.graph.graph import Graph
    from service.models.graph.head import Head
    from service.models.graph.preprocess import NetworkInput

Floats = NDArray[np.float32]
Found = tuple[list[Floats], Floats, list[Warned]]
"""A signed map in the input's shape for each target, the (n,) scores of the image, and warnings."""
RULES: dict[str, ReluRule] = {"guided_backprop": "guided", "guided_gradcam": "guided", "deconvnet": "deconvnet"}
GUIDED = tuple(RULES)
NOISY = ("smoothgrad", "squaregrad", "vargrad")
SANITY_CHECKS = "https://arxiv.org/abs/1810.03292"
DELTA_LIMIT = 0.05


class SaliencyParams(HeatmapParams):
    """Which gradient, and how colour channels become one map."""

    method: Literal[
        "gradient",
        "gradient_x_input",
        "guided_backprop",
        "deconvnet",
        "smoothgrad",
        "squaregrad",
        "vargrad",
        "integrated_gradients",
        "guided_gradcam",
    ] = Field("gradient", description="The definition of the map.")
    reduce: Literal["max", "mean", "l2"] = Field("max", description="How the colour channels become one map.")
    sign: Literal["absolute", "positive", "signed"] = Field(
        "absolute",
        description="`absolute` values, `positive` ones alone, or `signed` ones (max keeps the largest magnitude).",
    )
    samples: int = Field(25, ge=2, le=1000, description="smoothgrad, squaregrad, vargrad: noisy copies.")
    noise: float = Field(0.15, gt=0, le=2, description="Their deviation, as a share of the image's range.")
    seed: int = Field(
        0, ge=0, le=2**31 - 1, description="Of the noise: copy i is drawn by NumPy's `default_rng([seed, i])`."
    )
    steps: int = Field(50, ge=2, le=1000, description="integrated_gradients: points on the path.")
    baseline: Baseline = Field(
        "zero",
        description="Its start: `zero` (preprocessed), `black`, the image's `mean`, or `blur`, by a Gaussian whose "
        "deviation is the 16th part of the input's longer side.",
    )
    layer: LayerName | None = Field(None, max_length=300, description="guided_gradcam: the Grad-CAM layer.")
    colormap: Colormap | None = Field(None, description="Colours; by default inferno, and coolwarm for signed maps.")  # type: ignore[assignment]
    alpha: float = Field(0.6, ge=0, le=1, description="Share of the colours in the overlay.")
    clip: float = Field(99.5, gt=50, le=100, description="Percentile of magnitudes drawn in the last colour.")

    @model_validator(mode="after")
    def _a_norm_has_no_sign(self) -> Self:
        if self.sign == "signed" and self.reduce == "l2":
            raise ValueError("reduce=l2 has no sign; use max or mean with sign=signed")
        return self


class Saliency(Explainer):
    """Gradients of the score with respect to the pixels."""

    name = "saliency"
    title = "Saliency"
    summary = "How the score changes with each pixel, in nine definitions."
    cost = Cost.SAMPLES
    picture = Picture.HEATMAP
    outputs = ("heatmap", "overlay")
    variants = VARIANTS
    only = {
        **dict.fromkeys(("samples", "noise", "seed"), NOISY),
        **dict.fromkeys(("steps", "baseline"), ("integrated_gradients",)),
        "layer": ("guided_gradcam",),
    }
    targeted = True
    Params = SaliencyParams

    def explain(
        self,
        backend: Backend,
        graph: Graph,
        image: NetworkInput,
        targets: Targets,
        params: SaliencyParams,
        progress: Progress,
    ) -> Explanation:
        """Gives a `heatmap` (h, w) float32 a target, and `gradient` (h, w, c), signed, before colours are reduced.

        Unit: logit per unit of preprocessed input, times that unit where the method multiplies by the image; squared
        for squaregrad and vargrad.
        """
        extra: dict[str, Any] = {"colormap": params.colormap or ("coolwarm" if params.sign == "signed" else "inferno")}
        if params.method in NOISY or params.method == "integrated_gradients":
            maps, scores, warnings = _sampled(backend, graph, image, targets, params, progress, extra)
        else:
            maps, scores, warnings = _single(backend, graph, image, targets, params, extra)
        targets = targets.resolved(scores)
        arrays: dict[str, Any] = {}
        names = map_names(targets, "heatmap")
        for name, raw_name, values in zip(names, map_names(targets, "gradient"), maps, strict=True):
            colours = values if values.ndim == 3 else values[..., None]
            arrays[name] = reduce_colours(colours, params.reduce, params.sign)
            arrays[raw_name] = colours
            warnings += map_warnings(name, arrays[name])
        ordered = {name: arrays[name] for name in sorted(arrays, key=lambda name: not name.startswith("heatmap"))}
        scale = Scale.SYMMETRIC if params.sign == "signed" else Scale.MAX
        return Explanation(ordered, names[0], scores, targets, tuple(names), extra, scale, warnings=tuple(warnings))

    @classmethod
    def passes(
        cls, params: SaliencyParams, graph: Graph, image: NetworkInput, targets: Targets, backend: Backend
    ) -> int:
        count = len(targets.pairs)
        one = 1 + 2 * count
        if params.method in NOISY:
            return 1 + one * params.samples
        if params.method == "integrated_gradients":
            return 2 + one * params.steps
        if params.method != "guided_gradcam":
            return one
        layer = layer_for(graph, targets, params.layer, params.method).output
        return ceil(1 + one + 2 * count * backend.share(graph, image.size, targets.tensor, after=layer))

    @classmethod
    def check(
        cls, params: SaliencyParams, graph: Graph, image: NetworkInput, targets: Targets, backend: Backend
    ) -> None:
        """Raises UnknownLayer, MethodNotValid for guided variants of a network without ReLU or for their layer."""
        if params.method in GUIDED and not has_relu(graph):
            raise MethodNotValid(
                f"{params.method} changes the gradient of ReLU, and this network has none; use gradient"
            )
        if params.method == "guided_gradcam":
            layer_for(graph, targets, params.layer, params.method)

    @classmethod
    def takes_cam_layer(cls, params: SaliencyParams) -> bool:
        return params.method == "guided_gradcam"

    @classmethod
    def problem(cls, variant: str, graph: Graph, head: Head) -> str | None:
        if variant in GUIDED and not has_relu(graph):
            return "the network has no ReLU"
        return lacks_map(graph) if variant == "guided_gradcam" else None


def has_relu(graph: Graph) -> bool:
    """Whether any node is a ReLU, which the guided variants need."""
    return any(node.is_relu for node in graph.nodes)


def _single(
    backend: Backend,
    graph: Graph,
    image: NetworkInput,
    targets: Targets,
    params: SaliencyParams,
    extra: dict[str, Any],
) -> Found:
    """Methods of one pass, two for guided Grad-CAM."""
    rule: ReluRule | None = RULES.get(params.method)
    plan = gradients_plan(backend, graph, image, targets, graph.inputs[0], rule)
    _, gradients, rows = plan(image.batch, targets.chosen())
    maps = list(gradients[0])
    if params.method == "gradient_x_input":
        maps = [gradient * image.batch[0] for gradient in maps]
    if params.method == "guided_gradcam":
        entry = layer_for(graph, targets, params.layer, params.method)
        extra["layer"] = entry.path
        layer_plan = gradients_plan(backend, graph, image, targets, entry.output)
        values, layer_gradients, _ = layer_plan(image.batch, targets.chosen())
        cams = np.stack([gradcam(values[0], gradient) for gradient in layer_gradients[0]])
        enlarged = resized(backend, cams, image.size)
        maps = [
            gradient * cam.reshape(*cam.shape, *[1] * (gradient.ndim - 2))
            for gradient, cam in zip(maps, enlarged, strict=True)
        ]
    warnings = []
    if params.method in GUIDED:
        detail = f"{params.method} stays nearly the same when the network's weights are random: {SANITY_CHECKS}"
        warnings.append(Warned("fails_randomisation_check", detail))
    return maps, rows[0], warnings


def _sampled(
    backend: Backend,
    graph: Graph,
    image: NetworkInput,
    targets: Targets,
    params: SaliencyParams,
    progress: Progress,
    extra: dict[str, Any],
) -> Found:
    """Methods of many passes. Integrated gradients tell by how much their sum misses the rise of the score."""
    scores = scores_plan(backend, graph, image, targets)
    (rows,) = scores(image.batch)
    targets = targets.resolved(rows[0])
    if params.method in NOISY:
        extra["deviation"] = noise_deviation(image, params.noise)
    elif params.baseline == "blur":
        extra["blur_deviation"] = blur_deviation(image.size)
    plan = gradients_plan(backend, graph, image, targets, graph.inputs[0])
    size = max(1, backend.chunk(graph, image.size, backward=True) // len(targets.pairs))
    if params.method in NOISY:
        maps = noisy_statistics(plan, image, targets, params, chunks(params.samples, size, progress))
        return maps, rows[0], []
    maps, start = integrated(plan, image, targets, params, chunks(params.steps, size, progress))
    (start_rows,) = scores(start)
    rises = (targets.values(rows).astype(np.float64) - targets.values(start_rows))[0]
    deltas = [float(values.sum(dtype=np.float64) - rise) for values, rise in zip(maps, rises, strict=True)]
    extra["convergence_delta"] = deltas[0] if len(deltas) == 1 else deltas
    warnings = []
    for delta, rise in zip(deltas, rises, strict=True):
        if abs(delta) > DELTA_LIMIT * abs(rise):
            detail = f"the map sums to {delta:+.3g} more than the score rises ({rise:.3g}): use more steps"
            warnings.append(Warned("convergence_delta", detail))
    return maps, rows[0], warnings
