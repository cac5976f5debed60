"""The subject of a method: one image in one network, and what is asked about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from service.arrays import Floats
    from service.explainers.base import Progress
    from service.explainers.picture_sets import PictureSet
    from service.explainers.targets import Targets
    from service.models.backends.interface import Backend
    from service.models.graph.graph import Graph
    from service.models.graph.preprocess import NetworkInput


@dataclass(frozen=True, eq=False)
class Subject:
    """Everything that a method is given beside its parameters.

    `backend` computes, on the network `graph`; `image` is what the network sees (1, h, w, c), zeros for methods that
    look at none; `targets` are the scores that are explained; `progress` is told what is done, and may stop the call.
    `scores` are the (n,) scores of the image itself where `image` is an altered view of it, and None where it is not.
    `sets` are the pictures of methods that look at many, by the names of their sets.
    """

    backend: Backend
    graph: Graph
    image: NetworkInput
    targets: Targets
    progress: Progress
    scores: Floats | None = None
    sets: Mapping[str, PictureSet] = field(default_factory=dict)
