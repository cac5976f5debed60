"""Whose turn it is on the device: one computation at a time, callers who wait before the background job."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

PATIENCE_S = 2.0


class Turns:
    """A job that has waited for `PATIENCE_S` gets one chunk even so: a busy service may slow it, never stop it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._busy = False
        self._calls = 0
        self._impatient = False

    @contextmanager
    def call(self) -> Iterator[None]:
        """A caller's turn: after the computation that runs, before any job that is patient."""
        with self._changed:
            self._calls += 1
            self._changed.wait_for(lambda: not self._busy and not self._impatient)
            self._calls -= 1
            self._busy = True
        try:
            yield
        finally:
            self._release()

    @contextmanager
    def job(self) -> Iterator[None]:
        """The turn of one chunk of the job: after all callers who wait, unless it has lost its patience."""
        self._acquire_for_job()
        try:
            yield
        finally:
            self._release()

    def _acquire_for_job(self) -> None:
        until = time.monotonic() + PATIENCE_S
        with self._changed:
            self._changed.wait_for(lambda: not self._busy and not self._calls, PATIENCE_S)
            if time.monotonic() >= until:
                self._impatient = True
            self._changed.wait_for(lambda: not self._busy)
            self._impatient = False
            self._busy = True

    def _release(self) -> None:
        with self._changed:
            self._busy = False
            self._changed.notify_all()
