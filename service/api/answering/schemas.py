"""The shapes of the answers, for the OpenAPI document and for clients generated from it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from service.contract.message import Message
from service.contract.models import ModelRow, Validity
from service.contract.results import MethodSaid, ModelRef
from service.json_types import Json, JsonObject


class Problem(BaseModel):
    """RFC 9457 problem details; `instance` is the request's ID."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    errors: list[FieldProblem]


class FieldProblem(Message):
    """One invalid input."""

    loc: list[str]
    msg: str


class ImageOut(Message):
    """A picture; `data` is base64. Stills are what `picture` says, PNG when it says nothing; the animation of an ascent
    is WebP. A GIF is for `format` alone.
    """

    name: str
    media_type: Literal["image/png", "image/jpeg", "image/webp"]
    width: int
    height: int
    data: str


class ArrayOut(Message):
    """A raw array; `data` is the base64 of its little-endian C-order bytes, or nested lists."""

    name: str
    dtype: str
    shape: list[int]
    min: float | None
    max: float | None
    encoding: Literal["base64", "list"]
    data: str | list[Json]


class ResultOut(MethodSaid):
    """What one method found, with its pictures and its raw arrays, which are never normalised."""

    images: list[ImageOut]
    arrays: list[ArrayOut]


class ExplanationOut(ResultOut):
    """One method's answer; times are in ms."""

    model: ModelRef
    image: JsonObject | None = Field(description="How the image was decoded.")
    timing_ms: dict[str, float]


class NamedResult(ResultOut):
    """One of several methods, by the name the caller called it."""

    name: str


class ExplanationsOut(Message):
    """The answer of several methods that shared their passes."""

    model: ModelRef
    image: JsonObject | None = Field(description="How the image was decoded.")
    results: list[NamedResult]
    timing_ms: dict[str, float]


class ModelList(Message):
    """Every model that can be loaded, the warm ones first."""

    models: list[ModelRow]
    authentication: Literal["open", "keys"]
    uploads: str = Field(description="`on`, or why no models are taken.")


class Health(Message):
    """`status` is `ok`, or what is missing."""

    status: str
    engines: list[str]


class VariantOut(Message):
    """A definition within a method's family."""

    name: str
    summary: str
    paper: str | None
    passes: str = Field(description="An estimate of its cost: passes of one image through the network.")
    caution: str


class MetricOut(VariantOut):
    """What an evaluation measures maps by: which numbers are the better ones, and their unit."""

    better: Literal["lower", "higher", "none"]
    unit: str


class MethodOut(Message):
    """A method of the catalogue; `parameters` is a JSON Schema, and `metrics` are those that it measures others by."""

    name: str
    title: str
    summary: str
    cost: str
    route: str
    outputs: list[str]
    variants: list[VariantOut]
    metrics: list[MetricOut]
    parameters: JsonObject
    validity: Validity | None = Field(None, description="For the model asked for with `model=`.")


class MethodList(Message):
    """The catalogue."""

    methods: list[MethodOut]
