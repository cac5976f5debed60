"""Gradient maps: how the score changes with each pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.arrays import Array
from service.explainers.base import Cost, Explanation, Picture, Scale
from service.explainers.heatmaps import map_names, map_warnings, reduce_colours
from service.explainers.map_family import MapFamily
from service.explainers.saliency.params import SaliencyParams
from service.explainers.saliency.plain import gradient
from service.explainers.saliency.variants import VARIANTS
from service.explainers.variants import in_words

if TYPE_CHECKING:
    from service.explainers.subject import Subject


class Saliency(MapFamily[SaliencyParams]):
    """Gradients of the score with respect to the pixels."""

    name = "saliency"
    title = "Saliency"
    summary = f"How the score changes with each pixel, in {in_words(len(VARIANTS))} definitions."
    cost = Cost.SAMPLES
    picture = Picture.HEATMAP
    outputs = ("heatmap", "overlay")
    variants = VARIANTS
    Params = SaliencyParams

    def explain(self, subject: Subject, params: SaliencyParams) -> Explanation:
        """Gives a `heatmap` (h, w) float32 a target, and `gradient` (h, w, c), signed, before colours are reduced.

        Unit: logit per unit of preprocessed input, times that unit where the variant multiplies by the image; squared
        for squaregrad and vargrad.
        """
        found = self.variant(params).compute(subject, params)
        targets = subject.targets.resolved(found.scores)
        names = map_names(targets, "heatmap")
        colours = [values if values.ndim == 3 else values[..., None] for values in found.values]
        arrays: dict[str, Array] = {
            name: reduce_colours(values, params.reduce, params.sign)
            for name, values in zip(names, colours, strict=True)
        }
        warnings = (*found.warnings, *(each for name in names for each in map_warnings(name, arrays[name])))
        arrays |= zip(map_names(targets, gradient.name), colours, strict=True)
        signed = params.sign == "signed"
        said = {"colormap": params.colormap or ("coolwarm" if signed else "inferno"), **found.parameters}
        scale = Scale.SYMMETRIC if signed else Scale.MAX
        return Explanation(arrays, names[0], found.scores, targets, tuple(names), said, scale, warnings=warnings)
