"""Whose turn it is on the device: one computation at a time, callers who wait before the background job."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PATIENCE_S = 2.0


class Turns:
    """Callers go in the order they came.

    A job that has waited for `PATIENCE_S` gets one chunk even so: a busy service may slow it, never stop it.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._busy = False
        self._callers: deque[object] = deque()
        self._impatient = False

    @contextmanager
    def call(self, settled: Callable[[], bool] = lambda: False) -> Iterator[bool]:
        """A caller's turn: after those who came before and the computation that runs, before any job that is patient.

        False without a turn when it is `settled` before that there is nothing left to compute.
        """
        me = object()
        with self._changed:
            self._callers.append(me)
            self._changed.wait_for(
                lambda: settled() or (self._callers[0] is me and not self._busy and not self._impatient)
            )
            self._callers.remove(me)
            mine = not settled()
            self._busy = self._busy or mine
            self._changed.notify_all()
        try:
            yield mine
        finally:
            if mine:
                self._release()

    @contextmanager
    def job(self) -> Iterator[None]:
        """The turn of one chunk of the job: after all callers who wait, unless it has lost its patience."""
        until = time.monotonic() + PATIENCE_S
        with self._changed:
            self._changed.wait_for(lambda: not self._busy and not self._callers, PATIENCE_S)
            if time.monotonic() >= until:
                self._impatient = True
            self._changed.wait_for(lambda: not self._busy)
            self._impatient = False
            self._busy = True
        try:
            yield
        finally:
            self._release()

    def _release(self) -> None:
        with self._changed:
            self._busy = False
            self._changed.notify_all()
