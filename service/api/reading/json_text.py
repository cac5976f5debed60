"""JSON objects as callers send them: what two readers could understand differently is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import chain

import orjson

from service.errors import FieldError, MalformedBody
from service.json_types import Json, JsonObject

# Every name of an object ends so; within a text the same bytes may stand without being one.
_NAME_END = re.compile(rb'"\s*:')
LONGEST_NAME = 100
FEW = 10_000
# What a caller means has a handful of objects; each takes the event loop's time.
MOST_OBJECTS = 10_000


def json_object(data: bytes, what: str) -> JsonObject:
    """`data` as a JSON object; `what` it is, for the sentence. Raises MalformedBody, also for a name that stands twice
    in one object, at any depth, of which one value would be taken silently."""
    if (objects := data.count(b"{")) > MOST_OBJECTS:
        raise MalformedBody(f"{what} has {objects} opening braces; it may have {MOST_OBJECTS}")
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise MalformedBody(f"{what} is not valid JSON: {error.msg} at character {error.pos}") from None
    if not isinstance(value, dict):
        kind = {list: "an array", str: "a text", type(None): "null"}.get(type(value), "a value")
        raise MalformedBody(f"{what} is {kind}; it must be a JSON object")
    if _may_have_twins(data, value):
        _require_no_twins(data, what)
    return value


def _may_have_twins(data: bytes, value: JsonObject) -> bool:
    """Whether more names seem to have been written than were kept. Costs about as much as looking for a byte: an image
    in base64 is one text, and of lists of numbers nothing is looked at once all objects are found."""
    kept = sum(len(each) for each in _objects(value, data.count(b"{")))
    quotes = _places(data, b'"')
    if quotes is None:
        return kept != sum(1 for _ in _NAME_END.finditer(data))
    return kept != sum(_NAME_END.match(data, at) is not None for at in quotes)


def _places(data: bytes, byte: bytes) -> list[int] | None:
    """Finds where the byte stands, by leaps, several times faster than a look at each; None for more than FEW."""
    found: list[int] = []
    at = data.find(byte)
    while at >= 0:
        if len(found) == FEW:
            return None
        found.append(at)
        at = data.find(byte, at + 1)
    return found


def _objects(value: JsonObject, most: int) -> Iterator[JsonObject]:
    """Every object in `value`, itself first; none is looked for once there are `most`."""
    level: list[Json] = [value]
    while level and most > 0:
        objects = [each for each in level if type(each) is dict]
        most -= len(objects)
        yield from objects
        if most > 0:
            lists = (each for each in level if type(each) is list)
            inner = chain(*(each.values() for each in objects), chain.from_iterable(lists))
            level = [each for each in inner if type(each) is dict or type(each) is list]


class _Twin(Exception):
    """The name that stands twice."""


def _require_no_twins(data: bytes, what: str) -> None:
    def once(pairs: list[tuple[str, Json]]) -> None:
        names = [name for name, _ in pairs]
        if len(set(names)) < len(names):
            raise _Twin(next(name for place, name in enumerate(names) if name in names[:place]))

    try:
        json.loads(data, object_pairs_hook=once, parse_int=len, parse_float=len)
    except _Twin as twin:
        name = str(twin)[:LONGEST_NAME]
        raise MalformedBody(
            f"{what} has {name!r} twice in one object; give it once", errors=[FieldError((name,), "stands twice")]
        ) from None
    except RecursionError:
        raise MalformedBody(f"{what} is nested too deeply") from None
