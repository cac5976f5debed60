"""One model's place in the registry: whether it is warm, why it could not be loaded, what is known of it."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

from service.errors import KerascopeError
from service.models.files.spec import ModelSpec, Stamp
from service.models.loaded import LoadedModel

# What its owner says of a model once it is loaded; the registry keeps it and does not look into it.
Found = TypeVar("Found")


class State(StrEnum):
    """cold → loading → warm → evicting → cold; loading → failed → loading when it is asked for again."""

    COLD = "cold"
    LOADING = "loading"
    WARM = "warm"
    EVICTING = "evicting"
    FAILED = "failed"


@dataclass(frozen=True)
class LoadFailure:
    """Why the last load of `spec`, whose files had that stamp, failed; both times are of the monotonic clock."""

    error: KerascopeError
    spec: ModelSpec
    stamp: Stamp
    at: float
    retry_at: float

    def holds(self, spec: ModelSpec, asked_at: float, again: bool) -> bool:
        """Whether who asked at that moment is told so, without another attempt; `again` only if he waited for it."""
        return self.spec == spec and (asked_at <= self.at or (not again and time.monotonic() < self.retry_at))

    def is_of(self, spec: ModelSpec | None) -> bool:
        """Whether that is what was loaded, and its files are the same."""
        return self.spec == spec and self.spec.stamp() == self.stamp

    def told(self) -> KerascopeError:
        """The error anew, with the seconds until an attempt makes sense."""
        error = self.error.again()
        left_s = self.retry_at - time.monotonic()
        if left_s > 0:
            error.retry_after_s = math.ceil(left_s)
        return error


@dataclass(frozen=True)
class Known(Generic[Found]):
    """What was found in a model of these files; it stays known when the model is cold again."""

    spec: ModelSpec
    stamp: Stamp
    details: Found


@dataclass(frozen=True)
class SlotStatus:
    """What is told of a slot; bytes and counts are None where the model is not there."""

    state: State
    pinned: bool
    users: int
    weight_bytes: int | None
    folded_bytes: int | None
    layer_bytes: int | None
    plan_bytes: int | None
    plans: int | None
    traces: int | None
    last_error: str | None


@dataclass
class Slot(Generic[Found]):
    """One model's place. `lock` makes loading single-flight; the registry's own lock guards the rest."""

    state: State = State.COLD
    model: LoadedModel | None = None
    users: int = 0
    last_used: float = 0.0
    failure: LoadFailure | None = None
    known: Known[Found] | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)
