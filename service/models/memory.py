"""Memory: too little of it, said in our own words, and what was freed given back to the system."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

from service.errors import OutOfMemory
from service.process import giving_back

OUT_OF_MEMORY = (MemoryError, tf.errors.ResourceExhaustedError)
RETRY_S = 5


@contextmanager
def enough_memory(purpose: str) -> Iterator[None]:
    """Raises OutOfMemory where the block has not enough: nothing is wrong with the model or the call."""
    try:
        yield
    except OUT_OF_MEMORY as error:
        raise OutOfMemory(f"there is not enough memory {purpose} right now", retry_after_s=RETRY_S) from error


def release_memory() -> None:
    """Collects the cycles that models and compiled plans are made of: few objects, which the collector would not look
    at for a long time, hold buffers of hundreds of MB. Their pages go back to the system.
    """
    with giving_back():
        gc.collect()
