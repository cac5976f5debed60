"""Occlusion maps: what the score loses when a part of the image is covered."""

from __future__ import annotations

import re
from math import ceil
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, model_validator

from service.errors import InvalidParameter, MethodNotValid
from service.explainers.base import Cost, Explainer, Explanation, Picture, Progress, Scale, Variant
from service.explainers.heatmaps import map_names, map_warnings, saturation_warnings
from service.explainers.occlusion_cover import colour_of, covering
from service.explainers.occlusion_scores import Strategy, expected_share, require_incremental, window_scores
from service.explainers.occlusion_windows import painted, window_axes, windows_of
from service.explainers.params import HeatmapParams
from service.explainers.saliency_paths import blur_deviation
from service.explainers.targets import Targets

if TYPE_CHECKING:
    from service.models.backends.interface import Backend
    from service.models.graph.graph import Graph
    from service.models.graph.preprocess import NetworkInput

Floats = NDArray[np.float32]
SCORE_DROPS = ("logit_drop", "score_drop")
NO_PROBABILITY = (
    "measure=probability needs a probability, and this target has none: it is a contrast or a neuron, or the model's "
    "output is no probability; use measure=score_drop"
)
OCCLUSION = Variant(
    "occlusion",
    "Each pixel gets the mean loss over the windows that cover it, or each stride cell that of its own window.",
    "https://arxiv.org/abs/1311.2901",
    "1 forward, and 1 a window",
    "What is put in place of the pixels is itself something the network sees; compare two values. Windows smaller than "
    "the object find only the parts that nothing else stands in for.",
)


def _sides(value: Any) -> Any:
    """`16`, `"16"`, `"16,24"` and `[16, 24]` as (height, width)."""
    parts = value.split(",") if isinstance(value, str) else value if isinstance(value, (list, tuple)) else [value]
    if len(parts) not in (1, 2) or not all(re.fullmatch(r"\d{1,6}", str(part).strip()) for part in parts):
        raise ValueError("write one side in px, or height,width")
    sides = [int(str(part)) for part in parts]
    if min(sides) < 1:
        raise ValueError("a side must be at least 1 px")
    return sides[0], sides[-1]


def _cover(value: Any) -> str:
    """What covers, as text: a name, a number, or levels of red, green and blue."""
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    if not re.fullmatch(r"mean|zero|gray|blur|-?\d{1,9}(\.\d{1,9})?|\d{1,3},\d{1,3},\d{1,3}", text):
        raise ValueError("write mean, zero, gray, blur, one preprocessed number, or r,g,b levels such as 255,0,0")
    if "," in text and max(int(part) for part in text.split(",")) > 255:
        raise ValueError("levels of red, green and blue go from 0 to 255")
    return text


Sides = Annotated[tuple[int, int], BeforeValidator(_sides)]


def _require_no_gaps(patch: tuple[int, int], stride: tuple[int, int]) -> None:
    if stride[0] > patch[0] or stride[1] > patch[1]:
        raise ValueError(
            f"stride {stride[0]},{stride[1]} is larger than the patch {patch[0]},{patch[1]}, so pixels between the "
            "windows would never be covered; use a stride of at most the patch"
        )


class OcclusionParams(HeatmapParams):
    """What covers what, and what is measured. Sides are px of the model's input."""

    patch: Sides | None = Field(
        None,
        description="Window: px or `h,w`; by default a quarter of the input. At the rim, windows are cut at the edge "
        "of the input.",
    )
    stride: Sides | None = Field(
        None, description="Step between windows: px or `h,w`; by default a quarter of the patch."
    )
    value: Annotated[str, BeforeValidator(_cover)] = Field(
        "mean",
        description="What covers: the image's `mean` colour, preprocessed `zero`, `gray` (level 128), a `blur` of the "
        "image by a Gaussian whose deviation is the 16th part of the input's longer side, one preprocessed number, or "
        "`r,g,b` levels 0..255.",
    )
    measure: Literal["drop", "probability", "logit_drop", "score_drop"] = Field(
        "drop",
        description="`drop` of the probability (of the score where the target has none), the `probability` under the "
        "window itself, or `score_drop`: of the score that is explained, which is mostly a logit. `logit_drop` is its "
        "other name.",
    )
    paint: Literal["window", "cell"] = Field(
        "window",
        description="`window`: a pixel gets the mean over the windows that cover it. `cell`: windows are centred on "
        "the cells of the stride, and each cell gets the value of its own.",
    )
    strategy: Strategy = Field(
        "auto",
        description="How it is computed: `full` runs every window whole, `incremental` computes only what a window "
        "changes, to the same scores; `auto` takes what is expected to be faster.",
    )
    mask_threshold: float = Field(
        0.85,
        gt=0,
        le=1,
        description="The mask holds where a drop exceeds 1 - this share of the largest, or, for measure=probability, "
        "where the probability is below this share of the highest.",
    )

    @model_validator(mode="after")
    def _windows_leave_no_gaps(self) -> Self:
        if self.patch and self.stride:
            _require_no_gaps(self.patch, self.stride)
        return self


class Occlusion(Explainer):
    """Covers windows of the image one after another and measures the score."""

    name = "occlusion"
    title = "Occlusion"
    summary = "What the score loses when a part of the image is covered, with a mask of what it needs."
    cost = Cost.SAMPLES
    picture = Picture.HEATMAP
    outputs = ("overlay", "heatmap", "mask", "masked")
    variants = (OCCLUSION,)
    targeted = True
    Params = OcclusionParams

    def explain(
        self,
        backend: Backend,
        graph: Graph,
        image: NetworkInput,
        targets: Targets,
        params: OcclusionParams,
        progress: Progress,
    ) -> Explanation:
        """Gives for each target a `heatmap` (h, w) float32 of the input's size, a `mask` (h, w) bool, and `windows`
        (rows, columns) float32, the value of each window.

        A drop is the score of the clean image minus that under the window, in probability or score. The mask holds
        where a drop exceeds 1 - `mask_threshold` of the largest; for measure=probability, where the probability under
        the window is below `mask_threshold` of the highest. Zeiler and Fergus 2014.
        """
        patch, stride = sides_of(params, image)
        axes = window_axes(image.size, patch, stride, centred=params.paint == "cell")
        windows, shape = windows_of(axes)
        cover = covering(image, params.value)
        found = window_scores(backend, graph, image, targets, cover, axes, params.strategy, progress)
        clean = found.clean
        targets = targets.resolved(clean[0])
        scores = np.concatenate([clean, found.under])
        measure = params.measure
        if measure == "logit_drop" or (measure == "drop" and not targets.has_probability):
            measure = "logit_drop" if targets.head and targets.head.score_kind == "logit" else "score_drop"
        before, under = _measured(targets, scores, measure)
        extra = {
            "patch": list(patch),
            "stride": list(stride),
            "strategy": found.strategy,
            "arithmetic_saved": found.saved,
            "measure": measure,
            "windows": len(windows),
            "windows_cut": sum((bottom - top, right - left) != patch for top, left, bottom, right in windows),
        }
        if params.value == "blur":
            extra["blur_deviation"] = blur_deviation(image.size)
        arrays: dict[str, Any] = {}
        warnings = [] if measure in SCORE_DROPS else saturation_warnings(targets, clean[0])
        names = map_names(targets, "heatmap")
        masks, grids = map_names(targets, "mask"), map_names(targets, "windows")
        for place, name in enumerate(names):
            values = under[:, place] if measure == "probability" else before[place] - under[:, place]
            arrays[name] = painted(values, windows, image.size, params.paint, shape, stride)
            arrays[masks[place]] = mask_of(arrays[name], measure, params.mask_threshold)
            arrays[grids[place]] = values.reshape(shape).astype(np.float32)
            warnings += map_warnings(name, arrays[name])
        scale = Scale.MINMAX if measure == "probability" else Scale.MAX
        return Explanation(arrays, names[0], clean[0], targets, tuple(names), extra, scale, warnings=tuple(warnings))

    @classmethod
    def check(
        cls, params: OcclusionParams, graph: Graph, image: NetworkInput, targets: Targets, backend: Backend
    ) -> None:
        """Raises InvalidParameter for windows that do not fit or a colour that cannot be shown, MethodNotValid for a
        measure or a strategy that is not for this network."""
        patch, stride = sides_of(params, image)
        if params.value != "blur":
            colour_of(image, params.value)
        if params.measure == "probability" and not targets.has_probability:
            raise MethodNotValid(NO_PROBABILITY)
        if params.strategy == "incremental":
            axes = window_axes(image.size, patch, stride, centred=params.paint == "cell")
            require_incremental(backend, graph, image, targets, axes)

    @classmethod
    def passes(
        cls, params: OcclusionParams, graph: Graph, image: NetworkInput, targets: Targets, backend: Backend
    ) -> int:
        patch, stride = sides_of(params, image)
        axes = window_axes(image.size, patch, stride, centred=params.paint == "cell")
        share = expected_share(backend, graph, image, targets, axes, params.strategy)
        return ceil(1 + len(axes[0]) * len(axes[1]) * share)


def sides_of(params: OcclusionParams, image: NetworkInput) -> tuple[tuple[int, int], tuple[int, int]]:
    """Patch and stride in px. Raises InvalidParameter where they do not fit the input or leave gaps."""
    height, width = image.size
    patch = params.patch or (max(1, height // 4), max(1, width // 4))
    stride = params.stride or (max(1, patch[0] // 4), max(1, patch[1] // 4))
    if patch[0] > height or patch[1] > width:
        raise InvalidParameter(f"patch {patch[0]},{patch[1]} is larger than the model's input of {height}×{width} px")
    try:
        _require_no_gaps(patch, stride)
    except ValueError as error:
        raise InvalidParameter(str(error)) from error
    return patch, stride


def mask_of(heatmap: Floats, measure: str, threshold: float) -> NDArray[np.bool_]:
    """(h, w) bool: where the target needs the image. See `Occlusion.explain`."""
    if measure == "probability":
        return np.asarray(heatmap < threshold * heatmap.max(), np.bool_)
    return np.asarray(heatmap > (1 - threshold) * max(float(heatmap.max()), 0.0), np.bool_)


def _measured(targets: Targets, scores: Floats, measure: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(1 + windows, n) scores, the clean image's first → (targets,) of it and (windows, targets) under each window."""
    found = targets.values(scores) if measure in SCORE_DROPS else targets.probabilities(scores)
    if found is None:
        raise MethodNotValid(NO_PROBABILITY)
    wide = found.astype(np.float64)
    return wide[0], wide[1:]
