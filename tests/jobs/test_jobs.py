"""What the api process does with jobs, on both databases; no worker runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.errors import (
    IdempotencyKeyReused,
    JobsUnavailable,
    JobWithoutResult,
    QueueFull,
    TooManyJobs,
    UnknownJob,
)
from service.jobs.config import JobsConfig
from service.jobs.job import Job, JobState
from service.jobs.jobs import Jobs
from tests.jobs.helpers import Postgres, until

Open = Callable[[JobsConfig], Jobs]


def submit(jobs: Jobs, owner: str = "ann", **changes: Any) -> Job:
    given = {"request": {"layer": "conv1"}, "blobs": {"image": b"bytes"}, "label": {"model": "m"}, **changes}
    job, new = jobs.submit("maximization", given.pop("request"), owner=owner, **given)
    assert new
    return job


def test_a_new_job_says_what_was_submitted(jobs: Jobs) -> None:
    job = submit(jobs, priority=3)
    assert len(job.id) == 32
    assert (job.kind, job.owner, job.state, job.priority, job.attempts) == ("maximization", "ann", "queued", 3, 0)
    assert (job.step, job.total, job.loss, job.preview_version, job.seconds_left) == (None, None, None, 0, None)
    assert (job.started_at, job.finished_at, job.expires_at, job.error, job.worker) == (None,) * 5
    assert (job.label, job.expired) == ({"model": "m"}, False)
    assert abs(job.created_at - datetime.now(UTC)) < timedelta(seconds=10)
    assert jobs.get(job.id, "ann") == job
    assert jobs.blob(job.id, "image", "ann") == b"bytes"
    assert jobs.blob(job.id, "result", "ann") is None


def test_jobs_of_others_do_not_exist(jobs: Jobs) -> None:
    job = submit(jobs, "ann")
    for call in (jobs.get, jobs.cancel, jobs.result):
        with pytest.raises(UnknownJob, match=job.id):
            call(job.id, "bob")
    with pytest.raises(UnknownJob):
        jobs.blob(job.id, "image", "bob")
    with pytest.raises(UnknownJob):
        jobs.get("0" * 32, None)
    assert jobs.get(job.id, None) == job
    assert jobs.list("bob") == []


def test_the_list_is_newest_first_and_in_pages(jobs: Jobs) -> None:
    made = [submit(jobs, "ann" if number % 2 else "bob").id for number in range(6)]
    jobs.cancel(made[0], None)
    assert [job.id for job in jobs.list(None)] == made[::-1]
    assert [job.id for job in jobs.list("ann")] == made[5::-2]
    assert [job.id for job in jobs.list(None, limit=2, offset=2)] == made[3:1:-1]
    assert [job.id for job in jobs.list(None, JobState.CANCELLED)] == made[:1]
    assert len(jobs.list("bob", JobState.QUEUED)) == 2
    assert jobs.counts() == {"queued": 5, "running": 0, "succeeded": 0, "failed": 0, "cancelled": 1}


def test_cancelling(jobs: Jobs) -> None:
    job = submit(jobs)
    cancelled = jobs.cancel(job.id, "ann")
    assert cancelled.state is JobState.CANCELLED
    assert cancelled.finished_at is not None
    assert cancelled.finished_at >= job.created_at
    assert cancelled.expires_at == cancelled.finished_at + timedelta(seconds=3600)
    assert jobs.cancel(job.id, "ann") == cancelled
    with pytest.raises(JobWithoutResult, match="it is cancelled"):
        jobs.result(job.id, "ann")


class TestIdempotency:
    def test_the_same_again_gives_the_same_job(self, jobs: Jobs) -> None:
        first = submit(jobs, key="k")
        again, new = jobs.submit(
            "maximization", {"layer": "conv1"}, owner="ann", blobs={"image": b"bytes"}, label={}, key="k"
        )
        assert (again, new) == (first, False)

    @pytest.mark.parametrize("changes", [{"request": {"layer": "conv2"}}, {"blobs": {"image": b"other"}}])
    def test_another_request_is_refused_and_changes_nothing(self, jobs: Jobs, changes: dict[str, Any]) -> None:
        first = submit(jobs, key="k")
        with pytest.raises(IdempotencyKeyReused, match="another request"):
            submit(jobs, key="k", **changes)
        assert jobs.list(None) == [first]
        assert jobs.blob(first.id, "image", "ann") == b"bytes"

    def test_keys_of_two_owners_never_meet(self, jobs: Jobs) -> None:
        assert submit(jobs, "ann", key="k").id != submit(jobs, "bob", key="k").id

    def test_a_known_key_passes_a_full_queue(self, config: JobsConfig, opened: Open) -> None:
        jobs = opened(config.model_copy(update={"max_queued": 1}))
        first = submit(jobs, key="k")
        again, new = jobs.submit(
            "maximization", {"layer": "conv1"}, owner="ann", blobs={"image": b"bytes"}, label={}, key="k"
        )
        assert (again.id, new) == (first.id, False)

    def test_of_ten_at_once_one_makes_the_job(self, jobs: Jobs) -> None:
        def one(number: int) -> tuple[str, bool] | None:
            try:
                job, new = jobs.submit("k", {"n": number % 2}, owner="ann", blobs={"n": b"%d" % (number % 2)}, label={}, key="k")  # fmt: skip  # noqa: E501
            except IdempotencyKeyReused:
                return None
            return job.id, new

        jobs.connect()
        with ThreadPoolExecutor(10) as threads:
            answers = list(threads.map(one, range(10)))
        told = [answer for answer in answers if answer]
        assert len({job for job, _ in told}) == 1
        assert sum(new for _, new in told) == 1
        assert len(told) == 5
        winner = next(number for number, answer in enumerate(answers) if answer and answer[1]) % 2
        assert jobs.blob(told[0][0], "n", "ann") == b"%d" % winner


class TestBounds:
    def test_waiting_jobs(self, config: JobsConfig, opened: Open) -> None:
        jobs = opened(config.model_copy(update={"max_queued": 3}))
        made = [submit(jobs, owner) for owner in ("ann", "bob", "eve")]
        with pytest.raises(QueueFull, match="3 jobs are waiting") as caught:
            submit(jobs, "kim")
        assert caught.value.retry_after_s == 10
        jobs.cancel(made[0].id, None)
        submit(jobs, "kim")

    def test_jobs_of_one_owner(self, config: JobsConfig, opened: Open) -> None:
        jobs = opened(config.model_copy(update={"max_per_owner": 2}))
        made = [submit(jobs, "ann"), submit(jobs, "ann")]
        with pytest.raises(TooManyJobs, match="2 of your jobs") as caught:
            submit(jobs, "ann")
        assert caught.value.retry_after_s == 10
        submit(jobs, "bob")
        jobs.cancel(made[0].id, "ann")
        submit(jobs, "ann")


def test_no_database_yet_no_database_any_more_and_back(postgres: Postgres, opened: Open, config: JobsConfig) -> None:
    """SQLite's file cannot go away; its place may not be there yet."""
    if config.database_url.startswith("sqlite"):
        folder = config.data_dir / "database"
        folder.touch()
        jobs = opened(config)
        with pytest.raises(JobsUnavailable):
            jobs.list(None)
        folder.unlink()
    else:
        postgres.stop()
        jobs = opened(config)
        for call in (jobs.counts, jobs.connect, lambda: jobs.list(None), lambda: submit(jobs)):
            began = time.monotonic()
            with pytest.raises(JobsUnavailable, match="cannot be reached") as caught:
                call()
            assert caught.value.retry_after_s == 5
            assert time.monotonic() - began < 2
        postgres.start()

    def answers() -> bool:
        try:
            return jobs.list(None) == []
        except JobsUnavailable:
            return False

    assert until(answers, 10) < 3
    job = submit(jobs)
    if config.database_url.startswith("postgresql"):
        postgres.stop()
        with pytest.raises(JobsUnavailable):
            jobs.get(job.id, None)
        postgres.start()
        assert jobs.get(job.id, None) == job


def test_a_call_is_cheap(sqlite_config: JobsConfig, opened: Open) -> None:
    """The bounds are of the processor's time, which does not count what else runs."""
    jobs = opened(sqlite_config)
    made = [submit(jobs) for _ in range(20)]
    began = time.thread_time()
    for job in made:
        jobs.get(job.id, "ann")
    assert (time.thread_time() - began) / 20 < 0.012
    began = time.thread_time()
    for _ in range(10):
        submit(jobs)
    assert (time.thread_time() - began) / 10 < 0.020
