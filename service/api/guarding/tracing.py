"""The span of each request: from a caller's `traceparent` on, named after its route, its ID in the log lines."""

from __future__ import annotations

import structlog
from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.guarding.requests import QUIET_PATHS, template_of
from service.tracing import Tracing

# Whole paths: a model may be called `metrics`.
NOT_TRACED = ",".join(rf"//[^/]+{path}(\?|$)" for path in sorted(QUIET_PATHS))


class Naming:
    """Once a request is routed, its span can be told by the route, of which there are few."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        span = trace.get_current_span()
        if scope["type"] != "http" or not span.get_span_context().is_valid:
            await self._app(scope, receive, send)
            return

        async def naming(message: Message) -> None:
            # Not later: with the end of the answer the span has ended.
            if message["type"] == "http.response.start":
                route = template_of(scope)
                span.update_name(f"{scope['method']} {route}")
                span.set_attribute("http.route", route)
                span.set_attribute("kerascope.request_id", scope.get("state", {}).get("request_id", ""))
            await send(message)

        with structlog.contextvars.bound_contextvars(trace_id=f"{span.get_span_context().trace_id:032x}"):
            await self._app(scope, receive, naming)


def trace_requests(app: FastAPI, tracing: Tracing) -> None:
    """Adds both; to be called last, so that they are the outermost."""
    app.add_middleware(Naming)
    app.add_middleware(
        OpenTelemetryMiddleware,
        excluded_urls=NOT_TRACED,
        tracer_provider=tracing.provider,
        exclude_spans=["receive", "send"],
    )
