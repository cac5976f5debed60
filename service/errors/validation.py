"""What pydantic found wrong, in sentences that name the value: the same of parameters, bodies, specs and settings."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from reprlib import Repr
from typing import Any, get_args

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, core_schema

from service.errors import FieldError, nearest

LONGEST_VALUE = 100
# Each item of a long list may be wrong. What is told takes time, so only the first are looked at.
MOST_TOLD = 50
MOST_LOOKED_AT = 20 * MOST_TOLD
SHOULD_BE = "input should be "
_shorten = Repr()
_shorten.maxlevel = 3


@dataclass(frozen=True)
class Matching:
    """Bounds a text by a pattern, beside `str` in an `Annotated`; what does not match is told in `words`."""

    pattern: str
    words: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return handler(schema) | {"pattern": self.pattern}

    def _checked(self, value: str) -> str:
        if not re.fullmatch(self.pattern, value):
            raise ValueError(self.words)
        return value


def field_errors(
    found: Iterable[Mapping[str, Any]], kind: type[BaseModel] | None = None, secret: Collection[str] = ()
) -> list[FieldError]:
    """A sentence for each of the first places; `found` are the `errors()` of pydantic, `kind` is the model to be made.

    The values of `secret` fields are not shown.
    """
    at: dict[tuple[str, ...], list[tuple[Mapping[str, Any], list[type[BaseModel]]]]] = {}
    unions = set()
    for item in islice(found, MOST_LOOKED_AT):
        loc, parents = _place(item, kind)
        at.setdefault(loc, []).append((item, parents))
        if len(loc) < len(item["loc"]):
            unions.add(loc)
    # Where one form of a union goes deeper, the value is meant in that form.
    around = {loc[:length] for loc in at for length in range(len(loc))}
    meant = [loc for loc in at if not (loc in unions and loc in around)]
    errors = []
    for loc in meant[:MOST_TOLD]:
        value = _got(at[loc][-1][0]) if loc and loc[0] not in secret else ""
        errors.append(FieldError(tuple(map(short, loc)), _either([_sentence(*each) for each in at[loc]]) + value))
    return errors


def in_one(found: Iterable[FieldError], whole: str = "") -> str:
    """All of them in one line, each with its place; `whole` stands for the place of what belongs to no single field."""
    placed = ((".".join(item.loc) or whole, item.msg) for item in found)
    return "; ".join(f"{place}: {msg}" if place else msg for place, msg in placed)


def shown(value: Any) -> str:
    """A value as it is written into a sentence, cut where it is long."""
    if isinstance(value, str):
        return repr(value[:LONGEST_VALUE])[:LONGEST_VALUE]
    try:
        return _shorten.repr(value)[:LONGEST_VALUE]
    except ValueError:
        # Of an integer of thousands of digits Python makes no decimal text.
        return "a number of thousands of digits"


def short(name: str) -> str:
    """A name that a caller has made up, cut where it is long."""
    return name if len(name) <= LONGEST_VALUE else f"{name[:LONGEST_VALUE]}…"


def _place(item: Mapping[str, Any], kind: type[BaseModel] | None) -> tuple[tuple[str, ...], list[type[BaseModel]]]:
    """The place without the names that pydantic gives to the forms of a union, and the models its last name is in."""
    if kind is None:
        return tuple(map(str, item["loc"])), []
    loc: list[str] = []
    models, parents = [kind], [kind]
    for number, part in enumerate(item["loc"], start=1):
        fields = _fields(models)
        is_unknown = item["type"] == "extra_forbidden" and number == len(item["loc"])
        if isinstance(part, int) or part in fields or is_unknown:
            loc.append(str(part))
        if part in fields or is_unknown:
            parents = models
            models = _models(fields[part].annotation) if part in fields else []
    return tuple(loc), parents


def _fields(models: Iterable[type[BaseModel]]) -> dict[Any, FieldInfo]:
    return {info.alias or name: info for model in models for name, info in model.model_fields.items()}


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]


def _sentence(item: Mapping[str, Any], parents: Sequence[type[BaseModel]]) -> str:
    if item["type"] == "missing":
        return "it is missing"
    if item["type"] == "extra_forbidden":
        known = [name for name, info in _fields(parents).items() if not info.exclude]
        there = f"; there {'is' if len(known) == 1 else 'are'} {', '.join(known)}" if known else ""
        return f"unknown field{nearest(str(item['loc'][-1]), known) or there}"
    if item["type"] == "model_type":
        return f"{SHOULD_BE}an object"
    message = str(item["msg"])
    if item["type"] in ("value_error", "assertion_error"):
        return message.partition(", ")[2]
    return (message[0].lower() + message[1:]).replace("valid tuple", "valid list").replace("valid array", "valid list")


def _got(item: Mapping[str, Any]) -> str:
    told_by_us = item["type"] == "value_error" and isinstance(item.get("input"), Mapping | BaseModel)
    if "input" not in item or item["type"] in ("missing", "extra_forbidden") or told_by_us:
        return ""
    return f", got {shown(item['input'])}"


def _either(messages: Sequence[str]) -> str:
    first, *more = dict.fromkeys(messages)
    return " or ".join([first, *(message.removeprefix(SHOULD_BE) for message in more)])
