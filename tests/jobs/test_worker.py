"""One worker in a process of its own: what it runs, what becomes of failures, how it stops."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from datetime import timedelta

import pytest

from service.errors import JobWithoutResult, ResultExpired
from service.jobs.config import JobsConfig
from service.jobs.job import Job, JobFailure, JobState
from service.jobs.jobs import Jobs
from tests.jobs.helpers import Postgres, Workers, count, counted, ended, started, until

# Takes long.
pytestmark = pytest.mark.soak

Open = Callable[[JobsConfig], Jobs]


def submit(jobs: Jobs, kind: str, priority: int = 5, **request: object) -> Job:
    return jobs.submit(kind, request, owner="ann", blobs={"image": b"ab"}, label={}, priority=priority)[0]


def test_a_job_from_beginning_to_end(config: JobsConfig, jobs: Jobs, workers: Workers) -> None:
    workers.start(config, "one")
    job = count(jobs, 60)
    until(started(jobs, job, 20))
    seen = jobs.get(job.id, "ann")
    assert (seen.state, seen.total, seen.attempts, seen.worker) == ("running", 60, 1, "one")
    assert seen.loss == pytest.approx(1 / (seen.step or 0))
    assert seen.seconds_left is not None
    assert 0.02 * (60 - (seen.step or 0)) < seen.seconds_left < 10
    with pytest.raises(JobWithoutResult, match="it is running"):
        jobs.result(job.id, "ann")
    done = ended(jobs, job)
    assert (done.state, done.step, done.total, done.loss) == ("succeeded", 60, 60, pytest.approx(1 / 60))
    assert (done.seconds_left, done.attempts, done.expired) == (None, 1, False)
    assert done.started_at is not None
    assert done.finished_at is not None
    assert job.created_at <= done.started_at
    assert timedelta(seconds=1.2) < done.finished_at - done.started_at < timedelta(seconds=10)
    assert counted(jobs, job) == (60, [[0, "one"]])
    # Twice a second at most, and once at the last step; who hears of a version finds it.
    assert 2 <= done.preview_version <= (done.finished_at - done.started_at).total_seconds() * 2 + 2
    assert jobs.blob(job.id, "preview", "ann") == b"preview at 60"
    assert jobs.blob(job.id, "checkpoint", "ann") is None


def test_what_becomes_of_failures(config: JobsConfig, jobs: Jobs, workers: Workers) -> None:
    workers.start(config, "one")
    named, broken, empty = submit(jobs, "wrong_layer"), submit(jobs, "broken"), submit(jobs, "nothing")
    generic = JobFailure("KerascopeError", "something went wrong while the job ran")
    assert ended(jobs, named).error == JobFailure("UnknownLayer", "there is no layer 'conv9'")
    assert ended(jobs, broken).error == generic
    assert ended(jobs, empty).error == generic
    assert [job.error and job.error.kind for job in jobs.list(None, JobState.FAILED)] == [
        "KerascopeError", "KerascopeError", "UnknownLayer",
    ]  # fmt: skip
    with pytest.raises(JobWithoutResult, match="it is failed because there is no layer 'conv9'"):
        jobs.result(named.id, "ann")
    assert ended(jobs, submit(jobs, "echo")).state == "succeeded"
    log = workers.log("one").read_text()
    assert "secret: /home/someone" in log
    assert "ended without a result" in log
    assert "Exception encountered in background workflow" not in log


def test_a_result_of_25_mb_goes_to_the_store(config: JobsConfig, jobs: Jobs, workers: Workers) -> None:
    workers.start(config, "one")
    job = submit(jobs, "echo", times=12_500_000)
    assert ended(jobs, job).state == "succeeded"
    assert jobs.result(job.id, "ann") == b"ab" * 12_500_000
    files = [path for path in (config.data_dir / "results").rglob("*") if path.is_file()]
    assert [(path.parent.name, path.stat().st_size) for path in files] == [(job.id, 25_000_000)]


def test_a_smaller_priority_goes_first(config: JobsConfig, jobs: Jobs, workers: Workers) -> None:
    last, first, second = submit(jobs, "echo", 9), submit(jobs, "echo", 1), submit(jobs, "echo", 1)
    workers.start(config, "one")
    times = [ended(jobs, job).finished_at for job in (first, second, last)]
    assert times == sorted(times, key=str)


def test_a_result_expires(config: JobsConfig, opened: Open, workers: Workers) -> None:
    config = config.model_copy(update={"result_ttl_s": 1.5})
    jobs = opened(config)
    workers.start(config, "one")
    job = submit(jobs, "echo")
    assert ended(jobs, job).expired is False
    assert jobs.result(job.id, "ann") == b"ab"
    until(lambda: jobs.get(job.id, "ann").expired)
    for _ in range(2):
        with pytest.raises(ResultExpired, match="was kept until"):
            jobs.result(job.id, "ann")
        jobs.sweep()
    assert jobs.blob(job.id, "image", "ann") is None
    assert jobs.get(job.id, "ann").attempts == 1


class TestCancelling:
    def test_a_running_job_frees_its_worker_at_its_next_tick(
        self, config: JobsConfig, jobs: Jobs, workers: Workers
    ) -> None:
        workers.start(config, "one")
        long, waiting = count(jobs, 10_000), count(jobs, 10_000)
        until(started(jobs, long, 5))
        jobs.cancel(waiting.id, "ann")
        short = submit(jobs, "echo")
        assert jobs.cancel(long.id, "ann").state is JobState.CANCELLED
        # It would have taken 200 s; and one that had not let go within 4 s would have ended the process.
        until(lambda: jobs.get(short.id, None).state.final)
        assert jobs.get(waiting.id, None).attempts == 0
        step = jobs.get(long.id, None).step
        time.sleep(0.4)
        assert jobs.get(long.id, None).step == step
        assert workers.processes["one"].poll() is None
        assert "Traceback" not in workers.log("one").read_text()

    def test_one_that_does_not_stop_costs_the_process(
        self, sqlite_config: JobsConfig, opened: Open, workers: Workers
    ) -> None:
        jobs = opened(sqlite_config)
        process = workers.start(sqlite_config, "one")
        deaf = submit(jobs, "deaf", seconds=60)
        until(started(jobs, deaf))
        jobs.cancel(deaf.id, "ann")
        began = time.monotonic()
        assert process.wait(20) == 3
        assert 3.5 < time.monotonic() - began < 9
        workers.start(sqlite_config, "one")
        assert ended(jobs, submit(jobs, "echo")).state == "succeeded"
        assert jobs.get(deaf.id, None).state is JobState.CANCELLED


class TestStopping:
    def test_another_worker_goes_on_at_once(self, config: JobsConfig, jobs: Jobs, workers: Workers) -> None:
        # No checkpoint is due in between: what the second knows, the first saved when it was stopped. Nor does a lease
        # end: the first gave the job away.
        config = config.model_copy(update={"checkpoint_s": 60.0, "lease_s": 60.0})
        first = workers.start(config, "first")
        job = count(jobs, 100)
        until(started(jobs, job, 10))
        workers.start(config, "second")
        first.send_signal(signal.SIGTERM)
        until(lambda: jobs.get(job.id, None).worker == "second")
        assert first.wait(10) == 0
        done = ended(jobs, job)
        total, starts = counted(jobs, job)
        assert (done.attempts, total) == (2, 100)
        assert [name for _, name in starts] == ["first", "second"]
        assert starts[1][0] >= 10

    def test_nothing_stays_with_a_worker_that_left(
        self, sqlite_config: JobsConfig, opened: Open, workers: Workers
    ) -> None:
        jobs = opened(sqlite_config)
        first = workers.start(sqlite_config, "first")
        job = count(jobs, 50)
        until(started(jobs, job, 5))
        first.send_signal(signal.SIGTERM)
        assert first.wait(10) == 0
        assert jobs.get(job.id, None).state is JobState.QUEUED
        workers.start(sqlite_config, "second")
        ended(jobs, job)
        assert counted(jobs, job)[0] == 50

    def test_a_job_that_does_not_tick_goes_back_too(
        self, sqlite_config: JobsConfig, opened: Open, workers: Workers
    ) -> None:
        jobs = opened(sqlite_config)
        first = workers.start(sqlite_config, "first")
        job = submit(jobs, "deaf", seconds=60)
        until(started(jobs, job))
        first.send_signal(signal.SIGTERM)
        assert first.wait(15) == 0
        assert jobs.get(job.id, None).state is JobState.QUEUED


def test_two_processes_never_share_a_name(sqlite_config: JobsConfig, opened: Open, workers: Workers) -> None:
    first = workers.start(sqlite_config, "one")
    second = workers.start(sqlite_config, "one", ready=False)
    jobs = opened(sqlite_config)
    job = count(jobs, 60)
    until(started(jobs, job, 20))
    first.kill()
    first.wait()
    assert ended(jobs, job).attempts == 2
    assert counted(jobs, job)[0] == 60
    assert second.poll() is None


def test_a_worker_waits_for_its_database(
    postgres: Postgres, postgres_config: JobsConfig, opened: Open, workers: Workers
) -> None:
    postgres.stop()
    process = workers.start(postgres_config, "one", ready=False)
    time.sleep(2)
    assert process.poll() is None
    postgres.start()
    jobs = opened(postgres_config)
    assert ended(jobs, submit(jobs, "echo")).state == "succeeded"
