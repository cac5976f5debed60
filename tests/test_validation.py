"""What pydantic finds wrong is told in sentences of ours, wherever it is found."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from service.errors import FieldError
from service.errors.validation import Matching, field_errors, in_one, shown


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")

    mode: Literal["a", "b"] = "a"
    low: int = Field(0, ge=0)
    high: int = Field(1, alias="top")

    @model_validator(mode="after")
    def _in_order(self) -> Inner:
        if self.low > self.high:
            raise ValueError("'low' is above 'top'")
        return self


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    id: Annotated[str, Matching("[a-z]+", "it must be of small letters")]
    inner: Inner | None = None
    several: tuple[Inner, ...] = ()
    labels: Literal["imagenet"] | tuple[str, ...] = ()
    hidden: int = Field(0, exclude=True)


def told(values: Any, **more: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate(values)
    return in_one(field_errors(caught.value.errors(), Outer, **more), "the whole")


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({}, "id: it is missing"),
        ({"id": "A"}, "id: it must be of small letters, got 'A'"),
        ({"id": "a\n"}, r"id: it must be of small letters, got 'a\n'"),
        ({"id": "a", "label": 1}, "label: unknown field; the closest is 'labels'"),
        ({"id": "a", "zzz": 1}, "zzz: unknown field; there are id, inner, several, labels"),
        ({"id": "a", "inner": {"mode": "c"}}, "inner.mode: input should be 'a' or 'b', got 'c'"),
        ({"id": "a", "inner": {"high": 3}}, "inner.high: unknown field; there are mode, low, top"),
        ({"id": "a", "inner": {"low": 2}}, "inner: 'low' is above 'top'"),
        ({"id": "a", "several": [{}, {"lo": 2}]}, "several.1.lo: unknown field; the closest is 'low'"),
        ({"id": "a", "several": [3]}, "several.0: input should be an object, got 3"),
        ({"id": "a", "labels": "x"}, "labels: input should be 'imagenet' or a valid list, got 'x'"),
        ({"id": "a", "labels": ["x", 3]}, "labels.1: input should be a valid string, got 3"),
        ([1], "the whole: input should be an object"),
    ],
)
def test_sentences(values: Any, sentence: str) -> None:
    assert told(values) == sentence


def test_each_place_has_one() -> None:
    assert told({"id": 1, "hidden": "x"}) == (
        "id: input should be a valid string, got 1; "
        "hidden: input should be a valid integer, unable to parse string as an integer, got 'x'"
    )


def test_of_a_long_list_the_first_are_told() -> None:
    sentence = told({"id": "a", "labels": list(range(100_000))})
    assert sentence.startswith("labels.0: input should be a valid string, got 0; labels.1: ")
    assert sentence.count(";") == 49


def test_secrets_are_not_shown() -> None:
    assert told({"id": "A"}, secret=("id",)) == "id: it must be of small letters"


def test_without_a_model() -> None:
    item = {"type": "string_too_long", "loc": ("path", "id"), "msg": "String is long", "input": "abc"}
    assert field_errors([item]) == [FieldError(("path", "id"), "string is long, got 'abc'")]


def test_the_schema_keeps_the_pattern() -> None:
    assert Outer.model_json_schema()["properties"]["id"]["pattern"] == "[a-z]+"


@pytest.mark.parametrize("value", ["x" * 9999, ["x" * 9999] * 99, list(range(9999)), {n: [n] for n in range(99)}])
def test_long_values_are_cut(value: Any) -> None:
    assert len(shown(value)) <= 100
