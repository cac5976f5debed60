"""What a caller may ask of a class activation map."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from service.explainers.cam.fusion import FUSIONS, MOST_LAYERS
from service.explainers.cam.kpca import KERNELS
from service.explainers.cam.variants import VARIANTS
from service.explainers.params import HeatmapParams, LayerName, LayerNames
from service.explainers.variants import OneOf, names_of, takers


def _plus_signs(value: object) -> object:
    """A `+` in a query string arrives as a space, unless it is written %2B."""
    return value.replace(" ", "+") if isinstance(value, str) else value


class CamParams(HeatmapParams):
    """Says which map of which layer."""

    method: Annotated[str, OneOf(names_of(VARIANTS)), BeforeValidator(_plus_signs)] = Field(
        VARIANTS[0].name, description="The definition of the map."
    )
    layer: LayerName | None = Field(
        None,
        max_length=300,
        description="Name, path or index of the layer. By default the last one with a spatial map that is no pooling.",
    )
    layers: LayerNames | None = Field(
        None,
        min_length=1,
        max_length=MOST_LAYERS,
        description="In place of `layer`: names, paths or indices of up to 16 layers, e.g. `conv2d,3` or `0-7`, whose "
        "maps are fused. Each is clipped at 0, divided by its maximum and enlarged to the largest of them.",
    )
    fuse: Annotated[str, OneOf(tuple(FUSIONS))] = Field(
        next(iter(FUSIONS)), description="With `layers`: what becomes of their maps, cell by cell."
    )
    smooth: Literal["none", "augment", "eigen"] = Field(
        "none",
        description="`augment`: the mean of the maps of 6 views, the image and its mirror image times 0.9, 1 and 1.1 "
        "each; `eigen`: in place of the sum of the weighted channels, their first principal component, with the sign "
        "that correlates with the sum, clipped at 0.",
    )
    max_channels: int | None = Field(
        128,
        ge=1,
        le=65536,
        description=f"{takers(VARIANTS, 'max_channels')} only: channels to weigh, those of the largest spatial "
        "deviation.",
    )
    kernel: Annotated[str, OneOf(tuple(KERNELS))] = Field(
        next(iter(KERNELS)),
        description=f"{takers(VARIANTS, 'kernel')} only: by what cells x and y are compared, with γ = 1 / channels: "
        "tanh(γx·y + 1), exp(-γ|x - y|²), (γx·y + 1)³, or x·y, which is eigencam.",
    )
    references: int = Field(
        1,
        ge=1,
        le=100,
        description=f"{takers(VARIANTS, 'references')} only: how many of the classes nearest in score the class is "
        "compared with.",
    )
    strength: float = Field(
        1.0,
        ge=0,
        le=10,
        description=f"{takers(VARIANTS, 'strength')} only: how much of their mean score is taken off; 0 is gradcam.",
    )

    @model_validator(mode="after")
    def _one_layer_or_several(self) -> Self:
        if self.layer is not None and self.layers is not None:
            raise ValueError("name the layer in 'layer', or those whose maps are fused in 'layers', not in both")
        return self
