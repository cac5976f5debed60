"""What Prometheus scrapes."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from service.api.deps import ServicesDep
from service.api.openapi import problems

# Prometheus' own text, or OpenMetrics where it is accepted.
MEDIA = ("text/plain", "application/openmetrics-text")
TEXT = {"schema": {"type": "string"}}
router = APIRouter(tags=["health"])


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
