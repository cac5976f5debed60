"""Turns on the device: one computation at a time, and a light one beside it; callers before the job."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

PATIENCE_S = 2.0
# How long a light computation waits for its turn before it runs beside the one that has it.
BESIDE_S = 0.02


@dataclass(eq=False)
class _Waiting:
    used_s: float
    light: Hashable | None = None
    since: float = field(default_factory=time.monotonic)


class Turns:
    """The caller goes next who has had least of the device; of equals, the one who came first.

    So a call waits for one step of a long one, however many of these there are, and a light computation not even for
    that: after `BESIDE_S` it runs beside what runs, one at a time. Whoever has waited for `PATIENCE_S` gets every other
    turn even so, and a job one chunk: a busy service may slow them, never stop them.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        # When something last changed: all who look then find the same one next, however late they come to look. Found
        # only by those who look after him, he would never go, and nobody else either.
        self._changed_at = time.monotonic()
        self._busy = False
        self._runs: Hashable | None = None
        self._runs_beside: Hashable | None = None
        self._callers: list[_Waiting] = []
        self._impatient = False
        self._late_before = False
        self._hurry = False

    @contextmanager
    def call(
        self, settled: Callable[[], bool] = lambda: False, used_s: float = 0.0, light: Hashable | None = None
    ) -> Iterator[bool]:
        """A caller's turn, who has had the device for `used_s` before: after the computation that runs, before any job
        that is patient. A `light` one, named by what it computes, need not wait for another's.

        False without a turn when it is `settled` before that there is nothing left to compute.
        """
        me = _Waiting(used_s, light)
        with self._changed:
            self._callers.append(me)
            in_time = self._changed.wait_for(lambda: settled() or self._is_next(me), BESIDE_S if light else None)
            if not in_time:
                self._changed.wait_for(lambda: settled() or self._is_next(me) or self._may_go_beside(me))
            mine, beside = not settled(), self._busy
            if mine and beside:
                self._runs_beside = light
            elif mine:
                self._late_before = time.monotonic() - me.since > PATIENCE_S
                self._busy, self._runs = True, light
            self._callers.remove(me)
            self._tell()
        try:
            yield mine
        finally:
            if mine:
                self._release(beside=beside)

    @contextmanager
    def job(self) -> Iterator[None]:
        """The turn of one chunk of the job: after all callers who wait, unless it has lost its patience."""
        until = time.monotonic() + PATIENCE_S
        with self._changed:
            self._changed.wait_for(lambda: self._hurry or (not self._busy and not self._callers), PATIENCE_S)
            if self._hurry or time.monotonic() >= until:
                self._impatient = True
            self._changed.wait_for(lambda: not self._busy)
            self._impatient = False
            self._busy, self._runs = True, None
            self._tell()
        try:
            yield
        finally:
            self._release()

    def look_again(self) -> None:
        """Wakes those who wait; to be called when something may have been settled from outside."""
        with self._changed:
            self._tell()

    def hurry(self) -> None:
        """Lets the job wait for no caller from now on: the process ends, and the job has something to save."""
        with self._changed:
            self._hurry = True
            self._tell()

    def _is_next(self, me: _Waiting) -> bool:
        return not self._busy and not self._impatient and self._next() is me

    def _may_go_beside(self, me: _Waiting) -> bool:
        """Whether another computation runs, and alone. Who waits for the same one may be part of that run."""
        return self._busy and self._runs_beside is None and self._runs != me.light

    def _next(self) -> _Waiting | None:
        """Finds none where all who wait want what runs beside, and may be part of that run."""
        callers = [each for each in self._callers if each.light is None or each.light != self._runs_beside]
        if not callers:
            return None
        if not self._late_before and self._changed_at - callers[0].since > PATIENCE_S:
            return callers[0]
        return min(callers, key=lambda waiting: waiting.used_s)

    def _release(self, *, beside: bool = False) -> None:
        with self._changed:
            if beside:
                self._runs_beside = None
            else:
                self._busy = False
            self._tell()

    def _tell(self) -> None:
        self._changed_at = time.monotonic()
        self._changed.notify_all()
