"""Methods on one image: decode, ask the engine, draw."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import astuple, replace

from service.contract.questions import Fitted
from service.contract.results import Explained
from service.engine.host.client import EngineReply
from service.engine.host.pool import EnginePool, Place
from service.imaging.decode import DecodeLimits
from service.models.files.library import Library
from service.models.graph.preprocess import fit
from service.tracing import Span, no_span
from service.usecases.answer import Answer
from service.usecases.forms import wanted_outputs
from service.usecases.request import ExplainRequest, InputImage, decode_input, engine_question
from service.usecases.results import Computed, as_seen, check_size, results

# A larger photograph is resized here, rather than copied to the engine as it is.
FITTED_BYTES = 1_000_000


class Explain:
    """The use case. Decoding and drawing run in `threads`, so that the event loop keeps turning."""

    def __init__(
        self,
        engines: EnginePool,
        library: Library,
        limits: DecodeLimits,
        threads: ThreadPoolExecutor,
        max_response_bytes: int,
        span: Span = no_span,
    ) -> None:
        self._engines = engines
        self._library = library
        self._limits = limits
        self._threads = threads
        self._max_response_bytes = max_response_bytes
        self._span = span

    async def fingerprint(self, model_id: str) -> str | None:
        """Gives that of the model as it is warm now: another when its file or its spec is; None when it is cold.

        Raises UnknownModel.
        """
        return await self._engines.fingerprint(self._library.get(model_id).id)

    async def _computed(self, request: ExplainRequest, image: InputImage, place: Place) -> EngineReply[Explained]:
        """What the engine gives. Of a large photograph it is sent what the network sees, where the model is warm."""
        question = engine_question(request)
        if request.preprocess and image.is_photograph and image.bytes > FITTED_BYTES:
            fitting = await self._engines.fitting(request.model_id)
            if fitting and image.pixels is not None:
                loop = asyncio.get_running_loop()
                pixels, region = await loop.run_in_executor(
                    self._threads, fit, image.pixels, fitting.shape, fitting.spec
                )
                fitted = Fitted(fingerprint=fitting.fingerprint, region=astuple(region))
                reply = await self._engines.ask(question.on_fitted(fitted), {"image": pixels}, place.deadline)
                if isinstance(reply.answer, Explained):
                    return EngineReply(reply.answer, reply.arrays, reply.timing_ms)
        return await self._engines.ask(question, image.arrays, place.deadline)

    async def __call__(self, request: ExplainRequest, place: Place) -> Answer:
        """Raises any KerascopeError; the cheapest checks come first, and nothing is decoded before its turn."""
        started = time.perf_counter()
        request = replace(request, model_id=self._library.get(request.model_id).id)
        wanted_outputs(request)
        loop = asyncio.get_running_loop()
        about = {"model": request.model_id, "method": request.kind}
        async with AsyncExitStack() as stack:
            with self._span("queue", **about):
                await stack.enter_async_context(self._engines.place(request.model_id, request.units, place))
            waited = time.perf_counter()
            with self._span("decode", **about):
                image = await loop.run_in_executor(self._threads, decode_input, request, self._limits)
            decoded = time.perf_counter()
            with self._span("engine", **about):
                reply = await self._computed(request, image, place)
        check_size(request.options, reply.arrays, self._max_response_bytes // request.instances)
        before_draw = time.perf_counter()
        computed = Computed(reply.answer, reply.arrays)
        image = as_seen(image, reply.answer)
        with self._span("render", **about):
            found = await loop.run_in_executor(self._threads, results, request, computed, image)
        ended = time.perf_counter()
        return Answer(
            model=reply.answer.model,
            image=image.notes,
            results=found,
            fingerprint=reply.answer.fingerprint,
            timing_ms={
                "decode": (decoded - waited) * 1e3,
                **reply.timing_ms,
                "queue": (waited - started) * 1e3 + reply.timing_ms.get("queue", 0.0),
                "render": (ended - before_draw) * 1e3,
                "total": (ended - started) * 1e3,
            },
        )
