"""Composition root: settings in, application out."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import re
import socket
import uuid
import zlib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import structlog
from fastapi import Depends, FastAPI
from prometheus_client import CollectorRegistry, ProcessCollector
from starlette.staticfiles import StaticFiles

from service import __version__
from service.api.answering import problems as errors
from service.api.document.document import TAGS, finished
from service.api.guarding.keys import Keys
from service.api.guarding.scopes import allowed
from service.api.guarding.stack import surround
from service.api.reading.deps import Services
from service.api.routes import explain, explorer, health, kserve_v1, methods, models, open_inference
from service.api.routes import jobs as job_routes
from service.api.routes import uploads as upload_routes
from service.api.routes.explorer import FILES, WEB, WebFiles
from service.engine.host.pool import EnginePool
from service.engine.protocol import EngineConfig
from service.imaging.decode import DecodeLimits
from service.ingest import sandbox
from service.ingest.limits import IngestLimits
from service.ingest.run import ingest
from service.jobs.config import JobsConfig
from service.jobs.jobs import Jobs
from service.jobs.lock import is_held
from service.keys.store import KeyStore
from service.metrics import CallMetrics, Exposition
from service.models.files.library import Library
from service.models.files.uploads.store import UPLOADS, UploadStore
from service.settings import Settings, is_loopback, split
from service.tracing import Tracing, no_span
from service.usecases.cache import AnswerCache
from service.usecases.explain import Explain
from service.usecases.fetch import Fetcher
from service.usecases.jobs import BackgroundJobs
from service.usecases.models import Models
from service.usecases.uploads import Uploads

log = structlog.get_logger(__name__)

DESCRIPTION = "Shows what a Keras convolutional network sees: send an image and a model ID, get pictures or raw arrays."

# Threads that decode and draw let the event loop go first; on Linux each has a niceness of its own.
RENDER_NICENESS = 5


class Application(FastAPI):
    """FastAPI, with an OpenAPI document that says what stands around its routes too."""

    def openapi(self) -> dict[str, Any]:
        return finished(super().openapi())


def create_app(settings: Settings) -> FastAPI:
    """The whole service. Its engines start and stop with the application's lifespan."""
    cv2.setNumThreads(1)
    store = UploadStore(
        settings.data_dir / UPLOADS, quota_bytes=settings.upload_quota_bytes, most=settings.max_uploads_per_key
    )
    library = Library(settings.models_folder, store)
    engines = EnginePool(
        [engine_config(settings, number) for number in range(settings.engines)],
        deadline_s=settings.call_deadline_s,
        queue_limit=settings.queue_limit,
    )
    threads = ThreadPoolExecutor(settings.render_threads, "render", initializer=partial(os.nice, RENDER_NICENESS))
    decode_limits = DecodeLimits(settings.max_pixels, settings.max_side_px)
    jobs = Jobs(jobs_config(settings))
    cache = AnswerCache(settings.cache_bytes)
    tracing = Tracing(settings.otlp_endpoint) if settings.otlp_endpoint else None
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    calls = CallMetrics(registry)
    keys = Keys(settings.key_digests, KeyStore(settings.data_dir), may_open=is_loopback(settings.host))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        connecting = asyncio.create_task(asyncio.to_thread(jobs.connect))
        if settings.uploads:
            await asyncio.to_thread(swept, store)
        engines.start()
        prepare_routes(app)
        if keys.open():
            log.warning("open", reason="there are no API keys: everybody who reaches the port may use the service")
        try:
            yield
        finally:
            connecting.cancel()
            await engines.stop()
            threads.shutdown(wait=False, cancel_futures=True)
            if tracing:
                await asyncio.to_thread(tracing.stop)

    app = Application(
        title="Kerascope",
        version=__version__,
        description=DESCRIPTION,
        openapi_url=None,
        openapi_tags=TAGS,
        lifespan=lifespan,
        dependencies=[Depends(allowed)],
    )
    app.state.draining = False
    app.state.services = Services(
        settings,
        engines,
        Explain(
            engines,
            library,
            decode_limits,
            threads,
            settings.max_response_bytes,
            tracing.span if tracing else no_span,
        ),
        Models(engines, library, settings.call_deadline_s),
        BackgroundJobs(jobs, engines, library, decode_limits, threads, settings.max_response_bytes),
        cache,
        Fetcher(split(settings.url_hosts.lower()), timeout_s=settings.url_timeout_s, max_bytes=settings.max_body_bytes),
        Uploads(store, library, engines, partial(ingest, limits=ingest_limits(settings)), why_off(settings)),
        calls,
        Exposition(registry, engines, cache, jobs),
    )
    errors.install(app)
    surround(app, settings, keys, engines, library, calls)
    if tracing:
        from service.api.guarding.tracing import trace_requests

        trace_requests(app, tracing)
    for router in (
        health.router,
        methods.router,
        explain.router,
        models.router,
        kserve_v1.router,
        open_inference.router,
        upload_routes.router,
        job_routes.router,
        explorer.router,
    ):
        app.include_router(router)
    app.mount(FILES, WebFiles(directory=WEB))
    app.mount(health.DOCS_ASSETS, StaticFiles(packages=[("fastapi_swagger", "resources")]))
    return app


def swept(store: UploadStore) -> None:
    """What was left behind is thrown away; a disk that does not let it keeps nobody from starting."""
    try:
        store.sweep()
    except OSError as error:
        log.error("uploads left behind could not be swept", reason=error.strerror)


def engine_config(settings: Settings, number: int) -> EngineConfig:
    """What the engine child of that number is told; of the models to preload it takes those whose calls it will get."""
    return EngineConfig(
        socket="",
        data_dir=settings.data_dir,
        models_dir=settings.models_folder,
        registry_bytes=settings.registry_bytes,
        number=number,
        preload=tuple(split(settings.preload)),
        device=settings.device,
        threads=settings.cpu_threads,
        max_passes=settings.max_passes,
        max_job_passes=settings.max_job_passes,
        max_pixels=settings.max_pixels,
        max_side_px=settings.max_side_px,
        call_bytes=settings.call_bytes,
        max_step_s=settings.max_step_s,
        max_load_s=settings.max_load_s,
        engines=settings.engines,
        trust_models_dir=settings.trust_models_dir,
        allowed_layers=tuple(split(settings.allowed_layers)),
        log_level=settings.log_level,
        log_format=settings.log_format,
        worker=worker_name(settings, f"engine-{number}"),
        jobs=jobs_config(settings) if settings.run_jobs else None,
    )


def ingest_limits(settings: Settings) -> IngestLimits:
    """What the process that reads uploaded models is told."""
    return IngestLimits(
        max_file_bytes=settings.max_upload_bytes,
        max_parameters=settings.max_parameters,
        memory_bytes=settings.ingest_memory_bytes,
        timeout_s=settings.ingest_timeout_s,
        extra_classes=tuple(split(settings.allowed_layers)),
        unsandboxed=settings.allow_unsandboxed_ingest,
    )


def why_off(settings: Settings) -> str | None:
    """Why no models are taken; None where they are."""
    if not settings.uploads:
        return "this service takes no models; it does once it is started with KERASCOPE_UPLOADS=true"
    missing = sandbox.why_not()
    if missing and not settings.allow_unsandboxed_ingest:
        return f"uploaded models are read in a sandbox alone, and {missing}"
    return None


def jobs_config(settings: Settings) -> JobsConfig:
    """What every process that uses the job queue is told."""
    return JobsConfig(
        database_url=settings.jobs_database or f"sqlite:///{settings.data_dir.absolute() / 'jobs.db'}",
        result_store=settings.result_store or (settings.data_dir.absolute() / "results").as_uri(),
        data_dir=settings.data_dir,
        result_ttl_s=settings.result_ttl_s,
        max_queued=settings.max_queued_jobs,
        max_per_owner=settings.max_jobs_per_key,
        poll_s=settings.job_poll_s,
        lease_s=settings.job_lease_s,
        checkpoint_s=settings.job_checkpoint_s,
    )


def free_worker_name(settings: Settings) -> str:
    """The first name that no worker process on this machine holds."""
    return next(
        name
        for number in itertools.count()
        if not is_held(settings.data_dir, name := worker_name(settings, f"worker-{number}"))
    )


def prepare_routes(app: FastAPI) -> None:
    """Has FastAPI prepare the routes of every router, which it else does, for a tenth of a second, while the first
    request for one of them is on the event loop."""
    nowhere = {"type": "http", "method": "GET", "path": "//", "root_path": "", "headers": []}
    for route in app.routes:
        route.matches(dict(nowhere))


def worker_name(settings: Settings, role: str) -> str:
    """Names the worker: the same after a restart, so that it finds its own jobs again; another for another data folder,
    also where that has the same path, as in two containers."""
    return f"{socket.gethostname()}-{_number_of(settings.data_dir)}-{role}"


def _number_of(folder: Path) -> str:
    """Eight hex digits that are written into the folder when they are first asked for."""
    path = folder / "instance"
    try:
        with contextlib.suppress(FileExistsError), path.open("x") as file:
            file.write(uuid.uuid4().hex[:8])
        if re.fullmatch("[0-9a-f]{8}", known := path.read_text()):
            return known
    except FileNotFoundError:
        # Nothing is started yet that would make the folder.
        pass
    except OSError as error:
        log.warning("data folder has no number of its own", reason=error.strerror)
    return f"{zlib.crc32(str(folder.absolute()).encode()):08x}"
