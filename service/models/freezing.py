"""Weights as constants of a compiled plan: TensorFlow then folds normalisation into convolutions, and oneDNN keeps
kernels in the order it computes with."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

# A larger weight belongs to a dense layer, which gains nothing by it: VGG16's first has 411 MB.
MAX_WEIGHT_BYTES = 16 * 1024**2
# What a constant takes in the end: TensorFlow keeps it in the graph, the function, the optimised function and the
# kernels. Measured on ResNet50: 98 MB of weights made the process 0.8 GB larger.
COPIES = 8


class Room:
    """Bytes that frozen plans may take, all models together. Thread-safe."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self.taken = 0

    def take(self, size: int) -> bool:
        """Whether there was room; only then it is taken."""
        with self._lock:
            if self.taken + size > self._limit:
                return False
            self.taken += size
            return True

    def give_back(self, size: int) -> None:
        with self._lock:
            self.taken -= size


class Constants(keras.StatelessScope):  # type: ignore[misc]
    """While it is entered, in one thread, layers that are traced read constants in place of `variables`."""

    def __init__(self, variables: Sequence[Any]) -> None:
        super().__init__()
        self._arrays = {id(variable): variable.numpy() for variable in variables}
        self._made: dict[tuple[int, Any], Any] = {}
        self.size = 0
        """Bytes of the constants that were made."""

    def get_current_value(self, variable: Any) -> Any:
        """None for a variable that stays one."""
        array = self._arrays.get(id(variable))
        if array is None:
            return None
        key = (id(variable), tf.compat.v1.get_default_graph())
        if key not in self._made:
            self._made[key] = tf.constant(array)
            self.size += array.nbytes
        return self._made[key]

    def forget(self) -> None:
        """To be called after tracing: the traced function keeps this object, which need not keep the weights."""
        self._arrays.clear()
        self._made.clear()


def freezable(variables: Sequence[Any]) -> list[Any]:
    """Those small enough, each once."""
    unique = {id(variable): variable for variable in variables}
    return [variable for variable in unique.values() if bytes_of([variable]) <= MAX_WEIGHT_BYTES]


def bytes_of(variables: Sequence[Any]) -> int:
    return sum(math.prod(variable.shape) * np.dtype(variable.dtype).itemsize for variable in variables)
