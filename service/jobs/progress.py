"""What a running job says of itself, as its worker keeps it beside the job."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass

from pydantic import TypeAdapter, ValidationError

PROGRESS = "progress"


@dataclass(frozen=True)
class ProgressNote:
    """`starts` counts those from the checkpoint written at `checkpoint` (None: from nothing), `started_at` is the
    first start of all, `ended_at` when the result was there. Times are in s since 1970."""

    attempts: int = 0
    starts: int = 0
    checkpoint: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    step: int | None = None
    total: int | None = None
    loss: float | None = None
    preview_version: int = 0
    seconds_left: float | None = None

    def encode(self) -> bytes:
        return json.dumps(asdict(self), allow_nan=False).encode()

    @classmethod
    def decode(cls, data: bytes | None) -> ProgressNote:
        """What another version of the service adds is left out; what is damaged says nothing."""
        try:
            return TypeAdapter(cls).validate_json(data) if data else cls()
        except ValidationError:
            return cls()


def finite(value: float | None) -> float | None:
    """JSON has no NaN and no infinity: those become None."""
    return None if value is None or not math.isfinite(value) else float(value)
