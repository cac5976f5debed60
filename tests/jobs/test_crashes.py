"""Workers that are killed, frozen and replaced: what they leave is gone on with, once, from the last checkpoint."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import time
from collections.abc import Callable

from service.jobs.config import JobsConfig
from service.jobs.job import JobFailure, JobState
from service.jobs.jobs import Jobs
from tests.jobs.helpers import Postgres, Process, Workers, count, counted, ended, started, until

Open = Callable[[JobsConfig], Jobs]
LEASE_S = 2.0


def test_the_same_worker_again_goes_on_at_once(config: JobsConfig, jobs: Jobs, workers: Workers) -> None:
    # The lease is longer than the test may take: nobody waits for its end.
    config = config.model_copy(update={"lease_s": 60.0})
    workers.start(config, "one")
    job = count(jobs, 100)
    until(started(jobs, job, 40))
    workers.kill("one")
    assert jobs.get(job.id, None).state is JobState.RUNNING
    workers.start(config, "one")
    until(lambda: jobs.get(job.id, None).attempts == 2)
    assert ended(jobs, job).attempts == 2
    total, starts = counted(jobs, job)
    assert total == 100
    assert starts[0] == [0, "one"]
    assert 10 <= starts[1][0] < 100


def test_another_worker_takes_over_after_the_lease(config: JobsConfig, jobs: Jobs, workers: Workers) -> None:
    workers.start(config, "one")
    job = count(jobs, 100)
    until(started(jobs, job, 40))
    workers.start(config, "two")
    began = time.monotonic()
    workers.kill("one")
    until(lambda: jobs.get(job.id, None).worker == "two")
    # The last beat was up to lease/4 ago, the next look is up to lease/4 away; a busy machine adds to that.
    assert LEASE_S * 0.7 < time.monotonic() - began < LEASE_S * 4
    done = ended(jobs, job)
    total, starts = counted(jobs, job)
    assert (done.state, done.attempts, total) == ("succeeded", 2, 100)
    assert [name for _, name in starts] == ["one", "two"]
    assert starts[1][0] >= 10


def freeze(process: Process, config: JobsConfig) -> None:
    """Stops a worker, though not within a transaction: that would lock all of SQLite's file for as long as it lasts."""
    while True:
        process.send_signal(signal.SIGSTOP)
        if not config.database_url.startswith("sqlite:///"):
            return
        with contextlib.closing(sqlite3.connect(config.database_url.removeprefix("sqlite:///"), timeout=0.2)) as probe:
            try:
                probe.execute("begin immediate")
                return
            except sqlite3.OperationalError:
                process.send_signal(signal.SIGCONT)
                time.sleep(0.013)


def test_a_frozen_worker_that_wakes_up_writes_no_more(config: JobsConfig, jobs: Jobs, workers: Workers) -> None:
    frozen = workers.start(config, "one")
    job = count(jobs, 150)
    until(started(jobs, job, 40))
    workers.start(config, "two")
    freeze(frozen, config)
    until(lambda: jobs.get(job.id, None).attempts == 2)
    before = jobs.get(job.id, None).step
    frozen.send_signal(signal.SIGCONT)
    # Both would now write to the same job.
    seen = [jobs.get(job.id, None) for _ in range(50) if not time.sleep(0.02)]
    assert {each.attempts for each in seen} == {2}
    assert {each.worker for each in seen} == {"two"}
    # The second goes back to the checkpoint, and from there only forward.
    steps = [each.step or 0 for each in seen if each.step != before]
    assert steps == sorted(steps)
    assert steps[-1] >= steps[0] + 20
    ended(jobs, job)
    total, starts = counted(jobs, job)
    assert total == 150
    assert [name for _, name in starts] == ["one", "two"]
    # And is good for the next job.
    workers.kill("two")
    assert frozen.poll() is None
    again = count(jobs, 3)
    ended(jobs, again)
    assert counted(jobs, again) == (3, [[0, "one"]])


def test_a_job_that_kills_its_workers_is_given_up(sqlite_config: JobsConfig, opened: Open, workers: Workers) -> None:
    jobs = opened(sqlite_config)
    # Steps longer than the pause between two checkpoints: each that ends is kept, however slow the machine.
    poison, good = count(jobs, 50, die_at=3, step_s=0.3), count(jobs, 3)
    deaths = 0
    while not jobs.get(poison.id, None).state.final:
        process = workers.start(sqlite_config, "one")
        until(lambda process=process: process.poll() is not None or jobs.get(poison.id, None).state.final)
        deaths += process.poll() == -signal.SIGKILL
        assert deaths < 6
    failed = jobs.get(poison.id, None)
    # The first start got to step 2; from there, three deaths.
    assert (deaths, failed.attempts, failed.step) == (4, 4, 2)
    assert failed.error == JobFailure("KerascopeError", "the worker died 3 times at step 2 of this job")
    assert ended(jobs, good).state == "succeeded"


def test_an_outage_of_4_s_is_waited_out(
    postgres: Postgres, postgres_config: JobsConfig, opened: Open, workers: Workers
) -> None:
    jobs = opened(postgres_config)
    workers.start(postgres_config, "one")
    workers.start(postgres_config, "two")
    made = [count(jobs, steps) for steps in (100, 100, 10, 10)]
    until(started(jobs, made[0], 20))
    postgres.stop()
    time.sleep(4)
    postgres.start()
    assert [ended(jobs, job, 60).state for job in made] == ["succeeded"] * 4
    assert [counted(jobs, job)[0] for job in made] == [100, 100, 10, 10]
    # Longer than the lease, but the workers gave each other time to come back.
    assert [jobs.get(job.id, None).attempts for job in made] == [1, 1, 1, 1]
