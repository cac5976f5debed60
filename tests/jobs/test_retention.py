"""What a sweep removes, and what it leaves."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import sqlalchemy as sa

from service.errors import UnknownJob
from service.jobs.blobs import LARGE, Blobs
from service.jobs.config import JobsConfig
from service.jobs.database import BLOBS, Database
from service.jobs.jobs import Jobs
from service.jobs.store import Store
from tests.jobs.helpers import count, until

Open = Callable[[JobsConfig], Jobs]


def test_old_jobs_and_only_they(config: JobsConfig, opened: Open) -> None:
    jobs = opened(config.model_copy(update={"result_ttl_s": 0.5}))
    waiting, old = (jobs.submit("k", {}, owner="ann", blobs={"image": b"x"}, label={})[0] for _ in range(2))
    jobs.cancel(old.id, "ann")
    assert jobs.sweep() == 0
    until(lambda: jobs.get(old.id, "ann").expired)
    until(lambda: jobs.sweep() == 1, 4)
    assert (jobs.blob(old.id, "image", "ann"), jobs.blob(waiting.id, "image", "ann")) == (None, b"x")
    assert jobs.get(old.id, "ann").state == "cancelled"
    assert jobs.sweep() == 0
    until(lambda: jobs.sweep() == 1, 8)
    with pytest.raises(UnknownJob):
        jobs.get(old.id, "ann")
    assert jobs.list(None) == [waiting]


def test_orphans_after_an_hour(config: JobsConfig, opened: Open) -> None:
    jobs = opened(config)
    job = count(jobs, 3)
    database = Database(config.database_url, connections=2)
    blobs = Blobs(database, Store(config.result_store))
    for name in ("0" * 32, "1" * 32, job.id):
        blobs.put(name, "image", b"x")
        blobs.put(name, "result", b"x" * (LARGE + 1))
    with database.begin() as connection:
        old = sa.update(BLOBS).where(BLOBS.c.job != "1" * 32).values(updated=time.time() - 3601)
        connection.execute(old)
    assert jobs.sweep() == 1
    assert [blobs.exists(name, "image") for name in ("0" * 32, "1" * 32, job.id)] == [False, True, True]
    assert len([path for path in (config.data_dir / "results").rglob("*") if path.is_file()]) == 2
    assert jobs.sweep() == 0
    database.close()
