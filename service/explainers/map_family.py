"""A family of variants that give a map a target: what the family does follows from the variant that is chosen."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, ClassVar, cast

from service.explainers.base import Explainer
from service.explainers.variants import MapVariant, P

if TYPE_CHECKING:
    from service.explainers.subject import Subject
    from service.models.graph.graph import Graph
    from service.models.graph.head import Head


class MapFamily(Explainer[P]):
    """A method that leaves cost, checks and validity to its variants."""

    variants: ClassVar[tuple[MapVariant, ...]]
    targeted = True

    @classmethod
    def passes(cls, subject: Subject, params: P) -> int:
        return ceil(cls.variant(params).estimate(subject, params))

    @classmethod
    def check(cls, subject: Subject, params: P) -> None:
        """Raises what the variant's own check does."""
        cls.variant(params).check(subject, params)

    @classmethod
    def takes_cam_layer(cls, params: P) -> bool:
        return cls.variant(params).cam_layer

    @classmethod
    def problem(cls, variant: str, graph: Graph, head: Head) -> str | None:
        return cls.named(variant).problem(graph, head)

    @classmethod
    def variant(cls, params: P) -> MapVariant[P]:
        return cast("MapVariant[P]", super().variant(params))

    @classmethod
    def named(cls, variant: str) -> MapVariant[P]:
        return cast("MapVariant[P]", super().named(variant))
