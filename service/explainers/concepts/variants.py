"""The definitions of the family, in the order of the catalogue; the first is the default."""

from __future__ import annotations

from service.explainers.concepts.craft import craft
from service.explainers.concepts.tcav import tcav
from service.explainers.concepts.variant import ConceptVariant

VARIANTS: tuple[ConceptVariant, ...] = (
    craft,
    tcav,
)
