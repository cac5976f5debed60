"""Composition root: settings in, application out. Each part is built by a function of its own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial

import cv2
import structlog
from fastapi import FastAPI
from prometheus_client import CollectorRegistry, ProcessCollector
from starlette.staticfiles import StaticFiles

from service import __version__
from service.api import problems
from service.api.answering.services import Services
from service.api.document.document import TAGS, finished
from service.api.guarding.keys import Keys
from service.api.guarding.stack import surround
from service.api.routes import ROUTERS
from service.api.routes.pages import DOCS_ASSETS, FILES, WEB, WebFiles
from service.configuration import engine_config, ingest_limits, jobs_config
from service.engine.host.pool import EnginePool
from service.imaging.decode import DecodeLimits
from service.ingest import sandbox
from service.ingest.run import ingest
from service.jobs.jobs import Jobs
from service.json_types import JsonObject
from service.keys.store import KeyStore
from service.metrics import CallMetrics, Exposition
from service.models.files.library import Library
from service.models.files.uploads.store import UPLOADS, UploadStore
from service.settings import Settings, is_loopback, split
from service.tracing import Tracing, no_span
from service.usecases.cache import AnswerCache
from service.usecases.explain import Explain
from service.usecases.fetch import Fetcher
from service.usecases.folders import Folders
from service.usecases.jobs import BackgroundJobs
from service.usecases.models import Models
from service.usecases.uploads import Uploads

log = structlog.get_logger(__name__)

DESCRIPTION = "Shows what a Keras convolutional network sees: send an image and a model ID, get pictures or raw arrays."
# Threads that decode and draw let the event loop go first; on Linux each has a niceness of its own.
RENDER_NICENESS = 5


class Application(FastAPI):
    """FastAPI, with an OpenAPI document that says what stands around its routes too."""

    def openapi(self) -> JsonObject:
        return finished(super().openapi())


@dataclass(frozen=True)
class Parts:
    """What lives as long as the application, and what the use cases are made of."""

    settings: Settings
    uploads: UploadStore
    library: Library
    engines: EnginePool
    threads: ThreadPoolExecutor
    limits: DecodeLimits
    jobs: Jobs
    cache: AnswerCache
    keys: Keys
    tracing: Tracing | None
    registry: CollectorRegistry


def create_app(settings: Settings) -> FastAPI:
    """Builds the whole service. Its engines start and stop with the application's lifespan."""
    cv2.setNumThreads(1)
    parts = build_parts(settings)
    calls = CallMetrics(parts.registry)
    app = Application(
        title="Kerascope",
        version=__version__,
        description=DESCRIPTION,
        openapi_url=None,
        openapi_tags=TAGS,
        lifespan=lifespan_of(parts),
    )
    app.state.draining = False
    app.state.services = build_services(parts, calls)
    problems.install(app)
    surround(app, settings, parts.keys, parts.engines, parts.library, calls)
    if parts.tracing:
        from service.api.guarding.tracing import trace_requests

        trace_requests(app, parts.tracing)
    add_routes(app)
    return app


def build_parts(settings: Settings) -> Parts:
    """Builds stores, library, engines, threads and queue; nothing of it is started."""
    uploads = UploadStore(
        settings.data_dir / UPLOADS, quota_bytes=settings.upload_quota_bytes, most=settings.max_uploads_per_key
    )
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return Parts(
        settings=settings,
        uploads=uploads,
        library=Library(settings.models_folder, uploads),
        engines=build_engines(settings),
        threads=ThreadPoolExecutor(settings.render_threads, "render", initializer=partial(os.nice, RENDER_NICENESS)),
        limits=DecodeLimits(settings.max_pixels, settings.max_side_px),
        jobs=Jobs(jobs_config(settings)),
        cache=AnswerCache(settings.cache_bytes),
        keys=Keys(settings.key_digests, KeyStore(settings.data_dir), may_open=is_loopback(settings.host)),
        tracing=Tracing(settings.otlp_endpoint) if settings.otlp_endpoint else None,
        registry=registry,
    )


def build_engines(settings: Settings) -> EnginePool:
    """Builds the engines, each with the models that will be its own."""
    return EnginePool(
        [engine_config(settings, number) for number in range(settings.engines)],
        deadline_s=settings.call_deadline_s,
        queue_limit=settings.queue_limit,
    )


def build_services(parts: Parts, calls: CallMetrics) -> Services:
    """Builds the use cases that routes call."""
    settings, engines, library = parts.settings, parts.engines, parts.library
    most = settings.max_response_bytes
    span = parts.tracing.span if parts.tracing else no_span
    hosts = split(settings.url_hosts.lower())
    reading = partial(ingest, limits=ingest_limits(settings))
    return Services(
        settings,
        engines,
        Explain(engines, library, parts.limits, parts.threads, most, span),
        Models(engines, library, settings.call_deadline_s),
        BackgroundJobs(parts.jobs, engines, library, parts.limits, parts.threads, most),
        parts.cache,
        Fetcher(hosts, timeout_s=settings.url_timeout_s, max_bytes=settings.max_body_bytes),
        Uploads(parts.uploads, library, engines, reading, why_off(settings)),
        calls,
        Exposition(parts.registry, engines, parts.cache, parts.jobs),
        Folders(settings.pictures_dir),
    )


def lifespan_of(parts: Parts) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """Gives what happens between the start of the application and its end."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        connecting = asyncio.create_task(asyncio.to_thread(parts.jobs.connect))
        if parts.settings.uploads:
            await asyncio.to_thread(swept, parts.uploads)
        parts.engines.start()
        if parts.keys.open():
            log.warning("open", reason="there are no API keys: everybody who reaches the port may use the service")
        try:
            yield
        finally:
            connecting.cancel()
            await parts.engines.stop()
            parts.threads.shutdown(wait=False, cancel_futures=True)
            if parts.tracing:
                await asyncio.to_thread(parts.tracing.stop)

    return lifespan


def add_routes(app: FastAPI) -> None:
    """Adds every router, and the files of the pages."""
    for router in ROUTERS:
        app.router.routes.extend(router.routes)
    app.mount(FILES, WebFiles(directory=WEB))
    app.mount(DOCS_ASSETS, StaticFiles(packages=[("fastapi_swagger", "resources")]))


def swept(store: UploadStore) -> None:
    """What was left behind is thrown away; a disk that does not let it keeps nobody from starting."""
    try:
        store.sweep()
    except OSError as error:
        log.error("uploads left behind could not be swept", reason=error.strerror)


def why_off(settings: Settings) -> str | None:
    """Why no models are taken; None where they are."""
    if not settings.uploads:
        return "this service takes no models; it does once it is started with KERASCOPE_UPLOADS=true"
    missing = sandbox.why_not()
    if missing and not settings.allow_unsandboxed_ingest:
        return f"uploaded models are read in a sandbox alone, and {missing}"
    return None
