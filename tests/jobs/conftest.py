"""A database of its own for each test, SQLite and PostgreSQL, and workers that are gone when the test is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service.jobs.config import JobsConfig
from service.jobs.jobs import Jobs
from tests.engine.conftest import starting as starting
from tests.jobs.helpers import Postgres, Workers, make_config


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    try:
        server = Postgres()
    except FileNotFoundError:
        pytest.skip("no PostgreSQL is installed (initdb is not found)")
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
def migrated(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database that has all tables; copied faster than made anew."""
    url = postgres.new_database()
    jobs = Jobs(make_config(url, tmp_path_factory.mktemp("template")))
    jobs.connect()
    jobs.close()
    return url.rpartition("/")[2]


@pytest.fixture
def sqlite_config(tmp_path: Path) -> JobsConfig:
    return make_config(f"sqlite:///{tmp_path / 'database' / 'jobs.db'}", tmp_path)


@pytest.fixture
def postgres_config(postgres: Postgres, migrated: str, tmp_path: Path) -> Iterator[JobsConfig]:
    url = postgres.new_database(migrated)
    yield make_config(url, tmp_path)
    postgres.drop_database(url)


@pytest.fixture(params=["sqlite", "postgres"])
def config(request: pytest.FixtureRequest) -> JobsConfig:
    found = request.getfixturevalue(f"{request.param}_config")
    assert isinstance(found, JobsConfig)
    return found


@pytest.fixture
def opened() -> Iterator[Callable[[JobsConfig], Jobs]]:
    """Makes a Jobs that is closed at the end of the test."""
    made: list[Jobs] = []

    def make(config: JobsConfig) -> Jobs:
        made.append(Jobs(config))
        return made[-1]

    yield make
    for jobs in made:
        jobs.close()


@pytest.fixture
def jobs(config: JobsConfig, opened: Callable[[JobsConfig], Jobs]) -> Jobs:
    return opened(config)


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    started = Workers(tmp_path)
    yield started
    started.stop()
