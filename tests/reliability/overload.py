"""More calls than can be computed, and callers who hold connections without asking for anything."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tests.benchmarks.rows import Row, at_least, at_most
from tests.reliability.callers import Address, closed, opened, request
from tests.reliability.probe import Probe


@dataclass(frozen=True)
class Peak:
    """Calls a second that are answered 200 when so many callers ask one after another."""

    rate: float
    callers: int


async def peak(address: Address, requests: Sequence[bytes], seconds: float) -> Peak:
    """The best of several numbers of callers."""
    await closed(address, requests, 8, min(3.0, seconds))
    found = []
    for callers in (2, 8, 24):
        began = time.monotonic()
        outcomes = await closed(address, requests, callers, seconds)
        found.append(Peak(outcomes.answered(began, began + seconds) / seconds, callers))
    return max(found, key=lambda each: each.rate)


async def overloaded(
    address: Address, requests: Sequence[bytes], best: Peak, times: float, seconds: float
) -> list[Row]:
    """An open load of so many times the peak."""
    probe = Probe(address, "/livez")
    await probe.start()
    began = time.monotonic()
    outcomes = await opened(address, requests, best.rate * times, seconds)
    probes = await probe.stop()
    goodput = outcomes.answered(began, began + seconds) / seconds
    key, what = f"load/{times:g}", f"open load of {times:g} × the peak for {seconds:.0f} s"
    statuses = ", ".join(f"{count} × {status}" for status, count in sorted(outcomes.statuses.items()))
    refused = [outcome for outcome in outcomes.of if outcome.status in (429, 503)]
    others = sum(outcome.status not in (200, 429, 503) for outcome in outcomes.of)
    times_of = "p50 {:.2f}, p99 {:.2f}, longest {:.2f} s".format(*(outcomes.percentile(p) for p in (50, 99, 100)))
    alive = probes.percentile(99) * 1e3
    target = at_least(0.8) if times >= 1 else None
    return [
        Row(f"{key}/goodput", f"{what}: answered ÷ the peak", goodput / best.rate, target,
            measured=f"{goodput:.1f} a second", against=f"{best.rate:.1f} a second, {best.callers} callers",
            note=f"{statuses}; {times_of}"),
        Row(f"{key}/others", f"{what}: neither answered nor told to come again", others, at_most(0), "calls"),
        Row(f"{key}/told", f"{what}: refused without Retry-After", sum(not one.retry_after for one in refused),
            at_most(0), "calls"),
        Row(f"{key}/livez", f"{what}: p99 of /livez", alive, at_most(50), "ms",
            note=f"{len(probes.of)} samples, longest {probes.percentile(100) * 1e3:.0f} ms, "
                 f"{sum(one.status != 200 for one in probes.of)} not answered"),
    ]  # fmt: skip


async def slow_sockets(address: Address, requests: Sequence[bytes], count: int, seconds: float) -> list[Row]:
    """One caller alone, and beside so many sockets that send a byte a second and never a whole request."""
    data = requests
    alone = await closed(address, data, 1, seconds)
    writers: list[asyncio.StreamWriter] = []
    done = asyncio.Event()
    cut = 0

    async def hold() -> None:
        nonlocal cut
        while not done.is_set():
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection(address.host, address.port)
                writers.append(writer)
                for byte in request("/v1/models", method="GET")[:-2]:
                    if done.is_set():
                        break
                    writer.write(bytes([byte]))
                    await writer.drain()
                    await asyncio.sleep(1)
            cut += not done.is_set()
            await asyncio.sleep(0.1)

    holding = [asyncio.create_task(hold()) for _ in range(count)]
    await asyncio.sleep(2)
    beside = await closed(address, data, 1, seconds)
    done.set()
    await asyncio.gather(*holding)
    for writer in writers:
        writer.close()
    ratio = beside.percentile(99) / alone.percentile(99)
    others = sum(outcome.status != 200 for outcome in beside.of)
    note = f"{len(beside.of)} calls, {others} of them not answered; {cut} of the slow connections were cut off"
    return [
        Row("slow/p99", f"p99 of a caller beside {count} slow sockets ÷ alone", ratio, at_most(2),
            measured=f"{beside.percentile(99) * 1e3:.0f} ms", against=f"{alone.percentile(99) * 1e3:.0f} ms",
            note=note),
        Row("slow/others", f"calls beside {count} slow sockets that are not answered", others, at_most(0), "calls"),
    ]  # fmt: skip
