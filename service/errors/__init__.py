"""The domain errors. A docstring is the error's title; the message given says which value and what would be right.

KerascopeError
├── InvalidRequest
│   ├── MalformedBody
│   ├── InvalidParameter
│   ├── UndecodableImage
│   ├── UnfetchableImage
│   ├── MethodNotValid
│   ├── NonFiniteResult
│   ├── ModelRefused
│   └── UnknownHost
├── TooLarge
│   ├── BodyTooLarge
│   ├── HeadTooLarge
│   ├── UrlTooLong
│   ├── TooCostly
│   └── ImageTooLarge
├── UnsupportedMediaType
├── NotAcceptable
├── NotFound
│   ├── UnknownModel
│   ├── UnknownLayer
│   ├── UnknownClass
│   ├── UnknownMethod
│   ├── UnknownJob
│   └── UnknownKey
├── Conflict
│   ├── IdempotencyKeyReused
│   ├── JobWithoutResult
│   └── ModelExists
├── ResultExpired
├── TooMany
│   ├── TooManyJobs
│   └── TooManyCalls
├── NotAuthenticated
├── NotAllowed
│   └── UploadsOff
├── Unavailable
│   ├── EngineUnavailable
│   ├── QueueFull
│   ├── OutOfMemory
│   ├── WeightsUnavailable
│   ├── JobsUnavailable
│   ├── StorageFull
│   └── KeysUnavailable
├── QuotaExceeded
├── ModelNotLoadable
│   └── ModelQuarantined
├── TooSlow
├── DeadlineExceeded
└── ConfigurationError
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Self


@dataclass(frozen=True)
class FieldError:
    """One invalid input: `loc` is the path to it (`("query", "alpha")`), `msg` one sentence."""

    loc: tuple[str, ...]
    msg: str


class KerascopeError(Exception):
    """Something went wrong."""

    def __init__(self, detail: str, *, errors: Sequence[FieldError] = (), retry_after_s: int | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = tuple(errors)
        self.retry_after_s = retry_after_s

    def again(self) -> Self:
        """Makes the same error anew, which holds nothing of what was computed when it was first raised."""
        return type(self)(self.detail, errors=self.errors, retry_after_s=self.retry_after_s)

    @classmethod
    def title(cls) -> str:
        return (cls.__doc__ or cls.__name__).splitlines()[0].rstrip(".")


# Below, one name of one's own is offered for another: 'text' for 'notes'.
SIMILAR = 0.6
SHORTEST_PART = 3
# What is longer is no slip of the pen, and is not compared.
LONGEST_NAME = 200


def nearest(wrong: str, valid: Iterable[str], count: int = 3) -> str:
    """`"; the closest are 'a', 'b'"`, or `""` when nothing comes near. For the end of an error's sentence.

    Names that hold the wrong one as whole words go first, then those that hold it as a part; similar ones are for when
    none does.
    """
    originals = {name.lower(): name for name in valid}
    asked = wrong.lower() if len(wrong) <= LONGEST_NAME else ""
    words = _words(asked)
    whole = [name for name in originals if words != "__" and words in _words(name)]
    part = [name for name in originals if len(asked) >= SHORTEST_PART and asked in name]
    close = [*sorted(whole, key=len), *sorted(part, key=len)]
    close = close or get_close_matches(asked, originals, n=count, cutoff=SIMILAR)
    names = [repr(originals[name]) for name in dict.fromkeys(close)][:count]
    if not names:
        return ""
    return f"; the closest {'is' if len(names) == 1 else 'are'} {', '.join(names)}"


def _words(name: str) -> str:
    """`_egyptian_cat_`, whatever stood between the words."""
    return "_" + "_".join(re.findall(r"[^\W_]+", name)) + "_"


class InvalidRequest(KerascopeError):
    """The request is not valid."""


class MalformedBody(InvalidRequest):
    """The body cannot be read."""


class InvalidParameter(InvalidRequest):
    """A parameter is not valid."""


class UndecodableImage(InvalidRequest):
    """The image cannot be decoded."""


class UnfetchableImage(InvalidRequest):
    """The image cannot be fetched."""


class MethodNotValid(InvalidRequest):
    """The method is not valid for this model."""


class NonFiniteResult(InvalidRequest):
    """The model computed a value that is not finite."""


class ModelRefused(InvalidRequest):
    """The model file is refused."""


class UnknownHost(InvalidRequest):
    """The service has no such name."""


class TooLarge(KerascopeError):
    """The request is too large."""


class BodyTooLarge(TooLarge):
    """The body is too large."""


class HeadTooLarge(TooLarge):
    """The head of the request is too large."""


class UrlTooLong(TooLarge):
    """The address of the request is too long."""


class TooCostly(TooLarge):
    """The call would take more computing than is allowed."""


class ImageTooLarge(TooLarge):
    """The image has too many pixels."""


class UnsupportedMediaType(KerascopeError):
    """The media type is not supported."""


class NotAcceptable(KerascopeError):
    """The answer cannot be given in the format asked for."""


class NotFound(KerascopeError):
    """There is no such thing."""


class UnknownModel(NotFound):
    """There is no such model."""


class UnknownLayer(NotFound):
    """There is no such layer."""


class UnknownClass(NotFound):
    """There is no such class."""


class UnknownMethod(NotFound):
    """There is no such method."""


class UnknownJob(NotFound):
    """There is no such job."""


class UnknownKey(NotFound):
    """There is no such API key."""


class Conflict(KerascopeError):
    """The request does not go with what is already there."""


class IdempotencyKeyReused(Conflict):
    """The idempotency key belongs to another request."""


class JobWithoutResult(Conflict):
    """The job has no result."""


class ModelExists(Conflict):
    """The model ID is taken."""


class ResultExpired(KerascopeError):
    """The result is no longer kept."""


class TooMany(KerascopeError):
    """This caller asks for too much."""


class TooManyJobs(TooMany):
    """This caller has too many jobs."""


class TooManyCalls(TooMany):
    """This caller calls too often."""


class NotAuthenticated(KerascopeError):
    """A valid API key is needed."""


class NotAllowed(KerascopeError):
    """That is not allowed."""


class UploadsOff(NotAllowed):
    """This service takes no models."""


class Unavailable(KerascopeError):
    """The service cannot answer right now."""


class EngineUnavailable(Unavailable):
    """The engine is not running."""


class QueueFull(Unavailable):
    """Too many calls are waiting."""


class OutOfMemory(Unavailable):
    """There is not enough memory for the call."""


class WeightsUnavailable(Unavailable):
    """The weights cannot be had."""


class JobsUnavailable(Unavailable):
    """The jobs database cannot be reached."""


class StorageFull(Unavailable):
    """There is no room left to store that."""


class KeysUnavailable(Unavailable):
    """The file of API keys cannot be used."""


class QuotaExceeded(KerascopeError):
    """This caller's room for models is used up."""


class ModelNotLoadable(KerascopeError):
    """The model cannot be loaded."""


class ModelQuarantined(ModelNotLoadable):
    """The model is in quarantine."""


class TooSlow(KerascopeError):
    """The request took too long to arrive."""


class DeadlineExceeded(KerascopeError):
    """The call took longer than its deadline."""


class ConfigurationError(KerascopeError):
    """The configuration is not valid."""


def all_pass(checks: Iterable[Callable[[], None]]) -> None:
    """Raises what the checks do, all causes in one error of the first one's kind."""
    causes: dict[str, KerascopeError] = {}
    for check in checks:
        try:
            check()
        except KerascopeError as error:
            causes.setdefault(error.detail, error)
    if causes:
        first = next(iter(causes.values()))
        raise first if len(causes) == 1 else type(first)("; ".join(causes))
