"""What a caller may ask of a class activation map."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from service.explainers.cam.variants import VARIANTS
from service.explainers.params import HeatmapParams, LayerName
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
    max_channels: int | None = Field(
        128,
        ge=1,
        le=65536,
        description=f"{takers(VARIANTS, 'max_channels')} only: channels to weigh, those of the largest spatial "
        "deviation.",
    )
