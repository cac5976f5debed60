"""Concepts: what a network tells apart in many pictures of a class, and whether a concept of the caller's matters."""

from service.explainers.concepts.method import Concepts
from service.explainers.concepts.params import ConceptsParams

__all__ = ["Concepts", "ConceptsParams"]
