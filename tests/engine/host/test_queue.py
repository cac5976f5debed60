"""The queue before the engine: bounded in cost units, callers in turns, and no place is ever lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.engine.host.queue import Deadline, FairQueue
from service.errors import DeadlineExceeded, QueueFull, TooManyCalls

LONG = Deadline.after(1e9)


def run(body: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(body(), 20))  # type: ignore[arg-type]


class Calls:
    """Calls that hold their place until they are told to end; `order` is that in which they began."""

    def __init__(self, queue: FairQueue) -> None:
        self.queue = queue
        self.order: list[str] = []
        self.ends: dict[str, asyncio.Event] = {}

    def start(self, name: str, caller: str = "a", units: int = 1, deadline: Deadline = LONG) -> asyncio.Task[None]:
        self.ends[name] = asyncio.Event()

        async def call() -> None:
            async with self.queue.place(caller, units, deadline, shared=True):
                self.order.append(name)
                await self.ends[name].wait()

        return asyncio.create_task(call())

    async def end(self, *names: str) -> None:
        for name in names:
            self.ends[name].set()
        await settle()


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_callers_take_turns() -> None:
    """One who asked for six before the others came is not served six times before them."""

    async def body() -> None:
        calls = Calls(FairQueue(room=1, limit=100))
        tasks = [calls.start(f"a{number}", "a") for number in range(6)]
        tasks += [calls.start("b0", "b"), calls.start("b1", "b"), calls.start("c0", "c")]
        await settle()
        for _ in range(9):
            await calls.end(calls.order[-1])
        await asyncio.gather(*tasks)
        assert calls.order == ["a0", "a1", "b0", "c0", "a2", "b1", "a3", "a4", "a5"]
        assert calls.queue.units == 0

    run(body)


def test_room_counts_units() -> None:
    async def body() -> None:
        calls = Calls(FairQueue(room=4, limit=100))
        tasks = [calls.start("two", units=2), calls.start("one"), calls.start("three", units=3), calls.start("last")]
        await settle()
        assert calls.order == ["two", "one"], "three more would be six of four, and nobody overtakes them"
        await calls.end("two")
        assert calls.order == ["two", "one", "three"]
        await calls.end("one")
        assert calls.order == ["two", "one", "three", "last"]
        await calls.end("three", "last")
        await asyncio.gather(*tasks)

    run(body)


def test_a_call_larger_than_the_room_goes_alone() -> None:
    async def body() -> None:
        calls = Calls(FairQueue(room=4, limit=100))
        tasks = [calls.start("small"), calls.start("huge", units=50), calls.start("after")]
        await settle()
        assert calls.order == ["small"]
        await calls.end("small")
        assert calls.order == ["small", "huge"]
        await calls.end("huge")
        assert calls.order == ["small", "huge", "after"]
        await calls.end("after")
        await asyncio.gather(*tasks)

    run(body)


def test_what_is_beyond_the_limit_is_refused_at_once() -> None:
    async def body() -> None:
        queue = FairQueue(room=2, limit=8)
        calls = Calls(queue)
        tasks = [calls.start("a0", "a", 3), calls.start("a1", "a", 3), calls.start("b0", "b", 1)]
        await settle()
        assert (queue.units, queue.full) == (7, False)
        with pytest.raises(TooManyCalls, match="make up 6 cost units, and one key may have 6") as caught:
            queue.require_room("a", 1, shared=True)
        assert caught.value.retry_after_s == 1
        queue.require_room("b", 1, shared=True)
        with pytest.raises(QueueFull, match="7 cost units wait or run already, and no more than 8 may"):
            async with queue.place("c", 2, LONG, shared=True):
                pass
        tasks.append(calls.start("c0", "c", 1))
        await settle()
        assert queue.full
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (queue.units, queue.full) == (0, False)

    run(body)


def test_the_only_caller_may_fill_it() -> None:
    async def body() -> None:
        queue = FairQueue(room=1, limit=4)
        for _ in range(4):
            queue._held["open"] = queue._held.get("open", 0) + 1
        with pytest.raises(QueueFull):
            queue.require_room("open", 1, shared=False)
        queue._held["open"] = 3
        queue.require_room("open", 1, shared=False)

    run(body)


def test_a_deadline_ends_the_wait() -> None:
    async def body() -> None:
        calls = Calls(FairQueue(room=1, limit=10))
        first = calls.start("first")
        late = calls.start("late", deadline=Deadline.after(0.05))
        after = calls.start("after")
        began = time.monotonic()
        with pytest.raises(DeadlineExceeded, match=r"waited for its turn until its deadline of 0\.05 s"):
            await late
        assert 0.04 < time.monotonic() - began < 1
        await calls.end("first")
        assert calls.order == ["first", "after"]
        await calls.end("after")
        await asyncio.gather(first, after)
        assert calls.queue.units == 0

    run(body)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(1, 6), st.sampled_from(["end", "cancel", "fail"])), max_size=30
    ),
    st.integers(1, 5),
    st.integers(1, 12),
    st.randoms(use_true_random=False),
)
def test_no_place_is_lost_and_no_bound_is_passed(
    asked: list[tuple[str, int, str]], room: int, limit: int, random: object
) -> None:
    async def body() -> None:
        queue = FairQueue(room, limit)
        line = queue._light_line
        running: dict[int, int] = {}

        async def call(number: int, caller: str, units: int, how: str) -> None:
            async with queue.place(caller, units, LONG, shared=True):
                running[number] = min(units, limit)
                together = sum(running.values())
                assert together <= min(room, limit) or len(running) == 1
                assert queue.units <= limit
                try:
                    await asyncio.sleep(random.random() / 2000)  # type: ignore[attr-defined]
                    if how == "fail":
                        raise ValueError
                finally:
                    del running[number]

        tasks = []
        for number, (caller, units, how) in enumerate(asked):
            tasks.append(asyncio.create_task(call(number, caller, units, how)))
            if number % 3 == 0:
                await asyncio.sleep(0)
            if how == "cancel":
                tasks[-1].cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            assert result is None or isinstance(result, QueueFull | TooManyCalls | ValueError | asyncio.CancelledError)
        assert (queue.units, line.running, dict(line.waiting)) == (0, 0, {})
        async with queue.place("z", 1, LONG, shared=True):
            pass

    run(body)


def test_who_wants_little_waits_for_no_heavy_call_to_end() -> None:
    """However many of these wait, and though they are the same caller's."""

    async def body() -> None:
        calls = Calls(FairQueue(room=32, limit=128, heavy=8))
        heavy = [calls.start(f"heavy {number}", units=8) for number in range(10)]
        await asyncio.sleep(0)
        light = [calls.start(f"light {number}", units=2) for number in range(4)]
        await asyncio.sleep(0.01)
        assert calls.order == [*(f"heavy {number}" for number in range(3)), *(f"light {number}" for number in range(4))]
        for number in range(4):
            await calls.end(f"light {number}")
        for number in range(10):
            await calls.end(f"heavy {number}")
        await asyncio.gather(*heavy, *light)
        assert calls.queue.units == 0

    run(body)
