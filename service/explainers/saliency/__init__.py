"""Gradient maps: how the score changes with each pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from service.arrays import Array
from service.explainers.base import Cost, Explanation, Picture, Scale
from service.explainers.heatmaps import map_names, map_warnings, reduce_colours
from service.explainers.map_family import MapFamily
from service.explainers.params import Colormap, HeatmapParams, LayerName
from service.explainers.saliency.guided import deconvnet, guided_backprop, guided_gradcam
from service.explainers.saliency.noise import smoothgrad, squaregrad, vargrad
from service.explainers.saliency.paths import Baseline, integrated_gradients
from service.explainers.saliency.plain import gradient, gradient_x_input
from service.explainers.variants import MapVariant, OneOf, in_words, names_of, takers

if TYPE_CHECKING:
    from service.explainers.subject import Subject

VARIANTS: tuple[MapVariant, ...] = (
    gradient,
    gradient_x_input,
    guided_backprop,
    deconvnet,
    smoothgrad,
    squaregrad,
    vargrad,
    integrated_gradients,
    guided_gradcam,
)


class SaliencyParams(HeatmapParams):
    """Says which gradient, and how colour channels become one map."""

    method: Annotated[str, OneOf(names_of(VARIANTS))] = Field(
        VARIANTS[0].name, description="The definition of the map."
    )
    reduce: Literal["max", "mean", "l2"] = Field("max", description="How the colour channels become one map.")
    sign: Literal["absolute", "positive", "signed"] = Field(
        "absolute",
        description="`absolute` values, `positive` ones alone, or `signed` ones (max keeps the largest magnitude).",
    )
    samples: int = Field(25, ge=2, le=1000, description=f"{takers(VARIANTS, 'samples')}: noisy copies.")
    noise: float = Field(0.15, gt=0, le=2, description="Their deviation, as a share of the image's range.")
    seed: int = Field(
        0, ge=0, le=2**31 - 1, description="Of the noise: copy i is drawn by NumPy's `default_rng([seed, i])`."
    )
    steps: int = Field(50, ge=2, le=1000, description=f"{takers(VARIANTS, 'steps')}: points on the path.")
    baseline: Baseline = Field(
        "zero",
        description="Its start: `zero` (preprocessed), `black`, the image's `mean`, or `blur`, by a Gaussian whose "
        "deviation is the 16th part of the input's longer side.",
    )
    layer: LayerName | None = Field(
        None, max_length=300, description=f"{takers(VARIANTS, 'layer')}: the Grad-CAM layer."
    )
    colormap: Colormap | None = Field(None, description="Colours; by default inferno, and coolwarm for signed maps.")  # type: ignore[assignment]
    alpha: float = Field(0.6, ge=0, le=1, description="Share of the colours in the overlay.")
    clip: float = Field(99.5, gt=50, le=100, description="Percentile of magnitudes drawn in the last colour.")

    @model_validator(mode="after")
    def _a_norm_has_no_sign(self) -> Self:
        if self.sign == "signed" and self.reduce == "l2":
            raise ValueError("reduce=l2 has no sign; use max or mean with sign=signed")
        return self


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
