"""Every request's route, status and time, for the metrics."""

from __future__ import annotations

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.metrics.calls import NOT_ROUTED, CallMetrics

# What nobody was there to hear.
NO_ANSWER = 499


class Measuring:
    """Outside of everything else, so that what is refused on the way in counts too."""

    def __init__(self, app: ASGIApp, metrics: CallMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = NO_ANSWER

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with self._metrics.in_flight.track_inprogress():
            try:
                await self._app(scope, receive, noting)
            finally:
                self._metrics.answered(template_of(scope), scope["method"], status, time.perf_counter() - started)


def template_of(scope: Scope) -> str:
    """`/v1/models/{model_id}/cam`; NOT_ROUTED for a path that is no route's, and for what was refused before."""
    route = scope.get("route")
    return str(getattr(route, "path", None) or scope.get("state", {}).get("template") or NOT_ROUTED)
