"""Too little memory, said by Python or by TensorFlow, in our own words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

from service.errors import OutOfMemory

OUT_OF_MEMORY = (MemoryError, tf.errors.ResourceExhaustedError)
RETRY_S = 5


@contextmanager
def enough_memory(purpose: str) -> Iterator[None]:
    """Raises OutOfMemory where the block has not enough: nothing is wrong with the model or the call."""
    try:
        yield
    except OUT_OF_MEMORY as error:
        raise OutOfMemory(f"there is not enough memory {purpose} right now", retry_after_s=RETRY_S) from error
