"""What a caller may ask of a perturbation map."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from service.explainers.params import COVERS, Colormap, Cover, HeatmapParams, Sides
from service.explainers.perturbation.variants import VARIANTS
from service.explainers.planes import LabelPlane
from service.explainers.variants import OneOf, names_of, takers

Segments = Literal["grid", "slic", "quickshift"]
OF_ONE_KIND = "segments says how the image is cut, and segment_map is a cut image: give one of the two"


class PerturbationParams(HeatmapParams):
    """Says which parts of the image are covered, by what, how often, and what is measured."""

    method: Annotated[str, OneOf(names_of(VARIANTS))] = Field(
        VARIANTS[0].name, description="The definition of the map."
    )
    samples: int | None = Field(
        None,
        ge=16,
        le=100_000,
        description="The most masks, a forward pass each. By default "
        + ", ".join(f"{variant.samples} for {variant.name}" for variant in VARIANTS)
        + ".",
    )
    tolerance: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Stop before all samples are drawn, once the largest standard error of the map (of partitionshap, "
        "what is not yet split) is below this share of the map's range. 0 draws all.",
    )
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Of the masks: the same seed draws the same ones.")
    value: Cover = Field("mean", description=f"What covers: {COVERS}.")
    measure: Literal["score", "probability"] = Field(
        "score", description="The score that is explained, which is mostly a logit, or its `probability`."
    )
    segments: Segments | None = Field(
        None,
        description=f"{takers(VARIANTS, 'segments')}: the parts that are covered. `grid`, the default, cuts the input "
        "into `cells`; `slic` (Achanta 2012) and `quickshift` (Vedaldi 2008) follow its colours, and need the extra "
        "`segments`.",
    )
    segment_map: LabelPlane = Field(
        None,
        description="The parts themselves: a PNG or an npy array (height, width), as a file part or as base64, in "
        "which each colour or number is a part. It lies over what the network sees: the whole photograph, unless the "
        "model's spec crops or pads.",
    )
    cells: Sides | None = Field(
        None,
        description="Of the grid: rows and columns, one number or `rows,columns`; 7,7 for rise and 8,8 for the others "
        "when absent.",
    )
    segment_count: int = Field(50, ge=2, le=1024, description="Of SLIC: about how many segments; there may be fewer.")
    compactness: float = Field(
        10.0, gt=0, le=1000, description="Of SLIC: how much nearness counts beside colour; more makes squares."
    )
    keep: float = Field(
        0.5, ge=0.01, le=0.99, description=f"{takers(VARIANTS, 'keep')}: the probability that a cell is kept."
    )
    kernel_width: float = Field(
        0.25,
        gt=0,
        le=10,
        description=f"{takers(VARIANTS, 'kernel_width')}: of the exponential kernel over the cosine distance to the "
        "whole image.",
    )
    colormap: Colormap | None = Field(  # type: ignore[assignment]
        None, description="Colours; by default jet, and coolwarm for maps that speak for the target and against it."
    )

    @model_validator(mode="after")
    def _segments_are_given_once(self) -> Self:
        if self.segment_map is not None and self.segments is not None:
            raise ValueError(OF_ONE_KIND)
        return self
