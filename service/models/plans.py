"""Compiled plans of one model: traced once a key, kept by use, their weights constants where there is room."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from service.models.freezing import COPIES, Constants, Room, bytes_of, freezable
from service.models.gradients import OwnGradients
from service.models.interface import Signature
from service.models.memory import OUT_OF_MEMORY, release_memory
from service.models.work import doing, require_wanted

# How often one who waits for another plan to be traced looks whether it is still wanted.
LOOK_S = 0.1


@dataclass(frozen=True, eq=False)
class _Traced:
    """A concrete function, and the bytes that the weights it holds as constants take."""

    function: Callable[..., Any]
    frozen_bytes: int


class PlanCache:
    """Keeps at most `most` plans; `traces` counts those that were ever traced. Thread-safe.

    Plans hold those of `variables` that are small enough as constants while `room` has place for them.
    """

    def __init__(self, most: int, variables: Sequence[Any], room: Room, gradients: OwnGradients) -> None:
        self.traces = 0
        self._most = most
        self._variables = freezable(variables)
        self._room = room
        self._gradients = gradients
        self._plans: OrderedDict[Hashable, _Traced] = OrderedDict()
        self._lock = threading.Lock()
        self._tracing = threading.Lock()

    @property
    def frozen_bytes(self) -> int:
        """What the weights take that plans hold as constants."""
        with self._lock:
            return sum(plan.frozen_bytes for plan in self._plans.values())

    def get(
        self, key: Hashable, function: Callable[..., Any], signature: Signature, *, freeze: bool
    ) -> Callable[..., Any]:
        """The plan of `key`, traced from `function` where there is none; the oldest of too many is dropped."""
        found = self._known(key) or self._traced(key, function, signature, freeze)
        return found.function

    def release(self) -> None:
        """Drops every plan."""
        with self._lock:
            dropped, self._plans = self._plans, OrderedDict()
        self._room.give_back(sum(plan.frozen_bytes for plan in dropped.values()))
        dropped.clear()
        release_memory()

    def _known(self, key: Hashable) -> _Traced | None:
        with self._lock:
            if key in self._plans:
                self._plans.move_to_end(key)
            return self._plans.get(key)

    def _traced(self, key: Hashable, function: Callable[..., Any], signature: Signature, freeze: bool) -> _Traced:
        """Traces one plan at a time; those that are known go on meanwhile, and who no longer wants one leaves."""
        while not self._tracing.acquire(timeout=LOOK_S):
            require_wanted()
        try:
            if known := self._known(key):
                return known
            require_wanted()
            with doing("trace"), self._gradients.defined():
                return self._trace(key, function, signature, freeze)
        finally:
            self._tracing.release()

    def _trace(self, key: Hashable, function: Callable[..., Any], signature: Signature, freeze: bool) -> _Traced:
        specs = [tf.TensorSpec(shape, dtype) for shape, dtype in signature]
        planned = COPIES * bytes_of(self._variables)
        frozen = freeze and bool(self._variables) and self._room.take(planned)
        constants = Constants(self._variables if frozen else ())

        def constant(*tensors: Any) -> Any:
            with constants:
                return function(*tensors)

        try:
            chosen = constant if frozen else function
            plan = tf.function(chosen, input_signature=specs, autograph=False).get_concrete_function()
            _run_once(plan, signature)
        finally:
            constants.forget()
            self._room.give_back(planned - COPIES * constants.size if frozen else 0)
        traced = _Traced(plan, COPIES * constants.size)
        dropped = []
        with self._lock:
            self.traces += 1
            self._plans[key] = traced
            while len(self._plans) > self._most:
                dropped.append(self._plans.popitem(last=False)[1])
        if dropped:
            self._room.give_back(sum(plan.frozen_bytes for plan in dropped))
            dropped.clear()
            release_memory()
        return traced


def _run_once(plan: Callable[..., Any], signature: Signature) -> None:
    """TensorFlow optimises a graph when it first runs it, which may take seconds: it does so here, on zeros, and not in
    somebody's turn on the device."""
    zeros = [tf.zeros([1 if size is None else size for size in shape], dtype) for shape, dtype in signature]
    with contextlib.suppress(*OUT_OF_MEMORY, tf.errors.InvalidArgumentError):
        plan(*zeros)
