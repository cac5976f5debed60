"""Callers that cost the machine little: plain sockets, so that what is measured is the service and not the client."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

HUNG_S = 75.0


@dataclass(frozen=True)
class Outcome:
    """`status` 0 stands for a connection that broke, -1 for one that never answered; times are in s."""

    status: int
    seconds: float
    at: float = 0.0
    retry_after: bool = False


@dataclass
class Outcomes:
    """What came of many calls."""

    of: list[Outcome] = field(default_factory=list)

    @property
    def statuses(self) -> Counter[int]:
        return Counter(outcome.status for outcome in self.of)

    def times(self, status: int = 200) -> list[float]:
        return [outcome.seconds for outcome in self.of if outcome.status == status]

    def percentile(self, percent: float, status: int = 200) -> float:
        """Seconds; NaN where there is none of that status."""
        times = self.times(status)
        return float(np.percentile(times, percent)) if times else float("nan")

    def answered(self, first: float, last: float, status: int = 200) -> int:
        """How many were answered between two moments of the monotonic clock."""
        return sum(outcome.status == status and first <= outcome.at < last for outcome in self.of)


@dataclass(frozen=True)
class Address:
    """The address that the service listens on."""

    host: str
    port: int


def request(path: str, body: bytes = b"", method: str = "POST", **headers: str) -> bytes:
    """The bytes of one HTTP request that closes its connection."""
    head = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}", "Connection: close"]
    head += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


async def call(address: Address, data: bytes, limit_s: float = HUNG_S) -> Outcome:
    """Sends one request and reads its answer to the end."""
    began = time.monotonic()
    status, retry_after = 0, False
    try:
        async with asyncio.timeout(limit_s):
            reader, writer = await asyncio.open_connection(address.host, address.port)
            try:
                writer.write(data)
                received = await reader.read()
            finally:
                writer.close()
        if received.startswith(b"HTTP/1.1 "):
            status = int(received[9:12])
            retry_after = b"\r\nretry-after: " in received[:2000].lower()
    except TimeoutError:
        status = -1
    except OSError:
        status = 0
    now = time.monotonic()
    return Outcome(status, now - began, now, retry_after)


async def closed(address: Address, requests: Sequence[bytes], callers: int, seconds: float) -> Outcomes:
    """So many callers, each of whom sends the next request when the last is answered."""
    found = Outcomes()
    end = time.monotonic() + seconds
    source = itertools.cycle(requests)

    async def caller() -> None:
        while time.monotonic() < end:
            found.of.append(await call(address, next(source)))

    await asyncio.gather(*(caller() for _ in range(callers)))
    return found


async def opened(address: Address, requests: Sequence[bytes], rate: float, seconds: float) -> Outcomes:
    """Requests at a fixed rate, whether or not earlier ones are answered: callers do not wait for each other."""
    found = Outcomes()
    source = itertools.cycle(requests)
    calls: list[asyncio.Task[None]] = []

    async def one() -> None:
        found.of.append(await call(address, next(source)))

    began = time.monotonic()
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
        calls.append(asyncio.create_task(one()))
    await asyncio.gather(*calls)
    return found
