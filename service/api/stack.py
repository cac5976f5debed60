"""What stands around every route, outside in: metrics, errors, context, CORS, pages, keys, rates, sizes, overload."""

from __future__ import annotations

from functools import partial

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from service.api.auth import Keys
from service.api.heads import Heads
from service.api.hosts import Hosts
from service.api.inference_errors import InferenceErrors
from service.api.limits import BodyLimit
from service.api.measuring import Measuring
from service.api.middleware import Authentication, RequestContext
from service.api.origins import ForeignPages
from service.api.shedding import Shedding
from service.engine.pool import EnginePool
from service.metrics import CallMetrics
from service.models.library import Library
from service.settings import Settings, split

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

        from service.api.rates import RateLimit

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
