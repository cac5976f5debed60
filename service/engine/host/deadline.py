"""The moment by which a caller wants its answer."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Deadline:
    """`at` is a moment of the monotonic clock, `given_s` how long the caller was to wait in all."""

    at: float
    given_s: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        return cls(time.monotonic() + seconds, seconds)

    @property
    def left_s(self) -> float:
        """Seconds until then, 0 once it has passed."""
        return max(0.0, self.at - time.monotonic())
