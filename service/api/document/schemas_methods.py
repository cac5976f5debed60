"""The shapes of the catalogue of methods."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from service.api.document.schemas import Schema


class VariantOut(Schema):
    """A definition within a method's family."""

    name: str
    summary: str
    paper: str | None
    passes: str = Field(description="An estimate of its cost: passes of one image through the network.")
    caution: str


class ValidityOut(Schema):
    """Whether a method is valid for a model; `not_valid` gives the reason for each variant that is not."""

    valid: bool
    not_valid: dict[str, str]
    layers: list[str]
    classes: int | None
    outputs: list[str]


class MethodOut(Schema):
    """A method of the catalogue; `parameters` is a JSON Schema."""

    name: str
    title: str
    summary: str
    cost: str
    route: str
    outputs: list[str]
    variants: list[VariantOut]
    parameters: dict[str, Any]
    validity: ValidityOut | None = Field(None, description="For the model asked for with `model=`.")


class MethodList(Schema):
    """The catalogue."""

    methods: list[MethodOut]
