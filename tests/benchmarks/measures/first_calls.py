"""What the first call of a method waits that the second does not, on a model that is warm."""

from __future__ import annotations

import time
from typing import Any

from tests.benchmarks.bench import SETTINGS, Bench
from tests.benchmarks.callers import Caller, NotAvailable
from tests.benchmarks.measures.methods import every
from tests.benchmarks.networks import Network
from tests.benchmarks.rows import Row, at_most, seconds
from tests.conftest import start_service

TARGETS = {"efficientnet-lite0": at_most(1.5), "resnet50": at_most(2.5)}


def first_calls(bench: Bench) -> list[Row]:
    """A row a network, in a service that has just loaded it."""
    rows = []
    for network in bench.scale.networks:
        if network.id not in TARGETS:
            continue
        service = start_service(bench.folder / f"first-{network.id}", models_dir=bench.models, **SETTINGS)
        service.client.timeout = 900
        try:
            service.client.post(f"/v1/models/{network.id}/load").raise_for_status()
            waits = _waits(Caller(service.client, bench.pictures), network)
        finally:
            service.stop()
        slowest = max(waits, key=lambda name: waits[name][0])
        waited, first = waits[slowest]
        rows.append(
            Row(
                f"first/{network.id}",
                f"longest that a first call on {network.title} takes more than the second, of {len(waits)} methods",
                waited,
                TARGETS[network.id],
                "s",
                measured=f"{seconds(first)} the first",
                note=f"{slowest}; the median is {seconds(sorted(wait for wait, _ in waits.values())[len(waits) // 2])}",
            )
        )
    return rows


def _waits(caller: Caller, network: Network) -> dict[str, tuple[float, float]]:
    found: dict[str, tuple[float, float]] = {}

    def called(method: str, query: dict[str, Any]) -> float:
        content = caller.pictures.png()
        started = time.perf_counter()
        caller.post(network.id, method, content, **query)
        return time.perf_counter() - started

    for method, query in every(network.size):
        try:
            first = called(method, query)
        except NotAvailable:
            continue
        named = " ".join([method, str(query.get("method", query.get("strategy", "")))]).strip()
        found[named] = (max(0.0, first - called(method, query)), first)
    return found
