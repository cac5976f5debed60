"""The method: sets of pictures in, concepts out."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, ClassVar, cast

from service.explainers.base import Cost, Explainer, Explanation, Photograph, Picture
from service.explainers.concepts.params import ConceptsParams
from service.explainers.concepts.variant import ConceptVariant
from service.explainers.concepts.variants import VARIANTS
from service.explainers.layers import why_no_map
from service.explainers.picture_sets import SetAsked

if TYPE_CHECKING:
    from service.explainers.subject import Subject
    from service.models.graph.graph import Graph, LayerEntry
    from service.models.graph.head import Head


class Concepts(Explainer[ConceptsParams]):
    """Looks at sets of pictures; always a background job."""

    name = "concepts"
    title = "Concepts"
    summary = (
        "What a network sees in many pictures of a class, and which of it counts; or whether a concept that you show "
        "it by pictures counts."
    )
    cost = Cost.PICTURES
    picture = Picture.SHEET
    outputs = ("sheet",)
    variants: ClassVar[tuple[ConceptVariant, ...]] = VARIANTS
    targeted = True
    photograph = Photograph.SETS
    sets = tuple({asked.name: asked for variant in reversed(VARIANTS) for asked in variant.sets}.values())
    Params = ConceptsParams

    def explain(self, subject: Subject, params: ConceptsParams) -> Explanation:
        """What the variant gives: see its own documentation."""
        return cast(ConceptVariant, self.variant(params)).compute(subject, params)

    @classmethod
    def why_not(cls, entry: LayerEntry) -> str | None:
        return why_no_map(entry)

    @classmethod
    def passes(cls, subject: Subject, params: ConceptsParams) -> int:
        return ceil(cast(ConceptVariant, cls.variant(params)).estimate(subject, params))

    @classmethod
    def check(cls, subject: Subject, params: ConceptsParams) -> None:
        """Raises what the variant's own check does."""
        cast(ConceptVariant, cls.variant(params)).check(subject, params)

    @classmethod
    def problem(cls, variant: str, graph: Graph, head: Head) -> str | None:
        return cast(ConceptVariant, cls.named(variant)).problem(graph, head)

    @classmethod
    def wants_image(cls, params: ConceptsParams) -> bool:
        """Never: it looks at sets."""
        return False

    @classmethod
    def sets_of(cls, params: ConceptsParams) -> tuple[SetAsked, ...]:
        return cast(ConceptVariant, cls.variant(params)).sets

    @classmethod
    def takes_cam_layer(cls, params: ConceptsParams) -> bool:
        return True
