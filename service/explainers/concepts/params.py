"""What a caller may ask of the concept methods, beside the pictures."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from service.explainers.concepts.variants import VARIANTS
from service.explainers.params import LayerName, TargetParams
from service.explainers.variants import OneOf, names_of, takers


class ConceptsParams(TargetParams):
    """Says which layer, which class, and how concepts are found or tested."""

    method: Annotated[str, OneOf(names_of(VARIANTS))] = Field(VARIANTS[0].name, description="The definition.")
    layer: LayerName | None = Field(
        None,
        max_length=300,
        description="Name, path or index of the layer whose activations are looked at. The model's CAM layer when "
        "absent.",
    )
    target: LayerName = Field(
        "top1",
        min_length=1,
        max_length=300,
        description="One class index (`386`) or label (`African_elephant`), a contrast (`386-101`), or a neuron. "
        "`top1` is the class whose mean score over `images` is the highest.",
    )
    concepts: int = Field(
        10, ge=1, le=50, description=f"{takers(VARIANTS, 'concepts')}: how many concepts the activations are made of."
    )
    patch: int | None = Field(
        None,
        ge=1,
        le=1024,
        description=f"{takers(VARIANTS, 'patch')}: side of the crops in px of the network's input. By default 2/7 of "
        "its shorter side, which is the authors' 64 of 224.",
    )
    draws: int = Field(
        32,
        ge=4,
        le=512,
        description=f"{takers(VARIANTS, 'draws')}: draws of the Sobol indices, each of `concepts` + 2 passes a picture "
        "from the layer on.",
    )
    examples: int = Field(
        8, ge=1, le=32, description=f"{takers(VARIANTS, 'examples')}: the most typical crops that are kept a concept."
    )
    repeats: int = Field(
        10,
        ge=2,
        le=100,
        description=f"{takers(VARIANTS, 'repeats')}: how often the concept is tested, each time against another random "
        "half of `random`.",
    )
    penalty: float = Field(
        1.0,
        ge=1e-6,
        le=1e6,
        description=f"{takers(VARIANTS, 'penalty')}: λ of the classifier, which minimises "
        "Σ log(1 + exp(-s(w·a + b))) + λ/2·‖w‖².",
    )
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Of the draws: the same seed draws the same ones.")
