"""Micro-batches: what several calls ask of one plan while the device is busy runs as one, and nothing is waited for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

import numpy as np

from service.arrays import Array
from service.engine.child.around import Around, Compiled, T
from service.engine.child.caller import OpenCall
from service.engine.child.turns import Turns
from service.models.backends.interface import Backend, Plan
from service.models.backends.work import doing

LARGEST = 32


@dataclass(eq=False)
class _Ask:
    """A run of a plan that a caller waits for."""

    caller: OpenCall
    plan: Plan
    arrays: tuple[Array, ...]
    most: int
    found: list[Array] | None = None
    error: BaseException | None = field(default=None, repr=False)

    @property
    def settled(self) -> bool:
        return self.found is not None or self.error is not None


class Batches:
    """Runs plans in turn. `sizes` counts how often so many images of different calls ran as one."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._lock = threading.Lock()
        self._waiting: dict[Hashable, list[_Ask]] = {}
        self.sizes: dict[int, int] = {}

    def run(self, caller: OpenCall, key: Hashable, plan: Plan, arrays: tuple[Array, ...], most: int) -> list[Array]:
        """What `plan` gives for `arrays`; with up to `most` single images of others that wait for the plan of `key`."""
        ask = _Ask(caller, plan, arrays, most if all(len(array) == 1 for array in arrays) else 1)
        with self._lock:
            self._waiting.setdefault(key, []).append(ask)
        began = time.monotonic()
        light = key if ask.most > 1 else None
        with self._turns.call(lambda: ask.settled or caller.gone, caller.used_s, light) as mine:
            started = time.monotonic()
            caller.waited_s += started - began
            if mine:
                with doing("step"):
                    _compute(self._together(key, ask))
                caller.used_s += time.monotonic() - started
            elif not ask.settled:
                self._forget(key, ask)
                caller.require_wanted()
        if ask.error is not None:
            # Its traceback will hold this frame: neither it nor the ask may hold the error, or the arrays would stay.
            error, ask.error = ask.error, None
            try:
                raise error
            finally:
                del error
        return ask.found or []

    def alone(self, caller: OpenCall, compute: Callable[[], T]) -> T:
        """Gives what `compute` gives, in turn."""
        found: list[T] = []

        def run() -> list[Array]:
            found.append(compute())
            return []

        self.run(caller, object(), run, (), 1)
        return found[0]

    def _forget(self, key: Hashable, ask: _Ask) -> None:
        """Drops the ask of a caller who has gone, unless another's turn has just taken it along."""
        with self._lock:
            waiting = self._waiting.get(key, [])
            if ask in waiting:
                waiting.remove(ask)
            if not waiting:
                self._waiting.pop(key, None)

    def _together(self, key: Hashable, ask: _Ask) -> list[_Ask]:
        """This ask and those that may join it, taken off the list: 1, 2, 4, … 32 in all, the oldest first."""
        with self._lock:
            waiting = self._waiting[key]
            others = [other for other in waiting if other is not ask and other.most > 1 and not other.caller.gone]
            most = min(LARGEST, ask.most, 1 + len(others))
            count = 1 << (most.bit_length() - 1)
            taken = [ask, *others[: count - 1]]
            left = [other for other in waiting if other not in taken]
            if left:
                self._waiting[key] = left
            else:
                del self._waiting[key]
            self.sizes[count] = self.sizes.get(count, 0) + 1
        return taken


def _compute(asks: list[_Ask]) -> None:
    """Runs them as one; each alone when that fails, so that a call fails by its own fault only."""
    if len(asks) > 1:
        try:
            together = [np.concatenate(parts) for parts in zip(*(ask.arrays for ask in asks), strict=True)]
            found = asks[0].plan(*together)
            for place, ask in enumerate(asks):
                ask.found = [array[place : place + 1] for array in found]
        except Exception:
            for ask in asks:
                ask.found = None
        else:
            return
    for ask in asks:
        try:
            ask.found = ask.plan(*ask.arrays)
        except Exception as error:
            ask.error = error


class Batched(Around):
    """A model's backend for one call: its plans run in turn, and together with what other calls ask of them.

    Where it does not `joins`, each run is alone: what runs in one batch with others rounds otherwise.
    """

    def __init__(self, backend: Backend, batches: Batches, caller: OpenCall, *, joins: bool = True) -> None:
        super().__init__(backend)
        self._joins = joins
        self._batches = batches
        self._caller = caller

    def run(self, compiled: Compiled, arrays: tuple[Array, ...]) -> list[Array]:
        """Runs in turn, with single images of others that wait for the same plan."""
        most = compiled.rows if self._joins else 1
        return self._batches.run(self._caller, (self._backend, compiled.key), compiled.plan, arrays, most)

    def alone(self, compute: Callable[[], T], /) -> T:
        """Runs in turn, and alone."""
        return self._batches.alone(self._caller, compute)
