"""A job's events as Server-Sent Events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import orjson
from sse_starlette import ServerSentEvent

from service.api.auth import LOOK_AGAIN_S, refused_since
from service.api.errors import problem_of
from service.api.schemas_jobs import job_out
from service.errors import KerascopeError
from service.jobs.job import JobEvent


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
