"""Occlusion maps: what the score loses when a part of the image is covered."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from service.arrays import Array, Floats
from service.errors import MethodNotValid
from service.explainers.base import Cost, Explainer, Explanation, Picture, Scale
from service.explainers.covers import blur_deviation, colour_of, covering
from service.explainers.heatmaps import map_names, map_warnings, saturation_warnings
from service.explainers.occlusion.params import OcclusionParams, sides_of
from service.explainers.occlusion.scores import expected_share, require_incremental, window_scores
from service.explainers.occlusion.windows import Axes, mask_of, painted, window_axes, windows_of
from service.explainers.variants import Variant

if TYPE_CHECKING:
    from service.explainers.subject import Subject
    from service.explainers.targets import Targets
    from service.models.graph.preprocess import NetworkInput

SCORE_DROPS = ("logit_drop", "score_drop")
NO_PROBABILITY = (
    "measure=probability needs a probability, and this target has none: it is a contrast or a neuron, or the model's "
    "output is no probability; use measure=score_drop"
)


class Occlusion(Explainer[OcclusionParams]):
    """Covers windows of the image one after another and measures the score."""

    name = "occlusion"
    title = "Occlusion"
    summary = "What the score loses when a part of the image is covered, with a mask of what it needs."
    cost = Cost.SAMPLES
    picture = Picture.HEATMAP
    outputs = ("overlay", "heatmap", "mask", "masked")
    variants = (
        Variant(
            name,
            "Each pixel gets the mean loss over the windows that cover it, or each stride cell that of its own window.",
            "https://arxiv.org/abs/1311.2901",
            "1 forward, and 1 a window",
            "What is put in place of the pixels is itself something the network sees; compare two values. Windows "
            "smaller than the object find only the parts that nothing else stands in for.",
        ),
    )
    targeted = True
    Params = OcclusionParams

    def explain(self, subject: Subject, params: OcclusionParams) -> Explanation:
        """Gives for each target a `heatmap` (h, w) float32 of the input's size, a `mask` (h, w) bool, and `windows`
        (rows, columns) float32, the value of each window.

        A drop is the score of the clean image minus that under the window, in probability or score. The mask holds
        where a drop exceeds 1 - `mask_threshold` of the largest; for measure=probability, where the probability under
        the window is below `mask_threshold` of the highest. Zeiler and Fergus 2014.
        """
        image = subject.image
        patch, stride = sides_of(params, image)
        axes = _axes(params, image)
        windows, shape = windows_of(axes)
        found = window_scores(subject, covering(image, params.value), axes, params.strategy)
        clean = found.clean
        targets = subject.targets.resolved(clean[0])
        scores = np.concatenate([clean, found.under])
        measure = params.measure
        if measure == "logit_drop" or (measure == "drop" and not targets.has_probability):
            measure = "logit_drop" if targets.head and targets.head.score_kind == "logit" else "score_drop"
        before, under = _measured(targets, scores, measure)
        extra: dict[str, object] = {
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
        arrays: dict[str, Array] = {}
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
    def check(cls, subject: Subject, params: OcclusionParams) -> None:
        """Raises InvalidParameter for windows that do not fit or a colour that cannot be shown, MethodNotValid for a
        measure or a strategy that is not for this network."""
        axes = _axes(params, subject.image)
        if params.value != "blur":
            colour_of(subject.image, params.value)
        if params.measure == "probability" and not subject.targets.has_probability:
            raise MethodNotValid(NO_PROBABILITY)
        if params.strategy == "incremental":
            require_incremental(subject, axes)

    @classmethod
    def passes(cls, subject: Subject, params: OcclusionParams) -> int:
        axes = _axes(params, subject.image)
        return ceil(1 + len(axes[0]) * len(axes[1]) * expected_share(subject, axes, params.strategy))


def _axes(params: OcclusionParams, image: NetworkInput) -> Axes:
    """Raises InvalidParameter for windows that do not fit the input."""
    patch, stride = sides_of(params, image)
    return window_axes(image.size, patch, stride, centred=params.paint == "cell")


def _measured(targets: Targets, scores: Floats, measure: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(1 + windows, n) scores, the clean image's first → (targets,) of it and (windows, targets) under each window."""
    found = targets.values(scores) if measure in SCORE_DROPS else targets.probabilities(scores)
    if found is None:
        raise MethodNotValid(NO_PROBABILITY)
    wide = found.astype(np.float64)
    return wide[0], wide[1:]
