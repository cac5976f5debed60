"""What this process works on at the moment, so that one who watches it can tell slow from hung, and whose it is."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

Kind = Literal["load", "trace", "step", "call"]


@dataclass(frozen=True)
class Task:
    """A piece of work on a model. `what` names the call it is part of, empty for a background job's; both times are of
    the monotonic clock, which all processes of a machine share: past `until` the task counts as hung.
    """

    kind: Kind
    model: str
    what: str
    since: float
    until: float


class Work:
    """The tasks of a process; `changed` hears of each that begins or ends. Thread-safe.

    `bounds` says how many seconds a task of a kind may take; a call's own deadline is added to it.
    """

    def __init__(self, bounds: dict[Kind, float], changed: Callable[[], None] = lambda: None) -> None:
        self._bounds = bounds
        self._changed = changed
        self._tasks: dict[int, Task] = {}
        self._numbers = itertools.count()
        self._lock = threading.Lock()

    @property
    def tasks(self) -> tuple[Task, ...]:
        """Lists the tasks that run now, the oldest first."""
        with self._lock:
            return tuple(self._tasks.values())

    @contextmanager
    def task(self, kind: Kind, model: str, what: str, deadline: float | None = None) -> Iterator[None]:
        """Runs while the block does; a call may take as long as its bound beyond its `deadline`."""
        since, number = time.monotonic(), next(self._numbers)
        until = max(since, deadline or 0.0) + self._bounds[kind]
        with self._lock:
            self._tasks[number] = Task(kind, model, what, since, until)
        self._changed()
        try:
            yield
        finally:
            with self._lock:
                del self._tasks[number]
            self._changed()


def _always() -> None:
    """Somebody wants what is worked on."""


@dataclass(eq=False)
class Part:
    """A call on a model, for the thread that works on it; `traced_s` counts what it waited for plans to be compiled."""

    work: Work
    model: str
    what: str
    require_wanted: Callable[[], None]
    traced_s: float = 0.0


_around: ContextVar[Part | None] = ContextVar("work", default=None)


@contextmanager
def part_of(work: Work, model: str, what: str, require_wanted: Callable[[], None] = _always) -> Iterator[Part]:
    """Whatever this thread does in the block belongs to that call on that model; `require_wanted` raises once nobody
    waits for it."""
    part = Part(work, model, what, require_wanted)
    token = _around.set(part)
    try:
        yield part
    finally:
        _around.reset(token)


def require_wanted() -> None:
    """Raises what ends a call that nobody waits for any longer; to be asked before anything that takes long."""
    around = _around.get()
    if around is not None:
        around.require_wanted()


@contextmanager
def waiting_for_a_plan() -> Iterator[None]:
    """The call that this thread works on waits until a plan is compiled."""
    began = time.monotonic()
    try:
        yield
    finally:
        around = _around.get()
        if around is not None:
            around.traced_s += time.monotonic() - began


@contextmanager
def doing(kind: Kind) -> Iterator[None]:
    """The block is a task of the call that this thread works on; of none where nobody watches."""
    around = _around.get()
    if around is None:
        yield
        return
    with around.work.task(kind, around.model, around.what):
        yield
