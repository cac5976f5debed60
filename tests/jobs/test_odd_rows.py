"""I1: a job that another version of the service wrote, or damaged, hides neither itself nor the others."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sqlalchemy as sa

from service.jobs.blobs import Blobs
from service.jobs.config import JobsConfig
from service.jobs.database import Database
from service.jobs.job import JobState
from service.jobs.jobs import Jobs
from service.jobs.progress import PROGRESS, ProgressNote
from service.jobs.store import Store
from tests.jobs.helpers import count

CHANGES = {
    "without attributes": "UPDATE {table} SET attributes = '{{}}' WHERE workflow_uuid = :job",
    "null attributes": "UPDATE {table} SET attributes = NULL WHERE workflow_uuid = :job",
    "a list for attributes": "UPDATE {table} SET attributes = '[1]' WHERE workflow_uuid = :job",
    "times that are none": "UPDATE {table} SET attributes = '{{\"created_at\": 1e30}}' WHERE workflow_uuid = :job",
    "a text for a time": 'UPDATE {table} SET attributes = \'{{"created_at": "x"}}\' WHERE workflow_uuid = :job',
    "a state of a newer service": "UPDATE {table} SET status = 'SUSPENDED' WHERE workflow_uuid = :job",
}


@pytest.mark.parametrize("how", CHANGES)
def test_an_odd_row_is_shown_among_the_others(
    config: JobsConfig, opened: Callable[[JobsConfig], Jobs], how: str
) -> None:
    jobs = opened(config)
    first, odd, last = [count(jobs, 5) for _ in range(3)]
    database = Database(config.database_url, connections=1)
    table = "workflow_status" if database.is_sqlite else "dbos.workflow_status"
    try:
        with database.begin() as connection:
            changed = connection.execute(sa.text(CHANGES[how].format(table=table)), {"job": odd.id})
            assert changed.rowcount == 1
        found = {job.id: job for job in jobs.list(None)}
        assert set(found) == {first.id, odd.id, last.id}
        assert found[first.id].kind == "count"
        assert jobs.get(odd.id, None).id == odd.id
        if "state" in how:
            assert found[odd.id].state is JobState.FAILED
            assert found[odd.id].error is not None
            assert "'SUSPENDED' is of another version" in found[odd.id].error.detail
            assert jobs.counts()[JobState.FAILED] == 1
        else:
            assert (found[odd.id].kind, found[odd.id].state) == ("unknown", JobState.QUEUED)
        assert jobs.sweep() == 0
        assert jobs.get(odd.id, None).id == odd.id, "nothing of it is thrown away"
    finally:
        database.close()


@pytest.mark.parametrize(
    ("data", "step"),
    [
        (b'{"step": 3, "total": 9, "eta": 1}', 3),
        (b"{", None),
        (b"[]", None),
        (b'"text"', None),
        (b"\xff", None),
        (b'{"step": "x"}', None),
        (b'{"attempts": null}', None),
        (b"[" * 100_000, None),
    ],
)
def test_progress_that_cannot_be_read_is_none(
    sqlite_config: JobsConfig, opened: Callable[[JobsConfig], Jobs], data: bytes, step: int | None
) -> None:
    assert ProgressNote.decode(data).step == step
    jobs = opened(sqlite_config)
    job = count(jobs, 5)
    database = Database(sqlite_config.database_url, connections=1)
    Blobs(database, Store(sqlite_config.result_store)).put(job.id, PROGRESS, data)
    database.close()
    assert [each.step for each in jobs.list(None)] == [step]


def test_times_beyond_any_calendar_hide_nothing(
    sqlite_config: JobsConfig, opened: Callable[[JobsConfig], Jobs]
) -> None:
    jobs = opened(sqlite_config)
    first, second = count(jobs, 5), count(jobs, 5)
    database = Database(sqlite_config.database_url, connections=1)
    Blobs(database, Store(sqlite_config.result_store)).put(first.id, PROGRESS, b'{"started_at": 1e30}')
    database.close()
    assert {job.id: job.kind for job in jobs.list(None)} == {first.id: "unknown", second.id: "count"}
