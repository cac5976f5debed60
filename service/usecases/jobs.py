"""Background jobs: submit any request as one, look at it, take its result."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import orjson
import structlog

from service.arrays import Arrays
from service.contract.jobs import JobRequest, JobResult
from service.engine.host.pool import EnginePool
from service.engine.host.queue import Deadline
from service.errors import JobWithoutResult
from service.explainers import BY_NAME
from service.explainers.planes import parts_of
from service.imaging.decode import DecodeLimits
from service.jobs.job import Job, JobEvent, JobState
from service.jobs.jobs import Jobs
from service.jobs.watch import Watch
from service.json_types import JsonObject
from service.models.files.library import Library
from service.telemetry import request_id
from service.usecases import archive
from service.usecases.answer import Answer
from service.usecases.forms import wanted_outputs
from service.usecases.picture_sets import first_pictures, looked_at
from service.usecases.request import ExplainRequest, decode_input, engine_question, from_job, to_job
from service.usecases.results import Computed, as_seen, check_size, results
from service.usecases.run_job import IMAGE

log = structlog.get_logger(__name__)

PREVIEW = "preview"
# Parameters up to this size are told with every look at a job; a direction may weigh each of 65,536 channels.
MAX_TOLD_BYTES = 4096


@dataclass(frozen=True)
class Stored:
    """The result of a job that succeeded: what was asked, and what the engine computed."""

    request: ExplainRequest
    arrays: Arrays
    result: JobResult


class BackgroundJobs:
    """The use cases around jobs. `owner` is whose job it is; another's job does not exist for a caller, and None is
    everybody's."""

    def __init__(
        self,
        jobs: Jobs,
        engines: EnginePool,
        library: Library,
        limits: DecodeLimits,
        threads: ThreadPoolExecutor,
        max_response_bytes: int,
    ) -> None:
        self._jobs = jobs
        self._watch = Watch(jobs)
        self._engines = engines
        self._library = library
        self._limits = limits
        self._threads = threads
        self._max_response_bytes = max_response_bytes

    async def submit(
        self, request: ExplainRequest, owner: str, priority: int, key: str | None, deadline: Deadline
    ) -> Job:
        """Raises what a direct call would before its methods compute, QueueFull, TooManyJobs, IdempotencyKeyReused,
        JobsUnavailable or StorageFull. A cold model is loaded first: whether a layer is there, only the model knows.
        """
        request = replace(request, model_id=self._library.get(request.model_id).id)
        wanted_outputs(request)
        loop = asyncio.get_running_loop()
        request, arrays = await loop.run_in_executor(self._threads, self._decoded, request)
        question = engine_question(request, background=True).checked_alone()
        await self._engines.ask(question, arrays, deadline)
        job_request = to_job(request)
        label = {
            "model": request.model_id,
            "methods": [call.name for call in request.methods],
            "parameters": _told(job_request),
        }
        blobs = {name: sent.data for name, sent in request.sets.items()}
        blobs |= {} if request.image is None else {IMAGE: request.image.data}
        job, new = await asyncio.to_thread(
            self._jobs.submit,
            request.kind,
            job_request.model_dump(mode="json", by_alias=True),
            owner=owner,
            blobs=blobs,
            label=label,
            priority=priority,
            key=key,
            logged={"request_id": request_id(), "model": request.model_id},
        )
        if new:
            log.info("job submitted", job=job.id, kind=request.kind, model=request.model_id)
        return job

    def _decoded(self, request: ExplainRequest) -> tuple[ExplainRequest, Arrays]:
        """The request with what is in its sets, and the arrays that its check needs."""
        request = looked_at(request, self._limits)
        return request, decode_input(request, self._limits).arrays | first_pictures(request, self._limits)

    async def get(self, job_id: str, owner: str | None) -> Job:
        return await asyncio.to_thread(self._jobs.get, job_id, owner)

    async def list(self, owner: str | None, state: JobState | None, limit: int, offset: int) -> list[Job]:
        return await asyncio.to_thread(self._jobs.list, owner, state, limit=limit, offset=offset)

    async def cancel(self, job_id: str, owner: str | None) -> Job:
        return await asyncio.to_thread(self._jobs.cancel, job_id, owner)

    async def preview(self, job_id: str, owner: str | None) -> bytes | None:
        """The latest PNG of a job that draws while it runs; None as long as there is none."""
        return await asyncio.to_thread(self._jobs.blob, job_id, PREVIEW, owner)

    async def finished(self, job_id: str, owner: str | None, timeout_s: float) -> Job:
        """The job once it has ended, or as it is after `timeout_s`."""
        return await self._watch.finished(job_id, owner, timeout_s)

    def events(self, job_id: str, owner: str | None, last_event_id: str | None) -> AsyncIterator[JobEvent]:
        return self._watch.events(job_id, owner, last_event_id)

    async def stored(self, job_id: str, owner: str | None) -> Stored:
        """What a job has left. Raises UnknownJob, JobWithoutResult or ResultExpired."""
        data = await asyncio.to_thread(self._jobs.result, job_id, owner)
        image = await asyncio.to_thread(self._jobs.blob, job_id, IMAGE, owner)
        try:
            arrays, left = await asyncio.to_thread(archive.unpack, data)
            result = JobResult.model_validate_json(left)
            return Stored(from_job(result.request, image), arrays, result)
        except (ValueError, KeyError, TypeError) as error:
            log.warning("result of a job not readable", job=job_id, reason=repr(error))
            raise JobWithoutResult(
                f"the result of the job {job_id!r} cannot be read: it is of another version of the service, or damaged"
            ) from None

    async def answer(self, stored: Stored, asked: ExplainRequest) -> Answer:
        """The job's answer, drawn as `asked` wants it. Raises TooLarge and InvalidParameter."""
        # What was taken of the sets is known since the submission.
        asked = replace(asked, sets=stored.request.sets)
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._draw, stored, asked)

    def _draw(self, stored: Stored, asked: ExplainRequest) -> Answer:
        check_size(asked.options, stored.arrays, self._max_response_bytes)
        reply = stored.result.reply
        image = as_seen(decode_input(asked, self._limits), reply)
        found = results(asked, Computed(reply, stored.arrays), image)
        times = {"engine": stored.result.engine_ms}
        return Answer(reply.model, image.notes, found, times, reply.fingerprint)


def _told(request: JobRequest) -> JsonObject | None:
    """The parameters of a request of one method, to be told with every look at its job; None where too long."""
    if request.many:
        return None
    method = request.methods[0]
    planes = parts_of(BY_NAME[method.name].Params)
    params = {name: value for name, value in method.params.items() if name not in planes}
    return params if len(orjson.dumps(params)) <= MAX_TOLD_BYTES else None
