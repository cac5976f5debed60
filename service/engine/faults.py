"""What a caller is told when its call failed in the engine."""

from __future__ import annotations

import structlog

from service.engine.protocol import Call, Fault, fault_of
from service.errors import KerascopeError, OutOfMemory

log = structlog.get_logger(__name__)

RETRY_S = 5
# Python's words where the system has no memory for the stack of another thread.
NO_THREAD = "can't start new thread"


def fault_for(error: Exception, call: Call) -> Fault:
    """Errors that were thought of as they are; too little memory as such; of any other only that it is in the log."""
    if isinstance(error, KerascopeError):
        return fault_of(error)
    log.error("call failed", op=call.op, model=call.payload.get("model"), exc_info=error)
    if isinstance(error, MemoryError) or NO_THREAD in str(error):
        return fault_of(OutOfMemory("there is not enough memory for this call right now", retry_after_s=RETRY_S))
    return fault_of(KerascopeError("the engine failed on this call; its log says why"))
