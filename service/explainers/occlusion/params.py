"""What a caller may ask of occlusion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from service.errors import InvalidParameter
from service.explainers.occlusion.scores import Strategy
from service.explainers.params import COVERS, Cover, HeatmapParams, Sides

if TYPE_CHECKING:
    from service.models.graph.preprocess import NetworkInput


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
    value: Cover = Field("mean", description=f"What covers: {COVERS}.")
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
