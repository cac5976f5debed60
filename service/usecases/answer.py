"""What a use case gives back: pictures, arrays and everything that is known about them. Knows no HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from service.arrays import Arrays
from service.contract.results import MethodResult, ModelRef
from service.json_types import JsonObject


@dataclass(frozen=True)
class PictureFile:
    """An encoded picture."""

    name: str
    width: int
    height: int
    data: bytes
    media_type: str


@dataclass(frozen=True)
class Result:
    """What one method gave, by the name that the caller called it: what is said of it, its pictures and its arrays."""

    name: str
    said: MethodResult
    pictures: tuple[PictureFile, ...]
    arrays: Arrays


@dataclass(frozen=True)
class Answer:
    """The model that answered, how the image was decoded, a result for each method; times are in ms.

    `fingerprint` is that of the model, with its spec.
    """

    model: ModelRef
    image: JsonObject | None
    results: tuple[Result, ...]
    timing_ms: Mapping[str, float]
    fingerprint: str
