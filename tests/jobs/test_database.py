"""Connections, the two tables, the clock, and errors in our words."""

from __future__ import annotations

import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from service.errors import ConfigurationError, JobsUnavailable, StorageFull
from service.jobs.config import JobsConfig
from service.jobs.database import WORKERS, Database
from tests.conftest import ROOT


@pytest.fixture
def database(config: JobsConfig) -> Iterator[Database]:
    made = Database(config.database_url, connections=2)
    made.create_tables()
    yield made
    made.close()


def test_sqlite_makes_its_folder_and_a_file_for_its_owner_alone(sqlite_config: JobsConfig, tmp_path: Path) -> None:
    database = Database(sqlite_config.database_url, connections=2)
    with database.begin() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"pragma {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
        assert pragmas == {"journal_mode": "wal", "synchronous": 1, "foreign_keys": 1, "busy_timeout": 30000}
        modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "database").iterdir()}
    assert modes == {0o600}
    database.close()


def test_another_process_that_comes_and_goes_takes_no_rows_along(sqlite_config: JobsConfig) -> None:
    """SQLite deletes the write-ahead log with the last connection that it knows of: this process's locks tell it of
    more, and stay held."""
    database = Database(sqlite_config.database_url, connections=2)
    database.create_tables()
    with database.engine.connect(), database.engine.connect():
        pass
    code = f"""
import sqlite3
connection = sqlite3.connect({database.url.removeprefix("sqlite:///")!r})
print(connection.execute("select executor from job_workers").fetchall())
connection.close()"""
    told = [subprocess.check_output([sys.executable, "-c", code], text=True)]
    with database.begin() as connection:
        database.upsert(connection, WORKERS, {"executor": "a", "beat": 1.5})
    told.append(subprocess.check_output([sys.executable, "-c", code], text=True))
    assert told == ["[]\n", "[('a',)]\n"]
    database.close()


def test_nobody_but_sqlite_opens_its_file(sqlite_config: JobsConfig) -> None:
    """Whoever closed another descriptor of it would give up SQLite's locks; it is opened once, to be made."""
    code = """
import sys
opened = []
sys.addaudithook(lambda event, args: opened.append(args[0]) if event == "open" and "jobs.db" in str(args[0]) else None)
from service.jobs.config import JobsConfig
from service.jobs.jobs import Jobs
from tests.jobs.helpers import count
config = JobsConfig.model_validate_json(sys.argv[1])
for _ in range(2):
    jobs = Jobs(config)
    jobs.connect()
    job = count(jobs, 3)
    assert jobs.get(job.id, None) == jobs.list(None)[0]
    jobs.cancel(job.id, None)
    jobs.sweep()
    jobs.close()
print(len(opened))"""
    command = [sys.executable, "-c", code, sqlite_config.model_dump_json()]
    assert subprocess.check_output(command, text=True, cwd=ROOT) == "1\n"


@pytest.mark.parametrize("url", ["mysql://host/jobs", "oracle://host/jobs"])
def test_other_databases_are_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"use sqlite:///… or postgresql://…"):
        Database(url, connections=1)


def test_its_clock(database: Database) -> None:
    first = database.clock()
    assert abs(first - time.time()) < 5
    time.sleep(0.05)
    assert 0.04 < database.clock() - first < 5


def test_rows_are_replaced_or_left(database: Database) -> None:
    with database.begin() as connection:
        database.upsert(connection, WORKERS, {"executor": "a", "beat": 1.5})
        database.upsert(connection, WORKERS, {"executor": "a", "beat": 2.5})
        assert not database.insert_new(connection, WORKERS, {"executor": "a", "beat": 3.5})
        assert database.insert_new(connection, WORKERS, {"executor": "b", "beat": 4.5})
        rows = connection.execute(sa.select(WORKERS).order_by(WORKERS.c.executor)).all()
    assert [tuple(row) for row in rows] == [("a", 2.5), ("b", 4.5)]


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_several_processes_begin_at_once(kind: str, sqlite_config: JobsConfig, request: pytest.FixtureRequest) -> None:
    """On a database that has no tables yet."""
    config = sqlite_config
    if kind == "postgres":
        url = request.getfixturevalue("postgres").new_database()
        config = config.model_copy(update={"database_url": url})
    code = "import sys; from service.jobs.config import JobsConfig; from service.jobs.jobs import Jobs; \
jobs = Jobs(JobsConfig.model_validate_json(sys.argv[1])); jobs.connect(); assert jobs.list(None) == []; jobs.close()"
    command = [sys.executable, "-c", code, config.model_dump_json()]
    started = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE) for _ in range(3)]
    assert [process.communicate(timeout=60)[1].decode() for process in started] == [""] * 3
    assert [process.returncode for process in started] == [0] * 3


def fill(database: Database) -> None:
    """Writes more than the pages of SQLite's file hold."""
    with database.begin() as connection:
        pages = connection.exec_driver_sql("pragma page_count").scalar_one()
        connection.exec_driver_sql(f"pragma max_page_count={pages}")
        connection.execute(sa.insert(WORKERS).values(executor="x" * 100_000, beat=1.0))


def idle(database: Database) -> None:
    """Longer than this transaction may."""
    with database.begin() as connection:
        connection.exec_driver_sql("set local idle_in_transaction_session_timeout = '50ms'")
        time.sleep(0.3)
        connection.exec_driver_sql("select 1")


class TestErrors:
    def test_no_server(self) -> None:
        database = Database("postgresql://postgres@127.0.0.1:1/jobs", connections=1)
        with pytest.raises(JobsUnavailable, match="cannot be reached right now") as caught, database.begin():
            pass
        assert caught.value.retry_after_s == 5
        database.close()

    def test_no_place_for_the_file(self, tmp_path: Path) -> None:
        (tmp_path / "database").touch()
        database = Database(f"sqlite:///{tmp_path / 'database' / 'jobs.db'}", connections=1)
        with pytest.raises(JobsUnavailable), database.begin():
            pass

    def test_a_file_that_is_full(self, sqlite_config: JobsConfig) -> None:
        database = Database(sqlite_config.database_url, connections=1)
        database.create_tables()
        with pytest.raises(StorageFull, match="no room left"):
            fill(database)
        database.close()

    def test_a_server_whose_disk_is_full(self, postgres_config: JobsConfig) -> None:
        database = Database(postgres_config.database_url, connections=1)
        raising = "do $$ begin raise exception 'could not extend file' using errcode = '53100'; end $$"
        with pytest.raises(StorageFull, match="no room left"), database.begin() as connection:
            connection.exec_driver_sql(raising)
        database.close()

    def test_a_transaction_that_idles(self, postgres_config: JobsConfig) -> None:
        """A frozen worker leaves one: it must not keep its locks for ever."""
        database = Database(postgres_config.database_url, connections=2)
        with database.begin() as connection:
            assert connection.exec_driver_sql("show idle_in_transaction_session_timeout").scalar_one() == "5s"
        with pytest.raises(JobsUnavailable):
            idle(database)
        assert database.clock() > 0
        database.close()

    def test_mistakes_of_ours_stay_what_they_are(self, database: Database) -> None:
        with pytest.raises(sa.exc.IntegrityError), database.begin() as connection:
            connection.execute(sa.insert(WORKERS).values(executor="a", beat=None))
