"""Events of one job to several readers, in one event loop with a real worker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from service.errors import UnknownJob
from service.jobs.config import JobsConfig
from service.jobs.job import JobEvent, JobState
from service.jobs.jobs import Jobs
from service.jobs.watch import Watch
from tests.jobs.helpers import Postgres, Workers, count, ended

Open = Callable[[JobsConfig], Jobs]


async def collect(watch: Watch, job_id: str, last_event_id: str | None = None) -> list[JobEvent]:
    return [event async for event in watch.events(job_id, "ann", last_event_id)]


def test_two_readers_hear_the_same_to_the_end(config: JobsConfig, jobs: Jobs, workers: Workers) -> None:
    workers.start(config, "one")
    job = count(jobs, 60)

    async def both() -> tuple[list[JobEvent], list[JobEvent], int]:
        watch = Watch(jobs)
        readers = [asyncio.create_task(collect(watch, job.id)) for _ in range(2)]
        await asyncio.sleep(0.5)
        tasks = len(asyncio.all_tasks())
        return await readers[0], await readers[1], tasks

    first, second, tasks = asyncio.run(both())
    # This one, two readers, one poller.
    assert tasks == 4
    assert [event.name for event in first[:-1]] == ["progress"] * (len(first) - 1)
    assert first[-1].name == "succeeded"
    assert first[-1].job == jobs.get(job.id, None)
    # Who came later may have missed the beginning.
    shorter, longer = sorted(([event.id for event in events] for events in (first, second)), key=len)
    assert shorter == longer[-len(shorter) :]
    assert len(longer) - len(shorter) <= 1
    assert len({event.id for event in first}) == len(first)
    steps = [event.job.step or 0 for event in first]
    assert steps == sorted(steps)
    # 5 Hz over 1.2 s and more.
    assert len(first) >= 4


def test_a_reader_who_looks_later_is_not_led_back(
    sqlite_config: JobsConfig, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = opened(sqlite_config)
    job = count(jobs, 3)
    looks = iter([job, replace(job, attempts=1, state=JobState.RUNNING, step=1)])
    final = replace(job, attempts=1, state=JobState.SUCCEEDED, step=3)
    monkeypatch.setattr(jobs, "get", lambda job_id, owner: next(looks, final))

    async def both() -> list[list[JobEvent]]:
        watch = Watch(jobs)
        return list(await asyncio.gather(collect(watch, job.id), collect(watch, job.id)))

    for heard in asyncio.run(both()):
        assert [event.id for event in heard] == ["0.-1.0.queued", "1.3.0.succeeded"]


def test_what_was_heard_is_not_told_again(config: JobsConfig, jobs: Jobs, workers: Workers) -> None:
    workers.start(config, "one")
    job = count(jobs, 3)
    last = JobEvent.of(ended(jobs, job))
    assert asyncio.run(collect(Watch(jobs), job.id)) == [last]
    assert asyncio.run(collect(Watch(jobs), job.id, last.id)) == []
    assert asyncio.run(collect(Watch(jobs), job.id, "0.0.0.queued")) == [last]


def test_the_last_reader_ends_the_poller(sqlite_config: JobsConfig, opened: Open) -> None:
    jobs = opened(sqlite_config)
    job = count(jobs, 3)

    async def leave() -> int:
        watch = Watch(jobs)
        events = watch.events(job.id, "ann", None)
        assert (await anext(events)).job == job
        reader = asyncio.create_task(collect(watch, job.id))
        waiting = asyncio.create_task(_next(events))
        await asyncio.sleep(0.3)
        reader.cancel()
        waiting.cancel()
        await asyncio.wait([reader, waiting])
        await asyncio.sleep(0.05)
        return len(asyncio.all_tasks())

    assert asyncio.run(leave()) == 1


async def _next(events: object) -> JobEvent:
    return await anext(events)  # type: ignore[call-overload,no-any-return]


def test_nobody_hears_of_a_job_of_another(sqlite_config: JobsConfig, opened: Open) -> None:
    jobs = opened(sqlite_config)
    job = count(jobs, 3)

    async def ask(call: Callable[[Watch], Awaitable[object]]) -> None:
        with pytest.raises(UnknownJob):
            await call(Watch(jobs))

    asyncio.run(ask(lambda watch: anext(watch.events(job.id, "bob", None))))
    asyncio.run(ask(lambda watch: watch.finished(job.id, "bob", 1)))


def test_waiting_for_the_end(config: JobsConfig, jobs: Jobs, workers: Workers) -> None:
    job = count(jobs, 3)

    async def wait(timeout_s: float) -> str:
        return (await Watch(jobs).finished(job.id, "ann", timeout_s)).state

    began = time.monotonic()
    assert asyncio.run(wait(0.3)) == "queued"
    assert 0.3 <= time.monotonic() - began < 3
    assert asyncio.run(wait(0)) == "queued"
    workers.start(config, "one")
    assert asyncio.run(wait(20)) == "succeeded"


def test_an_outage_is_waited_out(postgres: Postgres, postgres_config: JobsConfig, opened: Open) -> None:
    jobs = opened(postgres_config)
    job = count(jobs, 60)

    async def watch() -> list[JobEvent]:
        reader = asyncio.create_task(collect(Watch(jobs), job.id))
        await asyncio.sleep(0.3)
        await asyncio.to_thread(postgres.stop)
        await asyncio.sleep(1.5)
        await asyncio.to_thread(postgres.start)
        await asyncio.to_thread(jobs.cancel, job.id, "ann")
        return await reader

    events = asyncio.run(watch())
    assert [event.name for event in events] == ["progress", "cancelled"]
