"""The page that Prometheus scrapes. It is there in half a second or so, whatever hangs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from service.contract.models import EngineStatus
from service.engine.host.client import EngineClient
from service.engine.host.pool import EnginePool
from service.errors import KerascopeError
from service.jobs.job import JobState
from service.jobs.jobs import Jobs
from service.metrics import families
from service.usecases.cache import AnswerCache

log = structlog.get_logger(__name__)

LONGEST_S = 0.5
JOBS_FRESH_S = 1.0


class Exposition:
    """Makes the page, for one event loop. What does not answer in `LONGEST_S` has no rows."""

    def __init__(self, registry: CollectorRegistry, engines: EnginePool, cache: AnswerCache, jobs: Jobs) -> None:
        self._registry = registry
        self._engines = engines
        self._cache = cache
        self._jobs = jobs
        self._counted_at = -JOBS_FRESH_S
        self._counting: asyncio.Task[Mapping[JobState, int] | None] | None = None

    async def page(self, accept: str) -> tuple[bytes, str]:
        """The text and its media type: OpenMetrics where `accept` has it, else Prometheus's own."""
        clients = self._engines.clients
        statuses = await asyncio.gather(*(_status(client) for client in clients))
        counts = await self._counts()
        looked_up = [
            *families.of_engines(clients, statuses),
            *families.of_cache(self._cache),
            *families.of_jobs(counts),
        ]
        encode, media_type = choose_encoder(accept)
        return encode(_All(self._registry, looked_up)), media_type

    async def jobs_problem(self) -> str | None:
        """Why jobs cannot be looked at, as of the last second; None when they can."""
        if time.monotonic() - self._counted_at > JOBS_FRESH_S:
            await self._counts()
            self._counted_at = time.monotonic()
        return self._jobs.problem

    async def _counts(self) -> Mapping[JobState, int] | None:
        """A database that hangs holds one thread, however often it is asked."""
        if self._counting is None or self._counting.done():
            self._counting = asyncio.create_task(self._count())
        done, _ = await asyncio.wait({self._counting}, timeout=LONGEST_S)
        return self._counting.result() if done else None

    async def _count(self) -> Mapping[JobState, int] | None:
        try:
            return await asyncio.to_thread(self._jobs.counts)
        except KerascopeError:
            return None
        except Exception:
            log.exception("jobs could not be counted")
            return None


class _All(Collector):
    def __init__(self, registry: CollectorRegistry, looked_up: Iterable[Metric]) -> None:
        self._registry = registry
        self._looked_up = looked_up

    def collect(self) -> Iterable[Metric]:
        yield from self._registry.collect()
        yield from self._looked_up


async def _status(client: EngineClient) -> EngineStatus | None:
    try:
        return await asyncio.wait_for(client.status(), LONGEST_S)
    except TimeoutError:
        return None
