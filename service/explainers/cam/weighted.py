"""Variants whose map is the sum of a layer's weighted channels, and how the channels become the map."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from service.arrays import Floats
from service.explainers.cam.components import component_along_sum
from service.explainers.channels import clipped
from service.explainers.variants import Maps, MapVariant, Warned

if TYPE_CHECKING:
    from service.explainers.cam.params import CamParams
    from service.explainers.subject import Subject
    from service.models.graph.graph import Graph
    from service.models.graph.head import Head

Channels = NDArray[np.float64]


@dataclass(frozen=True)
class Weighted:
    """What such a variant computes: weighted channels (h, w, k) float64 a target, one target at a time for the sake of
    memory, and the rest of its `Maps`."""

    channels: Iterable[Channels]
    scores: Floats
    parameters: Mapping[str, object] = field(default_factory=dict)
    warnings: tuple[Warned, ...] = ()


@dataclass(frozen=True, kw_only=True)
class WeightedVariant(MapVariant["CamParams"]):
    """A definition that is a sum of weighted channels, clipped at 0, so that a component may take the sum's place."""


def summed(channels: Channels, smooth: str) -> Floats:
    """The map (h, w) float32, >= 0, of weighted channels (h, w, k): their sum, clipped at 0.

    With `smooth` = eigen their first principal component, with the sign that correlates with the sum, clipped at 0.
    """
    return clipped(component_along_sum(channels) if smooth == "eigen" else channels.sum(axis=2))


def maps_of(compute: Callable[[Subject, CamParams], Weighted]) -> Callable[[Subject, CamParams], Maps]:
    """The `compute` of a variant whose weighted channels are computed by `compute`."""

    def made(subject: Subject, params: CamParams) -> Maps:
        found = compute(subject, params)
        maps = [summed(channels, params.smooth) for channels in found.channels]
        return Maps(maps, found.scores, found.parameters, found.warnings)

    return made


def _for_every_model(graph: Graph, head: Head) -> None:
    return None


def weighted_variant(
    name: str,
    summary: str,
    paper: str,
    passes: str,
    caution: str,
    *,
    estimate: Callable[[Subject, CamParams], float],
    check: Callable[[Subject, CamParams], None],
    problem: Callable[[Graph, Head], str | None] = _for_every_model,
    takes: tuple[str, ...] = (),
) -> Callable[[Callable[[Subject, CamParams], Weighted]], WeightedVariant]:
    """A decorator that makes a variant of the function that computes its weighted channels; see `MapVariant`."""

    def made(compute: Callable[[Subject, CamParams], Weighted]) -> WeightedVariant:
        return WeightedVariant(
            name, summary, paper, passes, caution, takes,
            compute=maps_of(compute), estimate=estimate, check=check, problem=problem, cam_layer=True,
        )  # fmt: skip

    return made
