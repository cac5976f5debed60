"""A job's events as Server-Sent Events."""

from __future__ import annotations

from collections.abc import AsyncIterator

import orjson
from sse_starlette import ServerSentEvent

from service.api.schemas_jobs import job_out
from service.jobs.job import JobEvent


async def sent(events: AsyncIterator[JobEvent]) -> AsyncIterator[ServerSentEvent]:
    """`progress` with the job as it is then, at last `succeeded`, `failed` or `cancelled`."""
    async for event in events:
        data = orjson.dumps(job_out(event.job).model_dump(mode="json")).decode()
        yield ServerSentEvent(data, event=event.name, id=event.id)
