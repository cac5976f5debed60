"""The domain errors. A docstring is the error's title; the message given says which value and what would be right.

KerascopeError
├── InvalidRequest
│   ├── MalformedBody
│   ├── InvalidParameter
│   ├── UndecodableImage
│   ├── MethodNotValid
│   └── NonFiniteResult
├── TooLarge
│   ├── BodyTooLarge
│   ├── TooCostly
│   └── ImageTooLarge
├── UnsupportedMediaType
├── NotAcceptable
├── NotFound
│   ├── UnknownModel
│   ├── UnknownLayer
│   ├── UnknownClass
│   ├── UnknownMethod
│   └── UnknownJob
├── Conflict
│   ├── IdempotencyKeyReused
│   └── JobWithoutResult
├── ResultExpired
├── TooManyJobs
├── NotAuthenticated
├── Unavailable
│   ├── EngineUnavailable
│   ├── QueueFull
│   ├── OutOfMemory
│   ├── WeightsUnavailable
│   ├── JobsUnavailable
│   └── StorageFull
├── ModelNotLoadable
├── DeadlineExceeded
└── ConfigurationError
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches


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

    @classmethod
    def title(cls) -> str:
        return (cls.__doc__ or cls.__name__).splitlines()[0].rstrip(".")


class InvalidRequest(KerascopeError):
    """The request is not valid."""


class MalformedBody(InvalidRequest):
    """The body cannot be read."""


class InvalidParameter(InvalidRequest):
    """A parameter is not valid."""


class UndecodableImage(InvalidRequest):
    """The image cannot be decoded."""


class MethodNotValid(InvalidRequest):
    """The method is not valid for this model."""


class NonFiniteResult(InvalidRequest):
    """The model computed a value that is not finite."""


class TooLarge(KerascopeError):
    """The request is too large."""


class BodyTooLarge(TooLarge):
    """The body is too large."""


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


class Conflict(KerascopeError):
    """The request does not go with what is already there."""


class IdempotencyKeyReused(Conflict):
    """The idempotency key belongs to another request."""


class JobWithoutResult(Conflict):
    """The job has no result."""


class ResultExpired(KerascopeError):
    """The result is no longer kept."""


class TooManyJobs(KerascopeError):
    """This caller has too many jobs."""


class NotAuthenticated(KerascopeError):
    """A valid API key is needed."""


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


class ModelNotLoadable(KerascopeError):
    """The model cannot be loaded."""


class DeadlineExceeded(KerascopeError):
    """The call took longer than its deadline."""


class ConfigurationError(KerascopeError):
    """The configuration is not valid."""


def error_named(kind: str) -> type[KerascopeError]:
    """The class of that name; KerascopeError for a name that is none, so that nothing unknown gets through."""
    found = globals().get(kind)
    return found if isinstance(found, type) and issubclass(found, KerascopeError) else KerascopeError


def nearest(wrong: str, valid: Iterable[str], count: int = 3) -> str:
    """`"; the closest are 'a', 'b'"`, or `""` when nothing comes near. For the end of an error's sentence."""
    originals = {name.lower(): name for name in valid}
    close = get_close_matches(wrong.lower(), originals, n=count, cutoff=0.4)
    names = [repr(originals[name]) for name in close]
    if not names:
        return ""
    return f"; the closest {'is' if len(names) == 1 else 'are'} {', '.join(names)}"
