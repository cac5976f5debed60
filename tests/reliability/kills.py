"""Engines killed under load: who waits gets an answer, the right one or 503, and the service is soon back."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Sequence

from tests.benchmarks.measures.processes import child_of, resident_bytes
from tests.benchmarks.rows import Row, at_most
from tests.conftest import Service
from tests.reliability.callers import Address, Outcomes, call, request

CALLERS = 8
BACK_LIMIT_S = 30.0
POLL_S = 0.1
PAUSE_S = (0.5, 1.5)
IMPATIENT_S = 2.0


async def killed(service: Service, address: Address, requests: Sequence[bytes], count: int) -> list[Row]:
    """`kill -9` of the engine, so many times, while callers ask without a pause."""
    found = Outcomes()
    done = asyncio.Event()
    seeded = random.Random(0)

    async def caller(place: int) -> None:
        while not done.is_set():
            outcome = await call(address, requests[place % len(requests)])
            found.of.append(outcome)
            if outcome.status != 200:
                await asyncio.sleep(0.2)

    api = service.process.pid
    warmed = asyncio.create_task(_ready(address))
    await warmed
    callers = [asyncio.create_task(caller(place)) for place in range(CALLERS)]
    await asyncio.sleep(5)
    before = (resident_bytes(api), resident_bytes(child_of(api)))
    back: list[float] = []
    for _ in range(count):
        await asyncio.sleep(seeded.uniform(*PAUSE_S))
        os.kill(child_of(api), signal.SIGKILL)
        began = time.monotonic()
        await asyncio.sleep(POLL_S)
        await _ready(address)
        back.append(time.monotonic() - began)
    await asyncio.sleep(5)
    after = (resident_bytes(api), resident_bytes(child_of(api)))
    done.set()
    await asyncio.gather(*callers)
    statuses = ", ".join(f"{number} × {status}" for status, number in sorted(found.statuses.items()))
    others = sum(outcome.status not in (200, 503) for outcome in found.of)
    grown = after[0] / before[0]
    sizes = (
        f"api {before[0] / 1e6:.0f} → {after[0] / 1e6:.0f} MB, engine {before[1] / 1e6:.0f} → {after[1] / 1e6:.0f} MB"
    )
    what = f"{count} × kill -9 of the engine under {CALLERS} callers"
    return [
        Row("kills/others", f"{what}: answers other than 200 and 503", others, at_most(0), "calls", note=statuses),
        Row("kills/back", f"{what}: longest until /readyz says 200 again", max(back), at_most(15), "s",
            note=f"median {sorted(back)[len(back) // 2]:.1f} s"),
        Row("kills/memory", f"{what}: resident memory of the api after ÷ before", grown, at_most(1.2), note=sizes),
    ]  # fmt: skip


async def stopped(service: Service, address: Address, requests: Sequence[bytes], count: int) -> list[Row]:
    """`kill -STOP` of the engine, so many times, while a caller asks who hangs up after two seconds each time."""
    back: list[float] = []
    for number in range(count):
        await _ready(address)
        os.kill(child_of(service.process.pid), signal.SIGSTOP)
        began = time.monotonic()
        while (await call(address, requests[number % len(requests)], IMPATIENT_S)).status != 200:
            if time.monotonic() - began > BACK_LIMIT_S:
                raise TimeoutError("no new engine answered")
        back.append(time.monotonic() - began)
    what = f"{count} × kill -STOP of the engine, a caller who hangs up after {IMPATIENT_S:.0f} s"
    return [
        Row("kills/stopped", f"{what}: longest until a new engine answers", max(back), at_most(15), "s",
            note=f"median {sorted(back)[len(back) // 2]:.1f} s"),
    ]  # fmt: skip


async def _ready(address: Address) -> None:
    data = request("/readyz", method="GET")
    began = time.monotonic()
    while (await call(address, data, 5)).status != 200:
        if time.monotonic() - began > BACK_LIMIT_S:
            raise TimeoutError("the service did not come back")
        await asyncio.sleep(POLL_S)
