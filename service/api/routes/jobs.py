"""Background jobs: list, look at, follow, cancel, take the result."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import partial
from typing import Annotated, Any

import orjson
from fastapi import Depends, Header, Query, Request, Response
from sse_starlette import EventSourceResponse, ServerSentEvent

from service.api.answering import negotiate
from service.api.answering.negotiate import answered_as
from service.api.answering.schemas import ExplanationOut
from service.api.answering.schemas_jobs import JobList, JobOut, job_out
from service.api.answering.services import JobId, ServicesDep, known_query
from service.api.document.operations import BINARY, picture_responses, problems, query_parameters
from service.api.guarding.keys import LOOK_AGAIN_S, refused_since, seen_by, still_allowed
from service.api.guarding.scopes import GuardedRouter
from service.api.problems import problem_of
from service.api.reading import body
from service.api.reading.parameters import ResultOptions
from service.errors import JobWithoutResult, KerascopeError
from service.jobs.job import JobEvent, JobState

router = GuardedRouter(prefix="/v1/jobs", tags=["jobs"])
checked = [Depends(known_query)]
SEES = problems(401, 404, 422, 503)
PING_S = 15


@router.get(
    "",
    operation_id="list_jobs",
    summary="List jobs",
    response_model=JobList,
    responses=problems(401, 422, 503),
    dependencies=checked,
)
async def list_jobs(
    request: Request,
    services: ServicesDep,
    state: Annotated[JobState | None, Query(description="Only jobs in this state.")] = None,
    limit: Annotated[int, Query(ge=1, le=500, description="How many at most.")] = 100,
    offset: Annotated[int, Query(ge=0, le=1_000_000, description="How many of the newest to leave out.")] = 0,
) -> Any:
    """The caller's own jobs, the newest first."""
    jobs = await services.jobs.list(seen_by(request), state, limit, offset)
    return {"jobs": [job_out(job) for job in jobs]}


@router.get(
    "/{job_id}",
    operation_id="get_job",
    summary="Look at a job",
    response_model=JobOut,
    responses=SEES,
    dependencies=checked,
)
async def get_job(job_id: JobId, request: Request, services: ServicesDep) -> Any:
    """State, step, objective, preview and times."""
    return job_out(await services.jobs.get(job_id, seen_by(request)))


@router.delete(
    "/{job_id}",
    operation_id="cancel_job",
    summary="Cancel a job",
    response_model=JobOut,
    responses=SEES,
    dependencies=checked,
)
async def cancel_job(job_id: JobId, request: Request, services: ServicesDep) -> Any:
    """A waiting job never runs, a running one ends within one chunk; one that has ended stays as it is."""
    return job_out(await services.jobs.cancel(job_id, seen_by(request)))


@router.get(
    "/{job_id}/events",
    operation_id="follow_job",
    summary="Follow a job",
    response_class=EventSourceResponse,
    responses=SEES | {200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
    dependencies=checked,
)
async def job_events(
    job_id: JobId,
    request: Request,
    services: ServicesDep,
    last_event_id: Annotated[str | None, Header(max_length=200, description="The last event that was seen.")] = None,
) -> Any:
    """Server-Sent Events: `progress`, at most five a second, then `succeeded`, `failed` or `cancelled`. A stream that
    has to end before its job does, as when the key is revoked, ends with `error`, whose data is a problem."""
    owner = seen_by(request)
    await services.jobs.get(job_id, owner)
    events = services.jobs.events(job_id, owner, last_event_id)
    allowed = partial(still_allowed, request.scope)
    return EventSourceResponse(sent(events, allowed, request.scope["state"]["request_id"]), ping=PING_S)


@router.get(
    "/{job_id}/preview",
    operation_id="preview_job",
    summary="What a job has so far",
    responses=problems(401, 404, 409, 422, 503) | {200: {"content": {"image/png": BINARY}}},
    response_class=Response,
    dependencies=checked,
)
async def job_preview(job_id: JobId, request: Request, services: ServicesDep) -> Response:
    """The latest picture of a job that draws while it runs, as PNG."""
    owner = seen_by(request)
    job = await services.jobs.get(job_id, owner)
    png = await services.jobs.preview(job_id, owner)
    if png is None:
        raise JobWithoutResult(f"the job is {job.state.value} and has drawn no preview; an ascent draws one as it runs")
    return Response(png, media_type="image/png", headers={"Cache-Control": "no-store"})


@router.get(
    "/{job_id}/result",
    operation_id="get_result",
    summary="Take a job's result",
    response_model=ExplanationOut,
    responses=picture_responses() | problems(401, 404, 406, 409, 410, 413, 422, 503),
    openapi_extra={"parameters": query_parameters(ResultOptions)},
)
async def job_result(job_id: JobId, request: Request, services: ServicesDep) -> Response:
    """Answers as the method's route would have; in the form of the submission where none is asked for."""
    owner = seen_by(request)
    stored = await services.jobs.stored(job_id, owner)
    asked = answered_as(stored.request, body.query(request), request.headers.get("accept"))
    answer = await services.jobs.answer(stored, asked)
    return await asyncio.to_thread(negotiate.responder(asked), answer, asked.options)


async def sent(
    events: AsyncIterator[JobEvent], allowed: Callable[[], bool], request_id: str
) -> AsyncIterator[ServerSentEvent]:
    """`progress` with the job as it is then, at last `succeeded`, `failed` or `cancelled`; where the stream must end
    before the job, as once its caller is no longer `allowed`, `error` with a problem.
    """
    coming = asyncio.ensure_future(anext(events, None))
    try:
        while True:
            await asyncio.wait((coming,), timeout=LOOK_AGAIN_S)
            if not allowed():
                raise refused_since()
            if not coming.done():
                continue
            event = coming.result()
            if event is None:
                return
            data = orjson.dumps(job_out(event.job).model_dump(mode="json")).decode()
            yield ServerSentEvent(data, event=event.name, id=event.id)
            coming = asyncio.ensure_future(anext(events, None))
    except KerascopeError as error:
        yield ServerSentEvent(orjson.dumps(problem_of(error, request_id)).decode(), event="error")
    finally:
        coming.cancel()
        with suppress(asyncio.CancelledError, KerascopeError):
            await coming
