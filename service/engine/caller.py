"""Who waits for a call in the engine, and whether still."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from service.errors import DeadlineExceeded
from service.explainers.base import Progress


@dataclass(eq=False)
class Caller:
    """One call on its way. `waited_s` is the time it spent waiting for the device, `used_s` the time it had it, `gone`
    whether nobody waits for its answer any longer."""

    id: str
    waited_s: float = 0.0
    used_s: float = 0.0
    gone: bool = False

    def require_wanted(self) -> None:
        """Raises DeadlineExceeded once nobody waits."""
        if self.gone:
            raise DeadlineExceeded("the caller no longer waits")


class UntilDeadline(Progress):
    """Ends a call between two chunks once its caller no longer waits. `at` is of the monotonic clock."""

    def __init__(self, caller: Caller, at: float) -> None:
        self.caller = caller
        self.at = at
        self._where = "before its first step"

    def __call__(self, done: int, total: int, *_: Any, **__: Any) -> None:
        self._where = f"at step {done} of {total}"
        self.require_wanted()

    def require_wanted(self) -> None:
        """Raises DeadlineExceeded once nobody waits."""
        self.caller.require_wanted()
        if time.monotonic() > self.at:
            raise DeadlineExceeded(f"the call passed its deadline {self._where}")
