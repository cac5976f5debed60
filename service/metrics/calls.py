"""Counted as calls are answered: how many, how long, how many turned away."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary, disable_created_metrics

NOT_ROUTED = "other"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# No valid key, no scope, too slow, too many of one caller, no room or no engine.
REFUSED = (401, 403, 408, 429, 503)
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
PHASES = ("decode", "queue", "trace", "engine", "render")

disable_created_metrics()  # type: ignore[no-untyped-call]


class CallMetrics:
    """Labels are templates of routes, HTTP methods and methods of the catalogue: what a caller writes adds none."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.in_flight = Gauge(
            "kerascope_requests_in_flight", "Requests that are being answered, this one included.", registry=registry
        )
        self.connections = Gauge("kerascope_connections_open", "Connections that are open.", registry=registry)
        self._requests = Histogram(
            "kerascope_request_seconds",
            "Time from a request's head to the end of its answer.",
            ["route", "method", "status"],
            buckets=SECONDS,
            registry=registry,
        )
        self._refused = Counter(
            "kerascope_refused_calls", "Calls turned away: 401, 403, 408, 429 and 503.", ["status"], registry=registry
        )
        self._explained = Histogram(
            "kerascope_explain_seconds",
            "Time of direct answers that were computed, from their place in the queue to the last picture.",
            ["method"],
            buckets=SECONDS,
            registry=registry,
        )
        self._phases = Summary(
            "kerascope_explain_phase_seconds",
            "Parts of that time: decode, queue, engine, render.",
            ["method", "phase"],
            registry=registry,
        )
        for status in REFUSED:
            self._refused.labels(str(status))

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """`route` is a template, or NOT_ROUTED."""
        known = method if method in METHODS else NOT_ROUTED
        self._requests.labels(route, known, str(status)).observe(seconds)
        self.refused(status)

    def refused(self, status: int) -> None:
        """One of REFUSED; others are left out."""
        if status in REFUSED:
            self._refused.labels(str(status)).inc()

    def explained(self, method: str, timing_ms: Mapping[str, float]) -> None:
        """`method` is of the catalogue, or `explain` for several."""
        self._explained.labels(method).observe(timing_ms["total"] / 1e3)
        for phase in PHASES:
            self._phases.labels(method, phase).observe(timing_ms.get(phase, 0.0) / 1e3)
