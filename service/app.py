"""Composition root: settings in, application out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import cv2
from fastapi import FastAPI
from starlette.staticfiles import StaticFiles

from service import __version__
from service.api import errors
from service.api.auth import Keys
from service.api.deps import Services
from service.api.middleware import RequestContext
from service.api.routes import explain, health, methods, models
from service.engine.pool import EnginePool, engine_of
from service.engine.protocol import EngineConfig
from service.imaging.decode import DecodeLimits
from service.models.library import Library
from service.settings import Settings, split
from service.usecases.explain import Explain
from service.usecases.models import Models

DESCRIPTION = "Shows what a Keras convolutional network sees: send an image and a model ID, get pictures or raw arrays."


def create_app(settings: Settings) -> FastAPI:
    """The whole service. Its engines start and stop with the application's lifespan."""
    cv2.setNumThreads(1)
    library = Library(settings.models_folder)
    engines = EnginePool(
        [engine_config(settings, number) for number in range(settings.engines)],
        deadline_s=settings.call_deadline_s,
        queue_limit=settings.queue_limit,
    )
    threads = ThreadPoolExecutor(settings.render_threads, thread_name_prefix="render")
    limits = DecodeLimits(settings.max_pixels, settings.max_side_px)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        engines.start()
        try:
            yield
        finally:
            await engines.stop()
            threads.shutdown(wait=False, cancel_futures=True)

    app = FastAPI(
        title="Kerascope",
        version=__version__,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.services = Services(
        settings,
        engines,
        Explain(engines, library, limits, threads, settings.max_response_bytes),
        Models(engines, library),
    )
    errors.install(app)
    app.add_middleware(RequestContext, keys=Keys(settings.key_digests))
    for router in (health.router, methods.router, explain.router, models.router):
        app.include_router(router)
    app.mount(health.DOCS_ASSETS, StaticFiles(packages=[("fastapi_swagger", "resources")]))
    return app


def engine_config(settings: Settings, number: int) -> EngineConfig:
    """What the engine child of that number is told; it preloads the models whose calls it will get."""
    preload = [model_id for model_id in split(settings.preload) if engine_of(model_id, settings.engines) == number]
    return EngineConfig(
        socket="",
        data_dir=settings.data_dir,
        models_dir=settings.models_folder,
        registry_bytes=settings.registry_bytes,
        preload=tuple(preload),
        device=settings.device,
        threads=settings.cpu_threads,
        max_passes=settings.max_passes,
        call_bytes=settings.call_bytes,
        engines=settings.engines,
        log_level=settings.log_level,
        log_format=settings.log_format,
    )
