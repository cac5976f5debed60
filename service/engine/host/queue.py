"""Who may go to the engine next, and until when: a bounded queue in cost units, the callers in turns."""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from service.errors import DeadlineExceeded, QueueFull, TooManyCalls


@dataclass(frozen=True)
class Deadline:
    """`at` is a moment of the monotonic clock, `given_s` how long the caller was to wait in all."""

    at: float
    given_s: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        return cls(time.monotonic() + seconds, seconds)

    @property
    def left_s(self) -> float:
        """Seconds until then, 0 once it has passed."""
        return max(0.0, self.at - time.monotonic())


# What one caller may take of the queue while there are others to come; the rest is kept for those.
OWN_SHARE = 0.75
RETRY_AFTER_S = range(1, 61)
# How much of the mean time of a unit each new one makes.
RECENT = 0.1


@dataclass(eq=False)
class _Waiting:
    units: int
    free: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class _Line:
    """Calls of one weight: `room` units of them are with the engine at a time, a larger call alone."""

    def __init__(self, room: int) -> None:
        self.waiting: OrderedDict[tuple[str, str], deque[_Waiting]] = OrderedDict()
        self.running = 0
        self._room = room

    async def turn(self, lane: tuple[str, str], units: int, deadline: Deadline) -> None:
        """Returns when the call may go. Raises DeadlineExceeded."""
        waiting = _Waiting(units)
        self.waiting.setdefault(lane, deque()).append(waiting)
        self.release()
        try:
            async with asyncio.timeout(deadline.left_s):
                await waiting.free
        except BaseException as error:
            if waiting.free.done() and not waiting.free.cancelled():
                self.running -= units
            elif waiting in self.waiting.get(lane, ()):
                self.waiting[lane].remove(waiting)
            if isinstance(error, TimeoutError):
                raise DeadlineExceeded(
                    f"the call waited for its turn until its deadline of {deadline.given_s:g} s"
                ) from None
            raise

    def release(self) -> None:
        """Lets the first of each lane in, one lane after another, as long as there is room."""
        while self.waiting:
            lane, own = next(iter(self.waiting.items()))
            if not own:
                del self.waiting[lane]
                continue
            if self.running and self.running + own[0].units > self._room:
                return
            first = own.popleft()
            self.waiting.move_to_end(lane)
            if not first.free.done():
                self.running += first.units
                first.free.set_result(None)


class FairQueue:
    """Lets calls go to the engine, for one event loop. `room` units are with it at a time, `limit` are there or wait.

    A call of more than `room` units goes alone. Calls of `heavy` units and more have a line of their own and `heavy`
    units less room: whoever wants little never waits for one of these to end. With `shared` callers one of them may
    hold three quarters of the limit, so that a newcomer always finds a place.
    """

    def __init__(self, room: int, limit: int, heavy: int | None = None) -> None:
        self._room = min(room, limit)
        self.limit = limit
        self._heavy = heavy
        self._light_line = _Line(self._room)
        self._heavy_line = _Line(max(1, self._room - (heavy or 0)))
        self._held: dict[str, int] = {}
        self._unit_s = 0.0

    @property
    def units(self) -> int:
        """Units that are with the engine or wait."""
        return sum(self._held.values())

    @property
    def waiting(self) -> int:
        """Calls whose turn has not come."""
        lines = (self._light_line, self._heavy_line)
        return sum(len(own) for line in lines for own in line.waiting.values())

    @property
    def full(self) -> bool:
        """Whether the next call would be refused, whoever made it."""
        return self.units >= self.limit

    def require_room(self, caller: str, units: int, *, shared: bool) -> None:
        """Raises QueueFull, or TooManyCalls for a caller who holds a share of the queue already.

        Whoever waits is told when about it makes sense to come again.
        """
        units = min(units, self.limit)
        held = self._held.get(caller, 0)
        own = max(1, int(self.limit * OWN_SHARE))
        if shared and held and held + units > own:
            raise TooManyCalls(
                f"calls of yours that wait or run make up {held} cost units, and one key may have {own}; wait for one",
                retry_after_s=self._retry_after(held),
            )
        if self.units + units > self.limit:
            raise QueueFull(
                f"calls of {self.units} cost units wait or run already, and no more than {self.limit} may",
                retry_after_s=self._retry_after(self.units),
            )

    @asynccontextmanager
    async def place(
        self, caller: str, units: int, deadline: Deadline, *, shared: bool, lane: str = ""
    ) -> AsyncIterator[None]:
        """Held while the block runs. Waits until its turn comes, at most to the deadline.

        What one caller holds is counted together; each of its lanes has turns of its own. Raises as `require_room`, or
        DeadlineExceeded.
        """
        self.require_room(caller, units, shared=shared)
        units = min(units, self.limit)
        self._held[caller] = self._held.get(caller, 0) + units
        started, line = False, self._line(units)
        try:
            await line.turn((caller, lane), units, deadline)
            started = True
            began = time.monotonic()
            yield
            self._learn((time.monotonic() - began) / units)
        finally:
            self._held[caller] -= units
            if not self._held[caller]:
                del self._held[caller]
            if started:
                line.running -= units
            line.release()

    def _line(self, units: int) -> _Line:
        return self._heavy_line if self._heavy and units >= self._heavy else self._light_line

    def _learn(self, unit_s: float) -> None:
        self._unit_s = unit_s if not self._unit_s else (1 - RECENT) * self._unit_s + RECENT * unit_s

    def _retry_after(self, units: int) -> int:
        """Seconds until half of `units` are done, about; as many as there is room for are computed side by side."""
        seconds = math.ceil(self._unit_s * units / self._room / 2)
        return min(max(seconds, RETRY_AFTER_S.start), RETRY_AFTER_S.stop - 1)
