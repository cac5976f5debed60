"""Compiled plans of one model: traced once a key, and kept until the budget has no room for them."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

import tensorflow as tf

from service.arrays import Function
from service.models.backends.gradients import OwnGradients
from service.models.backends.interface import Signature
from service.models.backends.work import doing, require_wanted, waiting_for_a_plan
from service.models.memory import OUT_OF_MEMORY, release_memory

# How often one who waits for another plan to be traced looks whether it is still wanted.
LOOK_S = 0.1
# What TensorFlow keeps of one operation of a traced function, in Python, as it was written and as it was optimised.
# Measured on ResNet50, MobileNetV2, DenseNet121, EfficientNetB0 and -Lite0, forward, backward and on windows: plans of
# 73 to 3827 operations took 0.8 to 46 MB, 9.6 to 11.1 kB an operation.
OPERATION_BYTES = 11_000


@dataclass(eq=False)
class _Traced:
    """A concrete function, what it takes, and when it was last asked for (of the monotonic clock)."""

    function: Function
    bytes: int
    used: float


class PlanCache:
    """Holds the plans; `traces` counts those that were ever traced. Thread-safe.

    `grown` hears of each new plan, and may `drop` others.
    """

    def __init__(self, gradients: OwnGradients, grown: Callable[[], None] = lambda: None) -> None:
        self.traces = 0
        self._gradients = gradients
        self._grown = grown
        self._plans: OrderedDict[Hashable, _Traced] = OrderedDict()
        self._lock = threading.Lock()
        self._tracing = threading.Lock()

    @property
    def bytes(self) -> int:
        """Counts what all plans take."""
        with self._lock:
            return sum(plan.bytes for plan in self._plans.values())

    @property
    def oldest(self) -> float | None:
        """When the plan that has not been asked for the longest was, of the monotonic clock; None without plans."""
        with self._lock:
            return next((plan.used for plan in self._plans.values()), None)

    def __len__(self) -> int:
        return len(self._plans)

    def get(self, key: Hashable, function: Function, signature: Signature) -> Function:
        """Gives the plan of `key`, traced from `function` where there is none."""
        found = self._known(key)
        if found is None:
            with waiting_for_a_plan():
                found = self._traced(key, function, signature)
                self._grown()
        return found.function

    def drop_oldest(self) -> None:
        """Drops the plan that has longest not been asked for; whoever runs it goes on. `release_memory` frees it."""
        with self._lock:
            if self._plans:
                self._plans.popitem(last=False)

    def release(self) -> None:
        """Drops every plan."""
        with self._lock:
            self._plans.clear()
        release_memory()

    def _known(self, key: Hashable) -> _Traced | None:
        with self._lock:
            found = self._plans.get(key)
            if found:
                found.used = time.monotonic()
                self._plans.move_to_end(key)
            return found

    def _traced(self, key: Hashable, function: Function, signature: Signature) -> _Traced:
        """Traces one plan at a time; those that are known go on meanwhile, and who no longer wants one leaves."""
        while not self._tracing.acquire(timeout=LOOK_S):
            require_wanted()
        try:
            if known := self._known(key):
                return known
            require_wanted()
            with doing("trace"), self._gradients.defined():
                traced = _trace(function, signature)
            with self._lock:
                self.traces += 1
                self._plans[key] = traced
            return traced
        finally:
            self._tracing.release()


def _trace(function: Function, signature: Signature) -> _Traced:
    specs = [tf.TensorSpec(shape, dtype) for shape, dtype in signature]
    plan = tf.function(function, input_signature=specs, autograph=False).get_concrete_function()
    written = plan.graph.as_graph_def()
    operations = len(written.node) + sum(len(inner.node_def) for inner in written.library.function)
    _run_once(plan, signature)
    # What is written down holds constants, which are kept as often as the operations.
    return _Traced(plan, OPERATION_BYTES * operations + written.ByteSize(), time.monotonic())


def _run_once(plan: Function, signature: Signature) -> None:
    """TensorFlow optimises a graph when it first runs it, which may take seconds: it does so here, on zeros, and not in
    somebody's turn on the device."""
    zeros = [tf.zeros([1 if size is None else size for size in shape], dtype) for shape, dtype in signature]
    with contextlib.suppress(*OUT_OF_MEMORY, tf.errors.InvalidArgumentError):
        plan(*zeros)
