"""Who waits for a call in the engine, whether still, and what he is told when it failed."""

from __future__ import annotations

import time
from dataclasses import dataclass

import structlog

from service.engine.protocol import Call, Fault, fault_of
from service.errors import DeadlineExceeded, KerascopeError, OutOfMemory
from service.explainers.base import Progress


@dataclass(eq=False)
class OpenCall:
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

    def __init__(self, caller: OpenCall, at: float) -> None:
        self.caller = caller
        self.at = at
        self._where = "before its first step"

    def __call__(self, done: int, total: int, *_: object, **__: object) -> None:
        self._where = f"at step {done} of {total}"
        self.require_wanted()

    def require_wanted(self) -> None:
        """Raises DeadlineExceeded once nobody waits."""
        self.caller.require_wanted()
        if time.monotonic() > self.at:
            raise DeadlineExceeded(f"the call passed its deadline {self._where}")


log = structlog.get_logger(__name__)

RETRY_S = 5
# Python's words where the system has no memory for the stack of another thread.
NO_THREAD = "can't start new thread"


def fault_for(error: Exception, call: Call) -> Fault:
    """Errors that were thought of as they are; too little memory as such; of any other only that it is in the log."""
    if isinstance(error, KerascopeError):
        return fault_of(error)
    log.error("call failed", op=call.question.op, model=call.question.model, exc_info=error)
    if isinstance(error, MemoryError) or NO_THREAD in str(error):
        return fault_of(OutOfMemory("there is not enough memory for this call right now", retry_after_s=RETRY_S))
    return fault_of(KerascopeError("the engine failed on this call; its log says why"))
