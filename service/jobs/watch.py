"""What happens to a job, as it happens: one poller for each job that is watched, however many watch it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import structlog

from service.errors import JobsUnavailable, KerascopeError
from service.jobs.job import Job, JobEvent
from service.jobs.jobs import Jobs

log = structlog.get_logger(__name__)

POLL_S = 0.2
FIRST_POLL_S = 0.02
OUTAGE_S = 60.0


class Watch:
    """Follows jobs, for one event loop.

    An outage of the database is waited out for up to 60 s, then raised as JobsUnavailable.
    """

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._feeds: dict[str, _Feed] = {}

    async def events(self, job_id: str, owner: str | None, last_event_id: str | None) -> AsyncIterator[JobEvent]:
        """The state of at most 0.2 s ago, unless that event said it already, then each change at 5 Hz, to the end.

        A slow reader misses what lies between. Raises UnknownJob.
        """
        job = await self._look(job_id, owner)
        # A look of one's own may be newer than the poller's, whose next word would then be a step back.
        feed = _Feed(job) if job.state.final else self._feeds.setdefault(job_id, _Feed(job))
        event = JobEvent.of(feed.job)
        if feed.job.state.final:
            if event.id != last_event_id:
                yield event
            return
        feed.readers += 1
        if feed.poller is None:
            feed.poller = asyncio.create_task(self._poll(feed))
        try:
            if event.id != last_event_id:
                yield event
            while not event.job.state.final:
                event = await feed.after(event)
                yield event
        finally:
            feed.readers -= 1
            if not feed.readers:
                feed.poller.cancel()
                if self._feeds.get(job_id) is feed:
                    del self._feeds[job_id]

    async def finished(self, job_id: str, owner: str | None, timeout_s: float) -> Job:
        """The job once it has ended, or as it is after `timeout_s`. Raises UnknownJob."""
        deadline = time.monotonic() + timeout_s
        pause_s = FIRST_POLL_S
        while True:
            job = await self._look(job_id, owner)
            left_s = deadline - time.monotonic()
            if job.state.final or left_s <= 0:
                return job
            await asyncio.sleep(min(pause_s, left_s))
            pause_s = min(pause_s * 1.2, POLL_S)

    async def _poll(self, feed: _Feed) -> None:
        while not feed.closed:
            await asyncio.sleep(POLL_S)
            try:
                await feed.tell(await self._look(feed.job.id, None))
            except KerascopeError as error:
                await feed.tell(error)
            except Exception:
                # Who watches is told in any case; a poller that died would leave it waiting for ever.
                log.exception("job could not be looked at")
                await feed.tell(KerascopeError("the job could not be looked at; the log of the service says why"))
        # Whoever comes from now on starts anew.
        self._feeds.pop(feed.job.id, None)

    async def _look(self, job_id: str, owner: str | None) -> Job:
        deadline = time.monotonic() + OUTAGE_S
        while True:
            try:
                return await asyncio.to_thread(self._jobs.get, job_id, owner)
            except JobsUnavailable:
                if time.monotonic() >= deadline:
                    raise
            await asyncio.sleep(POLL_S)


class _Feed:
    """The latest of one job, for its readers."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.readers = 0
        self.poller: asyncio.Task[None] | None = None
        self.error: KerascopeError | None = None
        self._changed = asyncio.Condition()

    @property
    def closed(self) -> bool:
        return self.error is not None or self.job.state.final

    async def tell(self, news: Job | KerascopeError) -> None:
        async with self._changed:
            if isinstance(news, KerascopeError):
                self.error = news
            else:
                self.job = news
            self._changed.notify_all()

    async def after(self, event: JobEvent) -> JobEvent:
        """The next event that differs."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.error or JobEvent.of(self.job).id != event.id)
        if self.error:
            raise self.error
        return JobEvent.of(self.job)
