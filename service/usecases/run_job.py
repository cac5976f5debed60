"""A job in the worker: what a direct call does, told step by step, saved, and gone on with after a crash."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from numpy.typing import NDArray

from service.explainers.base import Progress, Snapshot
from service.imaging.decode import DecodeLimits
from service.jobs.context import JobContext
from service.usecases import archive
from service.usecases.draw import preview
from service.usecases.request import ExplainRequest, decode_input, engine_payload, from_document

IMAGE = "image"
Compute = Callable[
    [dict[str, Any], dict[str, NDArray[Any]], Progress], tuple[dict[str, Any], Mapping[str, NDArray[Any]]]
]


class RunJob:
    """Runs the jobs that `usecases.jobs` submits. `compute` is the engine's, called in the thread of the job."""

    def __init__(self, compute: Compute, limits: DecodeLimits) -> None:
        self._compute = compute
        self._limits = limits

    def __call__(self, kind: str, document: dict[str, Any], context: JobContext) -> None:
        """Raises a KerascopeError, and whatever `context` raises to stop the job."""
        started = time.perf_counter()
        request = from_document(document, context.blob(IMAGE))
        image = decode_input(request, self._limits)
        payload = engine_payload(request) | {"model": request.model_id, "background": True}
        progress = JobProgress(context, request)
        reply, arrays = self._compute(payload, image.arrays, progress)
        progress.complete()
        seconds = time.perf_counter() - started
        context.finish(archive.pack(arrays, {"request": document, "reply": reply, "engine_ms": seconds * 1e3}))


class JobProgress(Progress):
    """Tells the job's steps to its context. Of several methods, each counts as many steps as the one that runs."""

    def __init__(self, context: JobContext, request: ExplainRequest) -> None:
        self._context = context
        self._request = request
        self._place = 0
        self._steps = 1
        self._loss: float | None = None

    def begin(self, place: int, count: int) -> None:
        self._place = place

    def complete(self) -> None:
        """All steps are done; the objective stays as it was told last."""
        self._context.tick(self._steps, self._steps, loss=self._loss)

    def resume(self) -> Mapping[str, NDArray[Any]] | None:
        saved = self._context.load()
        return None if saved is None else archive.unpack(saved)[0]

    def __call__(
        self, done: int, total: int, loss: float | None = None, snapshot: Callable[[], Snapshot] | None = None
    ) -> None:
        step, steps = self._place * total + done, len(self._request.methods) * total
        self._steps, self._loss = steps, loss
        if snapshot is None:
            self._context.tick(step, steps, loss=loss)
            return
        call = self._request.methods[self._place]
        self._context.tick(
            step,
            steps,
            loss=loss,
            state=lambda: archive.pack(snapshot().state),
            preview=lambda: preview(call.params, snapshot().preview),
        )
