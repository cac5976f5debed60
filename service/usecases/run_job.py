"""A job in the worker: what a direct call does, told step by step, saved, and gone on with after a crash."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from service.arrays import Arrays
from service.contract.jobs import JobRequest, JobResult
from service.contract.questions import Compute
from service.contract.results import Explained
from service.explainers.base import Progress, Snapshot
from service.imaging.decode import DecodeLimits
from service.jobs.context import JobContext
from service.json_types import JsonObject
from service.usecases import archive
from service.usecases.draw import preview
from service.usecases.picture_sets import SetArrays
from service.usecases.request import ExplainRequest, decode_input, engine_question, from_job

IMAGE = "image"
Computing = Callable[[Compute, Arrays, Progress], tuple[Explained, Arrays]]


class RunJob:
    """Runs the jobs that `usecases.jobs` submits. `compute` is the engine's, called in the thread of the job."""

    def __init__(self, compute: Computing, limits: DecodeLimits) -> None:
        self._compute = compute
        self._limits = limits

    def __call__(self, kind: str, document: JsonObject, context: JobContext) -> None:
        """Raises a KerascopeError, and whatever `context` raises to stop the job."""
        started = time.perf_counter()
        job = JobRequest.model_validate(document)
        request = from_job(job, context.blob(IMAGE), {name: context.blob(name) or b"" for name in job.sets})
        progress = JobProgress(context, request)
        if job.sets:
            arrays: Arrays = SetArrays(request, self._limits, partial(progress, 0, 1))
        else:
            arrays = decode_input(request, self._limits).arrays
        reply, found = self._compute(engine_question(request, background=True), arrays, progress)
        progress.complete()
        seconds = time.perf_counter() - started
        context.finish(archive.pack(found, JobResult(request=job, reply=reply, engine_ms=seconds * 1e3).as_json()))


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

    def resume(self) -> Arrays | None:
        """The state of the method that runs; None where it was another's that was saved last."""
        saved = self._context.load()
        if saved is None:
            return None
        state, place = archive.unpack(saved)
        return state if int(place or b"0") == self._place else None

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
            state=lambda: archive.pack(snapshot().state, str(self._place).encode()),
            preview=lambda: preview(call.params, snapshot().preview),
        )
