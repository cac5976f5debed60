"""Whether the service lives and is ready, and what Prometheus scrapes."""

from __future__ import annotations

from typing import Any

from fastapi import Request, Response

from service.api.answering.schemas import Health
from service.api.answering.services import Services, ServicesDep
from service.api.document.operations import problems
from service.api.guarding.scopes import GuardedRouter
from service.contract.models import EngineStatus


async def readiness(request: Request, services: Services) -> str | None:
    """What is missing; None for nothing."""
    missing = not_up(await services.engines.statuses())
    if request.app.state.draining:
        return "stopping"
    full = any(client.queue.full for client in services.engines.clients)
    if missing or full:
        return missing or "queue full"
    problem = await services.exposition.jobs_problem()
    return f"jobs: {problem}" if problem else None


def not_up(statuses: list[EngineStatus | None]) -> str | None:
    """What the engines still lack; None for nothing."""
    told = [status for status in statuses if status is not None]
    if len(told) < len(statuses):
        return "engine not up"
    if models := [model for status in told for model in status.preloading]:
        return f"preloading {', '.join(models)}"
    if models := [model for status in told for model in status.not_loaded]:
        return f"not loaded: {', '.join(models)}"
    return next((f"jobs: {status.jobs_problem}" for status in told if status.jobs_problem), None)


router = GuardedRouter(tags=["health"])


@router.get("/livez", operation_id="check_liveness", summary="Is the process alive?", response_model=Health)
async def livez(services: ServicesDep) -> Any:
    """Answers as long as the event loop turns, whatever the engine does."""
    return {"status": "ok", "engines": [client.state.value for client in services.engines.clients]}


@router.get(
    "/readyz",
    operation_id="check_readiness",
    summary="Can calls be answered?",
    response_model=Health,
    responses={503: {"model": Health, "description": "An engine is starting, or a model to preload is not loaded."}},
)
async def readyz(request: Request, services: ServicesDep, response: Response) -> Any:
    """200 once every engine answers and the preloaded models are warm; 503 with the reason before, while one of them
    cannot be loaded, with a queue that is full, and once the service is being stopped."""
    missing = await readiness(request, services)
    response.status_code = 503 if missing else 200
    return {"status": missing or "ok", "engines": [client.state.value for client in services.engines.clients]}


# Prometheus' own text, or OpenMetrics where it is accepted.
MEDIA = ("text/plain", "application/openmetrics-text")
TEXT = {"schema": {"type": "string"}}


@router.get(
    "/metrics",
    operation_id="get_metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses=problems(401) | {200: {"content": dict.fromkeys(MEDIA, TEXT)}},
)
async def metrics(request: Request, services: ServicesDep) -> Response:
    """Counters, gauges and histograms. Rows of an engine or a database that does not answer are absent."""
    page, media_type = await services.exposition.page(request.headers.get("accept", ""))
    return Response(page, media_type=media_type)
