"""What stands around every route, in its order, and HEAD as a GET without a body."""

from __future__ import annotations

from functools import partial

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.guarding.keys import Keys
from service.api.guarding.limits import BodyLimit
from service.api.guarding.origins import ForeignPages, Hosts
from service.api.guarding.requests import Authentication, Measuring, RequestContext
from service.api.guarding.shedding import Shedding
from service.api.problems import InferenceErrors
from service.engine.host.pool import EnginePool
from service.metrics import CallMetrics
from service.models.files.library import Library
from service.settings import Settings, split


class Heads:
    """Right before the routes, so that whatever stands around them still sees a HEAD."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        ended = False

        async def first_only(message: Message) -> None:
            nonlocal ended
            if message["type"] == "http.response.body":
                if ended:
                    return
                ended, message = True, {**message, "more_body": False}
            await send(message)

        async def until_ended() -> Message:
            """Who streams without an end, such as the events of a job, is told that nobody listens."""
            return {"type": "http.disconnect"} if ended else await receive()

        asked = {**scope, "method": "GET"}
        try:
            await self._app(asked, until_ended, first_only)
        finally:
            # Which route it was, for the log and the metrics.
            scope.update({**asked, "method": "HEAD"})


# What the other parts of an upload may take.
BESIDE_A_MODEL = 8 * 1024**2

EXPOSED = (
    "Location", "ETag", "Retry-After", "Server-Timing", "X-Request-Id", "Preference-Applied",
    "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset",
)  # fmt: skip
SENT = (
    "Authorization", "Content-Type", "Idempotency-Key", "If-None-Match", "Last-Event-ID", "Prefer", "X-Request-Id",
    "X-Timeout",
)  # fmt: skip


def _most_bytes(settings: Settings, method: str, path: str) -> int:
    """Says how large a body may be: a model may be larger than an image."""
    uploads = settings.uploads and (method, path) == ("POST", "/v1/models")
    return settings.max_upload_bytes + BESIDE_A_MODEL if uploads else settings.max_body_bytes


def surround(
    app: FastAPI, settings: Settings, keys: Keys, engines: EnginePool, library: Library, metrics: CallMetrics
) -> None:
    """Adds them; the last one added is the outermost."""
    app.add_middleware(Heads)
    app.add_middleware(Shedding, engines=engines, library=library, deadline_s=settings.call_deadline_s)
    app.add_middleware(BodyLimit, most=partial(_most_bytes, settings))
    if settings.rate_limit:
        import limits

        from service.api.guarding.limits import RateLimit

        app.add_middleware(RateLimit, rate=limits.parse(settings.rate_limit))
    app.add_middleware(Authentication, keys=keys)
    origins = split(settings.cors_origins)
    app.add_middleware(ForeignPages, keys=keys, origins=frozenset(origins))
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST", "PATCH", "DELETE"],
            allow_headers=SENT,
            expose_headers=EXPOSED,
        )
    hosts = Hosts(split(settings.allowed_hosts), settings.host)
    app.add_middleware(RequestContext, keys=keys, hosts=hosts, origins=frozenset(origins))
    app.add_middleware(InferenceErrors)
    app.add_middleware(Measuring, metrics=metrics)
