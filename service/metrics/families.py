"""Looked up for each scrape: engines, their queues and models, kept answers, jobs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from service.contract.models import EngineStatus
from service.engine.host.client import EngineClient
from service.jobs.job import JobState
from service.process import resident_bytes
from service.usecases.cache import AnswerCache

# Of what a warm model takes.
PARTS = ("weight", "folded", "layer", "plan")


def of_engines(clients: Sequence[EngineClient], statuses: Sequence[EngineStatus | None]) -> Iterator[Metric]:
    """One row an engine, by its number; what only the engine knows is absent while it does not answer."""
    up = GaugeMetricFamily("kerascope_engine_up", "Whether the engine answers.", labels=["engine"])
    restarts = CounterMetricFamily("kerascope_engine_restarts", "How often the engine has ended.", labels=["engine"])
    waiting = GaugeMetricFamily("kerascope_queue_calls", "Calls that wait for their turn.", labels=["engine"])
    units = GaugeMetricFamily(
        "kerascope_queue_units", "Cost units of calls that wait or are computed.", labels=["engine"]
    )
    limit = GaugeMetricFamily("kerascope_queue_limit_units", "Most of these units there may be.", labels=["engine"])
    held = GaugeMetricFamily("kerascope_quarantined_models", "Models in quarantine.", labels=["engine"])
    resident = GaugeMetricFamily("kerascope_engine_resident_bytes", "Memory of the engine.", labels=["engine"])
    traces = GaugeMetricFamily("kerascope_traces", "Compiled functions of the warm models.", labels=["engine"])
    models = GaugeMetricFamily("kerascope_warm_models", "Models that are warm.", labels=["engine"])
    warm = GaugeMetricFamily("kerascope_warm_bytes", "What the warm models take in all.", labels=["engine"])
    parts = GaugeMetricFamily("kerascope_model_bytes", "What a warm model takes.", labels=["engine", "model", "part"])
    bare = GaugeMetricFamily(
        "kerascope_engine_bare_bytes", "Memory of the engine before its first model.", labels=["engine"]
    )
    library = GaugeMetricFamily(
        "kerascope_engine_library_bytes",
        "What libraries kept beside the models when that was last counted.",
        labels=["engine"],
    )
    budget = GaugeMetricFamily("kerascope_budget_bytes", "Most of these bytes there may be.", labels=["engine"])
    jobs = GaugeMetricFamily("kerascope_jobs_worker_up", "Whether the engine's worker runs jobs.", labels=["engine"])
    for number, (client, status) in enumerate(zip(clients, statuses, strict=True)):
        engine = [str(number)]
        up.add_metric(engine, status is not None)
        restarts.add_metric(engine, client.supervisor.restarts)
        waiting.add_metric(engine, client.queue.waiting)
        units.add_metric(engine, client.queue.units)
        limit.add_metric(engine, client.queue.limit)
        held.add_metric(engine, len(client.quarantine.models))
        if (taken := resident_bytes(client.supervisor.pid)) is not None:
            resident.add_metric(engine, taken)
        if status is not None:
            rows = status.models.values()
            traces.add_metric(engine, sum(row.traces or 0 for row in rows))
            models.add_metric(engine, sum(row.state == "warm" for row in rows))
            warm.add_metric(engine, status.warm_bytes)
            bare.add_metric(engine, status.bare_bytes)
            library.add_metric(engine, status.library_bytes)
            for model, row in status.models.items():
                for part in PARTS if row.state == "warm" else ():
                    parts.add_metric([*engine, model, part], getattr(row, f"{part}_bytes"))
            budget.add_metric(engine, status.budget_bytes)
            jobs.add_metric(engine, status.jobs_problem is None)
    yield from (up, restarts, waiting, units, limit, held, resident, bare, library)
    yield from (traces, models, warm, parts, budget, jobs)


def of_cache(cache: AnswerCache) -> Iterator[Metric]:
    """Kept answers."""
    yield CounterMetricFamily("kerascope_answer_cache_hits", "Answers given from those kept.", value=cache.hits)
    yield CounterMetricFamily("kerascope_answer_cache_misses", "Calls whose answer was not kept.", value=cache.misses)
    yield GaugeMetricFamily("kerascope_answer_cache_bytes", "Bytes of kept answers.", value=cache.kept_bytes)


def of_jobs(counts: Mapping[JobState, int] | None) -> Iterator[Metric]:
    """Jobs by state, as their database has them; none of them while it is away."""
    yield GaugeMetricFamily("kerascope_database_up", "Whether the jobs database answers.", value=counts is not None)
    jobs = GaugeMetricFamily("kerascope_jobs", "Jobs by state, those with expired results too.", labels=["state"])
    for state, count in (counts or {}).items():
        jobs.add_metric([state.value], count)
    yield jobs
