"""What a caller may ask of a gradient map."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from service.explainers.params import Colormap, HeatmapParams, LayerName
from service.explainers.saliency.baselines import Baselines
from service.explainers.saliency.variants import VARIANTS
from service.explainers.variants import OneOf, names_of, takers
from service.models.backends.interface import RelevanceRule


class SaliencyParams(HeatmapParams):
    """Says which gradient, and how colour channels become one map."""

    method: Annotated[str, OneOf(names_of(VARIANTS))] = Field(
        VARIANTS[0].name, description="The definition of the map."
    )
    reduce: Literal["max", "mean", "l2", "rgb"] = Field(
        "max",
        description="How the colour channels become one map. `rgb` keeps them: the heatmap array is (h, w, 3), red, "
        "green and blue, and is drawn in these colours.",
    )
    sign: Literal["absolute", "positive", "signed"] | None = Field(
        None,
        description="`absolute` values, `positive` ones alone, or `signed` ones (max keeps the largest magnitude). "
        "By default `absolute`, but `signed` for reduce=rgb and for maps of regions.",
    )
    samples: int = Field(25, ge=2, le=1000, description=f"{takers(VARIANTS, 'samples')}: noisy copies.")
    noise: float = Field(0.15, gt=0, le=2, description="Their deviation, as a share of the image's range.")
    seed: int = Field(
        0, ge=0, le=2**31 - 1, description="Of the noise: copy i is drawn by NumPy's `default_rng([seed, i])`."
    )
    steps: int = Field(50, ge=2, le=1000, description=f"{takers(VARIANTS, 'steps')}: points on the path.")
    baseline: Baselines = Field(
        None,
        description=f"{takers(VARIANTS, 'baseline')}: its start: `zero` (preprocessed), `black`, `white`, the image's "
        "`mean`, or `blur`, by a Gaussian whose deviation is the 16th part of the input's longer side. Of several with "
        "commas the mean is taken over the maps; the copies of gradient_shap start from one after the other. By "
        "default `zero`, and `black,white` for xrai.",
    )
    fraction: float = Field(
        0.25,
        gt=0,
        le=1,
        description=f"{takers(VARIANTS, 'fraction')}: share of the pixels' values that move next, those of the least "
        "gradients.",
    )
    max_dist: float = Field(
        0.02,
        ge=0,
        le=1,
        description=f"{takers(VARIANTS, 'max_dist')}: how far a value may be ahead of the straight path or behind it, "
        "as a share of the path; 0 is the straight path itself.",
    )
    max_deviation: float | None = Field(
        None,
        ge=0.1,
        le=1000,
        description=f"{takers(VARIANTS, 'max_deviation')}: deviation, in px, of the Gaussian at the start of the path; "
        "by default a quarter of the input's longer side.",
    )
    rule: RelevanceRule = Field(
        "composite",
        description=f"{takers(VARIANTS, 'rule')}: `epsilon` (Bach 2015), `zplus` (Montavon 2017), `alphabeta`, or the "
        "`composite` of Montavon 2019: the box rule for what reads the image, gamma for the first half of the "
        "convolutions, epsilon for the others, 0 for dense layers.",
    )
    epsilon: float | None = Field(
        None,
        ge=0,
        le=10,
        description=f"{takers(VARIANTS, 'epsilon')}: what steadies the divisor, as a share of the root mean square of "
        "a layer's values; by default 0.25 for the composite and 0.01 for the others.",
    )
    lrp_alpha: float = Field(
        2.0,
        ge=1,
        le=10,
        description=f"{takers(VARIANTS, 'lrp_alpha')}: of rule=alphabeta, the weight of what speaks for a value; beta "
        "is 1 less.",
    )
    gamma: float = Field(
        0.25,
        ge=0,
        le=10,
        description=f"{takers(VARIANTS, 'gamma')}: of rule=composite, by how much what speaks for a value counts more.",
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

    @model_validator(mode="after")
    def _colours_are_their_own(self) -> Self:
        if self.reduce == "rgb" and self.colormap:
            raise ValueError("reduce=rgb is drawn in its own colours; leave colormap out")
        return self
