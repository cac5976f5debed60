"""A6: every worker has a name of its own, on both databases, also when two start under one at the same moment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from service.configuration import worker_name
from service.jobs.config import JobsConfig
from service.jobs.database import WORKERS, Database
from service.jobs.jobs import Jobs
from service.settings import Settings
from tests.jobs.helpers import Workers, count, counted, ended, until


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    made = Workers(tmp_path)
    yield made
    made.stop()


def test_two_workers_of_one_name_get_two(config: JobsConfig, workers: Workers, tmp_path: Path) -> None:
    first = workers.start(config, "same", ready=False)
    second = workers.start(config, "same", ready=False)
    jobs, database = Jobs(config), Database(config.database_url, connections=1)
    try:
        jobs.connect()

        def names() -> set[str]:
            with database.begin() as connection:
                return set(connection.execute(sa.select(WORKERS.c.executor)).scalars())

        try:
            until(lambda: names() == {"same", "same+1"}, 60)
        except AssertionError:
            logs = [log.read_text()[-4000:] for log in tmp_path.rglob("*.log")]
            pytest.fail(f"the workers are {names()}, their logs end with {logs}")
        done = [ended(jobs, job, 60) for job in [count(jobs, 20) for _ in range(6)]]
        assert {job.state.value for job in done} == {"succeeded"}
        assert {job.worker for job in done} == {"same", "same+1"}
        assert [len(counted(jobs, job)[1]) for job in done] == [1] * 6, "neither took the other's job"
    finally:
        jobs.close()
        database.close()
    assert (first.poll(), second.poll()) == (None, None)


def test_folders_of_one_path_have_names_of_their_own(tmp_path: Path) -> None:
    """They are as in two containers; and the name stays the same after a restart."""
    (tmp_path / "data").mkdir()
    settings = Settings(data_dir=tmp_path / "data")
    first = worker_name(settings, "engine-0")
    assert worker_name(settings, "engine-0") == first
    (tmp_path / "data" / "instance").unlink()
    assert worker_name(settings, "engine-0") != first
